"""Replay clients that do not keep up: they cost the engine next to no memory, whatever is owed to them, and the others nothing at all."""
import re
import time
import unittest

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, PUSH, EngineTest, pipeline, source

SLOW = 60
FEW = 20
MUCH = 1 << 40
ANONYMOUS_MAX = 64 << 20  # of the whole engine
OWED_MAX = 4 << 20        # that wait for one connection in memory
OWED_LEAST = 128 << 10    # and where all together have more than `unread_max`
MARGIN = 24 << 20         # what the allocator keeps, tables that have grown


class Readers(EngineTest):
    """What both have: a long recording, and those who read it or do not."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine.run(pipeline("long", source("Read", GENERATOR, {"rate": 0, "size": 1000, "seed": 3})), limits={"count": 100000})
        cls.recording = cls.engine.wait("long")["recording"]
        cls.whole = cls.read(cls.opened())

    @classmethod
    def opened(cls, credit=MUCH, hwm=1000, **ask):
        """A socket to which a replay comes."""
        socket = zmq.Context.instance().socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, hwm)
        if hwm == 1:
            socket.setsockopt(zmq.RCVBUF, 4096)
        socket.connect(cls.engine.endpoints["test_stream"])
        socket.send(msgpack.packb({"op": "replay.open", "recording": cls.recording, "credit": credit, **ask}))
        return socket

    @classmethod
    def read(cls, socket, ends=1):
        """All that comes to it up to the end, or to so many; then it is closed."""
        frames, deadline = [], time.monotonic() + 2 * PATIENCE
        while True:
            assert time.monotonic() < deadline and socket.poll(PATIENCE * 1000), "the test stream is silent"
            frames.append(socket.recv_multipart())
            message = msgpack.unpackb(frames[-1][0])
            if message == {"op": "ping"}:
                frames.pop()
                socket.send(msgpack.packb({"op": "pong"}))
            ends -= message.get("event") == "end"
            if ends == 0:
                socket.close()
                return frames

    def memory(self):
        """Anonymous, in bytes: what is mapped from the recordings is not the engine's."""
        with open(f"/proc/{self.engine.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def slow_ones(self, count, **how):
        """So many that were sent all that fits on the way to them, and read nothing."""
        sockets = [self.opened(**how) for _ in range(count)]
        for socket in sockets:
            self.addCleanup(socket.close)
            self.assertTrue(socket.poll(PATIENCE * 1000))
        return sockets


class Slow(Readers):
    def test_those_who_do_not_read_cost_neither_memory_nor_the_time_of_others(self):
        before = self.memory()
        slow = self.slow_ones(SLOW, hwm=1)
        for _ in range(3):
            self.assertTrue(self.read(self.opened()) == self.whole, "another one was sent something else")
        grown = self.memory() - before
        self.assertLess(self.memory(), ANONYMOUS_MAX, f"{SLOW} that do not read took {grown} bytes")
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="long")["replays"], 0)  # those were opened by recording
        self.assertTrue(self.read(slow[0]) == self.whole, "the one that was slow was sent something else")
        self.assertTrue(self.read(slow[-1]) == self.whole, "the one that was slow was sent something else")

    def test_those_without_credit_cost_nothing_either(self):
        before = self.memory()
        slow = self.slow_ones(SLOW, credit=100000)
        self.assertTrue(self.read(self.opened()) == self.whole)
        self.assertLess(self.memory(), before + (16 << 20))
        for socket in slow[:3]:
            socket.send(msgpack.packb({"op": "replay.credit", "replay": 1, "bytes": MUCH}))
            self.assertTrue(self.read(socket) == self.whole)

    def test_slow_ones_on_the_connection_of_a_fast_one_do_not_hold_it_up(self):
        socket = self.opened(credit=0)
        self.addCleanup(socket.close)
        for _ in range(SLOW):
            socket.send(msgpack.packb({"op": "replay.open", "recording": self.recording, "credit": 0}))
        for _ in range(1 + SLOW):
            self.assertTrue(socket.poll(PATIENCE * 1000))
            self.assertTrue(msgpack.unpackb(socket.recv())["ok"])
        socket.send(msgpack.packb({"op": "replay.credit", "replay": 1, "bytes": MUCH}))
        self.assertTrue(self.read(socket) == self.whole[1:])  # without the answer

    def test_a_recorder_is_not_held_up_by_those_who_follow_and_do_not_read(self):
        self.engine.run(pipeline("live", source("Read", GENERATOR, {"rate": 0, "size": 1000})), limits={"count": 150000})
        recording = self.engine.ask("job.describe", pipeline="live")["recording"]
        before = self.memory()
        self.slow_ones(SLOW, hwm=1, recording=recording)
        self.assertEqual(self.engine.wait("live")["elements"], 150000)
        self.assertLess(self.memory(), max(before, ANONYMOUS_MAX))


