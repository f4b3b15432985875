"""What a user does with recordings as with Beam's Recordings API: describe, stop, clear, record, collect; the options that guide it; the
test stream of each pipeline; recordings that outlive a change of sources; and that all of it outlives the process."""
import unittest

from engine import FILE, GENERATOR, PUSH, Engine, Producer, pipeline, source
from parity_test import DEFAULTS, GONE, ParityTest, numbers
from replay_test import elements_in


class Recordings(ParityTest):
    """describe, stop, clear, record, collect."""

    def producer(self, **fields):
        producer = Producer(self.engine, self.name, **fields)
        self.addCleanup(producer.close)
        return producer

    def test_describe_tells_size_start_and_state_of_one_and_of_all(self):
        self.refused("not_found", "recording.describe", pipeline=self.name)
        asked = self.engine.run(self.of(source("Read", PUSH)))
        self.push(10)
        growing = self.described()
        self.assertEqual((growing["state"], growing["elements"], growing.get("end"), growing.get("digest")), ("RUNNING", 10, None, None))
        self.push(5, done=True)
        job = self.engine.wait(self.name)
        ended = self.described()
        self.assertEqual((ended["state"], ended["elements"], ended["start"]), ("DONE", 15, job["started_at"]))
        self.assertEqual(ended["size"], sum(one.stat().st_size for one in self.engine.segments(asked["recording"])))
        self.assertGreater(ended["size"], growing["size"])
        everything = self.engine.ask("recording.list")["recordings"]
        self.assertIn(asked["recording"], [one["recording"] for one in everything])

    def test_stop_cancels_waits_and_keeps_what_is_recorded(self):
        self.engine.run(self.of(source("Read", PUSH)))
        self.push(10)
        self.assertTrue(self.engine.ask("job.cancel", pipeline=self.name)["cancelled"])
        self.assertEqual(self.state(), ("CANCELLED", "user", False, False))
        self.assertEqual((self.described()["state"], len(self.engine.elements(pipeline=self.name))), ("CANCELLED", 10))
        self.assertFalse(self.engine.ask("job.cancel", pipeline=self.name)["cancelled"])

    def test_clear_is_refused_while_it_records_and_then_leaves_nothing(self):
        recording = self.engine.run(self.of(source("Read", PUSH)))["recording"]
        self.refused("invalid_state", "recording.clear", pipeline=self.name)
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.wait(self.name)
        self.assertEqual(self.engine.ask("recording.clear", pipeline=self.name)["recordings"], [recording])
        self.is_gone(recording)
        self.assertEqual(self.engine.ask("recording.clear", pipeline=self.name)["recordings"], [])

    def test_clear_is_of_one_pipeline(self):
        other = self.recorded(f"{self.name} other", 10)["recording"]
        self.run_to_end(numbers(1))
        self.engine.ask("recording.clear", pipeline=self.name)
        self.assertEqual(len(self.engine.elements(recording=other)), 10)

    def test_record_starts_none_while_one_runs_or_there_is_a_complete_one(self):
        def start(*sources):
            answer = self.engine.ask("job.start", pipeline=self.of(*sources))
            self.assertIsNone(answer.get("run"))
            return answer["started"], answer["reason"]
        self.assertEqual([start(source("Read", PUSH)) for _ in range(2)], [(True, "first_run"), (False, "job_running")])
        self.push(1, done=True)
        self.engine.wait(self.name)
        self.assertEqual([start(source("Read", PUSH)) for _ in range(2)], [(False, "recording_valid")] * 2)
        self.engine.ask("recording.clear", pipeline=self.name)
        self.assertEqual(start(source("Read", PUSH)), (True, "recording_missing"))
        self.assertEqual(self.engine.ask("pipeline.describe", pipeline=self.name)["runs"], [])

    def test_stop_clear_and_record_make_a_fresh_recording(self):
        self.engine.run(self.of(source("Read", PUSH)), limits={"count": 1000})
        self.push(10)
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.wait(self.name)
        self.engine.ask("recording.clear", pipeline=self.name)
        self.engine.ask("options.set", recording_count_limit=3)
        self.assertTrue(self.engine.ask("job.start", pipeline=self.name)["started"])
        self.push(10)
        self.assertEqual(self.engine.wait(self.name)["elements"], 3)

    def test_collect_gives_as_many_elements_as_asked(self):
        _, job = self.run_to_end(numbers(1, 100))
        expected = self.engine.elements(recording=job["recording"])
        for count in (1, 37, 100):
            self.assertEqual(self.engine.ask("recording.fetch", pipeline=self.name, max=count)["elements"], expected[:count])
            self.assertEqual(self.engine.elements(pipeline=self.name, max_elements=count), expected[:count])
        self.assertEqual(self.engine.elements(pipeline=self.name, max_elements=1000), expected)
        for wrong in (0, -1, "inf", 1.5):
            self.refused("bad_request", "recording.fetch", pipeline=self.name, max=wrong)

    def test_collect_from_a_growing_recording_waits_for_what_it_was_asked(self):
        self.engine.run(self.of(source("Read", PUSH)))
        reader = self.reader(pipeline=self.name, max_elements=15)
        producer = self.producer()
        producer.push(1)
        events = reader.until("elements")
        self.assertEqual(len(elements_in(events)), 10)
        self.assertTrue(reader.quiet())
        producer.push(2)
        events += reader.until("end")
        self.assertEqual((events[-1]["reason"], events[-1]["elements"]), ("limit", 15))
        self.assertEqual([["Read", *one] for one in elements_in(events)], producer.expected(2)[:15])
        self.assertTrue(self.engine.ask("job.describe", pipeline=self.name)["is_running"], "reading ends no recording")

    def test_of_a_count_and_a_duration_the_first_ends_the_reading(self):
        self.run_to_end(source("Read", GENERATOR, {"rate": 1000}), duration_ms=300)
        few = self.engine.replay(pipeline=self.name, max_elements=5, max_duration_ms=100000)
        self.assertEqual((few[-1][0]["reason"], few[-1][0]["elements"]), ("limit", 5))
        short = self.engine.replay(pipeline=self.name, max_elements=100000, max_duration_ms=100)
        self.assertEqual(short[-1][0]["reason"], "limit")
        self.assertLessEqual(sum(event.get("advance_us", 0) for event, _ in short), 100000)
        self.assertLess(short[-1][0]["elements"], 150)
        whole = self.engine.replay(pipeline=self.name, max_elements=100000, max_duration_ms=100000)
        self.assertEqual(whole[-1][0]["reason"], "end")

    def test_evicting_is_a_cancel_and_a_clear_and_the_next_run_records_anew(self):
        _, job = self.run_to_end(numbers(1))
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.ask("recording.clear", pipeline=self.name)
        self.is_gone(job["recording"])
        self.assertEqual(self.decided(numbers(1)), (True, "recording_missing"))

    def test_evicting_everything_is_that_for_each_pipeline(self):
        self.run_to_end(numbers(1))
        self.engine.run(pipeline(f"{self.name} other", source("Read", PUSH)))
        for one in self.engine.ask("pipeline.list")["pipelines"]:
            self.engine.ask("job.cancel", pipeline=one["name"])
            self.engine.ask("recording.clear", pipeline=one["name"])
        self.assertEqual([one for one in self.engine.ask("recording.list")["recordings"] if not one["kept"]], [])

    def test_forgetting_a_pipeline_cancels_deletes_and_makes_the_next_run_the_first(self):
        recording = self.engine.run(self.of(source("Read", PUSH)))["recording"]
        reader = self.reader(pipeline=self.name)
        self.engine.ask("pipeline.forget", pipeline=self.name)
        self.assertEqual(reader.until("end")[-1]["event"], "end")
        self.is_gone(recording)
        self.refused("not_found", "job.describe", pipeline=self.name)
        self.assertEqual(self.decided(source("Read", PUSH)), (True, "first_run"))


