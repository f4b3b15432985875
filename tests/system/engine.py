"""A real engine for the system tests: the binary on free ports of the loopback, with a data folder that is gone afterwards.

Tests talk to it through the Python client of docs/clients, and below that through plain sockets. REPRISE_BUILD is the folder with the
binaries, build/dev unless it is set. Nothing here sleeps: every wait is for a message or for the end of a process, and has an end itself.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("REPRISE_BUILD", ROOT / "build" / "dev"))
PATIENCE = 30  # seconds that anything may take before a test fails

sys.path.insert(0, str(ROOT / "docs" / "clients" / "python"))
from client import Connection, Refused, feed, replay  # noqa: E402, F401

DOORS = ("commands", "ingest", "test_stream", "notifications")
PORTS = len(DOORS) + 1  # and Beam's
GENERATOR, FILE, PUSH = (f"reprise:source:{kind}:v1" for kind in ("generator", "file", "push"))


def source(name, urn, payload=None, **fields):
    """One transform of a pipeline."""
    return {"name": name, "urn": urn, **({} if payload is None else {"payload": payload}), **fields}


def pipeline(name, *sources):
    return {"name": name, "transforms": list(sources)}


def sanitizers():
    """The compiler's flags of the sanitizer that the binaries are built with."""
    program = (BUILD / "reprised").read_bytes()
    return [f"-fsanitize={name}" for name, sign in (("address", b"__asan_init"), ("thread", b"__tsan_init")) if sign in program]