class Unread(Readers):
    def unread_max(self, size):
        before = self.engine.ask("options.get")["unread_max"]
        self.addCleanup(lambda: self.engine.ask("options.set", unread_max=before))
        self.engine.ask("options.set", unread_max=size)

    def fed(self, name, batches, **fields):
        """A recording of such batches of one connection."""
        self.engine.run(pipeline(name, source("Read", PUSH)), limits={"count": sum(map(len, batches))})
        with self.engine.connect("ingest") as ingest:
            attached = ingest.ask("source.attach", pipeline=name, tag="Read")
            for seq, batch in enumerate(batches, 1):
                ingest.send("source.batch", msgpack.packb(batch), source=attached["source"], tag="Read", seq=seq, **fields)
            return self.engine.wait(name)["recording"]

    def test_small_events_that_nobody_reads_are_bounded_by_their_bytes(self):
        recording = self.fed("small", [[[number, b"x"]] for number in range(8000)], gap="so that each batch stays as it is")
        whole = self.read(self.opened(recording=recording))
        self.assertGreater(len(whole), 15000)
        for quota, most in ((16 << 20, (16 << 20) + FEW * OWED_LEAST), (1 << 40, FEW * OWED_MAX)):
            with self.subTest(unread_max=quota):
                self.unread_max(quota)
                before = self.memory()
                slow = self.slow_ones(FEW, hwm=1, recording=recording)
                for socket in slow:
                    for _ in range(5):
                        socket.send(msgpack.packb({"op": "replay.open", "recording": recording, "credit": MUCH}))
                for _ in range(3):
                    self.assertTrue(self.read(self.opened(recording=recording)) == whole, "another one was sent something else")
                self.assertLess(self.memory() - before, most + MARGIN)
                events = [(msgpack.unpackb(frames[0]), frames) for frames in self.read(slow[0], ends=6)]
                self.assertTrue([frames for event, frames in events if event.get("replay") == 1] == whole, "a slow one was sent something else")
                for socket in slow[1:]:
                    socket.close()

    def test_copies_of_pieces_of_batches_that_nobody_reads_are_bounded_by_their_bytes(self):
        size = 2 << 20
        recording = self.fed("pieces", [[[1, b"first"], [2, bytes(size)]], [[3, b"last"]]])
        before = self.memory()
        socket, = self.slow_ones(1, hwm=1, recording=recording, **{"from": {"element": 1}})
        for number in range(100):
            socket.send(msgpack.packb({"op": "replay.seek", "replay": 1, "id": number, "element": 1}))
            if number % 10 == 0:
                self.read(self.opened(recording=recording, **{"from": {"element": 2}}))
        for number in range(50):
            socket.send(msgpack.packb({"op": "replay.open", "recording": recording, "credit": MUCH, "from": {"element": 1}}))
        self.assertTrue(self.read(self.opened()) == self.whole)
        self.assertLess(self.memory() - before, OWED_MAX + 3 * size + MARGIN)

    def test_refusals_of_batches_that_nobody_reads_are_bounded_by_their_bytes(self):
        self.engine.run(pipeline("refused", source("Read", PUSH)))
        before, nacks = self.memory(), self.engine.counter("nacks")
        producers = [zmq.Context.instance().socket(zmq.DEALER) for _ in range(4)]
        for producer in producers:
            for option, value in ((zmq.LINGER, 0), (zmq.RCVHWM, 1), (zmq.RCVBUF, 4096), (zmq.SNDHWM, 0)):
                producer.setsockopt(option, value)
            self.addCleanup(producer.close)
            producer.connect(self.engine.endpoints["ingest"])
        batch = msgpack.packb({"op": "source.batch", "tag": "t" * 255, "source": 1, "seq": 1})
        deadline = time.monotonic() + PATIENCE
        for _ in range(50):
            for producer in producers:
                for _ in range(500):
                    producer.send_multipart([batch, b"\x90"])
            nacks += 500 * len(producers)
            while self.engine.counter("nacks") < nacks:
                self.assertLess(time.monotonic(), deadline)
        self.assertLess(self.memory() - before, len(producers) * OWED_MAX + MARGIN)


if __name__ == "__main__":
    unittest.main()