class TestStreams(ParityTest):
    """One service a pipeline: start, stop, is it running."""

    def running(self, name=None):
        return self.engine.ask("test_stream.status", pipeline=name or self.name)["running"]

    def stop(self):
        return self.engine.ask("test_stream.stop", pipeline=self.name)["stopped"]

    def test_a_run_serves_a_pipeline_and_one_without_sources_is_not_served(self):
        self.assertFalse(self.running())
        self.engine.run(self.of(source("Read", PUSH)))
        self.assertTrue(self.running())
        self.engine.run(pipeline(f"{self.name} empty"))
        self.assertFalse(self.running(f"{self.name} empty"))

    def test_a_stop_where_nothing_is_served_does_nothing(self):
        self.assertEqual((self.stop(), self.running()), (False, False))
        self.engine.run(self.of(source("Read", PUSH)))
        self.assertEqual([self.stop() for _ in range(2)], [True, False])
        self.assertEqual(self.state(), ("RUNNING", None, False, True))

    def test_a_service_that_was_stopped_starts_again(self):
        self.run_to_end(numbers(1))
        self.stop()
        started = self.engine.ask("test_stream.start", pipeline=self.name)
        self.assertEqual((started["running"], started["endpoint"]), (True, self.engine.endpoints["test_stream"]))
        self.stop()
        self.assertEqual(len(self.engine.elements(pipeline=self.name)), 20)
        self.assertTrue(self.running(), "a replay starts it too")

    def test_a_stop_ends_the_replays_of_its_pipeline_and_no_others(self):
        self.engine.run(self.of(source("Read", PUSH)))
        self.engine.run(pipeline(f"{self.name} other", source("Read", PUSH)))
        mine, others = self.reader(pipeline=self.name), self.reader(pipeline=f"{self.name} other")
        self.assertTrue(self.stop())
        self.assertEqual(self.end_of(mine), "stopped")
        self.assertTrue(others.quiet())

    def test_more_readers_than_beam_serves_read_at_once(self):
        self.engine.run(self.of(source("Read", PUSH)))
        readers = [self.reader(pipeline=self.name) for _ in range(25)]
        self.push(10, done=True)
        ends = [reader.until("end")[-1] for reader in readers]
        self.assertEqual({(end["reason"], end["elements"], end["digest"]) for end in ends}, {("end", 10, ends[0]["digest"])})

    def test_a_change_that_is_only_told_stops_the_service(self):
        self.run_to_end(numbers(1))
        reader = self.reader(pipeline=self.name, rate=0.000001)
        self.changed(numbers(2))
        self.assertEqual(self.end_of(reader), "invalidated")
        self.assertFalse(self.running())