def free_ports(count):
    """The first of `count` ports in a row that nobody has. They lie below those that the system gives to outgoing connections."""
    while True:
        first = random.randrange(20000, 32000)
        taken = []
        try:
            for port in range(first, first + count):
                taken.append(socket.socket())
                taken[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            pass
        finally:
            for one in taken:
                one.close()


class Engine:
    """`process` is the engine's own, or with `guard` that of the guard, which starts the engine again when that crashes."""

    def __init__(self, *flags, data=None, env=None, guard=False, keys=None, ipc=False, by=()):
        self.keys = keys  # of the tests' own connections, where the engine wants some
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-test-"))
        self.data = data or self.folder / "data"
        self.flags = flags if guard else ("--no-guard", *flags)
        self.ipc = ipc  # its endpoints are files of its folder
        self.by = by    # the program that starts it, and that one's arguments
        self.env = {**os.environ, **(env or {})}
        self.errors = self.folder / "stderr"
        self.commands = None
        self.process = None
        self.start(fresh=True)

    def start(self, fresh=False):
        """Starts it and waits until it serves. Started again, it has the same ports; fresh ones may be somebody else's by now."""
        for attempt in range(10):
            if fresh and self.ipc:
                self.endpoints = {door: f"ipc://{self.folder / door}" for door in DOORS}
            elif fresh:
                self.port = free_ports(PORTS)
                self.endpoints = {door: f"tcp://127.0.0.1:{self.port + number}" for number, door in enumerate(DOORS)}
                self.beam = f"127.0.0.1:{self.port + len(DOORS)}"
            with open(self.errors, "ab") as errors:
                where = ["--port", str(self.port)] if not self.ipc else \
                    ["--beam=off", *(f"--{door.replace('_', '-')}={self.endpoints[door]}" for door in DOORS)]
                self.process = subprocess.Popen([*self.by, BUILD / "reprised", "--data", self.data, *where, *self.flags],
                                                stdout=subprocess.PIPE, stderr=errors, text=True, env=self.env)
            line = self.process.stdout.readline()
            if line.startswith("ready "):
                self.commands = Connection(self.endpoints["commands"], self.keys)
                return
            self.process.stdout.close()
            status = self.process.wait(PATIENCE)
            if not fresh or "Address already in use" not in self.said():
                break
        raise AssertionError(f"reprised ended with {status}: {self.said()}")

    def said(self):
        """What it wrote to stderr."""
        return self.errors.read_text()

    def ended(self):
        self.commands.socket.close()
        self.process.stdout.close()
        return self.process.wait(PATIENCE)

    def stop(self):
        """Its exit status, after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self):
        self.process.kill()
        return self.ended()

    def restart(self):
        """What happens after a crash."""
        self.kill()
        self.start()

    def remove(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, op, body=None, **fields):
        return self.commands.ask(op, body, timeout_s=PATIENCE, **fields)

    def run(self, definition, **fields):
        return self.ask("pipeline.run", pipeline=definition, **fields)

    def wait(self, name):
        """The job of a pipeline, once it has ended."""
        return self.ask("job.wait", pipeline=name, timeout_ms=PATIENCE * 1000 - 1000)

    def counter(self, name):
        return self.ask("engine.stats")["counters"][name]

    def replay(self, **what):
        """All events of a replay, each with its elements."""
        return list(replay(self.endpoints["test_stream"], self.keys, **what))

    def elements(self, **what):
        """All elements of a replay, [tag, event time, bytes], in their order."""
        return [[event["tag"], *element] for event, elements in self.replay(**what) for element in elements or []]

    def feed(self, name, tag, batches, **fields):
        return feed(self.endpoints["ingest"], name, tag, batches, keys=self.keys, **fields)

    def connect(self, door):
        return Connection(self.endpoints[door], self.keys)

    def segments(self, recording):
        return sorted((self.data / "recordings" / recording).glob("*.seg"))

    def records(self, recording):
        """What the segment files hold, read as what they are: plain msgpack."""
        for segment in self.segments(recording):
            with open(segment, "rb") as file:
                for kind, number, stream, at, count, _, meta, body in msgpack.Unpacker(file, max_buffer_size=0, strict_map_key=False):
                    yield {"kind": kind, "number": number, "stream": stream, "at": at, "count": count, "meta": meta, "body": body}


class EngineTest(unittest.TestCase):
    """Tests that share an engine, each with pipelines of its own. Afterwards the engine must still be that process, and stop in order."""
    flags = ("--chaos",)

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine(*cls.flags)
        cls.addClassCleanup(cls.engine.remove)

    @classmethod
    def tearDownClass(cls):
        assert cls.engine.process.poll() is None, f"the engine ended with {cls.engine.process.poll()}: {cls.engine.said()}"
        assert cls.engine.stop() == 0, cls.engine.said()

    def refused(self, code, op, body=None, **fields):
        """The error that a request must be answered with."""
        with self.assertRaises(Refused, msg=f"{op} {fields}") as caught:
            self.engine.ask(op, body, **fields)
        self.assertEqual(caught.exception.error["code"], code, f"{op} {fields}: {caught.exception}")
        return caught.exception.error

    def recorded(self, name, count=100, size=20, **fields):
        """A finished recording of exactly so many elements of a generator."""
        payload = {"rate": 0, "size": size, **fields}
        self.engine.run(pipeline(name, source("Read", GENERATOR, payload)), limits={"count": count})
        return self.engine.wait(name)

    def pushable(self, name, *tags, **limits):
        """A pipeline that waits for pushes at some tags."""
        sources = [source(tag, PUSH, {"tag": tag}) for tag in tags or ("Read",)]
        return self.engine.run(pipeline(name, *sources), **({"limits": limits} if limits else {}))


def batches(count, size, start=0, origin=1700000000000000):
    """`count` elements whose text says which they are, in batches of `size`."""
    elements = [[origin + number, b"element %d" % number] for number in range(start, start + count)]
    return [elements[first:first + size] for first in range(0, count, size)]


class Producer:
    """Feeds numbered elements over the ingest protocol through whatever befalls the engine, and knows what was acknowledged."""

    def __init__(self, engine, name, tag="Read", producer="producer", size=10, silence_s=3):
        self.connection = engine.connect("ingest")
        self.about = {"pipeline": name, "tag": tag, "producer": producer}
        self.tag, self.name, self.size, self.silence_s = tag, producer, size, silence_s
        self.ask_s = 2
        self.attached = self.stopped = None
        self.acked = 0  # batches
        self.sent = 0

    def body(self, seq):
        first = (seq - 1) * self.size
        return [[1700000000000000 + number, f"{self.name} {number}".encode()] for number in range(first, first + self.size)]

    def expected(self, batches):
        """The elements of so many batches, as a replay shows them."""
        return [[self.tag, *element] for seq in range(1, batches + 1) for element in self.body(seq)]

    def attach(self):
        """Asks until it is attached: an engine that starts, or an actor that does, has no answer yet."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self.attached = self.connection.ask("source.attach", timeout_s=self.ask_s, **self.about)
                self.sent = self.attached["next_seq"] - 1
                assert self.sent >= self.acked, f"{self.acked} batches were acknowledged, and the engine has {self.sent}"
                self.acked = self.sent
                return
            except TimeoutError:
                pass
            except Refused as refusal:
                if not refusal.error.get("retry"):
                    raise
        raise AssertionError(f"{self.about} cannot attach")

    def send(self):
        self.sent += 1
        self.connection.send("source.batch", msgpack.packb(self.body(self.sent)), source=self.attached["source"], tag=self.tag,
                             seq=self.sent)

    def hear(self, timeout_s):
        """Takes what the engine says, for so long at most. Silence means that it does not know this producer any more."""
        try:
            message, _, _ = self.connection.receive(timeout_s)
        except TimeoutError:
            self.attached = self.attached if timeout_s < self.silence_s else None
            return
        if message.get("source") != self.attached["source"]:
            return
        if message["op"] == "source.ack":
            self.acked = max(self.acked, message["seq"])
        elif message["op"] == "source.stop":
            self.stopped = message
            if "seq" in message:  # those before it were taken whole
                self.acked = max(self.acked, message["seq"] - (message["accepted"] < self.size))
        elif message["error"].get("retry"):
            self.attached = None
        else:
            raise Refused(message["error"])

    def push(self, batches, window=8):
        """Sends until so many batches are acknowledged, or the job takes no more."""
        while self.acked < batches and not self.stopped:
            if not self.attached:
                self.attach()
            while self.sent < min(batches, self.acked + window):
                self.send()
            if self.acked < batches:
                self.hear(self.silence_s)

    def done(self):
        while True:
            try:
                self.attached or self.attach()
                return self.connection.ask("source.done", timeout_s=self.silence_s, source=self.attached["source"], tag=self.tag)
            except TimeoutError:
                self.attached = None
            except Refused as refusal:
                if not refusal.error.get("retry"):
                    raise
                self.attached = None

    def close(self):
        self.connection.socket.close()


def subscriber(engine):
    """A SUB socket that gets all notifications from now on: it was seen to get some."""
    sub = zmq.Context.instance().socket(zmq.SUB)
    sub.setsockopt(zmq.LINGER, 0)
    sub.connect(engine.endpoints["notifications"])
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    deadline = time.monotonic() + PATIENCE
    while not sub.poll(20):
        assert time.monotonic() < deadline, "no notification arrives"
        engine.ask("pipeline.track", pipeline=pipeline("probe"))
        engine.ask("pipeline.forget", pipeline="probe")
    while sub.poll(20):
        sub.recv_multipart()
    return sub
