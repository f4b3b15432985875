"""kill -9 in mid-recording loses nothing that was acknowledged.

The moments are random, from a seed that a failure prints; REPRISE_SEED sets it.
"""
import os
import random
import subprocess
import unittest

import msgpack

from engine import BUILD, GENERATOR, PATIENCE, PUSH, Engine, Producer, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
CRASHES = 6


class Crash(unittest.TestCase):
    def start(self, *flags):
        self.engine = Engine(*flags)
        self.addCleanup(self.engine.remove)

    def producer(self, *args, **fields):
        producer = Producer(self.engine, *args, **fields)
        self.addCleanup(producer.close)
        return producer

    def verified(self, name):
        """What `reprise verify` says, which must be that all is well."""
        said = subprocess.run([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], "verify", name],
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((said.returncode, said.stderr), (0, ""), said.stdout)
        return said.stdout

    def crash_at_random_moments(self, *flags):
        moments = random.Random(SEED)
        with self.subTest(seed=SEED, flags=flags):
            self.start(*flags)
            sources = [source("A", PUSH, "a"), source("B", PUSH, "b"), source("Numbers", GENERATOR, {"rate": 5000, "size": 200})]
            job = self.engine.run(pipeline("clicks", *sources), limits={"duration_ms": 3600000})["job"]
            producers = [self.producer("clicks", "A", "first"), self.producer("clicks", "A", "second"),
                         self.producer("clicks", "B", "third")]
            for _ in range(CRASHES):
                for producer in moments.sample(producers, len(producers)):
                    producer.push(producer.acked + moments.randrange(1, 60), window=moments.randrange(1, 40))
                    for _ in range(moments.randrange(30)):
                        producer.attached and producer.send()  # may be written, or half written, when it dies
                self.engine.restart()
                for producer in producers:
                    producer.attached = None  # it would find out by itself, by the engine's silence
                self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
                recording = self.engine.ask("job.describe", job=job)["recording"]
                self.assertIn("intact", self.verified(recording))
            for producer in producers:
                producer.push(producer.acked + 10)
            self.engine.ask("job.cancel", job=job)
            self.engine.wait("clicks")
            self.check(recording, producers)

    def check(self, recording, producers):
        """Each element that was acknowledged is there once, in its producer's order; the generator goes on without a hole."""
        elements = self.engine.elements(recording=recording)
        for producer in producers:
            mine = [one for one in elements if one[0] == producer.tag and one[2].startswith(producer.name.encode())]
            self.assertEqual(mine, producer.expected(producer.acked))
        times = [time for tag, time, _ in elements if tag == "Numbers"]
        self.assertGreater(len(times), 10)
        self.assertEqual({later - sooner for sooner, later in zip(times, times[1:])}, {200})
        described = self.engine.ask("recording.describe", recording=recording)
        self.assertEqual(described["elements"], len(elements))
        self.assertGreaterEqual(len(described["gaps"]), CRASHES)
        self.assertIn("intact", self.verified(recording))
        self.assertEqual(self.engine.replay(recording=recording)[-1][0]["digest"], described["digest"])
        times = [record["at"] for record in self.engine.records(recording)]
        self.assertEqual(times, sorted(times))

    def test_nothing_acknowledged_is_lost_when_the_engine_is_killed_at_random_moments(self):
        self.crash_at_random_moments()

    def test_nothing_acknowledged_is_lost_with_sync_and_small_segments(self):
        self.crash_at_random_moments("--durability", "sync", "--segment-bytes", "65536")

    def test_a_count_is_exact_across_crashes(self):
        self.start()
        self.engine.run(pipeline("counted", source("Read", PUSH)), limits={"count": 1005})
        producer = self.producer("counted")
        for batches in (10, 40):
            producer.push(batches)
            self.engine.restart()
        producer.push(1000)
        self.assertEqual((producer.stopped["reason"], producer.stopped["accepted"], producer.acked), ("count", 5, 100))
        self.assertEqual(self.engine.wait("counted")["elements"], 1005)
        self.assertEqual(self.engine.elements(pipeline="counted"), producer.expected(101)[:1005])

    def test_a_torn_tail_is_cut_off_and_told_and_damage_before_valid_records_is_not_passed_over(self):
        self.start()
        self.engine.run(pipeline("torn", source("Read", PUSH)))
        producer = self.producer("torn")
        producer.push(20, window=1)
        recording = self.engine.ask("job.describe", pipeline="torn")["recording"]
        self.engine.kill()
        segment = self.engine.segments(recording)[-1]
        whole = segment.read_bytes()
        segment.write_bytes(whole[:-3])
        self.engine.start()
        self.assertIn("intact", self.verified(recording))
        elements = self.engine.elements(recording=recording, follow=False)
        self.assertEqual(elements, producer.expected(20)[:len(elements)])
        self.assertLess(len(elements), 200)
        gaps = self.engine.ask("recording.describe", pipeline="torn")["gaps"]
        records = msgpack.Unpacker(max_buffer_size=0)
        records.feed(whole[:-3])
        for _ in records:
            last = records.tell()
        told = f"the engine was restarted, and {len(whole) - 3 - last} bytes at its end were cut off"
        self.assertEqual([(gap["what"], gap["element"]) for gap in gaps], [(told, len(elements))])

        self.engine.kill()
        segment.write_bytes(whole[:len(whole) // 2] + b"\xc1" + whole[len(whole) // 2 + 1:])
        self.engine.start()
        job = self.engine.ask("job.describe", pipeline="torn")
        self.assertEqual((job["state"], job["stop_reason"]), ("FAILED", "error"))
        self.assertRegex(job["error"], r"000000000000\.seg")
        self.assertFalse(self.engine.ask("recording.verify", recording=recording)["intact"])
        self.assertEqual(self.engine.replay(recording=recording)[-1][0]["reason"], "corrupt")

    def test_a_second_engine_on_the_same_folder_ends_with_3(self):
        self.start()
        second = subprocess.run([BUILD / "reprised", "--data", self.engine.data, "--port", "20000"], capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual((second.returncode, second.stdout), (3, ""))
        self.assertIn(str(self.engine.data), second.stderr)
        self.assertIn(str(self.engine.process.pid), second.stderr)


if __name__ == "__main__":
    unittest.main()