class Retention(ParityTest):
    """Recordings that outlive a change of sources, which Beam's never do."""

    def test_without_keeping_a_change_back_is_a_change(self):
        _, job = self.run_to_end(numbers(1))
        self.run_to_end(numbers(2))
        answer, again = self.run_to_end(numbers(1))
        self.assertEqual((answer["started"], answer["reason"]), (True, "sources_changed"))
        self.is_gone(job["recording"])

    def test_a_recording_whose_sources_come_back_is_valid_again_at_once(self):
        self.engine.ask("options.set", keep_recordings=2)
        _, first = self.run_to_end(numbers(1))
        digest = self.described()["digest"]
        _, second = self.run_to_end(numbers(2))
        self.assertIsInstance(self.described(recording=first["recording"])["invalidated"], int)
        self.assertEqual(self.described()["recording"], second["recording"])
        answer = self.engine.run(self.of(numbers(1)))
        self.assertEqual((answer["started"], answer["reason"], answer["recording"], answer["job"]),
                         (False, "recording_valid", first["recording"], first["job"]))
        self.assertIsNone(self.described().get("invalidated"))
        self.assertEqual(self.engine.replay(pipeline=self.name)[-1][0]["digest"], digest)
        self.assertEqual(self.decided(numbers(1)), (False, "recording_valid"))
        self.assertEqual(self.engine.run(self.of(numbers(2)))["recording"], second["recording"])

    def test_asking_brings_it_back_as_well(self):
        self.engine.ask("options.set", keep_recordings=1)
        _, job = self.run_to_end(numbers(1))
        self.assertTrue(self.changed(numbers(2)))
        self.refused("not_found", "recording.describe", pipeline=self.name)
        self.assertTrue(self.changed(numbers(1)))
        self.assertEqual(self.described()["recording"], job["recording"])
        self.assertEqual(self.needed(numbers(2)), (True, "sources_changed"))
        self.assertEqual(self.needed(numbers(1)), (False, "recording_valid"))
        self.assertEqual(self.decided(numbers(1)), (False, "recording_valid"))

    def test_one_that_has_more_than_the_sources_is_valid_too(self):
        self.engine.ask("options.set", keep_recordings=1)
        _, both = self.run_to_end(numbers(1), numbers(2))
        self.run_to_end(numbers(3))
        answer = self.engine.run(self.of(numbers(2)))
        self.assertEqual((answer["started"], answer["reason"], answer["recording"]), (False, "recording_valid", both["recording"]))
        self.assertEqual({one[0] for one in self.engine.elements(pipeline=self.name)}, {"Numbers 2"})

    def test_only_the_newest_invalid_ones_are_kept(self):
        self.engine.ask("options.set", keep_recordings=1)
        jobs = [self.run_to_end(numbers(seed))[1] for seed in (1, 2, 3)]
        self.is_gone(jobs[0]["recording"])
        self.assertEqual(self.decided(numbers(2)), (False, "recording_valid"))
        self.assertEqual(self.decided(numbers(1)), (True, "sources_changed"))

    def test_one_that_is_not_complete_is_not_kept(self):
        self.engine.ask("options.set", keep_recordings=5)
        running = self.engine.run(self.of(source("Read", PUSH)))["recording"]
        self.run_to_end(numbers(1))
        self.is_gone(running)

    def test_a_pinned_recording_is_never_dropped_by_a_change_and_comes_back_too(self):
        _, job = self.run_to_end(numbers(1))
        self.engine.ask("recording.keep", recording=job["recording"], kept=True)
        for seed in (2, 3, 4):
            self.run_to_end(numbers(seed))
        self.assertEqual(len(self.engine.elements(recording=job["recording"])), 20)
        self.assertEqual(self.engine.run(self.of(numbers(1)))["recording"], job["recording"])

    def test_clearing_spares_what_is_pinned_and_deleting_does_not(self):
        _, job = self.run_to_end(numbers(1))
        self.engine.ask("recording.keep", recording=job["recording"], kept=True)
        self.assertEqual(self.engine.ask("recording.clear", pipeline=self.name)["recordings"], [])
        self.assertEqual(self.decided(numbers(1)), (False, "recording_valid"))
        self.engine.ask("recording.delete", recording=job["recording"])
        self.is_gone(job["recording"])

    def test_a_replay_by_recording_goes_on_when_its_sources_change(self):
        self.engine.ask("options.set", keep_recordings=1)
        _, job = self.run_to_end(numbers(1))
        by_recording = self.reader(recording=job["recording"], rate=0.000001)
        by_pipeline = self.reader(pipeline=self.name, rate=0.000001)
        self.changed(numbers(2))
        self.assertEqual(self.end_of(by_pipeline), "invalidated")
        by_recording.ask("replay.rate", replay=1, rate=0)
        self.assertEqual(self.end_of(by_recording), "end")


