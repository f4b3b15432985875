"""Recordings as files: out in each format and in again, what is in them, and that a file which is not whole leaves nothing behind."""
import base64
import json
import os
import pathlib
import shutil
import signal
import subprocess
import unittest

import msgpack
from cli_test import CliEngine
from engine import BUILD, GENERATOR, PATIENCE, PUSH, Engine, EngineTest, Producer, Refused, pipeline, source
from wire import number, text

HERE = pathlib.Path(__file__).parent / "beam"
START = 1700000000000000


def whole(value):
    """An int64 in nine bytes, however small."""
    return b"\xd3" + value.to_bytes(8, "big", signed=True)


# A batch for each way in which an element may be written, some of them longer than they need be, as bodies.
BODIES = [
    msgpack.packb([[START, b"text"], [START + 1, b"\x00\xff bytes"], [-5, b""]]),
    msgpack.packb([[START + 2, "späte Grüße\n\"\\\x01".encode(), {"topic": "a/b", "key": b"\x00\x01", "text": b"as bytes", "": ""}]]),
    b"\x92" + b"\x92" + whole(START + 3) + b"\xc4\x01w" + b"\x92" + whole(7) + b"\xc4\x01x",
    b"\x92" + b"\x92" + whole(START + 3) + b"\xc4\x01w" + b"\x92\x07\xc4\x01y",
    b"\xdd\x00\x00\x00\x01" + b"\xdc\x00\x03" + b"\x07" + b"\xc6\x00\x00\x00\x01z" + b"\xde\x00\x01" + b"\xd9\x01k\xd9\x01v",
    b"\x91" + b"\x93\x08\xc4\x01t" + b"\x82\xa1k\xa1v\xa1k\xa1w",
]


class ExportTest(EngineTest):
    def setUp(self):
        self.name = self.id().split(".")[-1]

    def rich(self, name=None):
        """A recording with everything in it: two streams, one of them under two tags, gaps, watermarks, attributes. Its id."""
        name = name or self.name
        both = [source("one", PUSH, {"of": "both"}), source("uno", PUSH, {"of": "both"}), source("two", PUSH, {"of": "two"})]
        recording = self.engine.run(pipeline(name, *both))["recording"]
        with self.engine.connect("ingest") as connection:
            for tag in ("one", "two"):
                attached = connection.ask("source.attach", pipeline=name, tag=tag, producer=tag)
                for seq, body in enumerate(BODIES, 1):
                    fields = {"gap": "a frame was dropped", **({"lost_us": 40} if tag == "one" else {})} if seq == 3 else {}
                    connection.send("source.batch", body, source=attached["source"], tag=tag, seq=seq, watermark=START + seq, **fields)
                    self.hear(connection, "source.ack")
            for tag in ("one", "two"):
                connection.ask("source.done", tag=tag)
        self.assertEqual(self.engine.wait(name)["state"], "DONE")
        return recording

    @staticmethod
    def hear(connection, op):
        while True:
            message, _, _ = connection.receive()
            if message.get("op") == op:
                return message
            assert message.get("op") != "source.nack", message

    def export(self, format, size=1 << 20, **what):
        data, where = b"", {}
        while True:
            piece = self.engine.ask("recording.export", format=format, max_bytes=size, **what, **where)
            self.assertLessEqual(len(piece["data"]), size)
            data += piece["data"]
            if piece["complete"]:
                self.assertIsNone(piece.get("next"))
                return data
            where = {"from": piece["next"]}

    def imports(self, format, *files, size=1 << 20, **first):
        """The last answer of an import of these files, sent in pieces of that size."""
        going = {}
        for file, data in enumerate(files):
            for at in range(0, max(len(data), 1), size):
                answer = self.engine.ask("recording.import", format=format, file=file, data=data[at:at + size], **going, **first)
                going, first = {"import": answer["import"], "seq": answer["next"]}, {}
        return self.engine.ask("recording.import", done=True, **going)

    def described(self, recording):
        return self.engine.ask("recording.describe", recording=recording)

    def seen(self, recording):
        """A whole replay, but for the replay's own number."""
        return [({key: value for key, value in event.items() if key != "replay"}, elements)
                for event, elements in self.engine.replay(recording=recording)]

    def folders(self):
        return sorted(os.listdir(self.engine.data / "recordings"))


