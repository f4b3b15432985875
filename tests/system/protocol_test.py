"""Every operation is asked once for all the fields of its answer: names are the contract with clients in other languages.

The tables below say what an answer has: a key ending in `?` may be absent or nil. Anything else in an answer is refused too, so that a
field is added here and in the documents, or not at all.
"""
import pathlib
import time
import unittest

import msgpack

from engine import FILE, GENERATOR, PUSH, ROOT, Engine, EngineTest, Refused, pipeline, source

JOB = {"job": str, "pipeline": str, "recording": str, "state": str, "is_done": bool, "is_running": bool, "stop_reason?": str,
       "limits": dict,
       "elements": int, "bytes": int, "elapsed_ms": int, "started_at?": int, "waiting_for?": list, "needs_workers?": list, "waits?": list,
       "error?": str}
RECORDING = {"recording": str, "pipeline": str, "job": str, "signature": list, "state": str, "size": int, "elements": int, "start": int,
             "end?": int, "tags": list, "digest?": str, "gaps": list, "kept": bool, "invalidated?": int}
RECORDED_TAG = {"tag": str, "signature": str, "elements": int, "bytes": int, "watermark?": int}
RUN = {"run?": str, "started": bool, "reason": str, "added": list, "removed": list, "job?": str, "recording?": str, "tags": list,
       "test_stream?": str, "beam_endpoint?": str, "beam?": bytes}
SOURCE = {"name": str, "urn": str, "tag": str, "signature": str}
OPTIONS = {"recordable_sources": list, "recording_duration_ms?": int, "recording_size_limit?": int, "recording_count_limit?": int,
           "min_free_disk": int, "enable_recording_replay": bool, "keep_recordings": int, "worker_timeout_ms": int, "worker_wait_ms": int,
           "replay_timeout_ms": int, "message_size_max": int, "body_size_max": int, "transforms_max": int, "pipelines_max": int,
           "definitions_size_max": int, "inline_size_max": int,
           "replays_max": int, "client_replays_max": int, "connections_max": int, "requests_max": int, "client_requests_max": int,
           "unread_max": int, "client_unread_max": int}
NUMBERS = pipeline("numbers", source("Read", GENERATOR, {"rate": 0, "size": 20, "count": 50}))
SIGNATURE = "reprise:source:generator:v1|msgpack:83" + "".join(
    msgpack.packb(part).hex() for part in ("rate", 0, "size", 20, "count", 50))


