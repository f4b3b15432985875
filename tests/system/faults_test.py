"""The disk fails: calls of the real engine are answered with errors, cut short, or are the last thing it does.

Whatever fails, all that was acknowledged is there, each request is answered, the job says which file it was, and the next start finds
everything in order. What fails and passes, and may safely be tried again, is not noticed at all.
"""
import os
import random
import resource
import time
import unittest

import msgpack

from disk import Disk
from engine import PATIENCE, PUSH, Engine, Producer, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
RANDOM_FAULTS = int(os.environ.get("REPRISE_FAULT_ROUNDS") or 12)
SMALL = ("--segment-bytes", "8192")
SYNC = ("--durability", "sync")

# What a job does not notice: (flags, rules).
PASSING = {
    "a write takes a part": (SMALL, [("write", "*.seg", 3, 0, "short:100")]),
    "a write takes a byte": (SYNC, [("write", "*.seg", 2, 40, "short:1")]),
    "a write is interrupted": (SMALL, [("write", "*.seg", 2, 5, "EINTR")]),
    "space cannot be set aside here": (SMALL, [("fallocate", "*.seg", 1, 0, "EOPNOTSUPP")]),
    "setting space aside is interrupted": (SMALL, [("fallocate", "*.seg", 1, 1, "EINTR")]),
    "the manifest is interrupted": (SMALL, [("write", "*/.manifest.msgpack.new", 1, 2, "EINTR")]),
    "the manifest is written in parts": (SMALL, [("write", "*/.manifest.msgpack.new", 1, 9, "short:7")]),
}

# What fails the job: (flags, rules, what its error names).
FAILING = {
    "a full disk": (SMALL, [("write", "*.seg", 5, 0, "ENOSPC")], r"cannot append to .*/\d{12}\.seg: No space left"),
    "no space can be set aside": (SMALL, [("fallocate", "*.seg", 1, 0, "ENOSPC")], r"cannot append to .*\.seg: No space left"),
    "over quota": (SMALL, [("write", "*.seg", 2, 0, "EDQUOT")], r"cannot append to .*\.seg: Disk quota exceeded"),
    "one error of a write": (SMALL, [("write", "*.seg", 5, 1, "EIO")], r"cannot append to .*\.seg: Input/output error"),
    "a write takes nothing": (SMALL, [("write", "*.seg", 5, 1, "short:0")], r"cannot append to .*\.seg"),
    "half a record, and it cannot be cut off": (SMALL, [("write", "*.seg", 5, 1, "short:100"), ("write", "*.seg", 6, 1, "EIO"),
                                                        ("ftruncate", "*.seg", 1, 0, "EIO")], r"cannot append to .*\.seg: Input"),
    "a new segment cannot be created": (SMALL, [("open", "*.seg", 1, 0, "EMFILE")], r"cannot (create|sync) .*\.seg: Too many open"),
    "a new segment has no header": (SMALL, [("write", "*/000000000[1-9]*.seg", 1, 0, "ENOSPC")],
                                    r"cannot append to .*\.seg: No space left"),
    "one error of fdatasync": ((), [("fdatasync", "*.seg", 1, 1, "EIO")], r"cannot sync .*\.seg: Input/output error"),
    "one error of fdatasync, with sync": (SYNC, [("fdatasync", "*.seg", 4, 1, "EIO")], r"cannot sync .*\.seg: Input/output error"),
    "each error of fdatasync, with sync": ((*SYNC, *SMALL), [("fdatasync", "*.seg", 9, 0, "ENOSPC")], r"cannot sync .*\.seg: No space"),
    "the name of a segment": ((*SYNC, *SMALL), [("fsync", "*/recordings/*", 1, 0, "EIO")], r"cannot sync .*/recordings/.*: Input/output"),
    "everything": (SMALL, [(call, "*/recordings/*", 1, 0, "EIO") for call in ("write", "open", "fsync", "fdatasync", "rename")],
                   r"/recordings/.*: Input/output error"),
}

# At which call the process dies: (flags, rule).
DEATHS = {
    "in the middle of a record's head": (SMALL, ("write", "*.seg", 4, 1, "kill:17")),
    "in the middle of a body": (SMALL, ("write", "*.seg", 7, 1, "kill:120")),
    "before a record": (SMALL, ("write", "*.seg", 5, 1, "kill:0")),
    "after a record": (SYNC, ("write", "*.seg", 5, 1, "kill:1000000")),
    "before a new segment": (SMALL, ("open", "*/000000000[1-9]*.seg", 1, 1, "kill:0")),
    "in the header of a new segment": (SMALL, ("write", "*/000000000[1-9]*.seg", 1, 1, "kill:33")),
    "after the header of a new segment": (SMALL, ("write", "*/000000000[1-9]*.seg", 1, 1, "kill:1000000")),
    "at an fdatasync": (SYNC, ("fdatasync", "*.seg", 3, 1, "kill:0")),
}


