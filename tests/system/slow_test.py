"""Replay clients that do not keep up: they cost the engine next to no memory, whatever is owed to them, and the others nothing at all."""
import re
import time
import unittest

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, EngineTest, pipeline, source

SLOW = 60
MUCH = 1 << 40
ANONYMOUS_MAX = 64 << 20  # of the whole engine


class Slow(EngineTest):
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
    def read(cls, socket):
        """All that comes to it up to the end; then it is closed."""
        frames, deadline = [], time.monotonic() + 2 * PATIENCE
        while True:
            assert time.monotonic() < deadline and socket.poll(PATIENCE * 1000), "the test stream is silent"
            frames.append(socket.recv_multipart())
            message = msgpack.unpackb(frames[-1][0])
            if message == {"op": "ping"}:
                frames.pop()
                socket.send(msgpack.packb({"op": "pong"}))
            if message.get("event") == "end":
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


if __name__ == "__main__":
    unittest.main()