class Options(ParityTest):
    def test_a_new_duration_is_for_the_jobs_that_start_after_it(self):
        self.engine.run(self.of(source("Read", PUSH)))
        self.engine.ask("options.set", recording_duration_ms=20)
        self.assertEqual(self.engine.ask("job.describe", pipeline=self.name)["limits"]["duration_ms"], 60000)
        self.engine.run(pipeline(f"{self.name} later", source("Read", PUSH)))
        later = self.engine.wait(f"{self.name} later")
        self.assertEqual((later["limits"]["duration_ms"], later["stop_reason"]), (20, "duration"))
        self.assertEqual(self.state(), ("RUNNING", None, False, True))

    def test_a_job_is_refused_when_all_recordings_together_are_at_their_limit(self):
        self.recorded(f"{self.name} other", 1000)
        total = sum(one["size"] for one in self.engine.ask("recording.list")["recordings"])
        self.engine.ask("options.set", recording_size_limit=total)
        self.assertEqual(self.refused("no_space", "pipeline.run", pipeline=self.of(source("Read", PUSH)))["field"], "recording_size_limit")
        self.refused("not_found", "job.describe", pipeline=self.name)
        self.engine.ask("recording.clear", pipeline=f"{self.name} other")
        self.assertEqual(self.decided(source("Read", PUSH)), (True, "first_run"))

    def test_a_value_that_makes_no_sense_is_refused_and_changes_nothing(self):
        before = self.engine.ask("options.get")
        for name, wrong in (("recording_duration_ms", 0), ("recording_duration_ms", -5), ("recording_duration_ms", "60s"),
                            ("recording_size_limit", 0), ("recording_size_limit", 1.5), ("enable_recording_replay", 1),
                            ("recordable_sources", "reprise:source:push:v1"), ("keep_recordings", -1)):
            with self.subTest(name=name, wrong=wrong):
                error = self.refused("bad_request", "options.set", recording_count_limit=7, **{name: wrong})
                self.assertEqual(error["field"], name)
        self.assertEqual({**self.engine.ask("options.get"), "id": 0}, {**before, "id": 0})


