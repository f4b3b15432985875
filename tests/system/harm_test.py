"""What may happen to the files of a recording: they are cut off, a bit in them flips, they become large. The engine itself is started on
them. Which bytes and bits is chosen by a seed that a failure prints; REPRISE_SEED sets it. Every byte and every bit is tried by the unit
tests (recovery_cuts_test, verify_test, replay_damage_test).
"""
import os
import random
import shutil
import time
import unittest

import msgpack

from disk import Disk
from engine import PATIENCE, PUSH, Engine, Producer, Refused, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
CUTS = 12
FLIPS = 60


def crc32c(*parts):
    """Castagnoli's, which each record carries."""
    sum_ = 0xffffffff
    for part in parts:
        for byte in part:
            sum_ ^= byte
            for _ in range(8):
                sum_ = sum_ >> 1 ^ 0x82f63b78 * (sum_ & 1)
    return sum_ ^ 0xffffffff


class Harm(unittest.TestCase):
    def start(self, *flags, env=None):
        self.engine = Engine(*flags, env=env)
        self.addCleanup(self.engine.remove)
        self.random = random.Random(SEED)

    def producer(self, *args, **fields):
        producer = Producer(self.engine, *args, **fields)
        self.addCleanup(producer.close)
        return producer

    def record(self, batches, **limits):
        """Two streams, a record for each batch; the recording's folder."""
        sources = [source("A", PUSH, "a"), source("B", PUSH, "b")]
        self.engine.run(pipeline("harmed", *sources), limits={"duration_ms": None, **limits})
        producers = [self.producer("harmed", tag, tag, size=3) for tag in "AB"]
        for batch in range(1, batches + 1):
            for producer in producers:
                producer.push(batch, window=1)
        recording = self.engine.ask("job.describe", pipeline="harmed")["recording"]
        return producers, recording, self.engine.data / "recordings" / recording

    def assert_prefix(self, elements, producers):
        """They are the first of what each producer sent. Returns how many batches of each, whole ones."""
        counts = []
        for producer in producers:
            mine = [one for one in elements if one[0] == producer.tag]
            self.assertEqual(mine, producer.expected(producer.acked)[:len(mine)])
            self.assertEqual(len(mine) % producer.size, 0)
            counts.append(len(mine) // producer.size)
        return counts

    def test_a_recording_cut_anywhere_is_what_it_was_up_to_a_whole_record(self):
        self.start("--segment-bytes", "8192")
        producers, recording, folder = self.record(60)
        self.engine.kill()
        last = self.engine.segments(recording)[-1]
        whole, copy = last.read_bytes(), self.engine.folder / "copy"
        shutil.copytree(folder, copy)
        ends, records = [0], msgpack.Unpacker(max_buffer_size=0)
        records.feed(whole)
        ends += [records.tell() for _ in records]
        for cut in [0, 1, ends[1] - 1, ends[1], len(whole) - 1] + self.random.sample(range(len(whole)), CUTS):
            with self.subTest(seed=SEED, cut=cut):
                shutil.rmtree(folder)
                shutil.copytree(copy, folder)
                last.write_bytes(whole[:cut])
                self.engine.start()
                self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
                events = self.engine.replay(recording=recording, follow=False)
                told = [event["what"] for event, _ in events if event["event"] == "gap"]
                torn = cut - max(end for end in ends if end <= cut)
                cut_off = f", and {torn} bytes at its end were cut off" if torn else ""
                self.assertEqual(told, [f"the engine was restarted{cut_off}"])
                elements = [[event["tag"], *one] for event, some in events for one in some or []]
                for producer, batches in zip(producers, self.assert_prefix(elements, producers)):
                    again = self.producer("harmed", producer.tag, producer.name, size=3)
                    again.attach()
                    self.assertEqual(again.attached["next_seq"], batches + 1)
                    again.push(61)
                self.assertEqual(self.assert_prefix(self.engine.elements(recording=recording, follow=False),
                                                    [self.sent(producer, 61) for producer in producers]), [61, 61])
                self.engine.kill()

    def sent(self, producer, batches):
        producer.acked = batches
        return producer

    def finished(self, batches):
        """As `record`, ended; with all that a replay says."""
        producers, recording, folder = self.record(batches)
        for producer in producers:
            producer.done()
        self.assertEqual(self.engine.wait("harmed")["state"], "DONE")
        replayed = self.engine.replay(recording=recording)
        deadline = time.monotonic() + PATIENCE
        while (folder / ".manifest.msgpack.next").exists():  # until it is on the disk
            self.assertLess(time.monotonic(), deadline, "the manifest does not take its place")
            self.engine.ask("engine.info")
        return recording, folder, replayed

    @staticmethod
    def flip(path, bit):
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        with open(path, "r+b") as file:  # the file stays the one that is mapped
            file.write(data)

    def test_a_flipped_bit_is_reported_by_verify_and_ends_the_replay_that_comes_to_it(self):
        self.start("--segment-bytes", "4096")
        recording, folder, whole = self.finished(60)
        whole = [(({**event, "replay": 0}), elements) for event, elements in whole]
        segments = self.engine.segments(recording)
        self.assertGreater(len(segments), 2)
        for _ in range(FLIPS):
            path = self.random.choice(segments)
            bit = self.random.randrange(8 * path.stat().st_size)
            with self.subTest(seed=SEED, path=path.name, bit=bit):
                self.flip(path, bit)
                verified = self.engine.ask("recording.verify", recording=recording)
                self.assertFalse(verified["intact"])
                self.assertEqual(verified["damage"][0]["segment"], path.name)
                self.assertLessEqual(verified["damage"][0]["offset"], bit // 8)
                *events, (end, _) = self.engine.replay(recording=recording)
                self.assertEqual(end["reason"], "corrupt")
                self.assertIn(path.name, end["error"])
                self.assertEqual([(({**event, "replay": 0}), elements) for event, elements in events], whole[:len(events)])
                self.flip(path, bit)
        self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
        self.assertEqual([(({**event, "replay": 0}), elements) for event, elements in self.engine.replay(recording=recording)], whole)

    def test_a_flipped_bit_of_the_manifest_is_reported_and_nothing_is_replayed_by_it(self):
        self.start()
        recording, folder, _ = self.finished(5)
        path = folder / "manifest.msgpack"
        for _ in range(4):
            bit = self.random.randrange(8 * path.stat().st_size)
            with self.subTest(seed=SEED, bit=bit):
                self.flip(path, bit)
                verified = self.engine.ask("recording.verify", recording=recording)
                self.assertEqual((verified["intact"], verified["damage"][0]["segment"]), (False, path.name))
                self.engine.restart()
                described = self.engine.ask("recording.describe", recording=recording)
                self.assertEqual(described["state"], "FAILED")
                self.assertFalse(self.engine.ask("recording.verify", recording=recording)["intact"])
                with self.assertRaises(Refused) as caught:
                    self.engine.replay(recording=recording)
                self.assertEqual(caught.exception.error["code"], "corrupt")
                self.assertIn(path.name, caught.exception.error["message"])
                self.assertTrue(self.engine.ask("job.needed", pipeline="harmed")["needed"])
                self.flip(path, bit)
                self.engine.restart()
                self.assertFalse(self.engine.ask("job.needed", pipeline="harmed")["needed"])

    def await_checkpoint(self, folder, last):
        """It follows the acknowledgements."""
        deadline = time.monotonic() + PATIENCE
        while self.checkpoint(folder) != (int(last.stem), last.stat().st_size):
            self.assertLess(time.monotonic(), deadline, "the checkpoint does not reach the end")
            self.engine.ask("engine.info")

    def lack(self, producers, folder, last):
        """Without anybody who waits for the disk, it is asked for each segment that was left, and has then what there is by then."""
        deadline = time.monotonic() + PATIENCE
        while self.checkpoint(folder)[0] != int(last.stem):
            self.assertLess(time.monotonic(), deadline, "the checkpoint does not reach the last segment")
            self.engine.ask("engine.info")
        for producer in producers:
            producer.push(401, window=1)

    @staticmethod
    def checkpoint(folder):
        checkpoint = msgpack.unpackb((folder / "checkpoint.msgpack").read_bytes()[:-5])
        return checkpoint["segment"], checkpoint["length"]

    def lose_power(self, folder, random):
        """What the disk did not have for sure is there or not, by the page, and at least one is not; and the machine has started anew."""
        path = folder / "checkpoint.msgpack"
        map_ = path.read_bytes()[:-5]
        map_ = map_.replace(msgpack.unpackb(map_)["run"].encode(), b"0" * 32)
        path.write_bytes(map_ + b"\xce" + crc32c(map_).to_bytes(4, "big"))
        last, length = self.checkpoint(folder)
        safe, pages, before = 0, [], 0
        for segment in sorted(folder.glob("*.seg")):
            number, size = int(segment.stem), segment.stat().st_size
            begin = 0 if number > last else length if number == last else size
            safe += begin
            for page in range(begin // 4096 * 4096, size, 4096):
                at = max(page, begin)
                if at < size:
                    pages.append((segment, at, min(page + 4096, size), before + at))
            before += size
        holes = [page for page in pages if random.random() < 0.4] or pages[-1:]
        for segment, at, end, _ in holes:
            with open(segment, "r+b") as file:
                file.seek(at)
                file.write(bytes(end - at))
        return safe, holes[0][-1] if holes else before, len(holes)  # the second: where the first is, counted over all segments

    def test_a_machine_that_lost_its_power_ends_the_recording_at_its_first_hole(self):
        for durability in "sync", "interval", "async":
            with self.subTest(seed=SEED, durability=durability):
                self.start("--durability", durability, "--segment-bytes", "65536")
                producers, recording, folder = self.record(400)
                if durability == "sync":
                    self.await_checkpoint(folder, self.engine.segments(recording)[-1])
                if durability == "async":
                    self.lack(producers, folder, self.engine.segments(recording)[-1])
                self.engine.kill()
                safe, hole, harmed = self.lose_power(folder, self.random)
                self.assertTrue(harmed > 0 or durability != "async")
                self.engine.start()
                self.assertTrue(self.engine.ask("job.describe", pipeline="harmed")["is_running"])
                self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
                events = self.engine.replay(recording=recording, follow=False)
                told = [event["what"] for event, _ in events if event["event"] == "gap"]
                self.assertEqual(len(told), 1)
                self.assertEqual("were cut off" in told[0], harmed > 0)
                kept = sum(one.stat().st_size for one in self.engine.segments(recording))
                self.assertGreaterEqual(kept, safe)
                self.assertLess(hole - kept, 1000)  # a record, at most
                elements = [[event["tag"], *one] for event, some in events for one in some or []]
                batches = self.assert_prefix(elements, producers)
                if durability == "sync":
                    self.assertEqual(batches, [400, 400])
                for producer, before in zip(producers, batches):
                    again = self.producer("harmed", producer.tag, producer.name, size=3)
                    again.attach()
                    self.assertEqual(again.attached["next_seq"], before + 1)
                    again.push(410)
                self.assertEqual(self.assert_prefix(self.engine.elements(recording=recording, follow=False),
                                                    [self.sent(producer, 410) for producer in producers]), [410, 410])

    def grow(self, recording, count, size):
        """Puts `count` segments of `size` bytes, all holes, after the first one, and has the last one's header tell of them."""
        first, last = self.engine.segments(recording)[0], self.engine.segments(recording)[-1]
        for number in range(1, count + 1):
            with open(first.with_name(f"{number:012d}.seg"), "wb") as file:
                file.truncate(size)
        whole, records = last.read_bytes(), msgpack.Unpacker(max_buffer_size=0)
        records.feed(whole)
        header = next(records)
        rest = whole[records.tell():]
        body = msgpack.unpackb(header[7])
        body["bytes"] += count * size
        body = msgpack.packb(body)
        before, after = whole[:31], whole[35:40] + header[6] + b"\xc6" + len(body).to_bytes(4, "big") + body
        last.write_bytes(before + crc32c(before, after).to_bytes(4, "big") + after + rest)

    def test_ten_gigabytes_are_ready_again_without_being_read(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.start("--segment-bytes", "16384", env=disk.env)
        self.engine.ask("options.set", recording_size_limit=None)
        producers, recording, _ = self.record(250)
        self.engine.kill()
        self.assertGreater(len(self.engine.segments(recording)), 2)
        self.grow(recording, 80, 128 << 20)
        last = self.engine.segments(recording)[-1]
        size = last.stat().st_size
        disk.set(("read", "*.seg", 1, 0, "watch"), ("mmap", "*.seg", 1, 0, "watch"))
        self.engine.start()
        self.assertEqual([(call, size, path) for _, call, size, path in disk.fired()], [("mmap", size, str(last))])
        job = self.engine.ask("job.describe", pipeline="harmed")
        self.assertTrue(job["is_running"])
        self.assertGreater(job["bytes"], 10e9)
        for producer in producers:
            producer.attached = None
            producer.push(260)
        self.assertEqual([path for *_, path in disk.fired()], [str(last)])


if __name__ == "__main__":
    unittest.main()
