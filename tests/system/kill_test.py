"""kill -9 under full load, at random moments: no acknowledged element is lost, and none is there twice.

All the while producers send as fast as they are acknowledged, some one element at a time and some a hundred, to several streams, while
sources inside the engine record others. In the end every element is read by its own number. REPRISE_CRASHES says how often the engine is
killed (20), REPRISE_SEED when: a failure prints it.
"""
import os
import queue
import random
import unittest

from campaign_load import Feeder
from engine import FILE, GENERATOR, PATIENCE, PUSH, Engine, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
CRASHES = int(os.environ.get("REPRISE_CRASHES") or 20)
VERIFY_EACH = 10  # crashes
STEP_US = 50  # between the generator's elements


class Kill(unittest.TestCase):
    name = "load"

    def start(self, *flags):
        self.engine = Engine(*flags)
        self.addCleanup(self.engine.remove)
        self.lines = 0
        self.file = open(self.engine.folder / "lines", "w", encoding="ascii")
        self.addCleanup(self.file.close)
        sources = [source("One", PUSH, "one"), source("Many", PUSH, "many"), source("Both", PUSH, "both"),
                   source("Numbers", GENERATOR, {"rate": 1000000 // STEP_US, "size": 50}),
                   source("Lines", FILE, {"path": str(self.engine.folder / "lines")})]
        self.engine.ask("options.set", recording_size_limit=None)
        self.job = self.engine.run(pipeline("load", *sources), limits={"duration_ms": None})["job"]
        self.recording = self.engine.ask("job.describe", job=self.job)["recording"]
        self.heard = queue.Queue()
        self.loads = [Feeder(self, *kind) for kind in (("One", "single", 1, 200), ("Many", "batched", 100, 20), ("Both", "first", 1, 50),
                                                       ("Both", "second", 30, 10), ("One", "slow", 1, 1))]
        for load in self.loads:
            self.addCleanup(load.producer.close)
            load.producer.ask_s = 0.3
            load.start()
        self.addCleanup(lambda: [load.over.set() for load in self.loads])

    def write_lines(self, count):
        self.file.writelines(f"line {number}\n" for number in range(self.lines, self.lines + count))
        self.file.flush()
        self.lines += count

    def await_acks(self, count):
        for _ in range(count):
            load = self.heard.get(timeout=PATIENCE)
            if load.problem:
                raise load.problem

    def kill_under_load(self, crashes, *flags):
        moments = random.Random(SEED)
        with self.subTest(seed=SEED, flags=flags):
            self.start(*flags)
            for crash in range(1, crashes + 1):
                self.write_lines(moments.randrange(500))
                self.await_acks(moments.randrange(1, 300))
                self.engine.restart()
                for load in self.loads:
                    load.process_died()
                self.assertTrue(self.engine.ask("job.describe", job=self.job)["is_running"])
                if crash % VERIFY_EACH == 0:
                    self.assertTrue(self.engine.ask("recording.verify", recording=self.recording)["intact"])
            self.await_acks(10 * len(self.loads))
            for load in self.loads:
                load.over.set()
            for load in self.loads:
                load.join(2 * PATIENCE)
                self.assertEqual((load.is_alive(), load.problem), (False, None))
            self.await_lines()
            self.engine.ask("job.cancel", job=self.job)
            self.engine.wait("load")
            self.check(crashes)

    def await_lines(self):
        """A replay of the lines has as many as were written."""
        elements = self.engine.replay(recording=self.recording, tags=["Lines"], max_elements=self.lines)
        self.assertEqual(elements[-1][0]["reason"], "limit")

    def check(self, crashes):
        """Each producer's elements are those that it sent, once each and in its order; what the engine read itself has no hole."""
        numbers = {load.producer.name: 0 for load in self.loads}
        times, lines = [], 0
        for tag, time, data in self.engine.elements(recording=self.recording):
            if tag == "Numbers":
                times.append(time)
            elif tag == "Lines":
                self.assertEqual(data, b"line %d" % lines)
                lines += 1
            else:
                name, number = data.split()
                self.assertEqual(int(number), numbers[name.decode()], name)
                numbers[name.decode()] += 1
        for load in self.loads:
            self.assertEqual(numbers[load.producer.name], load.producer.acked * load.producer.size, load.producer.name)
        self.assertEqual(lines, self.lines)
        self.assertEqual(times, list(range(times[0], times[0] + STEP_US * len(times), STEP_US)))
        described = self.engine.ask("recording.describe", recording=self.recording)
        self.assertEqual(described["elements"], sum(numbers.values()) + lines + len(times))
        self.assertGreaterEqual(len(described["gaps"]), min(crashes, 1000))  # no more are listed
        self.assertTrue(self.engine.ask("recording.verify", recording=self.recording)["intact"])
        print(f"\n{crashes} times killed: {sum(numbers.values())} elements pushed, {lines} lines, {len(times)} numbers, "
              f"{described['size']} bytes: none lost, none twice")

    def test_under_full_load(self):
        self.kill_under_load(CRASHES - CRASHES // 2, "--segment-bytes", "4000000")

    def test_under_full_load_with_sync(self):
        self.kill_under_load(CRASHES // 2, "--durability", "sync", "--segment-bytes", "1000000")


if __name__ == "__main__":
    unittest.main()
