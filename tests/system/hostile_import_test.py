"""Files from strangers: an import that lies, is cut, is left alone or is one of too many is refused by what is wrong, costs little, and leaves
nothing. So is a definition that is too large to be passed on at each step."""
import os
import random
import time
import unittest

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, PUSH, EngineTest, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
MIB = 1 << 20


def header(name, signature="my:urn|", **fields):
    return msgpack.packb({"reprise": 1, "pipeline": name, "start": 0,
                          "streams": [{"signature": signature, "urn": signature.split("|")[0], "tags": ["Read"]}], **fields})


def end(at=0, count=0):
    return msgpack.packb({"event": "end", "at": at, "count": count})


class HostileImportTest(EngineTest):
    def tearDown(self):
        for one in self.engine.ask("recording.list")["recordings"]:
            self.assertTrue(self.engine.ask("recording.verify", recording=one["recording"])["intact"], one)
        for one in self.engine.ask("pipeline.list")["pipelines"]:
            self.engine.ask("pipeline.forget", pipeline=one["name"])
        self.assertEqual(self.folders(), [])

    def folders(self):
        """Those among the recordings, but for what has been dropped and is being deleted."""
        return sorted(entry.name for entry in (self.engine.data / "recordings").iterdir() if not entry.name.startswith(".drop-"))

    def memory(self):
        """Bytes of the engine that are in memory."""
        with open(f"/proc/{self.engine.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def take(self, data, **fields):
        return self.engine.ask("recording.import", **{"format": "msgpack", "data": data, **fields})

    def test_times_that_no_clock_has_are_refused(self):
        for far in (1 << 62, (1 << 63) - 1, -1, -(1 << 63)):
            with self.subTest(far=far):
                error = self.refused("bad_request", "recording.import", format="msgpack", data=header("far", start=far), done=True)
                self.assertRegex(error["message"], f"byte 0: `start` must be 0 to 2\\^62 µs after the epoch, not {far}")
        error = self.refused("bad_request", "recording.import", format="msgpack", data=header("far") + end((1 << 63) - 1), done=True)
        self.assertRegex(error["message"], "its time is not 0 to")

    def test_the_longest_times_are_told_and_replayed(self):
        late = (1 << 62) - 1
        elements = msgpack.packb({"event": "elements", "stream": 0, "at": late, "elements": [[late, b"x"]]})
        made = self.take(header("long", start=1) + elements + end(late, 1), done=True)
        job = self.engine.ask("job.describe", pipeline="long")
        self.assertEqual(job["elapsed_ms"], (late - 1) // 1000)
        for fields in ({}, {"from": {"offset_ms": (1 << 63) - 1}}, {"from": {"offset_ms": 1}}, {"max_duration_ms": (1 << 63) - 1}):
            with self.subTest(fields=fields):
                self.assertLessEqual(len(self.engine.elements(recording=made["recording"], **fields)), 1)
        for form in ("msgpack", "json", "beam"):
            self.assertTrue(self.engine.ask("recording.export", recording=made["recording"], format=form)["complete"])

    def test_the_largest_signature_is_taken_and_one_that_is_larger_is_not(self):
        largest = "my:urn|" + "ab" * (4 * MIB - 10)
        made = self.take(header("large", largest) + end(), done=True)
        self.assertEqual(self.engine.ask("recording.describe", recording=made["recording"])["signature"], [largest])
        error = self.refused("too_large", "recording.import", format="msgpack", data=header("large", largest + "00" * 20) + end(), done=True)
        self.assertRegex(error["message"], "byte 0: the signatures up to that of stream 0 have more than 8388608 bytes")

    def test_a_definition_with_payloads_that_are_too_large_is_refused_by_the_field(self):
        large = pipeline("payloads", source("Small", PUSH, b"x"), source("Large", PUSH, bytes(4 * MIB)))
        for op in ("pipeline.run", "pipeline.track", "source.has", "source.signature", "source.changed", "job.needed", "job.start"):
            with self.subTest(op=op):
                self.assertEqual(self.refused("too_large", op, pipeline=large)["field"], "pipeline.transforms[1].payload")
        self.assertEqual(self.engine.ask("pipeline.list")["pipelines"], [])

    def test_what_waits_for_the_rest_of_an_item_is_bounded_over_all_files(self):
        piece, going = b"x" * (8 * MIB), {"format": "beam", "pipeline": "waiting"}
        before = self.memory()
        for file in range(100):
            with self.subTest(file=file):
                try:
                    going = {"import": self.take(piece, file=file, **going)["import"]}
                except Exception as problem:
                    error = getattr(problem, "error", {})
                    break
        self.assertEqual((error.get("code"), error.get("field")), ("limit", "data"), error)
        self.assertLess(file, 32)
        self.assertLess(self.memory() - before, 400 * MIB)
        self.assertEqual(self.folders(), [])

    def test_imports_that_are_cut_anywhere_or_have_a_flipped_bit_leave_nothing(self):
        chance = random.Random(SEED)
        recording = self.recorded("cut", 200)["recording"]
        for form in ("msgpack", "json", "beam"):
            whole = self.engine.ask("recording.export", recording=recording, format=form)["data"]
            for number in range(150):
                victim = bytearray(whole)
                if number % 2:
                    victim[chance.randrange(len(victim))] ^= 1 << chance.randrange(8)
                else:
                    del victim[chance.randrange(len(victim)):]
                with self.subTest(seed=SEED, form=form, number=number):
                    try:
                        self.take(bytes(victim), format=form, pipeline="other", done=True)
                    except Exception as problem:
                        self.assertIn(problem.error["code"], ("bad_request", "corrupt", "too_large"))
                        self.assertEqual(problem.error["field"], "data")
        self.engine.ask("pipeline.forget", pipeline="cut")
        self.assertEqual(len(self.folders()), len(self.engine.ask("recording.list")["recordings"]))

    def test_imports_that_are_left_alone_are_gone_with_their_actor(self):
        for _ in range(8):
            self.take(header("left"))
        self.assertEqual(self.refused("limit", "recording.import", format="msgpack", data=header("left"))["message"],
                         "8 imports are under way, and more cannot be")
        self.assertEqual(len(self.folders()), 8)
        self.engine.ask("chaos.fail", actor="librarian")
        self.assertTrue(self.take(header("left") + end(), done=True)["recording"])

    def test_one_who_asks_for_exports_and_reads_none_is_refused_more(self):
        recording = self.recorded("unread", 200000, size=100)["recording"]
        dealer = zmq.Context.instance().socket(zmq.DEALER)
        self.addCleanup(dealer.close, 0)
        dealer.setsockopt(zmq.RCVHWM, 1)
        dealer.connect(self.engine.endpoints["commands"])
        fields = {"op": "recording.export", "recording": recording, "format": "msgpack", "max_bytes": 8 * MIB}
        before, refusals = self.memory(), self.engine.counter("refusals")
        for number in range(30):
            dealer.send(msgpack.packb({**fields, "id": number}))
        deadline = time.monotonic() + PATIENCE
        while self.engine.counter("refusals") == refusals:
            self.assertLess(time.monotonic(), deadline, "all are answered")
        self.assertLess(self.memory() - before, 200 * MIB)
        codes = {}
        while len(codes) < 30:
            self.assertTrue(dealer.poll(PATIENCE * 1000), f"{codes} and no more answers")
            answer = msgpack.unpackb(dealer.recv())
            self.assertNotIn(answer["id"], codes)
            codes[answer["id"]] = "ok" if answer["ok"] else answer["error"]["code"]
        self.assertEqual(set(codes.values()), {"ok", "limit"})
        self.assertEqual(codes[0], "ok")
        dealer.send(msgpack.packb({**fields, "id": 30}))
        self.assertTrue(dealer.poll(PATIENCE * 1000))
        self.assertTrue(msgpack.unpackb(dealer.recv())["ok"])

    def test_an_import_beside_a_job_is_refused_at_its_end_and_leaves_nothing(self):
        self.engine.run(pipeline("busy", source("Read", GENERATOR, {"rate": 1000})))
        before = self.folders()
        going = self.take(header("busy"))
        self.refused("invalid_state", "recording.import", **{"import": going["import"]}, data=end(), done=True)
        self.assertEqual(self.folders(), before)
        self.engine.ask("job.cancel", pipeline="busy")


if __name__ == "__main__":
    unittest.main()