class Durable(unittest.TestCase):
    """What is known after a crash."""

    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)

    def facts(self, names):
        """All that clients can ask about pipelines. How long a job has been running is no fact."""
        def plain(answer):
            return {key: value for key, value in answer.items() if key not in ("id", "elapsed_ms", "test_stream", "beam_endpoint")}
        described = {name: plain(self.engine.ask("pipeline.describe", pipeline=name)) for name in names}
        for one in described.values():
            one["job"] = plain(one["job"])
            one["job"] = {key: value for key, value in one["job"].items() if one["job"]["state"] != "RUNNING" or key != "bytes"}
            if one["job"]["state"] == "RUNNING":
                one["recording"] = {key: one["recording"][key] for key in ("recording", "job", "elements", "start", "signature", "state")}
        return described

    def test_options_have_their_defaults_and_changes_outlive_a_stop_and_a_crash(self):
        options = self.engine.ask("options.get")
        self.assertEqual({name: options[name] for name in DEFAULTS}, DEFAULTS)
        changes = {"enable_recording_replay": False, "recording_duration_ms": None, "recording_size_limit": 5000000,
                   "recording_count_limit": 77, "keep_recordings": 3, "min_free_disk": 1, "recordable_sources": ["my:*"]}
        self.engine.ask("options.set", **changes)
        self.engine.restart()
        options = self.engine.ask("options.get")
        self.assertEqual({name: options[name] for name in changes}, changes)
        self.engine.ask("options.set", recording_count_limit=None)
        self.engine.stop()
        self.engine.start()
        self.assertEqual(self.engine.ask("options.get"), {**options, "id": 1, "recording_count_limit": None})

    def test_pipelines_jobs_runs_recordings_and_what_is_valid_outlive_a_crash(self):
        run = self.engine.run
        names = ["done", "limited", "cancelled", "failed", "running"]
        run(pipeline("done", numbers(1)))
        run(pipeline("limited", numbers(1, None)), limits={"count": 7})
        run(pipeline("cancelled", source("Read", PUSH)))
        self.engine.ask("job.cancel", pipeline="cancelled")
        run(pipeline("failed", source("Lines", FILE, {"path": GONE})))
        for name in names[:4]:
            self.engine.wait(name)
        finished = run("done")["run"]
        self.engine.ask("run.finish", run=finished, state="DONE")
        run(pipeline("running", source("Read", PUSH)))
        self.assertEqual(self.engine.ask("pipeline.track", pipeline=pipeline("tracked", numbers(5)))["changed"], True)
        before = self.facts(names)
        self.engine.restart()
        self.assertEqual(self.facts(names), before)
        self.assertIn("tracked", [one["name"] for one in self.engine.ask("pipeline.list")["pipelines"]])
        reasons = {name: self.engine.ask("job.needed", pipeline=name)["reason"] for name in names}
        self.assertEqual(reasons, {"done": "recording_valid", "limited": "recording_valid", "cancelled": "job_cancelled",
                                   "failed": "job_failed", "running": "job_running"})

    def test_a_change_that_was_told_outlives_a_crash_until_a_job_starts(self):
        self.engine.run(pipeline("told", numbers(1)))
        self.engine.wait("told")
        self.assertTrue(self.engine.ask("source.changed", pipeline=pipeline("told", numbers(2)))["changed"])
        self.engine.restart()
        self.assertFalse(self.engine.ask("source.changed", pipeline="told")["changed"])
        self.assertEqual(self.engine.run("told")["reason"], "sources_changed")
        self.engine.wait("told")
        self.engine.restart()
        self.assertEqual(self.engine.run("told")["reason"], "recording_valid")

    def test_recordings_that_are_kept_come_back_after_a_crash(self):
        self.engine.ask("options.set", keep_recordings=1)
        jobs = []
        for seed in (1, 2):
            self.engine.run(pipeline("kept", numbers(seed)))
            jobs.append(self.engine.wait("kept"))
        self.engine.restart()
        for seed in (1, 2, 1):
            answer = self.engine.run(pipeline("kept", numbers(seed)))
            self.assertEqual((answer["reason"], answer["recording"]), ("recording_valid", jobs[seed - 1]["recording"]))
            self.engine.restart()


if __name__ == "__main__":
    unittest.main()
