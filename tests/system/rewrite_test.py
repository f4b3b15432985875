"""Pipelines of Apache Beam rewritten to replay, and replayed, through the classes and the client that Beam's own npm package has."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import unittest

import msgpack

from beam_client import INFINITY, event, expected, fields
from cli_test import CliEngine
from engine import PATIENCE, PUSH, EngineTest, batches
from wire import BOUNDED, PUBSUB, beam, coder, pcollection, read, transform

HERE = pathlib.Path(__file__).parent / "beam"
TEST_STREAM = "beam:transform:teststream:v1"


def node(*words, given=None):
    made = subprocess.run(["node", HERE / words[0], *words[1:]], input=json.dumps(given), capture_output=True, check=True, text=True, timeout=PATIENCE)
    return json.loads(made.stdout)


class RewriteTest(EngineTest):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("node") or not (HERE / "node_modules").is_dir():
            raise AssertionError("Beam is not set up: `npm ci` in tests/system/beam (bin/setup test does it)")
        cls.made = node("pipelines.mjs")
        super().setUpClass()

    def run_rewritten(self, name, bytes_=None):
        bytes_ = bytes_ or base64.b64decode(self.made[name]["beam"])
        return self.engine.ask("pipeline.run", pipeline={"name": name, "beam": bytes_}, rewrite=True)

    def graphs(self, name):
        """The run's answer; and the pipeline before and after it, as Beam's classes read them."""
        run = self.run_rewritten(name)
        before, after = node("replays.mjs", "graph", given=[self.made[name]["beam"], base64.b64encode(run["beam"]).decode()])
        return run, before, after

    def check(self, name, gone, sources):
        """Node for node: all but the transforms `gone`, and those that the rest of the test looks at, are as they were. The TestStream's id."""
        run, before, after = self.graphs(name)
        names = {one["name"]: key for key, one in before["transforms"].items()}
        removed = {names[one] for one in gone}
        [stream] = [key for key, one in after["transforms"].items() if one["urn"] == TEST_STREAM]
        self.assertEqual(set(before["transforms"]) - removed | {stream}, set(after["transforms"]))
        outputs = {key for one in sources for key in before["transforms"][names[one]]["outputs"].values()}
        made = after["transforms"][stream]
        self.assertEqual(made["outputs"], {f"{name}/{output}": output for output in outputs})
        self.assertEqual((made["inputs"], made["subtransforms"], made["environment"]), ({}, [], ""))
        [only] = {before["coder_of"][one] for one in outputs}
        self.assertEqual(made["stream"], {"coder": only, "endpoint": self.engine.beam, "events": []})
        self.assertEqual(run["beam_endpoint"], self.engine.beam)
        for part in ("coders", "windowing", "environments", "requirements"):
            self.assertEqual(before[part], after[part])
        for key, whole in after["pcollections"].items():
            self.assertEqual(before["pcollections"][key], whole)
        self.assert_sound(after)
        return names, before, after, stream

    def assert_sound(self, graph):
        """Every reference leads somewhere; every PCollection is made by one transform that has none within; each name stands once."""
        transforms = graph["transforms"]
        listed = [*graph["roots"], *(key for one in transforms.values() for key in one["subtransforms"])]
        self.assertEqual(sorted(listed), sorted(transforms))
        makers = [output for one in transforms.values() if not one["subtransforms"] for output in one["outputs"].values()
                  if output not in one["inputs"].values()]
        self.assertEqual(sorted(makers), sorted(graph["pcollections"]))
        for one in transforms.values():
            self.assertLessEqual({*one["inputs"].values(), *one["outputs"].values()}, set(graph["pcollections"]))
        self.assertEqual(len({one["name"] for one in transforms.values()}), len(transforms))


