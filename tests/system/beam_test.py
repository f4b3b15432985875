"""Pipelines of Apache Beam: as Beam itself serializes them, and as bytes made here field by field, from their definition to a replay."""
import base64
import json
import pathlib
import shutil
import subprocess
import unittest

import wire
from cli_test import CliEngine
from engine import PATIENCE, PUSH, Engine, EngineTest, batches, pipeline, source
from wire import BOUNDED, PUBSUB, READ, UNBOUNDED, beam, pcollection, read, signature, transform

HERE = pathlib.Path(__file__).parent / "beam"


def definition(name, bytes_):
    return {"name": name, "beam": bytes_}


def push(key, payload=b""):
    """A source of a Beam pipeline that whoever attaches feeds, with an output of its own."""
    return [transform(key, PUSH, payload, outputs=[f"{key}.out"]), pcollection(f"{key}.out")]


class BeamTest(EngineTest):
    def signature(self, bytes_):
        return self.engine.ask("source.signature", pipeline=definition("asked", bytes_))["signature"]

    def sources(self, bytes_):
        """[name, tag, URN] of each."""
        answer = self.engine.ask("source.has", pipeline=definition("asked", bytes_))
        self.assertEqual(answer["has"], bool(answer["sources"]))
        return [[one["name"], one["tag"], one["urn"]] for one in answer["sources"]]

    def damaged(self, bytes_, code="bad_request"):
        error = self.refused(code, "source.signature", pipeline=definition("damaged", bytes_))
        self.assertEqual(error["field"], "pipeline.beam")
        return error["message"]