class Protocol(EngineTest):
    def check(self, answer, fields, **values):
        """An answer, or a map in one, has these fields and no others, and some of them these values."""
        extra = set(answer) - {"ok", "id"} - {key.rstrip("?") for key in fields}
        self.assertEqual(extra, set(), "not in the table")
        for key, kind in fields.items():
            name = key.rstrip("?")
            if answer.get(name) is None:
                self.assertTrue(key.endswith("?"), f"`{name}` is missing in {answer}")
            else:
                self.assertIs(type(answer[name]), kind, name)
        self.assertEqual({key: answer.get(key) for key in values}, values)
        return answer

    def ask(self, op, fields, values=None, **request):
        answer = self.engine.ask(op, **request)
        self.assertIs(answer["ok"], True)
        return self.check(answer, fields, **(values or {}))

    def recorded_numbers(self):
        self.engine.run(NUMBERS)
        return self.engine.wait("numbers")

    # ---- the engine

    def test_engine_info(self):
        info = self.ask("engine.info", {"version": str, "protocol": int, "pid": int, "uptime_ms": int, "endpoints": dict},
                        {"protocol": 1, "pid": self.engine.process.pid})
        self.check(info["endpoints"], {"commands": str, "ingest": str, "test_stream": str, "notifications": str, "beam?": str},
                   **self.engine.endpoints)

    def test_engine_protocol_describes_every_operation(self):
        answer = self.ask("engine.protocol", {"protocol": int, "ops": list, "errors": list}, {"protocol": 1})
        here = pathlib.Path(__file__).parent
        tests = "".join(path.read_text() for path in (*here.glob("*_test.py"), ROOT / "docs/clients/python/client.py"))
        for op in answer["ops"]:
            self.assertLessEqual({"op", "kind", "endpoint", "from", "doc", "fields"}, set(op))
            for field in op["fields"]:
                self.assertLessEqual({"name", "type", "required", "doc"}, set(field), op)
            self.assertTrue(f'"{op["op"]}"' in tests, f"no test asks {op['op']}")
        self.assertEqual({error["code"] for error in answer["errors"]},
                         {"bad_request", "unknown_op", "not_found", "conflict", "invalid_state", "limit", "unavailable", "unauthorized",
                          "too_large", "no_space", "corrupt", "internal"})

    def test_engine_actors(self):
        answer = self.ask("engine.actors", {"actors": list})
        for actor in answer["actors"]:
            self.check(actor, {"name": str, "state": str, "restarts": int, "uptime_ms": int, "mailbox": int, "last_error?": str, "silent_ms?": int,
                               "failures": list})
            for failure in actor["failures"]:
                self.check(failure, {"at": int, "why": str})
        self.assertLessEqual({"gateway", "catalog", "pipeline_tracker", "signature_checker", "job_supervisor", "limiter", "recorder",
                              "test_stream_server", "notifier", "syncer"}, {actor["name"] for actor in answer["actors"]})

    def test_engine_stats(self):
        before = self.ask("engine.stats", {"counters": dict})["counters"]
        after = self.engine.ask("engine.stats")["counters"]
        self.assertEqual({type(value) for value in after.values()}, {int})
        self.assertEqual(after["commands"], before["commands"] + 1)

    def test_options_get_and_options_set(self):
        before = self.ask("options.get", OPTIONS, {
            "recordable_sources": ["reprise:source:*:v1", "beam:transform:pubsub_read:v1"], "recording_duration_ms": 60000,
            "recording_size_limit": 1000000000, "recording_count_limit": None, "min_free_disk": 268435456, "enable_recording_replay": True})
        self.ask("options.set", OPTIONS, {"recording_count_limit": 5, "recording_duration_ms": 60000}, recording_count_limit=5)
        self.ask("options.set", OPTIONS, {"recording_count_limit": None}, recording_count_limit=None, unknown="is ignored")
        self.assertEqual({**self.engine.ask("options.get"), "id": 0}, {**before, "id": 0})
        self.assertEqual(self.refused("bad_request", "options.set", recording_duration_ms="1")["field"], "recording_duration_ms")

    # ---- pipelines

    def test_pipeline_track(self):
        fields = {"has_sources": bool, "signature": list, "changed": bool}
        answer = self.ask("pipeline.track", fields, {"has_sources": True, "changed": True},
                          pipeline=pipeline("tracked", source("Read", PUSH)))
        self.assertEqual(answer["signature"], ["reprise:source:push:v1|"])
        bounded = pipeline("bounded", source("Read", PUSH, bounded=True), source("Map", "beam:transform:pardo:v1"))
        self.ask("pipeline.track", fields, {"has_sources": False, "signature": [], "changed": False}, pipeline=bounded)
        self.recorded_numbers()
        self.ask("pipeline.track", fields, {"has_sources": True, "signature": [SIGNATURE], "changed": False}, pipeline=NUMBERS)

    def test_pipeline_list(self):
        self.engine.ask("pipeline.track", pipeline=NUMBERS)
        pipelines = self.ask("pipeline.list", {"pipelines": list})["pipelines"]
        for one in pipelines:
            self.check(one, {"name": str, "transforms": int, "runs": int})
        self.assertIn("numbers", [one["name"] for one in pipelines])

    def test_pipeline_describe(self):
        job = self.recorded_numbers()
        answer = self.ask("pipeline.describe", {"name": str, "transforms": list, "sources": list, "signature": list, "runs": list,
                                                "job?": dict,
                                                "recording?": dict, "test_stream?": str, "beam_endpoint?": str},
                          {"name": "numbers", "signature": [SIGNATURE], "test_stream": self.engine.endpoints["test_stream"],
                           "beam_endpoint": self.engine.beam},
                          pipeline="numbers")
        self.check(answer["transforms"][0], {"name": str, "urn": str, "payload?": dict, "bounded?": bool, "tag?": str}, name="Read")
        self.check(answer["sources"][0], SOURCE, tag="Read")
        self.check(answer["runs"][-1], {"run": str, "started_at": int, "reason": str, "job?": str, "state?": str}, job=job["job"])
        self.check(answer["job"], JOB, job=job["job"])
        self.check(answer["recording"], RECORDING, recording=job["recording"])

    def test_pipeline_forget(self):
        self.engine.run(pipeline("forgotten", source("Read", GENERATOR, {"rate": 100})))
        recording = self.engine.ask("job.describe", pipeline="forgotten")["recording"]
        self.ask("pipeline.forget", {}, pipeline="forgotten")
        self.refused("not_found", "pipeline.describe", pipeline="forgotten")
        self.refused("not_found", "recording.describe", recording=recording)
        self.refused("not_found", "pipeline.forget", pipeline="forgotten")
        self.assertFalse((self.engine.data / "recordings" / recording).exists())

    def test_pipeline_run(self):
        definition = pipeline("run", source("Read", GENERATOR, {"rate": 0, "count": 10}))
        first = self.ask("pipeline.run", RUN, {"started": True, "reason": "first_run", "removed": [], "tags": ["Read"],
                                               "test_stream": self.engine.endpoints["test_stream"], "beam_endpoint": self.engine.beam},
                         pipeline=definition)
        self.assertEqual(len(first["added"]), 1)
        self.engine.wait("run")
        second = self.ask("pipeline.run", RUN, {"started": False, "reason": "recording_valid", "added": [], "removed": [],
                                                "job": first["job"],
                                                "recording": first["recording"]}, pipeline="run")
        self.assertNotEqual(second["run"], first["run"])
        self.ask("pipeline.run", RUN, {"started": False, "reason": "no_recordable_source", "job": None, "recording": None, "tags": [],
                                       "test_stream": None}, pipeline=pipeline("nothing"))
        self.refused("not_found", "pipeline.run", pipeline="nobody")

    def test_pipeline_run_gives_each_reason(self):
        definition = pipeline("reasons", source("Read", PUSH))

        def reason():
            return self.engine.run(definition)["reason"]
        self.assertEqual([reason(), reason()], ["first_run", "job_running"])
        self.engine.ask("job.cancel", pipeline="reasons")
        self.assertEqual(reason(), "job_cancelled")
        self.engine.ask("push", msgpack.packb([]), pipeline="reasons", tag="Read", done=True)
        self.engine.wait("reasons")
        self.assertEqual(reason(), "recording_valid")
        self.engine.ask("recording.delete", recording=self.engine.ask("recording.describe", pipeline="reasons")["recording"])
        self.assertEqual(reason(), "recording_missing")
        self.engine.ask("options.set", enable_recording_replay=False)
        self.assertEqual(reason(), "replay_disabled")
        self.engine.ask("options.set", enable_recording_replay=True)
        definition["transforms"].append(source("More", PUSH, {"topic": 1}))
        self.assertEqual(reason(), "sources_changed")
        missing = pipeline("reasons", source("Read", FILE, {"path": "/nonexistent"}))
        self.engine.run(missing)
        self.assertEqual(self.engine.wait("reasons")["state"], "FAILED")
        definition = missing
        self.assertEqual(reason(), "job_failed")

    def test_run_finish(self):
        run = self.engine.run(NUMBERS)["run"]
        answer = self.ask("run.finish", {"run": dict}, run=run, state="DONE")
        self.check(answer["run"], {"run": str, "started_at": int, "reason": str, "job?": str, "state?": str}, run=run, state="DONE")
        self.refused("not_found", "run.finish", run="nothing", state="DONE")

    # ---- sources

    def test_source_has(self):
        two = pipeline("two", source("A", PUSH, {"b": 1, "a": 2}, tag="TA"), source("B", PUSH, {"a": 2.0, "b": 1}),
                       source("C", PUSH, b"\x01", bounded=True))
        answer = self.ask("source.has", {"has": bool, "sources": list}, {"has": True}, pipeline=two)
        signature = "reprise:source:push:v1|msgpack:82a16102a16201"
        self.assertEqual(answer["sources"], [{"name": "A", "urn": PUSH, "tag": "TA", "signature": signature},
                                             {"name": "B", "urn": PUSH, "tag": "B", "signature": signature}])
        self.ask("source.has", {"has": bool, "sources": list}, {"has": False, "sources": []}, pipeline=pipeline("none"))
        self.refused("not_found", "pipeline.describe", pipeline="two")  # it stored no definition

    def test_source_signature(self):
        self.ask("source.signature", {"signature": list}, {"signature": [SIGNATURE]}, pipeline=NUMBERS)
        self.ask("source.signature", {"signature": list}, {"signature": ["reprise:source:push:v1|01ff"]},
                 pipeline=pipeline("bytes", source("Read", PUSH, b"\x01\xff")))
        conflict = pipeline("conflict", source("A", PUSH, 1, tag="T"), source("B", PUSH, 2, tag="T"))
        self.refused("bad_request", "source.signature", pipeline=conflict)

    def test_source_changed(self):
        fields = {"changed": bool, "added": list, "removed": list}
        self.engine.run(pipeline("changes", source("Read", GENERATOR, {"count": 5, "rate": 0})))
        recording = self.engine.wait("changes")["recording"]
        other = pipeline("changes", source("Read", GENERATOR, {"count": 6, "rate": 0}))
        answer = self.ask("source.changed", fields, {"changed": True}, pipeline=other, update=False)
        self.assertEqual((len(answer["added"]), len(answer["removed"])), (1, 1))
        self.ask("source.changed", fields, {"changed": False, "added": [], "removed": []}, pipeline="changes")
        self.ask("source.changed", fields, {"changed": True}, pipeline=other)
        self.refused("not_found", "recording.describe", recording=recording)
        self.ask("source.changed", fields, {"changed": False}, pipeline=other)
        self.assertEqual(self.engine.run(other)["reason"], "sources_changed")

    # ---- jobs

    def test_job_needed(self):
        fields = {"needed": bool, "reason": str}
        definition = pipeline("needed", source("Read", GENERATOR, {"rate": 0, "count": 3}))
        self.ask("job.needed", fields, {"needed": True, "reason": "first_run"}, pipeline=definition)
        self.engine.run(definition)
        self.engine.wait("needed")
        self.ask("job.needed", fields, {"needed": False, "reason": "recording_valid"}, pipeline="needed")

    def test_job_start(self):
        definition = pipeline("started", source("Read", PUSH))
        self.ask("job.start", RUN, {"run": None, "started": True, "reason": "first_run"}, pipeline=definition, limits={"count": 5})
        self.assertEqual(self.engine.ask("job.describe", pipeline="started")["limits"]["count"], 5)

    def test_job_describe(self):
        job = self.engine.run(pipeline("described", source("Read", PUSH)))["job"]
        running = self.ask("job.describe", JOB, {"state": "RUNNING", "is_running": True, "is_done": False, "stop_reason": None}, job=job)
        self.check(running["limits"], {"duration_ms?": int, "bytes?": int, "count?": int})
        self.assertEqual({**self.engine.ask("job.describe", pipeline="described"), "id": 0, "elapsed_ms": 0},
                         {**running, "id": 0, "elapsed_ms": 0})
        self.refused("bad_request", "job.describe")
        self.refused("not_found", "job.describe", job="nothing")

    def test_job_list(self):
        job = self.recorded_numbers()
        jobs = self.ask("job.list", {"jobs": list})["jobs"]
        for one in jobs:
            self.check(one, JOB)
        self.assertIn(job["job"], [one["job"] for one in jobs])

    def test_job_cancel(self):
        job = self.engine.run(pipeline("cancelled", source("Read", PUSH)))["job"]
        answer = self.ask("job.cancel", {"cancelled": bool, "job?": dict}, {"cancelled": True}, pipeline="cancelled")
        self.check(answer["job"], JOB, job=job)
        self.assertEqual([(one["state"], one["stop_reason"], one["is_done"]) for one in [self.engine.wait("cancelled")]],
                         [("CANCELLED", "user", False)])
        self.ask("job.cancel", {"cancelled": bool, "job?": dict}, {"cancelled": False}, job=job)

    def test_job_wait(self):
        job = self.engine.run(pipeline("awaited", source("Read", PUSH)))["job"]
        self.refused("unavailable", "job.wait", job=job, timeout_ms=20)
        self.engine.ask("job.cancel", job=job)
        self.ask("job.wait", JOB, {"state": "CANCELLED"}, job=job, timeout_ms=10000)
        self.assertEqual(self.refused("bad_request", "job.wait", job=job)["field"], "timeout_ms")

    # ---- recordings

    def test_recording_complete(self):
        self.recorded_numbers()
        self.ask("recording.complete", {"complete": bool}, {"complete": True}, pipeline="numbers")
        self.engine.run(pipeline("incomplete", source("Read", PUSH)))
        self.ask("recording.complete", {"complete": bool}, {"complete": False}, pipeline="incomplete")

    def test_recording_list(self):
        job = self.recorded_numbers()
        recordings = self.ask("recording.list", {"recordings": list})["recordings"]
        for one in recordings:
            self.check(one, RECORDING)
        self.assertIn(job["recording"], [one["recording"] for one in recordings])

    def test_recording_describe(self):
        job = self.recorded_numbers()
        one = self.ask("recording.describe", RECORDING, {"pipeline": "numbers", "signature": [SIGNATURE], "state": "DONE", "gaps": [],
                                                         "kept": False},
                       recording=job["recording"])
        self.check(one["tags"][0], RECORDED_TAG, tag="Read", signature=SIGNATURE, elements=50)
        self.assertEqual(self.engine.ask("recording.describe", pipeline="numbers")["recording"], job["recording"])
        self.assertLess(one["start"], one["end"])

    def test_recording_fetch(self):
        recording = self.recorded_numbers()["recording"]
        fields = {"elements": list, "next": int, "complete": bool}
        whole = self.ask("recording.fetch", fields, {"next": 50, "complete": True}, recording=recording)["elements"]
        self.assertEqual(whole, self.engine.elements(recording=recording))
        part = self.ask("recording.fetch", fields, {"next": 14, "complete": False}, pipeline="numbers", tag="Read", max=4, **{"from": 10})
        self.assertEqual(part["elements"], whole[10:14])
        self.ask("recording.fetch", fields, {"elements": [], "complete": True}, recording=recording, **{"from": 50})
        self.refused("not_found", "recording.fetch", recording=recording, tag="Nope")
        self.refused("bad_request", "recording.fetch")

    def test_recording_verify(self):
        recording = self.recorded_numbers()["recording"]
        size = self.engine.ask("recording.describe", recording=recording)["size"]
        self.ask("recording.verify", {"intact": bool, "records": int, "elements": int, "bytes": int, "damage": list},
                 {"intact": True, "elements": 50, "bytes": size, "damage": [], "records": len(list(self.engine.records(recording)))},
                 recording=recording)
        self.refused("not_found", "recording.verify", recording="nothing")

    def test_recording_keep(self):
        recording = self.recorded("kept")["recording"]
        self.ask("recording.keep", RECORDING, {"kept": True}, recording=recording, kept=True)
        self.engine.run(pipeline("kept", source("Read", GENERATOR, {"seed": 2})), limits={"count": 1})
        self.engine.wait("kept")
        self.assertEqual(len(self.engine.elements(recording=recording)), 100)
        self.ask("recording.keep", RECORDING, {"kept": False}, recording=recording, kept=False)

    def test_recording_clear(self):
        running = self.engine.run(pipeline("clear", source("Read", PUSH)))["recording"]
        self.refused("invalid_state", "recording.clear", pipeline="clear")
        self.refused("invalid_state", "recording.delete", recording=running)
        self.engine.ask("job.cancel", pipeline="clear")
        self.engine.wait("clear")
        self.ask("recording.clear", {"recordings": list}, {"recordings": [running]}, pipeline="clear")
        self.ask("recording.clear", {"recordings": list}, {"recordings": []}, pipeline="clear")

    def test_recording_delete(self):
        recording = self.recorded("deleted")["recording"]
        self.ask("recording.delete", {"recordings": list}, {"recordings": [recording]}, recording=recording)
        self.refused("not_found", "recording.delete", recording=recording)

    # ---- test stream

    def test_test_stream_start_stop_and_status(self):
        self.recorded_numbers()
        endpoint = self.engine.endpoints["test_stream"]
        fields = {"running": bool, "endpoint?": str, "replays": int}
        self.ask("test_stream.start", fields, {"running": True, "endpoint": endpoint}, pipeline="numbers")
        self.ask("test_stream.status", fields, {"running": True, "endpoint": endpoint, "replays": 0}, pipeline="numbers")
        self.ask("test_stream.stop", {"stopped": bool}, {"stopped": True}, pipeline="numbers")
        self.ask("test_stream.stop", {"stopped": bool}, {"stopped": False}, pipeline="numbers")
        self.ask("test_stream.status", fields, {"running": False, "endpoint": None}, pipeline="numbers")

    # ---- feeding

    def test_push(self):
        self.pushable("pushed")
        body = msgpack.packb([[1, b"a"], [2, b"b", {"key": "text", "bytes": b"\x00"}]])
        fields = {"accepted": int, "seq?": int, "stopped?": str}
        answer = self.engine.ask("push", body, pipeline="pushed", tag="Read")
        self.check(answer, fields, accepted=2, seq=1, stopped=None)
        for _ in range(2):  # a number that is sent twice is stored once
            self.check(self.engine.ask("push", body, pipeline="pushed", tag="Read", producer="me", seq=1), fields, accepted=2, seq=1)
        error = self.refused("conflict", "push", body, pipeline="pushed", tag="Read", producer="me", seq=7)
        self.assertEqual(error["expected"], 2)
        self.refused("not_found", "push", body, pipeline="pushed", tag="Wrong")
        self.assertEqual(self.refused("bad_request", "push", pipeline="pushed", tag="Read")["field"], "body")
        self.refused("bad_request", "push", msgpack.packb([[1, "text"]]), pipeline="pushed", tag="Read")
        self.check(self.engine.ask("push", msgpack.packb([]), pipeline="pushed", tag="Read", done=True), fields, accepted=0)
        self.assertEqual(self.engine.wait("pushed")["elements"], 4)
        self.assertEqual(self.engine.elements(pipeline="pushed")[1], ["Read", 2, b"b", {"key": "text", "bytes": b"\x00"}])

    def test_source_attach_batch_and_done(self):
        job = self.pushable("ingest")["job"]
        with self.engine.connect("ingest") as ingest:
            attached = ingest.ask("source.attach", pipeline="ingest", tag="Read", producer="me")
            self.check(attached, {"source": int, "job": str, "next_seq": int, "cursor?": int, "credit": int}, job=job, next_seq=1,
                       cursor=None)
            body = msgpack.packb([[1, b"a"]])
            ingest.send("source.batch", body, tag="Read", seq=1, cursor=77, watermark=5)  # `source` may be left out
            self.check(ingest.receive()[0], {"op": str, "source": int, "tag": str, "seq": int}, op="source.ack", source=attached["source"],
                       tag="Read", seq=1)
            ingest.send("source.batch", body, tag="Read", seq=1)  # again
            self.assertEqual(ingest.receive()[0]["seq"], 1)
            ingest.send("source.batch", body, tag="Read", seq=3)
            nack = {"op": str, "source?": int, "tag": str, "seq": int, "error": dict}
            error = self.check(ingest.receive()[0], nack, op="source.nack", seq=3)["error"]
            self.check(error, {"code": str, "message": str, "field?": str, "expected": int, "retry?": bool}, code="conflict", expected=2)
            ingest.send("source.batch", msgpack.packb([[1, 2]]), tag="Read", seq=2)
            self.assertEqual(self.check(ingest.receive()[0], nack, op="source.nack", seq=2)["error"]["code"], "bad_request")
            ingest.send("source.batch", body, tag="Read", seq=3)  # the number of the refused one is used up
            self.assertEqual(ingest.receive()[0]["seq"], 3)
            with self.engine.connect("ingest") as other:
                again = other.ask("source.attach", job=job, tag="Read", producer="me")
                self.check(again, {"source": int, "job": str, "next_seq": int, "cursor?": int, "credit": int}, next_seq=4)
                stop = {"op": str, "source": int, "job?": str, "tag": str, "reason": str, "seq?": int, "accepted?": int}
                self.check(ingest.receive()[0], stop, op="source.stop", reason="superseded", source=attached["source"])
                ingest.send("source.batch", body, source=attached["source"], tag="Read", seq=4)
                self.assertTrue(ingest.receive()[0]["error"]["retry"])
                self.check(other.ask("source.done", tag="Read"), {})
        self.assertEqual(self.engine.wait("ingest")["stop_reason"], "sources_ended")
        self.assertEqual(self.engine.ask("recording.describe", pipeline="ingest")["elements"], 2)

    def test_source_attach_gives_the_cursor_back(self):
        self.pushable("cursors")
        with self.engine.connect("ingest") as ingest:
            ingest.ask("source.attach", pipeline="cursors", tag="Read", producer="me")
            ingest.send("source.batch", msgpack.packb([[1, b"a"]]), tag="Read", seq=1, cursor={"offset": 12, "file": b"\x01"})
            ingest.receive()
        with self.engine.connect("ingest") as ingest:
            attached = ingest.ask("source.attach", pipeline="cursors", tag="Read", producer="me")
            self.assertEqual((attached["next_seq"], attached["cursor"]), (2, {"offset": 12, "file": b"\x01"}))
            self.assertEqual(ingest.ask("source.attach", pipeline="cursors", tag="Read", producer="you")["next_seq"], 1)

    def test_source_stop_when_the_job_ends(self):
        self.pushable("ends")
        with self.engine.connect("ingest") as ingest:
            ingest.ask("source.attach", pipeline="ends", tag="Read")
            self.engine.ask("job.cancel", pipeline="ends")
            stop = {"op": str, "source": int, "job?": str, "tag": str, "reason": str, "seq?": int, "accepted?": int}
            self.check(ingest.receive()[0], stop, op="source.stop", tag="Read", reason="user")
            with self.assertRaises(Refused) as caught:
                ingest.ask("source.attach", pipeline="ends", tag="Read")
            self.assertEqual(caught.exception.error["code"], "invalid_state")

    def test_source_fail(self):
        self.pushable("fails")
        with self.engine.connect("ingest") as ingest:
            ingest.ask("source.attach", pipeline="fails", tag="Read")
            self.check(ingest.ask("source.fail", tag="Read", message="the broker is gone"), {})
        job = self.engine.wait("fails")
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"]), ("FAILED", "error", False))
        self.assertIn("the broker is gone", job["error"])

    def test_worker_ready_source_start_and_worker_list(self):
        urn = "reprise:source:telex:v1"
        with self.engine.connect("ingest") as ingest:
            self.check(ingest.ask("worker.ready", urns=[urn], worker="w"), {})
            answer = self.engine.run(pipeline("worked", source("Read", urn, {"a": 1}, tag="T")))
            start = {"op": str, "job": str, "tag": str, "urn": str, "payload?": dict, "cursor?": int, "producer": str}
            given = self.check(ingest.receive()[0], start, op="source.start", job=answer["job"], tag="T", urn=urn, payload={"a": 1})
            ingest.ask("source.attach", job=given["job"], tag="T", producer=given["producer"])
            workers = self.ask("worker.list", {"workers": list, "waiting": list}, {"waiting": []})["workers"]
            one = self.check(workers[0], {"worker": str, "urns": list, "uptime_ms": int, "sources": list}, worker="w", urns=[urn])
            about = {"job": str, "pipeline": str, "tag": str, "urn": str, "waiting_ms?": int}
            self.check(one["sources"][0], about, job=answer["job"], pipeline="worked", tag="T", urn=urn, waiting_ms=None)
            ingest.ask("worker.ready", urns=[])
        self.check(self.ask("worker.list", {"workers": list, "waiting": list}, {"workers": []})["waiting"][0], about, tag="T")
        self.engine.ask("pipeline.forget", pipeline="worked")

    # ---- the rest

    def test_chaos_fail(self):
        self.ask("chaos.fail", {}, actor="notifier")
        self.refused("not_found", "chaos.fail", actor="nobody")

    def test_an_error_names_the_field(self):
        error = self.refused("bad_request", "pipeline.run", pipeline="numbers", limits={"count": "ten"})
        self.check(error, {"code": str, "message": str, "field": str, "retry?": bool}, field="limits.count")
        self.assertRegex(error["message"], "`pipeline.run`: `limits.count` must be a whole number.*, not text")

    def test_an_id_is_echoed_whatever_it_is(self):
        for number in (7, "text", b"bytes", None, [1, {"a": 2.5}], -1, 1 << 63):
            self.engine.commands.socket.send(msgpack.packb({"op": "engine.info", "id": number}))
            self.assertEqual(msgpack.unpackb(self.engine.commands.socket.recv_multipart()[0], strict_map_key=False)["id"], number)
            self.engine.commands.socket.send(msgpack.packb({"op": "nothing", "id": number}))
            self.assertEqual(msgpack.unpackb(self.engine.commands.socket.recv_multipart()[0], strict_map_key=False)["id"], number)

    def test_unknown_fields_are_ignored_and_one_without_a_value_is_as_if_absent(self):
        self.engine.ask("engine.info", newer=1, pipeline=None)
        self.engine.ask("recording.fetch", recording=self.recorded_numbers()["recording"], tag=None, max=None)