# What goes wrong when a job is cancelled: (flags, rules, what its error names).
ENDING = {
    "the manifest cannot be renamed": (SYNC, [("rename", "*/manifest.msgpack", 1, 1, "EIO")], r"manifest\.msgpack: Input/output"),
    "a full disk": (SMALL, [("write", "*/.manifest.msgpack.new", 1, 3, "ENOSPC")], r"manifest\.msgpack\.new: No space left"),
    "the manifest does not reach the disk": (SYNC, [("fsync", "*/.manifest.msgpack.new", 1, 2, "EIO")], r"manifest\.msgpack\.new: Input"),
    "the closing record": (SMALL, [("write", "*.seg", 1, 1, "EIO")], r"cannot append to .*\.seg: Input/output"),
    "the last fdatasync": (SYNC, [("fdatasync", "*.seg", 1, 1, "EIO")], r"cannot sync .*\.seg: Input/output"),
}


class Faults(unittest.TestCase):
    def start(self, *flags):
        self.disk = Disk()
        self.addCleanup(self.disk.remove)
        self.engine = Engine(*flags, env=self.disk.env)
        self.addCleanup(self.engine.remove)

    def run_some(self, name="faulty"):
        """A job, and a producer that has sent a little."""
        self.engine.run(pipeline(name, source("Read", PUSH)), limits={"duration_ms": None})
        producer = Producer(self.engine, name)
        self.addCleanup(producer.close)
        producer.push(5, window=1)
        return producer, self.engine.ask("job.describe", pipeline=name)["recording"]

    def check(self, producer, recording):
        """All that was acknowledged is there, once, and nothing that was not sent; the recording is sound."""
        self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
        *events, (end, _) = self.engine.replay(recording=recording, follow=False)
        self.assertEqual(end["reason"], "end")
        elements = [[event["tag"], *one] for event, some in events for one in some or []]
        self.assertGreaterEqual(len(elements), producer.acked * producer.size)
        self.assertEqual(elements, producer.expected(producer.sent)[:len(elements)])

    def await_manifest(self, recording, state):
        """The end of a job that the disk did not take at first is written once it does."""
        deadline = time.monotonic() + PATIENCE
        while True:
            records = msgpack.Unpacker(max_buffer_size=0)
            folder = self.engine.data / "recordings" / recording
            try:
                records.feed((folder / ".manifest.msgpack.next").read_bytes())
            except FileNotFoundError:  # none is announced, or it has just got its name
                records.feed((folder / "manifest.msgpack").read_bytes())
            found = next(records)["recording"]["state"]
            if found == state:
                return
            self.assertLess(time.monotonic(), deadline, f"the manifest says {found}")
            self.engine.ask("engine.info")

    def check_failed(self, producer, recording, error):
        """The job has failed by that, for good; another one can be run."""
        job = self.engine.wait("faulty")
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"]), ("FAILED", "error", False))
        self.assertRegex(job["error"], error)
        self.disk.set()
        self.check(producer, recording)
        self.await_manifest(recording, "FAILED")
        self.engine.restart()
        again = self.engine.wait("faulty")
        self.assertEqual((again["job"], again["state"], again["stop_reason"]), (job["job"], "FAILED", "error"))
        self.check(producer, recording)
        run = self.engine.run("faulty")
        self.assertEqual((run["started"], run["reason"]), (True, "job_failed"))
        self.assertIn(self.engine.feed("faulty", "Read", [[[1, b"x"]]]), (None, "sources_ended"))
        self.assertEqual(self.engine.wait("faulty")["state"], "DONE")

    def test_what_passes_is_not_noticed(self):
        for what, (flags, rules) in PASSING.items():
            with self.subTest(what):
                self.start(*flags)
                producer, recording = self.run_some()
                labels = self.disk.set(*rules)
                producer.push(100, window=3)
                producer.done()
                job = self.engine.wait("faulty")
                self.assertEqual((job["state"], job["elements"]), ("DONE", 1000))
                self.assertTrue(all(self.disk.fired(label) for label in labels), "it did not happen")
                self.disk.set()
                self.check(producer, recording)
                self.engine.restart()
                self.check(producer, recording)

    def test_what_does_not_pass_fails_the_job_and_loses_nothing_acknowledged(self):
        for what, (flags, rules, error) in FAILING.items():
            with self.subTest(what):
                self.start(*flags)
                producer, recording = self.run_some()
                labels = self.disk.set(*rules)
                producer.push(1000000, window=3)
                self.assertTrue(self.disk.fired(labels[0]), "it did not happen")
                self.assertEqual(producer.stopped["reason"], "error")
                self.check_failed(producer, recording, error)

    def test_a_file_that_may_not_grow_fails_the_job_and_not_the_engine(self):
        self.start()
        producer, recording = self.run_some()
        resource.prlimit(self.engine.process.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        producer.push(1000000, window=3)
        self.assertEqual(producer.stopped["reason"], "error")
        self.check_failed(producer, recording, r"cannot append to .*\.seg: File too large")

    def test_an_end_that_the_disk_does_not_take_is_a_failure_now_and_later(self):
        for what, (flags, rules, error) in ENDING.items():
            with self.subTest(what):
                self.start(*flags)
                producer, recording = self.run_some()
                labels = self.disk.set(*rules)
                self.engine.ask("job.cancel", pipeline="faulty")
                self.assertTrue(self.disk.fired(labels[0]), "it did not happen")
                self.check_failed(producer, recording, error)

    def test_after_a_failed_fdatasync_nothing_is_acknowledged(self):
        self.start(*SYNC)
        producer, recording = self.run_some()
        label, = self.disk.set(("fdatasync", "*.seg", 1, 1, "EIO"))
        for _ in range(20):
            producer.send()
        while not producer.stopped:
            producer.hear(PATIENCE)
        self.assertEqual(len(self.disk.fired(label)), 1)
        self.assertEqual(producer.acked, 5)
        self.assertNotIn("seq", producer.stopped)
        self.check_failed(producer, recording, "cannot sync")

    def test_a_process_that_dies_in_the_middle_of_a_write_goes_on_after_it(self):
        for what, (flags, rule) in DEATHS.items():
            with self.subTest(what):
                self.start(*flags)
                producer, recording = self.run_some()
                self.disk.set(rule)
                while self.engine.process.poll() is None:
                    producer.send()
                    producer.hear(0.05)
                self.engine.ended()
                self.disk.set()
                self.engine.start()
                self.check(producer, recording)
                producer.attached = None
                producer.push(producer.sent + 100)
                producer.done()
                self.assertEqual(self.engine.wait("faulty")["elements"], producer.acked * producer.size)
                self.check(producer, recording)
                self.assertEqual(len(self.engine.elements(recording=recording)), producer.acked * producer.size)

    def test_faults_at_random(self):
        chance = random.Random(SEED)
        for number in range(RANDOM_FAULTS):
            rules = [(chance.choice(["write", "open", "fdatasync", "fsync", "ftruncate", "fallocate", "rename", "mmap", "read"]),
                      chance.choice(["*.seg", "*.seg", "*manifest*", "*/recordings/*", "*catalog*"]), chance.randrange(1, 40),
                      *chance.choice([(0, "EIO"), (1, "EIO"), (3, "EIO"), (0, "ENOSPC"), (1, "ENOSPC"), (2, "EMFILE"), (3, "EINTR"),
                                      (1, "ENOMEM"), (0, "short:30"), (1, "short:1")]))
                     for _ in range(chance.randrange(1, 4))]
            with self.subTest(seed=SEED, number=number, rules=rules):
                self.start(*chance.choice([(), SMALL, SYNC, (*SYNC, *SMALL)]))
                producer, recording = self.run_some()
                self.disk.set(*rules)
                producer.push(chance.randrange(50, 300), window=chance.randrange(1, 30))
                job = self.engine.ask("job.describe", pipeline="faulty")
                if producer.stopped:
                    job = self.engine.wait("faulty")
                    self.assertEqual(job["state"], "FAILED")
                    self.assertRegex(job["error"], r"/(recordings/|catalog)")
                elif chance.random() < 0.5:
                    self.engine.ask("job.cancel", pipeline="faulty")
                    job = self.engine.wait("faulty")
                self.disk.set()
                self.check(producer, recording)
                if job["state"] != "RUNNING":
                    self.await_manifest(recording, job["state"])
                self.engine.restart()
                self.check(producer, recording)
                again = self.engine.ask("job.describe", job=job["job"])
                if job["state"] == "RUNNING":
                    self.assertEqual(again["state"], "RUNNING")
                    producer.attached = None
                    producer.push(producer.acked + 50)
                    self.check(producer, recording)
                else:
                    self.assertEqual(again["state"], job["state"])


if __name__ == "__main__":
    unittest.main()