class OfBeamItself(BeamTest):
    """What the npm package makes of pipelines that are written as its users write them."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("node") or not (HERE / "node_modules").is_dir():
            raise AssertionError("Beam is not set up: `npm ci` in tests/system/beam (bin/setup test does it)")
        made = subprocess.run(["node", HERE / "pipelines.mjs"], capture_output=True, check=True, timeout=PATIENCE)
        cls.made = json.loads(made.stdout)
        super().setUpClass()

    def beam(self, name):
        return base64.b64decode(self.made[name]["beam"])

    def output(self, name, label):
        [tag] = self.made[name]["outputs"][label]
        return tag

    def test_a_source_has_its_label_and_the_id_of_its_output(self):
        self.assertEqual(self.sources(self.beam("simple")), [["Read", self.output("simple", "Read"), PUBSUB]])
        self.assertEqual(self.signature(self.beam("simple")), [signature("clicks")])

    def test_labels_composites_and_ids_do_not_count(self):
        [[name, tag, _]] = self.sources(self.beam("relabelled"))
        self.assertEqual((name, tag), ("Outer/Inner/ReadAgain", self.output("relabelled", "Outer/Inner/ReadAgain")))
        self.assertNotEqual(tag, self.output("simple", "Read"))
        self.assertEqual(self.signature(self.beam("relabelled")), self.signature(self.beam("simple")))

    def test_of_a_composite_read_the_topmost_is_taken(self):
        self.engine.ask("options.set", recordable_sources=[PUBSUB, READ, "reprise:source:*:v1"])
        self.addCleanup(self.engine.ask, "options.set", recordable_sources=["reprise:source:*:v1", PUBSUB])
        self.assertEqual(self.sources(self.beam("topmost")), [["Read", self.output("topmost", "Read"), PUBSUB]])
        self.engine.ask("options.set", recordable_sources=[READ])
        self.assertEqual(self.sources(self.beam("topmost")), [["Read/Native", self.output("topmost", "Read/Native"), READ]])

    def test_the_same_source_twice_is_one_signature_and_two_sources(self):
        self.assertEqual(self.signature(self.beam("twice")), sorted([signature("clicks"), signature("users")]))
        self.assertEqual([name for name, _, _ in self.sources(self.beam("twice"))], ["One", "Two", "Users"])

    def test_a_read_is_recorded_if_its_payload_is_unbounded(self):
        self.assertEqual(self.sources(self.beam("reads")), [])
        self.engine.ask("options.set", recordable_sources=[READ])
        self.addCleanup(self.engine.ask, "options.set", recordable_sources=["reprise:source:*:v1", PUBSUB])
        self.assertEqual(self.sources(self.beam("reads")), [["Endless", self.output("reads", "Endless"), READ]])

    def test_a_pipeline_without_sources_needs_no_job(self):
        run = self.engine.run(definition("bounded", self.beam("bounded")))
        self.assertEqual((run["started"], run["reason"], run["tags"]), (False, "no_recordable_source", []))

    def test_an_altered_source_is_told_as_added_and_removed(self):
        self.engine.ask("source.changed", pipeline=definition("changes", self.beam("simple")))
        same = self.engine.ask("source.changed", pipeline=definition("changes", self.beam("relabelled")), update=False)
        self.assertEqual((same["changed"], same["added"], same["removed"]), (False, [], []))
        altered = self.engine.ask("source.changed", pipeline=definition("changes", self.beam("altered")))
        self.assertEqual((altered["changed"], altered["added"], altered["removed"]), (True, [signature("other")], [signature("clicks")]))
        more = self.engine.ask("source.changed", pipeline=definition("changes", self.beam("twice")), update=False)
        self.assertEqual((more["changed"], more["added"]), (True, sorted([signature("clicks"), signature("users")])))

    def test_a_source_that_nobody_serves_fails_its_job_by_name(self):
        self.engine.ask("options.set", worker_wait_ms=100)
        self.addCleanup(self.engine.ask, "options.set", worker_wait_ms=30000)
        run = self.engine.run(definition("unserved", self.beam("simple")))
        self.assertEqual((run["reason"], run["added"], run["tags"]), ("first_run", [signature("clicks")], [self.output("simple", "Read")]))
        job = self.engine.wait("unserved")
        self.assertEqual((job["state"], job["stop_reason"]), ("FAILED", "error"))
        self.assertIn(f"`{PUBSUB}`", job["error"])
        self.assertIn(f"`{self.output('simple', 'Read')}`", job["error"])


class MadeByHand(BeamTest):
    def test_the_order_of_the_maps_does_not_count(self):
        entries = [*read("a", "one"), *read("b", "two"), transform("outer", subtransforms=["b"])]
        first = beam(["outer", "a"], *entries)
        again = beam(["outer", "a"], *reversed(entries))
        self.assertNotEqual(first, again)
        self.assertEqual(self.signature(first), sorted([signature("one"), signature("two")]))
        self.assertEqual(self.signature(again), self.signature(first))
        self.assertEqual(self.sources(again), self.sources(first))

    def test_a_source_is_the_same_whether_beam_or_transforms_describe_it(self):
        ours = pipeline("ours", source("Read", PUBSUB, wire.text(1, "projects/p/topics/one")))
        self.assertEqual(self.engine.ask("source.signature", pipeline=ours)["signature"], self.signature(beam(["a"], *read("a", "one"))))

    def test_a_subtransform_that_two_composites_share_counts_once(self):
        shared = beam(["left", "right"], transform("left", subtransforms=["read"]), transform("right", subtransforms=["read"]),
                      *read("read", "x"))
        self.assertEqual(self.sources(shared), [["read", "read.out", PUBSUB]])

    def test_nothing_below_a_source_and_nothing_without_a_root_is_looked_at(self):
        nested = beam(["top"], transform("top", PUBSUB, b"1", ["o"], subtransforms=["below", "nowhere"]),
                      transform("below", PUBSUB, b"2", ["o"]), *read("lonely", "x"), pcollection("o"))
        self.assertEqual(self.signature(nested), [f"{PUBSUB}|31"])

    def test_bounded_reads_are_not_recorded(self):
        self.assertEqual(self.sources(beam(["r"], transform("r", PUBSUB, outputs=["o"]), pcollection("o", BOUNDED))), [])
        payload = wire.text(1, b"") + wire.number(2, BOUNDED)
        self.engine.ask("options.set", recordable_sources=[READ])
        self.addCleanup(self.engine.ask, "options.set", recordable_sources=["reprise:source:*:v1", PUBSUB])
        self.assertEqual(self.sources(beam(["r"], transform("r", READ, payload, ["o"]), pcollection("o"))), [])
        self.assertEqual(len(self.sources(beam(["r"], transform("r", READ, payload[:2], ["o"]), pcollection("o")))), 1)

    def test_what_beam_does_not_have_in_our_fields_is_left_alone(self):
        more = wire.entry(4, "coder", wire.text(1, b"")) + wire.entry(5, "environment", wire.text(2, b"\xff"))
        strange = beam(["a"], *read("a", "x"), more) + wire.text(4, "beam:requirement:x") + wire.number(99, 2**64 - 1)
        self.assertEqual(self.signature(strange), [signature("x")])

    def test_long_and_odd_ids_become_names_that_stay_apart(self):
        one, other = ("n" * 300 + end for end in "ab")
        long = beam([one, other], *read(one, "1"), *read(other, "2", name="line\nfeed"))
        tags = [tag for _, tag, _ in self.sources(long)]
        self.assertEqual(len(set(tags)), 2)
        for tag in tags:
            self.assertEqual(len(tag), 255)
            self.assertRegex(tag, "^n{238}~[0-9a-f]{16}$")
        self.assertRegex(self.sources(long)[1][0], r"^line\?feed~[0-9a-f]{16}$")

    def test_a_damaged_pipeline_is_refused_at_its_place(self):
        whole = beam(["a"], *read("a", "x"))
        self.assertRegex(self.damaged(whole[:-1]), r"^`pipeline.beam`: root_transform_ids\[0\]: at byte \d+ a length of 1 passes the end: 0 bytes follow$")
        self.assertRegex(self.damaged(beam(["a"], *read("a", "x")).replace(b"\x0a\x1d" + PUBSUB.encode()[:3], b"\x0a\x7fbea")),
                         r"^`pipeline.beam`: components\.transforms\[0\]\.value\.spec\.urn: at byte \d+ a length of 127 passes the end: \d+ bytes follow$")
        self.assertEqual(self.damaged(wire.number(1, 5)), "`pipeline.beam`: components: at byte 0 must be a length and its bytes, not a varint")
        self.assertIn("is text that is not UTF-8", self.damaged(beam([b"\xff"])))
        for cut in range(1, len(whole)):
            if cut != len(whole) - len(wire.text(2, "a")):
                self.assertRegex(self.damaged(whole[:cut]), r"at byte \d+ ")

    def test_what_is_referred_to_must_be_there(self):
        self.assertIn("root_transform_ids[0] is `gone`", self.damaged(beam(["gone"], *read("a", "x"))))
        self.assertIn("transform `a` has the subtransform `gone`", self.damaged(beam(["a"], transform("a", subtransforms=["gone"]))))
        self.assertIn("transform `a` has the output `gone`", self.damaged(beam(["a"], transform("a", PUBSUB, outputs=["gone"]))))

    def test_a_graph_that_goes_in_a_circle_is_refused(self):
        circle = [transform(str(number), subtransforms=[str((number + 1) % 10000)]) for number in range(10000)]
        self.assertIn("transform `0` contains itself", self.damaged(beam(["0"], *circle)))

    def test_a_source_with_two_unbounded_outputs_is_refused(self):
        two = beam(["a"], transform("a", PUBSUB, outputs=["main", "dead"]), pcollection("main"), pcollection("dead"))
        self.assertIn("`main` and `dead`", self.damaged(two))

    def test_one_pcollection_of_two_sources_is_refused(self):
        clash = beam(["a", "b"], transform("a", PUBSUB, b"1", ["o"]), transform("b", PUBSUB, b"2", ["o"]), pcollection("o"))
        self.assertIn("tag `o` names two different sources, `a` and `b`", self.damaged(clash))

    def test_small_messages_that_become_large_are_refused(self):
        self.assertIn("more than 50000 transforms", self.damaged(wire.text(1, wire.text(1, b"") * 50001), "too_large"))
        self.assertIn("more than 100000 PCollections", self.damaged(wire.text(1, wire.text(2, b"") * 100001), "too_large"))
        self.assertIn("more than 1048576 values", self.damaged(wire.text(2, b"") * (2**20 + 1), "too_large"))

    def test_a_definition_has_transforms_or_beam(self):
        self.assertEqual(self.refused("bad_request", "pipeline.track", pipeline={"name": "none"})["field"], "pipeline.transforms")
        both = {**definition("both", b""), "transforms": []}
        self.assertEqual(self.refused("bad_request", "pipeline.track", pipeline=both)["field"], "pipeline.beam")
        self.assertEqual(self.refused("bad_request", "pipeline.track", pipeline=definition("text", "text"))["field"], "pipeline.beam")
        self.refused("not_found", "pipeline.describe", pipeline="both")

    def test_a_beam_pipeline_is_tracked_listed_and_described(self):
        bytes_ = beam(["a"], *read("a", "x"))
        tracked = self.engine.ask("pipeline.track", pipeline=definition("told", bytes_))
        self.assertEqual((tracked["has_sources"], tracked["signature"], tracked["changed"]), (True, [signature("x")], True))
        told = self.engine.ask("pipeline.describe", pipeline="told")
        self.assertEqual((told["beam_size"], told["transforms"], told["signature"]), (len(bytes_), [], [signature("x")]))
        [listed] = [one for one in self.engine.ask("pipeline.list")["pipelines"] if one["name"] == "told"]
        self.assertEqual((listed["beam_size"], listed["transforms"]), (len(bytes_), 0))


class Recorded(BeamTest):
    """A source of a Beam pipeline whose URN the engine can serve is recorded and replayed under the id of its output."""

    def record(self, name, bytes_, tag, count=20):
        run = self.engine.run(definition(name, bytes_))
        self.engine.feed(name, tag, batches(count, 10))
        return run, self.engine.wait(name)

    def test_from_the_definition_to_the_replay(self):
        bytes_ = beam(["outer"], transform("outer", subtransforms=["clicks"]), *push("clicks"))
        run, job = self.record("whole", bytes_, "clicks.out")
        self.assertEqual((run["started"], run["reason"], run["tags"]), (True, "first_run", ["clicks.out"]))
        self.assertEqual((job["state"], job["elements"]), ("DONE", 20))
        self.assertEqual([element[0] for element in self.engine.elements(pipeline="whole")], ["clicks.out"] * 20)
        self.assertEqual(self.engine.run("whole")["reason"], "recording_valid")
        self.assertEqual(self.engine.run(definition("whole", bytes_))["reason"], "recording_valid")

    def test_removing_a_source_keeps_the_recording_and_altering_one_does_not(self):
        two = beam(["a", "b"], *push("a", b"1"), *push("b", b"2"))
        self.engine.run(definition("parts", two))
        self.engine.feed("parts", "a.out", batches(10, 10))
        self.engine.feed("parts", "b.out", batches(10, 10))
        self.engine.wait("parts")
        fewer = self.engine.run(definition("parts", beam(["x"], *push("x", b"2"))))
        self.assertEqual((fewer["started"], fewer["removed"], fewer["tags"]), (False, [f"{PUSH}|31"], ["x.out"]))
        self.assertEqual({element[0] for element in self.engine.elements(pipeline="parts")}, {"x.out"})
        altered = self.engine.run(definition("parts", beam(["x"], *push("x", b"3"))))
        self.assertEqual((altered["started"], altered["reason"]), (True, "sources_changed"))
        self.assertEqual((altered["added"], altered["removed"]), ([f"{PUSH}|33"], [f"{PUSH}|31", f"{PUSH}|32"]))
        self.engine.ask("job.cancel", pipeline="parts")


class Restarted(unittest.TestCase):
    def test_a_beam_pipeline_and_its_recording_outlive_a_kill(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        bytes_ = beam(["clicks"], *push("clicks", b"\x00\xff"))
        engine.run(definition("kept", bytes_))
        engine.feed("kept", "clicks.out", batches(20, 10))
        engine.wait("kept")
        elements = engine.elements(pipeline="kept")
        engine.restart()
        self.assertEqual(engine.ask("pipeline.describe", pipeline="kept")["beam_size"], len(bytes_))
        self.assertEqual(engine.ask("source.signature", pipeline="kept")["signature"], [f"{PUSH}|00ff"])
        self.assertEqual(engine.run("kept")["reason"], "recording_valid")
        self.assertEqual(engine.elements(pipeline="kept"), elements)
        self.assertEqual(len(elements), 20)


class OnTheCommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = CliEngine()
        cls.addClassCleanup(cls.engine.remove)
        cls.file = cls.engine.folder / "clicks.v2.pb"
        cls.file.write_bytes(beam(["a"], *push("a")))

    def type(self, *words, stdin=b"", status=0):
        result = self.engine.type(*words, stdin=stdin, text=False)
        said = (result.stdout + result.stderr).decode()
        self.assertEqual(result.returncode, status, f"{words}: {said}")
        return said

    def test_a_pipeline_is_run_from_its_file_and_named(self):
        self.assertIn("named is being recorded", self.type("run", self.file, "--beam", "--name", "named"))
        self.assertRegex(self.type("describe", "named"), rf"(?m)^from +Apache Beam, {self.file.stat().st_size} B$")
        self.assertIn(f"a.out, {PUSH}", self.type("describe", "named"))
        self.assertIn("is not recorded now", self.type("run", "named"))

    def test_without_a_name_it_is_named_as_its_file(self):
        self.assertIn("clicks.v2 is being recorded", self.type("run", self.file, "--beam"))

    def test_standard_input_needs_a_name(self):
        self.assertIn("needs --name", self.type("run", "-", "--beam", stdin=self.file.read_bytes(), status=2))
        self.assertIn("piped is being", self.type("run", "-", "--beam", "--name", "piped", stdin=self.file.read_bytes()))

    def test_a_definition_of_our_own_is_renamed_too(self):
        ours = json.dumps(pipeline("first", source("Read", PUSH))).encode()
        self.assertIn("second is being recorded", self.type("run", "-", "--name", "second", stdin=ours))
        self.assertIn("--name is for a definition in a file", self.type("run", "second", "--name", "third", status=2))

    def test_what_is_wrong_is_said(self):
        self.assertIn("cannot read nowhere: there is no such file", self.type("run", "nowhere", "--beam", status=1))
        self.assertIn("at byte 1 a length of 9 passes the end", self.type("run", "-", "--beam", "--name", "x", stdin=b"\x0a\x09", status=1))