class Formats(ExportTest):
    """What goes out comes in again as it was."""

    def same_again(self, format):
        recording = self.rich()
        data = self.export(format, recording=recording)
        self.assertEqual(self.export(format, size=97, recording=recording), data)
        before = self.described(recording)
        for size in (1 << 20, 61):
            again = self.imports(format, data, size=size)
            self.assertEqual((again["pipeline"], again["digest"], again["elements"]), (self.name, before["digest"], before["elements"]))
            self.assertEqual(self.export(format, recording=again["recording"]), data)
            self.assertEqual(self.seen(again["recording"]), self.seen(recording))
            after = self.described(again["recording"])
            for field in ("signature", "start", "end", "gaps", "state", "elements"):
                self.assertEqual(after[field], before[field], field)
            self.assertEqual([{**tag, "bytes": 0} for tag in after["tags"]], [{**tag, "bytes": 0} for tag in before["tags"]])
            verified = self.engine.ask("recording.verify", recording=again["recording"])
            self.assertTrue(verified["intact"], verified)
        return data

    def test_msgpack_is_the_same_byte_for_byte_after_an_import(self):
        data = self.same_again("msgpack")
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(data)
        header, *events = unpacker
        self.assertEqual((header["reprise"], header["pipeline"]), (1, self.name))
        self.assertEqual([stream["tags"] for stream in header["streams"]], [["two"], ["one", "uno"]])
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual(events[-1]["count"], sum(len(event["elements"]) for event in events if event["event"] == "elements"))
        self.assertEqual([event["stream"] for event in events if event["event"] == "stream_ended"], [1, 0])
        self.assertEqual([event["what"] for event in events if event["event"] == "gap"], ["a frame was dropped"] * 2)

    def test_json_is_the_same_byte_for_byte_after_an_import(self):
        lines = [json.loads(line) for line in self.same_again("json").splitlines()]
        elements = [line for line in lines if "time" in line]
        self.assertIn({"tag": "one", "time": START, "data": "text"}, elements)
        self.assertIn({"tag": "one", "time": START + 1, "data": {"base64": base64.b64encode(b"\x00\xff bytes").decode()}}, elements)
        attributes = {"topic": "a/b", "key": {"base64": "AAE="}, "text": {"base64": "YXMgYnl0ZXM="}, "": ""}
        self.assertIn({"tag": "two", "time": START + 2, "data": "späte Grüße\n\"\\\x01", "attributes": attributes}, elements)
        self.assertEqual(sum("exact" in line for line in elements), 6)  # of each stream: one of another width, a longer form, a name twice
        self.assertEqual(lines[-1]["count"], len(elements))

    def test_beams_files_are_the_same_byte_for_byte_after_an_import(self):
        recording = self.rich()
        files = [self.export("beam", recording=recording, tag=tag) for tag in ("one", "two")]
        self.assertEqual(self.export("beam", size=97, recording=recording, tag="two"), files[1])
        again = self.imports("beam", *files, size=61, pipeline=self.name)["recording"]
        self.assertEqual([self.export("beam", recording=again, tag=tag) for tag in ("one", "two")], files)
        shown = [[event, elements] for event, elements in self.seen(again) if event.get("tag") != "uno"]
        self.assertEqual([element for event, elements in shown for element in elements or []],
                         [element for event, elements in self.seen(recording) if event.get("tag") != "uno" for element in elements or []])
        for field in ("signature", "start", "elements", "gaps"):
            self.assertEqual(self.described(again)[field], self.described(recording)[field], field)
        self.assertTrue(self.engine.ask("recording.verify", recording=again)["intact"])

    def test_one_tag_alone_has_the_digest_of_a_replay_of_that_tag(self):
        recording = self.rich()
        for format in ("msgpack", "json"):
            again = self.imports(format, self.export(format, recording=recording, tag="two"), pipeline=f"{self.name} {format}")
            (*_, (end, _)) = self.engine.replay(recording=recording, tags=["two"])
            self.assertEqual(again["digest"], end["digest"])
            self.assertEqual([tag["tag"] for tag in self.described(again["recording"])["tags"]], ["two"])

    def test_a_gap_of_a_restart_is_in_every_file_of_beam_and_once_in_the_recording(self):
        engine = self.engine
        self.pushable(self.name, "a", "b")
        engine.feed(self.name, "a", [[[1, b"x"]]])
        engine.restart()
        engine.feed(self.name, "b", [[[1, b"y"]]])
        engine.ask("job.cancel", pipeline=self.name)
        engine.wait(self.name)
        files = [self.export("beam", pipeline=self.name, tag=tag) for tag in "ab"]
        gaps = engine.ask("recording.describe", pipeline=self.name)["gaps"]
        again = self.imports("beam", *files, pipeline=f"{self.name} again")["recording"]
        self.assertEqual(self.described(again)["gaps"], gaps)
        self.assertEqual(len(gaps), 1)

    def test_blank_lines_of_json_are_none(self):
        recording = self.recorded(self.name, 10)["recording"]
        data = self.export("json", recording=recording)
        spaced = b"\n \t\r\n" + data.replace(b"\n", b"\n\n") + b" \n"
        imported = self.imports("json", spaced, pipeline=f"{self.name} spaced", size=7)
        self.assertEqual(self.export("json", recording=imported["recording"]).split(b"\n", 1)[1], data.split(b"\n", 1)[1])

    def test_json_may_be_written_by_hand(self):
        header = {"reprise": 1, "pipeline": self.name, "start": 100,
                  "streams": [{"signature": "my:source|", "urn": "my:source", "tags": ["a"]}]}
        lines = [header, {"tag": "a", "time": 5, "data": "x"}, {"tag": "a", "time": 6, "data": "y", "at": 130},
                 {"event": "watermark", "tag": "a", "at": 150, "to": 6}, {"event": "end", "at": 200, "count": 2}]
        made = self.imports("json", "".join(json.dumps(line) + "\n" for line in lines).encode())
        self.assertEqual([(event["event"], event.get("advance_us"), elements) for event, elements in self.seen(made["recording"])],
                         [("elements", None, [[5, b"x"]]), ("processing_time", 30, None), ("elements", None, [[6, b"y"]]),
                          ("processing_time", 20, None), ("watermark", None, None), ("watermark", None, None), ("end", None, None)])

    def test_a_file_of_a_hundred_megabytes(self):
        job = self.recorded(self.name, 100000, 1000)
        digest = self.described(job["recording"])["digest"]
        for format in ("msgpack", "json"):
            data = self.export(format, size=8 << 20, recording=job["recording"])
            self.assertGreater(len(data), 100000 * 1000)
            again = self.imports(format, data, size=8 << 20, pipeline=f"{self.name} {format}")
            self.assertEqual((again["elements"], again["digest"]), (100000, digest))
            self.engine.ask("recording.delete", recording=again["recording"])