class Graphs(RewriteTest):
    def test_one_source_gives_way_where_it_stands(self):
        names, before, after, stream = self.check("lone", [], ["Read"])
        self.assertEqual(stream, names["Read"])
        self.assertEqual(after["transforms"][stream]["name"], "Read")
        self.assertEqual(after["roots"], before["roots"])
        for key in set(after["transforms"]) - {stream}:
            self.assertEqual(after["transforms"][key], before["transforms"][key])
        self.assertEqual(after["pcollections"], before["pcollections"])

    def test_what_an_sdk_expanded_below_a_source_goes(self):
        names, before, after, stream = self.check("expanded", ["Read/impulse", "Read/Native"], ["Read"])
        self.assertEqual(stream, names["Read"])
        inner = set(before["transforms"][names["Read/impulse"]]["outputs"].values())
        self.assertEqual(set(before["pcollections"]) - set(after["pcollections"]), inner)

    def test_several_at_the_root_are_one_test_stream_beside_it(self):
        names, before, after, stream = self.check("apart", ["One", "Two"], ["One", "Two"])
        self.assertIn(stream, after["roots"])
        self.assertEqual(set(after["roots"]) - {stream}, set(before["roots"]) - {names["One"], names["Two"]})
        for key in set(after["transforms"]) - {stream}:
            self.assertEqual(after["transforms"][key], before["transforms"][key])

    def test_several_in_composites_are_one_in_the_lowest_that_has_them_all(self):
        names, before, after, stream = self.check("spread", [f"Outer/{one}" for one in ("One", "Inner/Two", "Inner/Three")],
                                                  [f"Outer/{one}" for one in ("One", "Inner/Two", "Inner/Three")])
        outer, inner = (after["transforms"][names[one]] for one in ("Outer", "Outer/Inner"))
        self.assertEqual(outer["subtransforms"][0], stream)
        gone = {names[f"Outer/{one}"] for one in ("One", "Inner/Two", "Inner/Three")}
        self.assertEqual(outer["subtransforms"][1:], [one for one in before["transforms"][names["Outer"]]["subtransforms"] if one not in gone])
        self.assertEqual(inner["subtransforms"], [one for one in before["transforms"][names["Outer/Inner"]]["subtransforms"] if one not in gone])
        fed = {output for one in ("Two", "Three") for output in before["transforms"][names[f"Outer/Inner/{one}"]]["outputs"].values()}
        self.assertEqual(set(inner["inputs"].values()) - set(before["transforms"][names["Outer/Inner"]]["inputs"].values()), fed)
        for key in set(after["transforms"]) - {stream, names["Outer"], names["Outer/Inner"]}:
            self.assertEqual(after["transforms"][key], before["transforms"][key])

    def test_without_a_source_it_comes_back_byte_for_byte(self):
        run = self.run_rewritten("bounded")
        self.assertEqual((run["beam"], run.get("beam_endpoint")), (base64.b64decode(self.made["bounded"]["beam"]), None))

    def test_what_was_rewritten_has_nothing_to_record(self):
        run = self.run_rewritten("lone")
        again = self.engine.ask("source.has", pipeline={"name": "again", "beam": run["beam"]})
        self.assertFalse(again["has"])


