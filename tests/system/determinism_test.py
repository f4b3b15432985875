"""Two replays of one recording are the same, byte for byte: frames are compared as they came from the socket, not what they mean.

The recording has all that one can have: sources inside and outside, several producers of one stream, two tags of one stream, large
batches and small ones, attributes, watermarks, gaps, several segments, and a restart in the middle.
"""
import random
import subprocess
import threading
import unittest

import msgpack
import zmq

from engine import BUILD, GENERATOR, PATIENCE, PUSH, ROOT, Engine, Producer, pipeline, source

NODE = ROOT / "docs" / "clients" / "node"
FRAMES = ROOT / "tests" / "system" / "frames" / "frames.mjs"
PONG = msgpack.packb({"op": "pong"})
MUCH = 1 << 40


class Sender(Producer):
    """Batches of all sizes, some of which are a record by themselves, with attributes and watermarks, and gaps before some."""

    def body(self, seq):
        size = 40000 if seq % 5 == 0 else 20
        return [[1700000000000000 + 1000 * seq + number, f"{self.name} {seq} {number} ".encode() * (size // 20), {"seq": str(seq)}]
                for number in range(self.size)]

    def send(self):
        self.sent += 1
        gap = {"gap": "the broker was away", "lost_us": self.sent} if self.sent % 7 == 0 else {}
        self.connection.send("source.batch", msgpack.packb(self.body(self.sent)), source=self.attached["source"], tag=self.tag,
                             seq=self.sent, watermark=1700000000000000 + 1000 * self.sent, cursor=[self.sent], **gap)


class Stream:
    """A replay by itself on a connection, as frames; `bytes` is the credit that is given at a time."""

    def __init__(self, engine, credit=MUCH, **ask):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(engine.endpoints["test_stream"])
        self.credit, self.frames = credit, []
        self.socket.send(msgpack.packb({"op": "replay.open", "credit": credit, **ask}))
        answer = msgpack.unpackb(self.receive()[0])
        assert answer.get("ok") and answer["replay"] == 1, answer

    def receive(self):
        while True:
            if not self.socket.poll(PATIENCE * 1000):
                raise TimeoutError("the test stream is silent")
            frames = self.socket.recv_multipart()
            if msgpack.unpackb(frames[0]) != {"op": "ping"}:
                return frames
            self.socket.send(PONG)

    def read(self, events=None):
        """All frames up to and with the end, or of so many events more."""
        count = 0
        while count != events and (not self.frames or msgpack.unpackb(self.frames[-1][0])["event"] != "end"):
            self.frames.append(self.receive())
            self.socket.send(msgpack.packb({"op": "replay.credit", "replay": 1, "bytes": sum(map(len, self.frames[-1]))}))
            count += 1
        return self.frames

    def close(self):
        self.socket.close()


def event_of(frames):
    return msgpack.unpackb(frames[0])


class Determinism(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = Engine("--segment-bytes", "1000000")
        cls.addClassCleanup(cls.engine.remove)
        sources = [source("A", PUSH, "a"), source("Also A", PUSH, "a"), source("B", PUSH, "b"),
                   source("Numbers", GENERATOR, {"rate": 3000, "size": 100})]
        cls.engine.run(pipeline("all", *sources))
        producers = [Sender(cls.engine, "all", tag, name, size=8) for tag, name in (("A", "first"), ("Also A", "second"), ("B", "third"))]
        live = Stream(cls.engine, recording=cls.engine.ask("job.describe", pipeline="all")["recording"])
        for batches in range(3, 40, 4):
            if batches == 19:
                live.read(20)
                cls.engine.restart()
                for producer in producers:
                    producer.attached = None
            for producer in producers:
                producer.push(batches, window=3)
        # One that follows from the beginning; the first half of it came before the restart.
        cls.recording = cls.engine.ask("job.describe", pipeline="all")["recording"]
        follower = Stream(cls.engine, recording=cls.recording)
        follower.read(50)
        for producer in producers:
            producer.push(45)
        follower.read(10)
        cls.engine.ask("job.cancel", pipeline="all")
        cls.engine.wait("all")
        cls.before_restart, cls.followed = live.frames, follower.read()
        for one in (live, follower, *producers):
            one.close()
        cls.whole = cls.read()

    @classmethod
    def read(cls, **ask):
        stream = Stream(cls.engine, **{"recording": cls.recording, **ask})
        try:
            return stream.read()
        finally:
            stream.close()

    def assert_same(self, frames, expected=None):
        """Two lists of frames. Where they differ, the first difference is shown, not megabytes."""
        expected = self.whole if expected is None else expected
        for number, (one, other) in enumerate(zip(frames, expected)):
            if one != other:
                self.fail(f"event {number} is {event_of(one)}, not {event_of(other)}")
        self.assertEqual(len(frames), len(expected))

    def test_everything_is_in_it(self):
        events = [event_of(frames) for frames in self.whole]
        self.assertEqual({event["event"] for event in events}, {"elements", "watermark", "processing_time", "gap", "end"})
        self.assertEqual({event["tag"] for event in events if "tag" in event}, {"A", "Also A", "B", "Numbers"})
        self.assertGreater(len(self.engine.segments(self.recording)), 2)
        self.assertTrue(any(event["what"].startswith("the engine was restarted") for event in events if event["event"] == "gap"))
        self.assertTrue(any("tag" in event for event in events if event["event"] == "gap"))
        self.assertEqual(events[-1]["digest"], self.engine.ask("recording.describe", recording=self.recording)["digest"])

    def test_today_and_tomorrow(self):
        for _ in range(3):
            self.assert_same(self.read())
            self.engine.restart()
        self.assert_same(self.read())

    def test_followed_while_it_grew(self):
        self.assert_same(self.followed)
        self.assertGreater(len(self.before_restart), 19)
        self.assert_same(self.before_restart, self.whole[:len(self.before_restart)])

    def test_at_any_rate(self):
        for rate in (3, 20, 1000):
            with self.subTest(rate=rate):
                self.assert_same(self.read(rate=rate))

    def test_with_any_credit(self):
        for credit in (1, 5000, 300000):
            with self.subTest(credit=credit):
                self.assert_same(self.read(credit=credit))

    def test_while_others_read(self):
        results = []

        def read(number):
            results.append(self.read(credit=(1, 1000, MUCH)[number % 3], rate=(0, 50)[number % 2]))
        threads = [threading.Thread(target=read, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(results), 12)
        for frames in results:
            self.assert_same(frames)

    def test_in_any_language(self):
        request = msgpack.packb({"op": "replay.open", "recording": self.recording, "credit": MUCH}).hex()
        endpoint = self.engine.endpoints["test_stream"]
        for words in ([BUILD / "tests" / "frames-c", endpoint, request],
                      ["node", "--input-type=module", "-e", FRAMES.read_text(), endpoint, request]):
            with self.subTest(client=words[0]):
                done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, cwd=NODE)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                lines = [bytes.fromhex(line) for line in done.stdout.splitlines()[1:]]  # the first is the answer
                self.assertTrue(lines == [frame for frames in self.whole for frame in frames], "the frames differ")

    def test_of_some_tags(self):
        for tags in (["B"], ["Numbers", "A"], ["Also A"]):
            with self.subTest(tags=tags):
                frames = self.read(tags=tags)
                self.assert_same(self.read(tags=tags[::-1], credit=1), frames)
                mine = [one for one in self.whole if event_of(one).get("tag") in (*tags, None) and
                        event_of(one)["event"] in ("elements", "watermark", "gap")]
                self.assert_same([one for one in frames if event_of(one)["event"] in ("elements", "watermark", "gap")], mine)

        def clock(frames):
            return sum(event_of(one).get("advance_us", 0) for one in frames[:1 + max(
                number for number, one in enumerate(frames) if event_of(one).get("tag") == "B" and "to" not in event_of(one))])
        self.assertEqual(clock(self.read(tags=["B"])), clock(self.whole))

    def test_from_anywhere_the_rest_is_the_same(self):
        count = event_of(self.whole[-1])["elements"]
        places = random.Random(count)
        starts = [event_of(one)["element"] for one in self.whole if event_of(one)["event"] == "elements"]
        everything = [one for frames in self.whole if len(frames) > 1 for one in self.numbered(frames)]
        for element in [1, starts[5], starts[-1], *(places.randrange(max(starts)) for _ in range(12))]:
            with self.subTest(element=element):
                frames = self.read(**{"from": {"element": element}})
                last = max(number for number, one in enumerate(frames) if event_of(one).get("element") == element)
                rest = frames[last + 1:-1]  # before that it can be a part of a record, for each of its tags; the end has no digest
                self.assert_same(rest, self.whole[len(self.whole) - 1 - len(rest):-1])
                mine = [one for some in frames if len(some) > 1 for one in self.numbered(some)]
                self.assertTrue(mine == [one for one in everything if one[0] >= element])

    @staticmethod
    def numbered(frames):
        """The elements of an event, each with its number in the recording and its tag."""
        event = event_of(frames)
        return [(event["element"] + number, event["tag"], element) for number, element in enumerate(msgpack.unpackb(frames[1]))]

    def test_up_to_a_limit_it_is_the_beginning(self):
        count = event_of(self.whole[-1])["elements"]
        for limit in (1, count // 3, count - 1):
            with self.subTest(limit=limit):
                frames = self.read(max_elements=limit)
                last = max(number for number, one in enumerate(frames) if len(one) > 1)
                self.assert_same(frames[:last], self.whole[:last])
                self.assertEqual(sum(event_of(one)["count"] for one in frames if len(one) > 1), limit)
                self.assert_same(self.read(max_elements=limit, credit=1, follow=False), frames)

    def test_after_a_seek_to_the_beginning_it_is_the_same(self):
        stream = Stream(self.engine, recording=self.recording, credit=1)
        self.addCleanup(stream.close)
        stream.read(30)
        stream.socket.send(msgpack.packb({"op": "replay.pause", "replay": 1}))
        while "ok" not in event_of(stream.receive()):
            pass
        stream.socket.send(msgpack.packb({"op": "replay.seek", "replay": 1, "element": 0}))
        stream.receive()
        stream.frames = []
        stream.socket.send(msgpack.packb({"op": "replay.resume", "replay": 1}))
        stream.receive()
        stream.socket.send(msgpack.packb({"op": "replay.credit", "replay": 1, "bytes": MUCH}))
        frames = stream.read()
        self.assert_same(frames[:-1], self.whole[:-1])
        self.assertNotIn("digest", event_of(frames[-1]))


if __name__ == "__main__":
    unittest.main()