class Beam(ExportTest):
    """Beam's own files."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("node") or not (HERE / "node_modules").is_dir():
            raise AssertionError("Beam is not set up: `npm ci` in tests/system/beam (bin/setup test does it)")
        super().setUpClass()

    def node(self, *words, stdin=None):
        return subprocess.run(["node", HERE / "events.mjs", *words], input=stdin, stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout

    def test_beams_classes_read_what_is_exported(self):
        recording = self.rich()
        path = self.engine.folder / "one"
        path.write_bytes(self.export("beam", recording=recording, tag="one"))
        read = json.loads(self.node("read", str(path)))
        self.assertEqual(read["tag"], "one")
        first, *events = read["events"]
        self.assertEqual(first, {"advance": self.described(recording)["start"]})  # microseconds of the day, as Beam's clock begins at 0
        elements = [[time, base64.b64decode(data)] for event in events for time, data in event.get("elements", [])]
        self.assertEqual(elements, [element[1:3] for element in self.engine.elements(recording=recording, tags=["one"])])
        marks = [event["watermark"] for event in events if "watermark" in event]
        self.assertEqual(marks[:-1], [(START + seq) // 1000 for seq in range(1, len(BODIES) + 1)])
        self.assertEqual(events[-1], {"watermark": marks[-1]})
        self.assertAlmostEqual(marks[-1], 9223372036854775, delta=1)  # the end of time; a double is no more exact
        passed = sum(event.get("advance", 0) for event in events)
        self.assertLessEqual(passed, self.described(recording)["end"] - first["advance"])

    def test_what_beams_classes_write_is_replayed(self):
        """As its StreamingCache does it: the least watermark first, the same one again and again, one advance for each sample."""
        least = "-9223372036854775000"

        def element(time, data):
            return [time, base64.b64encode(data).decode()]
        words = [{"advance": START}, {"watermark": least}, {"elements": [element(5, b"a"), element(6, b"\x80\n%")]}, {"advance": 100000},
                 {"watermark": 6}, {"advance": 100000}, {"watermark": 6}, {"elements": [element(7, b"c")]}]
        views = [{"advance": START + 50000}, {"watermark": least}, {"elements": [element(1, b"v")]}, {"advance": 200000}, {"watermark": 9},
                 {"watermark": least[1:]}]
        files = [self.node("write", tag, stdin=json.dumps(events).encode()) for tag, events in (("words", words), ("views", views))]
        made = self.imports("beam", *files, pipeline=self.name)
        shown = [(event["event"], event.get("tag"), event.get("to", event.get("advance_us")), elements)
                 for event, elements in self.seen(made["recording"]) if event.get("to") != 9223372036854775000]
        self.assertEqual(shown, [
            ("elements", "words", None, [[5, b"a"], [6, b"\x80\n%"]]),
            ("processing_time", None, 50000, None), ("elements", "views", None, [[1, b"v"]]),
            ("processing_time", None, 50000, None), ("watermark", "words", 6, None),
            ("processing_time", None, 100000, None), ("elements", "words", None, [[7, b"c"]]),
            ("processing_time", None, 50000, None), ("watermark", "views", 9, None), ("end", None, None, None)])
        self.assertEqual(self.imports("beam", *files, pipeline=self.name)["digest"], made["digest"])

    def test_a_tag_takes_the_signature_that_the_pipeline_gives_it(self):
        self.engine.ask("pipeline.track", pipeline=pipeline(self.name, source("words", PUSH, {"n": 1})))
        file = self.node("write", "its own", stdin=json.dumps([{"advance": START}, {"elements": [[1, ""]]}]).encode())
        made = self.imports("beam", file, pipeline=self.name, tag="words")
        run = self.engine.run(self.name)
        self.assertEqual((run["reason"], run["recording"]), ("recording_valid", made["recording"]))
        self.assertEqual(self.engine.elements(pipeline=self.name), [["words", 1, b""]])

    def test_what_is_no_file_of_beam_names_the_line(self):
        header = quoted(text(1, "a"))
        good = quoted(text(1, text(2, number(1, 5))))
        for line, problem in ((b"plain", "FastPrimitivesCoder"), (quoted(b"\x0a\x7f"), "passes the end"), (b"", "FastPrimitivesCoder"),
                              (quoted(text(1, text(2, number(1, (1 << 64) - 1)))), "advance of processing time by -1")):
            with self.assertRaises(Refused) as caught:
                self.imports("beam", header + good + line + b"\n", pipeline=self.name)
            self.assertRegex(caught.exception.error["message"], f"line 3: .*{problem}")
        with self.assertRaises(Refused) as caught:
            self.imports("beam", header + good, header + good, pipeline=self.name)
        self.assertIn("same source", caught.exception.error["message"])


def quoted(message):
    import urllib.parse
    return urllib.parse.quote(b"\x03" + message).encode() + b"\n"


class Becoming(ExportTest):
    """What an imported recording is for its pipeline."""

    def test_a_run_replays_it_and_a_restart_changes_nothing(self):
        recording = self.rich("origin")
        made = self.imports("msgpack", self.export("msgpack", recording=recording), pipeline=self.name)
        self.assertEqual(self.engine.ask("source.has", pipeline=self.name)["has"], True)
        self.assertFalse(self.engine.ask("source.changed", pipeline=self.name, update=False)["changed"])
        job = self.engine.ask("job.describe", pipeline=self.name)
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"], job["recording"]), ("DONE", "sources_ended", True, made["recording"]))
        for _ in range(2):
            run = self.engine.run(self.name)
            self.assertEqual((run["started"], run["reason"], run["recording"]), (False, "recording_valid", made["recording"]))
            self.assertEqual(list(self.engine.replay(pipeline=self.name))[-1][0]["digest"], made["digest"])
            self.assertTrue(self.described(made["recording"])["kept"])
            self.engine.restart()
        self.engine.ask("pipeline.forget", pipeline=self.name)
        self.refused("not_found", "recording.describe", recording=made["recording"])

    def test_its_job_is_known_when_its_recording_is_gone_also_after_a_restart(self):
        data = self.export("json", recording=self.recorded("source of an import", 10)["recording"])
        made = self.imports("json", data, pipeline=self.name)
        self.engine.ask("recording.delete", recording=made["recording"])
        before = self.engine.ask("job.describe", pipeline=self.name)
        self.assertEqual((before["state"], before["elements"]), ("DONE", 10))
        self.engine.restart()
        after = self.engine.ask("job.describe", pipeline=self.name)
        self.assertEqual({**after, "id": 0}, {**before, "id": 0})

    def test_a_definition_that_comes_later_finds_it(self):
        sources = [source("one", PUSH, {"of": "both"}), source("two", PUSH, {"of": "two"})]
        made = self.imports("json", self.export("json", recording=self.rich("before")), pipeline=self.name)
        run = self.engine.run(pipeline(self.name, *sources))
        self.assertEqual((run["reason"], run["recording"], run["tags"]), ("recording_valid", made["recording"], ["one", "two"]))

    def test_beside_a_valid_recording_of_other_sources_it_waits_for_its_own(self):
        data = self.export("msgpack", recording=self.rich("other"))
        other = source("Read", GENERATOR, {"rate": 0, "size": 1})
        self.engine.run(pipeline(self.name, other), limits={"count": 5})
        self.engine.wait(self.name)
        first = self.engine.run(self.name)["recording"]
        made = self.imports("msgpack", data, pipeline=self.name)["recording"]
        self.assertIsNotNone(self.described(made).get("invalidated"))
        self.assertEqual(self.engine.run(self.name)["recording"], first)
        self.engine.ask("recording.keep", recording=first, kept=True)
        again = self.engine.run(pipeline(self.name, source("one", PUSH, {"of": "both"}), source("two", PUSH, {"of": "two"})))
        self.assertEqual((again["reason"], again["recording"]), ("recording_valid", made))
        self.assertIsNone(self.described(made).get("invalidated"))
        self.assertEqual(self.engine.run(pipeline(self.name, other))["recording"], first)

    def test_of_the_same_sources_it_takes_the_place_and_the_other_stays(self):
        first = self.rich()
        made = self.imports("msgpack", self.export("msgpack", recording=first))["recording"]
        self.assertEqual(self.engine.run(self.name)["recording"], made)
        self.engine.ask("recording.delete", recording=made)
        self.assertEqual(self.engine.run(self.name)["recording"], first)

    def test_not_while_a_job_of_the_pipeline_is_running(self):
        data = self.export("msgpack", recording=self.rich("source"))
        self.pushable(self.name)
        before = self.folders()
        with self.assertRaises(Refused) as caught:
            self.imports("msgpack", data, pipeline=self.name)
        self.assertEqual(caught.exception.error["code"], "invalid_state")
        self.assertEqual(self.folders(), before)


class Refusing(ExportTest):
    """What is not whole leaves nothing behind."""

    def hostile(self, format, data, code="bad_request", **fields):
        before = self.folders()
        with self.assertRaises(Refused, msg=data[:100]) as caught:
            self.imports(format, data, **fields)
        self.assertEqual(caught.exception.error["code"], code, caught.exception)
        self.assertEqual(self.folders(), before)
        return caught.exception.error["message"]

    def test_a_file_that_is_cut_anywhere_is_no_recording(self):
        recording = self.rich()
        for format in ("msgpack", "json"):
            data = self.export(format, recording=recording)
            for size in range(0, len(data), 7):
                self.hostile(format, data[:size])
            self.hostile(format, data + data[:1])

    def test_what_was_changed_is_noticed(self):
        data = self.export("json", recording=self.rich())
        self.assertIn("digest", self.hostile("json", data.replace(b'"data":"text"', b'"data":"Text"', 1), "corrupt"))
        self.assertIn("line 3: ", self.hostile("json", data.replace(b'"time":', b'"time": "', 1)))
        self.assertIn("there is no tag `nobody`", self.hostile("json", data.replace(b'"tag":"two"', b'"tag":"nobody"', 1)))

    def test_errors_name_the_place(self):
        head = {"reprise": 1, "pipeline": "p", "start": 100, "streams": [{"signature": "u|", "urn": "u", "tags": ["a"]}]}
        packed = msgpack.packb(head)
        for item, problem in (
                ({"event": "elements", "stream": 0, "at": 99, "elements": [[1, b""]]}, "earlier"),
                ({"event": "elements", "stream": 0, "at": 100, "elements": []}, "no elements"),
                ({"event": "elements", "stream": 0, "at": 100, "elements": [[1, "text"]]}, "second part must be bytes"),
                ({"event": "elements", "stream": 1, "at": 100, "elements": [[1, b""]]}, "no stream 1"),
                ({"event": "elements", "at": 100, "elements": [[1, b""]]}, "`stream` is missing"),
                ({"event": "watermark", "stream": 0, "at": 100}, "`to` is missing"),
                ({"event": "dance", "at": 100}, "no event `dance`"),
                ({"event": "end", "at": 100, "count": 1}, "its end says 1"),
                ([], "must be a map")):
            message = self.hostile("msgpack", packed + msgpack.packb(item), "corrupt" if "end says" in problem else "bad_request")
            self.assertRegex(message, f"^byte {len(packed)}: .*{problem}")
        for change, problem in (({"reprise": 2}, "version 2"), ({"streams": []}, "1 to 10000 streams"), ({"start": "now"}, "whole number"),
                                ({"streams": head["streams"] * 2}, "stands twice"),
                                ({"streams": [{"signature": "v|", "urn": "u", "tags": ["a"]}]}, "does not begin with its URN")):
            self.assertRegex(self.hostile("msgpack", msgpack.packb({**head, **change})), f"^byte 0: .*{problem}")

    def test_bytes_that_lie(self):
        for data in (b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff" * 20, b"\x91" * 100000, b"\xc1", b"\xc6\xff\xff\xff\xff", b"\x00"):
            self.assertIn(self.engine.process.poll(), (None,))
            with self.assertRaises(Refused):
                self.imports("msgpack", data)
        for data in (b"[" * 100000 + b"\n", b"{}\n", b"[]\n", b"nul\n", b'{"a":' * 3000 + b"\n", b"[" + b"1," * 300000 + b"1]\n"):
            with self.assertRaises(Refused):
                self.imports("json", data)

    def test_requests_that_make_no_sense(self):
        recorded = self.recorded(self.name, 10)["recording"]
        first = self.engine.ask("recording.export", recording=recorded, format="msgpack", max_bytes=10)
        for code, fields in (("bad_request", {"format": "csv"}), ("bad_request", {"format": "msgpack", "from": "1.2.3"}),
                             ("bad_request", {"format": "json", "from": first["next"]}), ("not_found", {"format": "json", "tag": "nobody"})):
            self.refused(code, "recording.export", recording=recorded, **fields)
        self.refused("bad_request", "recording.export", format="json")
        self.refused("not_found", "recording.export", recording="r0", format="json")
        for code, fields in (("bad_request", {}), ("bad_request", {"format": "csv"}), ("bad_request", {"format": "beam", "data": b""}),
                             ("not_found", {"import": "r0"}), ("bad_request", {"format": "json", "file": 1, "data": b"{}"})):
            self.refused(code, "recording.import", **fields)

    def test_of_a_recording_that_grows_what_there_is_makes_a_whole_file(self):
        self.pushable(self.name)
        producer = Producer(self.engine, self.name)
        self.addCleanup(producer.close)
        producer.push(100)
        what = {"pipeline": self.name, "format": "json", "max_bytes": 5000}
        piece = self.engine.ask("recording.export", **what)
        producer.push(200)  # after the first piece: none of it belongs to this export
        data = piece["data"]
        while not piece["complete"]:
            piece = self.engine.ask("recording.export", **what, **{"from": piece["next"]})
            data += piece["data"]
        imported = self.imports("json", data, pipeline=f"{self.name} so far")
        self.assertEqual(imported["elements"], 1000)
        self.assertEqual(self.engine.elements(recording=imported["recording"]), producer.expected(100))

    def test_damage_is_not_exported(self):
        recording = self.recorded(self.name, 1000, 100)["recording"]
        [segment] = self.engine.segments(recording)
        with open(segment, "r+b") as file:
            file.seek(-200, os.SEEK_END)
            file.write(b"damage")
        with self.assertRaises(Refused) as caught:
            self.export("json", recording=recording)
        self.assertEqual(caught.exception.error["code"], "corrupt")
        self.assertIn(segment.name, caught.exception.error["message"])

    def test_pieces_are_numbered(self):
        data = self.export("msgpack", recording=self.rich())
        begun = self.engine.ask("recording.import", format="msgpack", data=data[:50], pipeline=self.name)
        self.assertEqual(begun["next"], 2)
        going = {"import": begun["import"]}
        self.refused("conflict", "recording.import", seq=3, data=data[50:], **going)
        for _ in range(2):  # sent twice, it counts once
            self.assertEqual(self.engine.ask("recording.import", seq=2, data=data[50:], **going)["next"], 3)
        self.assertEqual(self.engine.ask("recording.import", seq=3, done=True, **going)["recording"], begun["import"])
        self.refused("not_found", "recording.import", seq=4, **going)

    def test_an_import_that_is_abandoned_or_lost_leaves_nothing(self):
        data = self.export("msgpack", recording=self.rich())
        before = self.folders()
        for end in ("abandon", "fail"):
            begun = self.engine.ask("recording.import", format="msgpack", data=data[:-20], pipeline=self.name)
            self.assertEqual(len(self.folders()), len(before) + 1)
            if end == "abandon":
                self.engine.ask("recording.import", abandon=True, **{"import": begun["import"]})
            else:
                self.engine.ask("chaos.fail", actor="librarian")
            self.refused("not_found", "recording.import", done=True, **{"import": begun["import"]})
            self.assertEqual(self.folders(), before)

    def test_two_at_once(self):
        data = self.export("msgpack", recording=self.rich())
        going = [{"import": self.engine.ask("recording.import", format="msgpack", data=data[:9], pipeline=f"{self.name} {n}")["import"]}
                 for n in range(2)]
        for one in going:
            self.engine.ask("recording.import", data=data[9:], **one)
        made = [self.engine.ask("recording.import", done=True, **one) for one in going]
        self.assertEqual(made[0]["digest"], made[1]["digest"])
        self.assertNotEqual(made[0]["recording"], made[1]["recording"])

    def test_no_more_than_a_few_at_once(self):
        begun = []
        with self.assertRaises(Refused) as caught:
            for _ in range(100):
                begun.append(self.engine.ask("recording.import", format="json", data=b"", pipeline=self.name)["import"])
        self.assertEqual(caught.exception.error["code"], "limit")
        for one in begun:
            self.engine.ask("recording.import", abandon=True, **{"import": one})

    def test_the_limit_of_all_recordings_holds(self):
        data = self.export("msgpack", recording=self.recorded(self.name, 1000, 200)["recording"])
        held = sum(one["size"] for one in self.engine.ask("recording.list")["recordings"])
        self.engine.ask("options.set", recording_size_limit=held + len(data) // 2)
        self.addCleanup(self.engine.ask, "options.set", recording_size_limit=1000000000)
        self.hostile("msgpack", data, "no_space", pipeline="too much")
        self.engine.ask("options.set", recording_size_limit=None)
        self.imports("msgpack", data, pipeline="enough")


class Crashing(unittest.TestCase):
    def test_a_process_that_dies_in_the_middle_leaves_nothing_of_an_import(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        engine.run(pipeline("origin", source("Read", GENERATOR, {"rate": 0, "size": 100})), limits={"count": 2000})
        recording = engine.wait("origin")["recording"]
        data = engine.ask("recording.export", recording=recording, format="msgpack", max_bytes=8 << 20)["data"]
        begun = engine.ask("recording.import", format="msgpack", pipeline="made", data=data[:len(data) // 2])["import"]
        self.assertIn(f".new-import-{begun}", os.listdir(engine.data / "recordings"))
        engine.restart()
        self.assertEqual(os.listdir(engine.data / "recordings"), [recording])
        self.assertEqual([one["recording"] for one in engine.ask("recording.list")["recordings"]], [recording])
        with self.assertRaises(Refused) as caught:
            engine.ask("recording.import", done=True, **{"import": begun})
        self.assertEqual(caught.exception.error["code"], "not_found")


class Typing(unittest.TestCase):
    """The two commands."""

    @classmethod
    def setUpClass(cls):
        cls.engine = CliEngine()
        cls.addClassCleanup(cls.engine.remove)
        cls.engine.type("record", "generator:?rate=0&size=50", "--limit", "20000", "--name", "clicks")
        cls.digest = cls.engine.ask("recording.describe", pipeline="clicks")["digest"]

    def done(self, *words, **options):
        result = self.engine.type(*words, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refused(self, status, *words, **options):
        result = self.engine.type(*words, **options)
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stderr

    def path(self, name):
        return str(self.engine.folder / name)

    def test_a_file_of_each_format_goes_out_and_in(self):
        for name in ("one.msgpack", "one.json", "one.beam"):
            said = self.done("export", "clicks", self.path(name))
            self.assertRegex(said, f"20,000 elements .*{name.split('.')[1]}")
            made = json.loads(self.done("import", self.path(name), "--name", name, "--json"))
            self.assertEqual(made["elements"], 20000)
            if not name.endswith("beam"):
                self.assertEqual(self.done("replay", name, "--digest").strip(), self.digest)

    def test_a_pipe_will_do(self):
        data = self.done("export", "clicks", text=False)
        self.assertRegex(self.done("import", "-", "--name", "piped", text=False, stdin=data).decode(), self.digest)
        told = json.loads(self.done("export", "clicks", self.path("told"), "--json"))
        self.assertEqual((told["elements"], told["bytes"], told["format"]), (20000, len(data), "msgpack"))

    def test_what_is_wrong_with_a_file_is_told_with_its_name_and_its_line(self):
        lines = self.done("export", "clicks", "-", "--format", "json").splitlines(keepends=True)
        before = sorted(os.listdir(self.engine.data / "recordings"))
        for text_, status, problem in (("".join(lines[:50]), 1, r"cut\.json: line 51: the file is cut off"),
                                       ("".join(lines[:50]) + "}\n", 1, r"cut\.json: line 51: this is no JSON"),
                                       ("".join(lines)[:5000], 1, r"cut\.json: line \d+: the file is cut off within an item")):
            pathlib.Path(self.path("cut.json")).write_text(text_)
            self.assertRegex(self.refused(status, "import", self.path("cut.json"), "--name", "cut"), problem)
        self.assertIn("cannot open", self.refused(1, "import", self.path("nothing")))
        self.assertEqual(sorted(os.listdir(self.engine.data / "recordings")), before)

    def test_an_export_that_fails_leaves_no_file(self):
        self.assertIn("cannot create", self.refused(1, "export", "clicks", self.path("no/where")))
        self.assertIn("neither a recording nor a pipeline", self.refused(1, "export", "nobody", self.path("none")))
        self.assertIn("`format` must be", self.refused(1, "export", "clicks", self.path("none"), "--format", "csv"))
        self.refused(2, "export", "clicks", "--json")
        self.refused(2, "import")
        self.assertEqual([name for name in os.listdir(self.engine.folder) if name.startswith("none")], [])

    def test_ctrl_c_while_a_pipe_has_nothing_abandons_the_import(self):
        data = self.done("export", "clicks", text=False)
        before = sorted(os.listdir(self.engine.data / "recordings"))
        going = subprocess.Popen([BUILD / "reprise", "import", "-", "--name", "slow"], env=self.engine.environment(), stdin=subprocess.PIPE)
        going.stdin.write(data[:len(data) - 10].ljust(1 << 20, b"\0")[:1 << 20])
        going.stdin.flush()
        while sorted(os.listdir(self.engine.data / "recordings")) == before and going.poll() is None:
            pass
        going.send_signal(signal.SIGINT)
        self.assertEqual(going.wait(PATIENCE), 130)
        going.stdin.close()
        self.assertEqual(sorted(os.listdir(self.engine.data / "recordings")), before)


if __name__ == "__main__":
    unittest.main()
