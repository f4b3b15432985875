"""Faults of what is not a recording: the catalog, the folder at the start, the files of a recording that is only read."""
import os
import time
import unittest

from disk import Disk
from engine import GENERATOR, PATIENCE, PUSH, Engine, Refused, pipeline, source

# Requests that write to the catalog.
WRITERS = {"options.set": {"recording_count_limit": 7}, "pipeline.track": {"pipeline": pipeline("new", source("Read", PUSH))},
           "pipeline.run": {"pipeline": pipeline("newer", source("Read", PUSH))}, "pipeline.forget": {"pipeline": "old"}}


class Beside(unittest.TestCase):
    def start(self, *flags):
        self.disk = Disk()
        self.addCleanup(self.disk.remove)
        self.engine = Engine(*flags, env=self.disk.env)
        self.addCleanup(self.engine.remove)

    def refused(self, op, **fields):
        with self.assertRaises(Refused, msg=op) as caught:
            self.engine.ask(op, **fields)
        return caught.exception.error

    def recorded(self, name, count=2000):
        self.engine.run(pipeline(name, source("Read", GENERATOR, {"rate": 0, "size": 100})), limits={"count": count})
        return self.engine.wait(name)["recording"]

    def check_refused(self, op, fields):
        error = self.refused(op, **fields)
        self.assertEqual(error["code"], "internal", op)
        self.assertIn("catalog.sqlite", error["message"])

    def check_old(self, before):
        """Nothing is there but what was there before."""
        self.assertEqual([one["name"] for one in self.engine.ask("pipeline.list")["pipelines"]], ["old"])
        self.assertEqual({**self.engine.ask("options.get"), "id": 0}, {**before, "id": 0})
        self.assertEqual(self.engine.ask("job.list")["jobs"], [])
        self.assertEqual(self.engine.ask("recording.list")["recordings"], [])

    def with_old(self):
        self.start()
        self.engine.ask("pipeline.track", pipeline=pipeline("old", source("Read", PUSH)))
        return self.engine.ask("options.get")

    def test_a_catalog_that_cannot_be_written_refuses_and_keeps_what_it_had(self):
        for call, error in (("write", "ENOSPC"), ("write", "EIO")):
            with self.subTest(call=call, error=error):
                before = self.with_old()
                label, = self.disk.set((call, "*catalog.sqlite*", 1, 0, error))
                for op, fields in WRITERS.items():
                    self.check_refused(op, fields)
                self.assertTrue(self.disk.fired(label))
                self.check_old(before)
                self.disk.set()
                self.engine.restart()
                self.check_old(before)
                self.engine.ask("options.set", recording_count_limit=7)
                self.assertEqual(self.engine.ask("options.get")["recording_count_limit"], 7)
                self.recorded("newer", 5)

    def test_a_transaction_that_did_not_reach_the_disk_is_not_found_there_by_the_next_process(self):
        for op, fields in WRITERS.items():
            with self.subTest(op=op):
                before = self.with_old()
                label, = self.disk.set(("fdatasync", "*catalog.sqlite*", 1, 1, "EIO"))
                self.check_refused(op, fields)
                self.assertEqual(len(self.disk.fired(label)), 1)
                self.check_old(before)
                self.engine.restart()
                self.check_old(before)

    def test_a_recording_that_cannot_be_created_is_refused_and_leaves_nothing_behind(self):
        for call, glob, error in (("mkdir", "*/recordings/*", "ENOSPC"), ("write", "*.seg", "ENOSPC"), ("open", "*.seg", "EMFILE"),
                                  ("rename", "*/recordings/*", "EIO"), ("fsync", "*/recordings/*", "EIO"),
                                  ("write", "*manifest*", "ENOSPC")):
            with self.subTest(call=call, glob=glob, error=error):
                self.start()
                label, = self.disk.set((call, glob, 1, 0, error))
                definition = pipeline("made", source("Read", GENERATOR, {"rate": 0, "count": 10}))
                try:
                    job = self.engine.ask("job.describe", job=self.engine.run(definition)["job"])
                    self.assertEqual(job["state"], "FAILED")
                    said = job["error"]
                except Refused as refusal:
                    said = refusal.error["message"]
                self.assertIn("/recordings/", said)
                self.assertTrue(self.disk.fired(label))
                self.disk.set()
                self.assertTrue(self.engine.run(definition)["started"])
                self.assertEqual(self.engine.wait("made")["state"], "DONE")
                self.assertEqual(len(self.engine.elements(pipeline="made")), 10)
                self.engine.restart()
                self.assertEqual(len(self.engine.elements(pipeline="made")), 10)
                whole = [one["recording"] for one in self.engine.ask("recording.list")["recordings"]]
                self.assertEqual(sorted(os.listdir(self.engine.data / "recordings")), sorted(whole))

    def test_an_error_of_reading_ends_the_replay_it_meets_and_no_other(self):
        for call, error in (("open", "EMFILE"), ("mmap", "ENOMEM")):
            with self.subTest(call=call, error=error):
                self.start("--segment-bytes", "65536", "--durability", "async")
                recording = self.recorded("read", 20000)
                deadline = time.monotonic() + PATIENCE
                while (self.engine.data / "recordings" / recording / ".manifest.msgpack.next").exists():
                    self.assertLess(time.monotonic(), deadline)  # then nobody opens a segment but to read it
                    self.engine.ask("engine.info")
                self.assertGreater(len(self.engine.segments(recording)), 3)
                label, = self.disk.set((call, "*.seg", 2, 1, error))
                *events, (end, _) = self.engine.replay(recording=recording)
                self.assertTrue(self.disk.fired(label))
                self.assertEqual(end["reason"], "corrupt")
                self.assertRegex(end["error"], r"cannot (open|map) .*\.seg")
                *again, (end, _) = self.engine.replay(recording=recording)
                self.assertEqual((end["reason"], end["elements"]), ("end", 20000))
                self.assertEqual(again[:len(events)], events)
                self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])

    def test_a_start_on_a_disk_that_fails_says_so_and_the_next_one_is_well(self):
        for call, glob in (("open", "*/catalog.sqlite"), ("read", "*/catalog.sqlite"), ("open", "*/lock"), ("mkdir", "*/recordings")):
            with self.subTest(call=call, glob=glob):
                self.start()
                recording = self.recorded("kept", 100)
                self.engine.kill()
                label, = self.disk.set((call, glob, 1, 0, "EIO"))
                try:
                    self.engine.start()
                    self.engine.kill()
                except AssertionError as problem:
                    self.assertIn("reprised ended with 1", str(problem))
                    self.assertIn(str(self.engine.data), str(problem))
                    self.assertTrue(self.disk.fired(label))
                self.disk.set()
                self.engine.start()
                self.assertEqual(len(self.engine.elements(recording=recording)), 100)

    def test_a_manifest_that_cannot_be_read_at_the_start_hides_nothing_else_and_comes_back(self):
        self.start()
        first, second = self.recorded("first", 10), self.recorded("second", 20)
        self.engine.kill()
        self.disk.set(("open", f"*/{first}/manifest.msgpack", 1, 0, "EIO"))
        self.engine.start()
        self.assertEqual(self.engine.ask("recording.describe", recording=first)["state"], "FAILED")
        self.assertEqual(len(self.engine.elements(recording=second)), 20)
        self.engine.kill()
        self.disk.set()
        self.engine.start()
        self.assertEqual(self.engine.ask("recording.describe", recording=first)["state"], "CANCELLED")
        self.assertEqual(len(self.engine.elements(recording=first)), 10)


if __name__ == "__main__":
    unittest.main()
