"""Those who vanish or fall silent are let go, whatever their end of the connection looks like, and what they cost is given back."""
import pathlib
import signal
import subprocess
import time
import unittest

import msgpack
import zmq

from engine import BUILD, GENERATOR, PATIENCE, PUSH, Connection, Engine, batches, pipeline, source
from silence import Way

MARGIN = 16 << 20  # bytes that the process may keep


class Liveness(unittest.TestCase):
    def setUp(self):
        self.engine = Engine("--heartbeat-ms", "1000")
        self.addCleanup(self.engine.remove)
        self.engine.ask("options.set", recording_duration_ms=None)
        self.engine.run(pipeline("long", source("Read", GENERATOR, {"rate": 0, "size": 1000})), limits={"count": 50000})
        self.recording = self.engine.wait("long")["recording"]
        self.engine.replay(recording=self.recording)  # which is mapped from now on, for longer than a test takes
        self.engine.run(pipeline("pushed", source("Read", PUSH)))

    def proc(self, *path):
        return pathlib.Path("/proc", str(self.engine.process.pid), *path)

    def descriptors(self):
        return len(list(self.proc("fd").iterdir()))

    def memory(self):
        return next(int(line.split()[1]) * 1024 for line in self.proc("status").read_text().splitlines() if line.startswith("RssAnon:"))

    def await_descriptors(self, most):
        """Until no more are open. What the engine says meanwhile is what this waits with."""
        deadline = time.monotonic() + PATIENCE
        while self.descriptors() > most:
            self.assertLess(time.monotonic(), deadline, f"{self.descriptors()} descriptors are open, and there were {most}")
            self.engine.ask("engine.stats")

    def way(self, door):
        way = Way(self.engine.endpoints[door])
        self.addCleanup(way.close)
        return way

    def connect(self, way):
        connection = Connection(way.endpoint)
        self.addCleanup(connection.socket.close)
        return connection

    def test_half_open_connections_for_commands_and_notifications_are_closed(self):
        before = self.descriptors()
        commands, notifications = self.way("commands"), self.way("notifications")
        for _ in range(5):
            self.connect(commands).ask("engine.info", timeout_s=PATIENCE)
            sub = zmq.Context.instance().socket(zmq.SUB)
            self.addCleanup(sub.close, 0)
            sub.connect(notifications.endpoint)
            sub.setsockopt(zmq.SUBSCRIBE, b"")
            while not sub.poll(20):
                self.engine.ask("pipeline.track", pipeline=pipeline("probe"))
                self.engine.ask("pipeline.forget", pipeline="probe")
        waiting = self.connect(commands)
        waiting.send("job.wait", pipeline="pushed", timeout_ms=PATIENCE * 1000)
        self.assertGreaterEqual(self.descriptors(), before + 10)
        for way, count in ((commands, 6), (notifications, 5)):
            way.fall_silent()
            self.assertTrue(way.await_closed(count, PATIENCE), f"{way.closed} of {count} were closed")
        self.await_descriptors(before)

    def test_those_who_only_wait_for_an_answer_are_not_taken_for_silent(self):
        waiting = self.engine.connect("commands")
        self.addCleanup(waiting.socket.close)
        waiting.send("job.wait", pipeline="pushed", timeout_ms=3000)
        with self.assertRaises(TimeoutError):  # three heartbeats: the libraries answer them by themselves
            waiting.receive(2.5)
        self.assertEqual(waiting.receive(PATIENCE)[0]["error"]["code"], "unavailable")

    def test_a_producer_and_a_reader_behind_a_way_that_fell_silent_are_let_go_and_cut_off(self):
        self.engine.ask("options.set", worker_timeout_ms=600, replay_timeout_ms=600)
        before, memory = self.descriptors(), self.memory()
        ingest, stream = self.way("ingest"), self.way("test_stream")
        producers = [self.connect(ingest) for _ in range(5)]
        for number, producer in enumerate(producers):
            producer.ask("source.attach", timeout_s=PATIENCE, pipeline="pushed", tag="Read", producer=f"p{number}")
        readers = [self.connect(stream) for _ in range(5)]
        for reader in readers:
            reader.ask("replay.open", timeout_s=PATIENCE, pipeline="long", credit=1 << 20)
            reader.receive(PATIENCE)
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="long")["replays"], 5)
        for way in (ingest, stream):
            way.fall_silent()
            self.assertTrue(way.await_closed(5, PATIENCE), f"{way.closed} of 5 were closed")
        self.await_descriptors(before)
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="long")["replays"], 0)
        self.assertLess(self.memory(), memory + MARGIN)
        with self.engine.connect("ingest") as other:  # its place is free
            self.assertEqual(other.ask("source.attach", timeout_s=PATIENCE, pipeline="pushed", tag="Read", producer="p0")["next_seq"], 1)

    def test_a_short_time_out_is_no_trap_for_those_who_answer(self):
        self.engine.ask("options.set", worker_timeout_ms=500, replay_timeout_ms=500)
        asks = {"ingest": {"op": "source.attach", "pipeline": "pushed", "tag": "Read", "producer": "lively"},
                "test_stream": {"op": "replay.open", "pipeline": "pushed", "credit": 1000}}
        lively = {}
        for door, ask in asks.items():
            socket = lively[door] = zmq.Context.instance().socket(zmq.DEALER)
            self.addCleanup(socket.close, 0)
            socket.connect(self.engine.endpoints[door])
            socket.send(msgpack.packb(ask))
            self.assertTrue(socket.poll(PATIENCE * 1000))
            self.assertTrue(msgpack.unpackb(socket.recv_multipart()[0])["ok"])
        for _ in range(12):  # pings, of which each comes before the time is over
            for door, socket in lively.items():
                self.assertTrue(socket.poll(PATIENCE * 1000))
                self.assertEqual(msgpack.unpackb(socket.recv_multipart()[0]), {"op": "ping"}, door)
                socket.send(msgpack.packb({"op": "pong"}))
        lively["ingest"].send_multipart([msgpack.packb({"op": "source.batch", "tag": "Read", "seq": 1}), msgpack.packb([[1, b"x"]])])
        for door, event in (("ingest", "source.ack"), ("test_stream", "processing_time")):
            messages = iter(lambda one=lively[door]: one.poll(PATIENCE * 1000) and msgpack.unpackb(one.recv_multipart()[0]), 0)
            first = next(message for message in messages if message != {"op": "ping"})
            self.assertEqual(first.get("op", first.get("event")), event)

    def test_clients_that_are_killed_in_mid_replay_and_mid_push_leave_nothing_behind(self):
        before, memory = self.descriptors(), self.memory()
        for _ in range(10):
            reader = subprocess.Popen([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], "replay", "long"],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.assertTrue(reader.stdout.readline())
            feeder = subprocess.Popen([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], "push", "pushed", "Read"],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            recorded = self.engine.ask("job.describe", pipeline="pushed")["elements"]
            for batch in batches(100, 100):
                feeder.stdin.write(b"".join(element[1] + b"\n" for element in batch))
            feeder.stdin.flush()
            while self.engine.ask("job.describe", pipeline="pushed")["elements"] == recorded:
                self.assertIsNone(feeder.poll())
            for process in (reader, feeder):
                process.send_signal(signal.SIGKILL)
                process.wait(PATIENCE)
            reader.stdout.close()
            feeder.stdin.close()
        self.await_descriptors(before)
        self.assertLess(self.memory(), memory + MARGIN)
        self.assertEqual(len(self.engine.elements(recording=self.recording)), 50000)


if __name__ == "__main__":
    unittest.main()