class Liveness(EngineTest):
    def test_those_who_say_nothing_are_asked_and_then_let_go_and_those_who_answer_stay(self):
        self.engine.ask("options.set", worker_timeout_ms=5000, replay_timeout_ms=5000)
        self.pushable("alive")
        doors = {"ingest": {"op": "source.attach", "pipeline": "alive", "tag": "Read"},
                 "test_stream": {"op": "replay.open", "pipeline": "alive", "credit": 1000}}
        silent = {door: self.engine.connect(door) for door in doors}
        lively = {door: self.engine.connect(door) for door in doors}
        for connections in (silent, lively):
            for door, connection in connections.items():
                self.addCleanup(connection.socket.close)
                connection.ask(**doors[door])
        asked = {}  # when a silent one was last asked
        while len(asked) < 2 or min(time.monotonic() - at for at in asked.values()) < 4.5:  # as long as it is known, it is asked
            for door in doors:
                while silent[door].socket.poll(20):
                    self.assertEqual(msgpack.unpackb(silent[door].socket.recv()), {"op": "ping"})
                    asked[door] = time.monotonic()
                with self.assertRaises(TimeoutError):
                    lively[door].receive(0.02)  # this answers pings
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="alive")["replays"], 1)
        body = msgpack.packb([[1, b"x"]])
        silent["ingest"].send("source.batch", body, tag="Read", seq=1)
        self.assertEqual(silent["ingest"].receive()[0]["error"]["code"], "not_found")
        lively["ingest"].send("source.batch", body, tag="Read", seq=1)
        self.assertEqual(lively["ingest"].receive()[0]["op"], "source.ack")
        self.assertEqual(lively["test_stream"].receive()[0]["event"], "processing_time")


class Stop(unittest.TestCase):
    def test_engine_stop(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        self.assertEqual(engine.ask("engine.stop")["ok"], True)
        self.assertEqual(engine.ended(), 0)


if __name__ == "__main__":
    unittest.main()