class Replays(RewriteTest):
    def replayed(self, name, feeds):
        """Records what is fed, runs the pipeline again, and calls where the rewritten one says."""
        self.run_rewritten(name)
        for label, origin in feeds:
            [tag] = self.made[name]["outputs"][label]
            self.engine.feed(name, tag, batches(50, 10, origin=origin))
        self.engine.wait(name)
        run, _, after = self.graphs(name)
        self.assertEqual((run["started"], run["reason"]), (False, "recording_valid"))
        [stream] = [one for one in after["transforms"].values() if one["urn"] == TEST_STREAM]
        seen = node("replays.mjs", "events", stream["stream"]["endpoint"], *stream["outputs"])
        return [self.event(one, name) for one in seen]

    def event(self, one, name):
        if one[0] == "time":
            return one[0], int(one[1])
        self.assertTrue(one[2].startswith(f"{name}/"))
        tag = one[2].removeprefix(f"{name}/")
        if one[0] == "watermark":
            return one[0], int(one[1]), tag
        return one[0], [[int(at), base64.b64decode(data)] for at, data in one[1]], tag

    def test_beams_client_reads_what_was_recorded_event_for_event(self):
        seen = self.replayed("lone", [("Read", 1000)])
        self.assertEqual(seen, expected(self.engine, pipeline="lone"))
        self.assertEqual(sum(len(one[1]) for one in seen if one[0] == "elements"), 50)
        self.assertEqual(seen[-1][:2], ("watermark", INFINITY))

    def test_several_sources_come_in_one_call_in_the_order_of_the_recording(self):
        seen = self.replayed("apart", [("One", 1000), ("Two", 5000)])
        self.assertEqual(seen, expected(self.engine, pipeline="apart"))
        self.assertEqual(sum(len(one[1]) for one in seen if one[0] == "elements"), 100)
        self.assertEqual([one[1] for one in seen[-2:]], [INFINITY, INFINITY])


def milliseconds(events):
    """What a replay sends, in the unit of a pipeline: times are rounded down, and advances add up to the same."""
    clock, seen = 0, []
    for one in events:
        if one[0] == "time":
            advance = (clock + one[1]) // 1000 - clock // 1000
            clock += one[1]
            if advance:
                seen.append(("time", advance))
        elif one[0] == "watermark":
            seen.append((one[0], one[1] // 1000, one[2]))
        else:
            seen.append((one[0], [[at // 1000, data] for at, data in one[1]], one[2]))
    return seen


def payload_of(pipeline):
    """Of a pipeline with one TestStream: its payload as (coder, endpoint, [event…]), read off the wire."""
    [components] = [value for number, value in fields(pipeline) if number == 1]
    transforms = [dict(fields(value))[2] for number, value in fields(components) if number == 1]
    specs = [dict(fields(dict(fields(one))[1])) for one in transforms if 1 in dict(fields(one))]
    [payload] = [spec[3] for spec in specs if spec[1] == TEST_STREAM.encode()]
    parts = list(fields(payload))
    return dict(parts)[1].decode(), dict(parts).get(3), [event(value) for number, value in parts if number == 2]


def pushed(key, source):
    return [transform(key, PUSH, source.encode(), outputs=[f"{key}.out"]), pcollection(f"{key}.out", coder="bytes")]


class Inlined(RewriteTest):
    def inlined(self, name, bytes_=None, **more):
        bytes_ = bytes_ or base64.b64decode(self.made[name]["beam"])
        return self.engine.ask("pipeline.run", pipeline={"name": name, "beam": bytes_}, rewrite=True, inlined=True, **more)

    def record(self, name, feeds):
        self.addCleanup(self.engine.ask, "pipeline.forget", pipeline=name)
        self.run_rewritten(name)
        for label, origin in feeds:
            [tag] = self.made[name]["outputs"][label]
            self.engine.feed(name, tag, batches(50, 10, origin=origin))
        self.engine.wait(name)

    def stream_of(self, name, bytes_):
        """The TestStream as Beam's own classes read it."""
        [graph] = node("replays.mjs", "graph", given=[base64.b64encode(bytes_).decode()])
        self.assert_sound(graph)
        [stream] = [one for one in graph["transforms"].values() if one["urn"] == TEST_STREAM]
        return stream

    def test_the_events_of_several_sources_stand_in_the_pipeline_as_a_replay_would_send_them(self):
        self.record("apart", [("One", -30003), ("Two", 1700000000000999)])
        run = self.inlined("apart")
        self.assertEqual((run["started"], run["reason"]), (False, "recording_valid"))
        coder, endpoint, events = payload_of(run["beam"])
        self.assertEqual(events, milliseconds(expected(self.engine, pipeline="apart")))
        self.assertEqual(sum(len(one[1]) for one in events if one[0] == "elements"), 100)
        self.assertEqual([one[:2] for one in events[-2:]], [("watermark", INFINITY // 1000)] * 2)
        stream = self.stream_of("apart", run["beam"])
        self.assertEqual((stream["stream"]["coder"], endpoint, stream["stream"].get("endpoint")), (coder, None, None))
        self.assertEqual(set(stream["outputs"]), {one[2] for one in events if one[0] != "time"})

    def test_beams_own_classes_read_the_same_events(self):
        self.record("spread", [("Outer/One", 1000), ("Outer/Inner/Two", 5000), ("Outer/Inner/Three", 9000)])
        run = self.inlined("spread")
        read = []
        for one in self.stream_of("spread", run["beam"])["stream"]["events"]:
            kind, first, *tag = one
            read.append((kind, [[int(at), base64.b64decode(data)] for at, data in first] if kind == "elements" else int(first), *tag))
        self.assertEqual(read, payload_of(run["beam"])[2])

    def test_all_but_the_test_stream_is_as_where_an_endpoint_is_called(self):
        self.record("expanded", [("Read", 1000)])
        [called, inlined] = node("replays.mjs", "graph", given=[base64.b64encode(run["beam"]).decode() for run in
                                                                (self.run_rewritten("expanded"), self.inlined("expanded"))])
        for graph, outputs in ((called, {"expanded/"}), (inlined, {""})):
            [stream] = [one for one in graph["transforms"].values() if one["urn"] == TEST_STREAM]
            self.assertEqual({key[:len(one)] for key in stream["outputs"] for one in outputs}, outputs)
            stream.update(stream=None, whole=None, outputs=sorted(stream["outputs"].values()))
        self.assertEqual(called, inlined)

    def test_of_a_recording_that_is_not_complete_there_is_no_pipeline_yet(self):
        [tag] = self.made["lone"]["outputs"]["Read"]
        run = self.inlined("lone")
        self.assertEqual((run["started"], run.get("beam")), (True, None))
        run = self.inlined("lone")
        self.assertEqual((run["reason"], run.get("beam")), ("job_running", None))
        self.engine.feed("lone", tag, batches(5, 5))
        self.engine.wait("lone")
        _, _, events = payload_of(self.inlined("lone")["beam"])
        self.assertEqual(events, milliseconds(expected(self.engine, pipeline="lone")))

    def test_the_first_elements_alone_are_those_of_a_replay_with_that_end(self):
        self.record("apart", [("One", 1000), ("Two", 5000)])
        for most in (1, 14, 99, 100, 1000):
            _, _, events = payload_of(self.inlined("apart", max_elements=most)["beam"])
            self.assertEqual(events, milliseconds(expected(self.engine, pipeline="apart", max_elements=most)))

    def test_events_stand_under_the_tags_that_the_pipeline_has_now(self):
        def pipeline(one, *more):
            reads = [pushed(key, source) for key, source in (one, *more)]
            return beam([name for name, _ in (one, *more)], *reads, coder("bytes", "beam:coder:bytes:v1"))
        self.addCleanup(self.engine.ask, "pipeline.forget", pipeline="renamed")
        self.engine.ask("pipeline.run", pipeline={"name": "renamed", "beam": pipeline(("a", "x"), ("b", "y"))})
        self.engine.feed("renamed", "a.out", batches(3, 3))
        self.engine.feed("renamed", "b.out", batches(2, 2))
        self.engine.wait("renamed")
        run = self.inlined("renamed", pipeline(("q", "x"), ("p", "x")))
        self.assertEqual(run["reason"], "recording_valid")
        events = payload_of(run["beam"])[2]
        self.assertEqual(events, milliseconds(expected(self.engine, pipeline="renamed")))
        self.assertEqual([(one[2], len(one[1])) for one in events if one[0] == "elements"], [("p.out", 3), ("q.out", 3)])

    def test_more_than_the_option_allows_is_refused_with_the_size(self):
        self.addCleanup(self.engine.ask, "options.set", inline_size_max=8388608)
        self.addCleanup(self.engine.ask, "pipeline.forget", pipeline="large")
        large = beam(["a"], pushed("a", "x"), coder("bytes", "beam:coder:bytes:v1"))
        self.engine.ask("pipeline.run", pipeline={"name": "large", "beam": large})
        self.engine.feed("large", "a.out", [[[1000, b"x" * 200000]] for _ in range(9)])
        self.engine.wait("large")
        self.assertEqual(payload_of(self.inlined("large", large)["beam"])[2], milliseconds(expected(self.engine, pipeline="large")))
        self.engine.ask("options.set", inline_size_max=1048576)
        error = self.refused("too_large", "pipeline.run", pipeline="large", rewrite=True, inlined=True)
        self.assertEqual(error["field"], "inlined")
        self.assertRegex(error["message"], r"have more than 1048576 bytes \(`inline_size_max`\): those of the first \d of its 9 elements have \d+ already")
        _, _, events = payload_of(self.inlined("large", large, max_elements=5)["beam"])
        self.assertEqual(sum(len(one[1]) for one in events if one[0] == "elements"), 5)

    def test_what_makes_no_sense_together_is_refused(self):
        for more, field in (({"inlined": True}, "inlined"), ({"rewrite": True, "max_elements": 3}, "max_elements")):
            error = self.refused("bad_request", "pipeline.run", pipeline={"name": "none", "beam": base64.b64decode(self.made["lone"]["beam"])}, **more)
            self.assertEqual(error["field"], field)

    def test_without_a_source_it_comes_back_byte_for_byte(self):
        self.assertEqual(self.inlined("bounded")["beam"], base64.b64decode(self.made["bounded"]["beam"]))


class Refused(RewriteTest):
    def refused_rewrite(self, bytes_, code="bad_request"):
        error = self.refused(code, "pipeline.run", pipeline={"name": "refused", "beam": bytes_}, rewrite=True)
        self.refused("not_found", "pipeline.describe", pipeline="refused")
        return error["field"], error["message"]

    def test_what_cannot_be_replayed_is_refused_and_nothing_is_begun(self):
        two = beam(["a", "b"], read("a", "x", coder="bytes"), read("b", "y", coder="text"), coder("bytes", "beam:coder:bytes:v1"),
                   coder("text", "beam:coder:string_utf8:v1"))
        self.assertEqual(self.refused_rewrite(two),
                         ("rewrite", "PCollection `a.out` has the coder `bytes`, and `b.out` has `text`: one TestStream replays them, and has one coder"))
        self.assertEqual(self.refused_rewrite(beam(["a"], read("a", "x"))), ("rewrite", "PCollection `a.out` has no coder"))
        self.assertIn("which is not among the coders", self.refused_rewrite(beam(["a"], read("a", "x", coder="gone")))[1])
        leak = beam(["a", "m"], transform("a", PUBSUB, outputs=["o"], subtransforms=["i"]), transform("i", outputs=["q"]), pcollection("o", coder="c"),
                    pcollection("q", BOUNDED), transform("m", inputs=["q"]), coder("c", "beam:coder:bytes:v1"))
        self.assertIn("transform `m` refers to PCollection `q`", self.refused_rewrite(leak)[1])
        error = self.refused("bad_request", "pipeline.run", pipeline={"name": "ours", "transforms": []}, rewrite=True)
        self.assertEqual(error["message"], "pipeline `ours` is none of Beam: there is nothing to rewrite")

    def test_a_circle_and_what_is_not_there_are_refused(self):
        self.assertIn("contains itself", self.refused_rewrite(beam(["a"], transform("a", subtransforms=["a"])))[1])
        self.assertIn("root_transform_ids[0] is `gone`", self.refused_rewrite(beam(["gone"]))[1])

    def test_below_a_source_a_circle_and_what_is_not_there_do_no_harm(self):
        odd = beam(["a"], transform("a", PUBSUB, outputs=["o"], subtransforms=["b", "gone"]), transform("b", subtransforms=["a", "b"]),
                   pcollection("o", coder="c"), coder("c", "beam:coder:bytes:v1"))
        self.addCleanup(self.engine.ask, "pipeline.forget", pipeline="odd")
        run = self.engine.ask("pipeline.run", pipeline={"name": "odd", "beam": odd}, rewrite=True)
        [after] = node("replays.mjs", "graph", given=[base64.b64encode(run["beam"]).decode()])
        self.assertEqual((list(after["transforms"]), list(after["pcollections"])), (["a"], ["o"]))


class OnTheCommandLine(unittest.TestCase):
    def test_the_rewritten_pipeline_is_written_to_a_file(self):
        engine = CliEngine()
        self.addCleanup(engine.remove)
        given, out = engine.folder / "clicks.pb", engine.folder / "out.pb"
        given.write_bytes(beam(["a"], transform("a", PUSH, outputs=["o"]), pcollection("o", coder="c"), coder("c", "beam:coder:bytes:v1")))
        said = engine.type("run", given, "--beam", "--rewrite", out)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertRegex(said.stdout, rf"(?m)^rewritten +{out}$")
        self.assertRegex(said.stdout, rf"(?m)^for Beam +{engine.beam}$")
        [after] = node("replays.mjs", "graph", given=[base64.b64encode(out.read_bytes()).decode()])
        self.assertEqual(after["transforms"]["a"]["outputs"], {"clicks/o": "o"})
        again = engine.type("run", "clicks", "--rewrite", engine.folder / "again.pb")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual((engine.folder / "again.pb").read_bytes(), out.read_bytes())
        self.assertEqual(sorted(os.listdir(engine.folder)), sorted({*os.listdir(engine.folder)} - {"out.pb.partial", "again.pb.partial"}))
        failed = engine.type("run", "clicks", "--rewrite", engine.folder / "nowhere" / "out.pb")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("cannot create", failed.stderr)

    def test_with_inline_it_waits_for_the_recording_and_its_events_stand_in_the_file(self):
        engine = CliEngine()
        self.addCleanup(engine.remove)
        given, out = engine.folder / "ticks.pb", engine.folder / "out.pb"
        given.write_bytes(beam(["a"], pushed("a", "x"), coder("bytes", "beam:coder:bytes:v1")))
        asked = engine.spawn("run", given, "--beam", "--rewrite", out, "--inline")
        self.addCleanup(asked.kill)
        self.assertEqual(asked.stderr.readline(), "ticks is being recorded; its elements are inlined when the recording is complete\n")
        self.assertFalse(out.exists())
        engine.feed("ticks", "a.out", batches(30, 10))
        said = asked.communicate(timeout=PATIENCE)
        self.assertEqual(asked.returncode, 0, said[1])
        coder_id, endpoint, events = payload_of(out.read_bytes())
        self.assertEqual((coder_id, endpoint), ("bytes", None))
        self.assertEqual(events, milliseconds(expected(engine, pipeline="ticks")))
        said = engine.type("run", "ticks", "--rewrite", out, "--inline", "--max-elements", "7")
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        self.assertEqual(sum(len(one[1]) for one in payload_of(out.read_bytes())[2] if one[0] == "elements"), 7)
        for words in (["--inline"], ["--rewrite", out, "--max-elements", "7"]):
            said = engine.type("run", "ticks", *words)
            self.assertEqual(said.returncode, 2)
            self.assertRegex(said.stderr, "--inline is for --rewrite OUT|--max-elements is for --inline")


if __name__ == "__main__":
    unittest.main()
