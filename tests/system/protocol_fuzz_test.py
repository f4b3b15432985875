"""Strangers say anything on every endpoint, for as long as one likes, while somebody well-behaved works: the process lives, every request gets
exactly one answer, nobody is told what was meant for others, and afterwards nothing is left of it, neither memory nor descriptors.

What is said comes from `engine.protocol` and from a seed, which a failure prints. A short run is among the tests; a long one:

    REPRISE_SEED=7 REPRISE_SECONDS=600 tests/system/run build/release protocol_fuzz_test
"""
import collections
import copy
import os
import random
import socket
import struct
import time
import unittest

import grpc
import msgpack
import zmq

from beam_client import SERVICES, channel, request
from engine import BUILD, DOORS, GENERATOR, PATIENCE, PUSH, Engine, Refused, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
SECONDS = float(os.environ.get("REPRISE_SECONDS") or 6)
ASKED = ("commands", "ingest", "test_stream")
MEMORY = 96 << 20  # what malloc may keep of a campaign that is over

# Those that would stop the engine, or change it under the well-behaved one.
SPARED = ("engine.stop", "options.set")
STRANGE = [f"strange-{number}" for number in range(4)]
NAMES = STRANGE + ["Read", "Other", "json", "msgpack", "beam", "DONE", "FAILED", "x" * 255, "../../etc", "%s%n", "ü"]
NUMBERS = [0, 1, 2, 3, 10, 1000, 65536, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1, -1, -(1 << 63)]
ODD = [None, True, -1, 1 << 63, 1.5, float("nan"), float("inf"), "", "y" * 300, "a\x00b", b"", b"\xff" * 300, [], [[]], {}, {"a": {"b": 1}}, {1: 2}]
TRANSFORMS = [source("Read", PUSH), source("Other", PUSH, {"n": 1}), source("Read", GENERATOR, {"rate": 1000, "count": 50}),
              source("Other", GENERATOR, {"rate": 0, "count": 500, "size": 10})]
ELEMENTS = [[[1, b"x"], [2, b"y", {"k": "v"}]], [], [[1, b"z" * 5000]] * 20, [[1]], 7, {"a": 1}]


def sanitized():
    lines = (BUILD / "CMakeCache.txt").read_text().splitlines()
    return any(line.startswith("REPRISE_SANITIZE:") and line.partition("=")[2] for line in lines)


class Speaker:
    """Makes messages of the protocol, and then something else of them."""

    def __init__(self, chance, ops):
        self.chance = chance
        self.ops = collections.defaultdict(list)
        self.said = collections.defaultdict(lambda: collections.deque(maxlen=50))  # to be said again
        self.known = collections.deque(maxlen=20)  # names that answers had in them
        self.numbers = 0  # ids given so far
        for op in ops:
            if op["from"] == "client" and op["op"] not in SPARED and not op["op"].startswith("chaos."):
                self.ops[op["endpoint"]].append(op)

    def name(self):
        return self.chance.choice(self.known or NAMES) if self.chance.random() < 0.3 else self.chance.choice(NAMES)

    def odd(self):
        return copy.deepcopy(self.chance.choice(ODD))  # what is changed later is this one's alone

    def value(self, field):
        kind, chance = field["type"], self.chance
        if field["name"] in ("timeout_ms", "duration_ms"):
            return chance.randrange(1, 200)  # nobody waits long for an answer
        if field.get("of") == "transform":
            return copy.deepcopy(chance.choice(TRANSFORMS))
        if kind.startswith("LIST"):
            return [self.value({**field, "type": "MAP"}) for _ in range(chance.randrange(3))]
        if kind == "MAP" or (kind == "NAME or MAP" and chance.random() < 0.5):
            return self.fields(field.get("fields", []))
        if kind in ("NAMES", "TEXTS"):
            return [self.name() for _ in range(chance.randrange(4))]
        if kind in ("NAME", "NAME or MAP"):
            return self.chance.choice(STRANGE) if field["name"] == "pipeline" and chance.random() < 0.8 else self.name()
        made = {"TEXT": lambda: chance.choice(["", "text", "/ts", self.name()]), "FLAG": lambda: chance.random() < 0.5,
                "REAL": lambda: chance.choice([0, 1, 0.5, 1e9]), "BYTES": lambda: chance.randbytes(chance.randrange(200)),
                "ANY": self.odd}
        return made.get(kind, lambda: abs(chance.choice(NUMBERS)) % (1 << 63) if chance.random() < 0.3 else chance.randrange(20))()

    def fields(self, fields):
        there = 0.97, 0.4
        return {field["name"]: self.value(field) for field in fields if self.chance.random() < there[not field["required"]]}

    def message(self, door):
        op = self.chance.choice(self.ops[door])
        return {"op": op["op"], **self.fields(op["fields"])}, op["kind"] == "request"

    def body(self):
        if self.chance.random() < 0.2:
            return self.chance.randbytes(self.chance.randrange(300))
        return msgpack.packb(self.chance.choice(ELEMENTS))

    def change_fields(self, message):
        """One field is missing, of another type, there in addition, or twice as deep."""
        key = self.chance.choice(list(message))
        how = self.chance.randrange(4)
        if how == 0 and key != "op":
            del message[key]
        elif how == 1 and key not in ("timeout_ms", "op"):
            message[key] = self.odd()
        elif how == 2:
            message[self.chance.choice(["", "x", "op2", "source", "credit"])] = self.odd()
        elif how == 3 and isinstance(message[key], dict) and message[key]:
            self.change_fields(message[key])

    def change_bytes(self, frame):
        """A bit is flipped, the end is missing, something is inserted, or the whole is twice there."""
        frame, chance = bytearray(frame), self.chance
        where = chance.randrange(len(frame) + 1)
        how = chance.randrange(5)
        if how == 0 and where < len(frame):
            frame[where] ^= 1 << chance.randrange(8)
        elif how == 1:
            del frame[where:]
        elif how == 2:
            frame[where:where] = chance.randbytes(chance.randrange(1, 20))
        elif how == 3:
            frame += bytes(frame)
        else:
            frame[where:where] = chance.choice([b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 100, b"\xc1", b"\xc6\xff\xff\xff\xff"])
        return bytes(frame) or b"\x00"

    def frames(self, door):
        """What to send; the id in it (None: nobody knows what became of it), and whether it must be answered with that id."""
        chance = self.chance
        self.numbers += 1
        number = self.numbers
        message, request = self.message(door)
        if chance.random() < 0.4:
            self.change_fields(message)
        message["id"] = number
        head, sure = msgpack.packb(message), request
        has_body = message["op"] in ("push", "source.batch", "recording.import") or chance.random() < 0.03
        body = [self.body()] if has_body and chance.random() < 0.97 else []
        how = chance.random()
        if how < 0.15:
            head, sure, number = self.change_bytes(head), False, None
        elif how < 0.18 and self.said[door]:
            (head, number), sure = chance.choice(self.said[door]), False  # once more, and perhaps another's
        elif how < 0.20:
            body, sure = [b"more"] * chance.randrange(2, 40), False
        else:
            self.said[door].append((head, number))
        return [head, *body], number, sure


class Stranger:
    """A connection that says anything, and counts what it is told."""

    def __init__(self, engine, door, speaker):
        self.door, self.speaker = door, speaker
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(engine.endpoints[door])
        self.sent = self.heard = 0
        self.waiting, self.asked = {}, collections.Counter()

    def speak(self):
        frames, number, sure = self.speaker.frames(self.door)
        if sure:
            self.waiting[number] = frames
        self.asked[number] += 1
        self.sent += 1
        self.socket.send_multipart(frames)

    def hear(self, timeout_ms):
        """Takes what there is. An answer is one to something that was asked here, and the only one to that."""
        while self.socket.poll(timeout_ms):
            # an id comes back as it was, whatever it was
            message = msgpack.unpackb(self.socket.recv_multipart()[0], strict_map_key=False, unicode_errors="surrogateescape",
                                      ext_hook=lambda code, data: (code, data))
            if message.get("op") == "ping":
                self.socket.send(msgpack.packb({"op": "pong"}))
            if "ok" not in message:
                continue
            self.heard += 1
            number = message.get("id")
            if isinstance(number, int):
                self.waiting.pop(number, None)
                asked = number if self.asked[number] else None
                assert self.asked[asked], f"on {self.door}, nobody has asked for {message}, or it was answered before"
                self.asked[asked] -= 1
            for name in ("recording", "job", "import", "next"):
                if isinstance(message.get(name), str):
                    self.speaker.known.append(message[name])

    def settle(self):
        """Every request is answered. On commands anything at all is, once."""
        deadline = time.monotonic() + PATIENCE
        while self.waiting or (self.door == "commands" and self.heard < self.sent):
            self.hear(20)
            assert time.monotonic() < deadline, f"on {self.door}, {self.sent - self.heard} have no answer: {list(self.waiting.values())[:5]}"
        if self.door == "commands":
            assert self.heard == self.sent, f"{self.sent} requests, {self.heard} answers"

    def close(self):
        self.socket.close()


class Worker:
    """Somebody well-behaved: its pushes are recorded in their order, its replays are always the same, its questions have their answers."""

    def __init__(self, engine):
        self.engine, self.pushed, self.turns = engine, 0, 0
        engine.run(pipeline("well", source("Well", PUSH)), limits={"count": 10 ** 9, "duration_ms": None})
        engine.run(pipeline("fixed", source("Read", GENERATOR, {"rate": 0, "count": 1000})))
        self.fixed = engine.wait("fixed")["recording"]
        self.digest = self.replayed()

    def replayed(self):
        return self.engine.replay(recording=self.fixed)[-1][0]["digest"]

    def work(self):
        self.turns += 1
        for name in ("well", "fixed"):
            told = self.engine.ask("pipeline.describe", pipeline=name)
            assert told["name"] == name, told
        elements = [[1 + number, b"%d" % number] for number in range(self.pushed, self.pushed + 10)]
        answer = self.engine.ask("push", msgpack.packb(elements), pipeline="well", tag="Well")
        assert answer["accepted"] == 10, answer
        self.pushed += 10
        if self.turns % 10 == 0:
            assert self.replayed() == self.digest

    def finish(self):
        self.engine.ask("job.cancel", pipeline="well")
        self.engine.wait("well")
        assert self.engine.elements(pipeline="well") == [["Well", 1 + number, b"%d" % number] for number in range(self.pushed)]
        assert self.replayed() == self.digest


class Caller:
    """A stranger at the endpoint for Apache Beam, who asks for anything there may be, or in no way that can be understood. Each call ends."""
    METHODS = [f"/{service}.TestStreamService/Events" for service in SERVICES] + ["/x/y", "/" + "m" * 300]

    def __init__(self, engine, speaker):
        self.speaker, self.channel = speaker, channel(engine.beam)
        self.calls, self.sent, self.heard = [], 0, 0

    def speak(self):
        speaker, chance = self.speaker, self.speaker.chance
        asked = request(*(f"{speaker.name()}/{speaker.name()}" for _ in range(chance.randrange(4))))
        if chance.random() < 0.3:
            asked = speaker.change_bytes(asked)
        method = self.channel.unary_stream(chance.choice(self.METHODS), request_serializer=bytes, response_deserializer=bytes)
        self.calls.append(method(asked, timeout=chance.choice([0.001, 1, PATIENCE])))
        self.sent += 1

    def settle(self):
        for one in self.calls:
            if self.speaker.chance.random() < 0.3:
                one.cancel()
            try:
                for _ in one:
                    pass
            except grpc.RpcError as problem:
                assert problem.code() is not grpc.StatusCode.INTERNAL, problem.details()
            self.heard += 1
        self.calls = []

    def close(self):
        self.channel.close()


class Noise:
    """Connections that are none: bytes that no ZeroMQ socket and no gRPC client would send, greetings with nothing behind them, and hanging up."""
    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
    READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"

    def __init__(self, chance, engine):
        self.chance, self.engine, self.open = chance, engine, []

    def http2_frame(self):
        """Of any type, flags and stream, with as many bytes as it says or fewer."""
        content = self.chance.randbytes(self.chance.randrange(100))
        size = len(content) + self.chance.choice([0, 0, 1, 70000])
        return struct.pack(">I", size)[1:] + self.chance.randbytes(2) + struct.pack(">I", self.chance.choice([0, 1, 3, 1 << 30])) + content

    def make(self):
        host, port = self.chance.choice([*(self.engine.endpoints[door][len("tcp://"):] for door in DOORS), self.engine.beam]).split(":")
        one = socket.create_connection((host, int(port)), PATIENCE)
        one.setblocking(False)
        size = struct.pack(">Q", self.chance.choice([0, 5, 1 << 20, 1 << 40, (1 << 64) - 1]))
        words = [b"GET / HTTP/1.1\r\n\r\n", self.chance.randbytes(self.chance.randrange(500)), self.GREETING[:self.chance.randrange(64)],
                 self.GREETING + self.READY, self.GREETING + self.READY + b"\x02" + size + b"abc", self.GREETING + b"\x06" + size,
                 self.GREETING + self.READY + b"\x00\x03abc" * 50, b"\x01\x00\x04\x00abc", self.PREFACE[:self.chance.randrange(24)],
                 self.PREFACE + self.http2_frame(), self.PREFACE + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + self.http2_frame() * 5]
        try:
            one.send(self.chance.choice(words))
        except OSError:
            pass
        self.open.append(one)

    def step(self):
        self.make()
        while len(self.open) > 30:
            one = self.open.pop(self.chance.randrange(len(self.open)))
            if self.chance.random() < 0.5:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # hangs up at once
            one.close()

    def close(self):
        while self.open:
            self.open.pop().close()


class ProtocolFuzz(unittest.TestCase):
    def setUp(self):
        self.chance = random.Random(SEED)
        self.engine = Engine("--segment-bytes", "1048576")
        self.addCleanup(self.engine.remove)
        self.engine.ask("options.set", recording_count_limit=2000, recording_duration_ms=3000, recording_size_limit=1 << 30,
                        worker_timeout_ms=5000, replay_timeout_ms=5000)

    def memory(self):
        with open(f"/proc/{self.engine.process.pid}/status") as file:
            status = file.read()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.engine.process.pid}/fd"))

    def subscribe(self):
        """The fourth endpoint takes subscriptions, which are frames of any bytes."""
        one = zmq.Context.instance().socket(zmq.XSUB)
        one.setsockopt(zmq.LINGER, 0)
        one.connect(self.engine.endpoints["notifications"])
        for _ in range(self.chance.randrange(20)):
            one.send(self.chance.choice([b"\x00", b"\x01", b"\x02", b""]) + self.chance.randbytes(self.chance.randrange(300)))
        return one

    def campaign(self, speaker, worker, noise, until):
        """Strangers come, talk and go."""
        total = collections.Counter()
        while time.monotonic() < until:
            strangers, caller = [Stranger(self.engine, door, speaker) for door in ASKED], Caller(self.engine, speaker)
            subscriber = self.subscribe()
            for _ in range(self.chance.randrange(5, 30)):
                for _ in range(self.chance.randrange(1, 20)):
                    self.chance.choice(strangers).speak()
                noise.step()
                caller.speak()
                worker.work()
                for stranger in strangers:
                    stranger.hear(0)
            vanishes = self.chance.random() < 0.3
            if not vanishes:
                self.forget()
                for stranger in strangers:
                    stranger.settle()
                caller.settle()
            for stranger in strangers:
                total.update({f"{stranger.door} sent": stranger.sent, f"{stranger.door} answered": stranger.heard})
                stranger.close()
            total.update({"beam sent": caller.sent, "beam answered": caller.heard})
            caller.close()
            subscriber.close()
            self.assertIsNone(self.engine.process.poll(), self.engine.said())
            total["rounds"] += 1
        return total

    def forget(self):
        """All but what the well-behaved one has: then nothing is waited for any more."""
        for one in self.engine.ask("pipeline.list")["pipelines"]:
            if one["name"] not in ("well", "fixed"):
                self.quietly("pipeline.forget", pipeline=one["name"])
        for one in self.engine.ask("recording.list")["recordings"]:
            if one["pipeline"] not in ("well", "fixed"):
                self.quietly("recording.delete", recording=one["recording"])

    def quietly(self, op, **fields):
        """A stranger may have done it meanwhile."""
        try:
            self.engine.ask(op, **fields)
        except Refused:
            pass

    def test_whatever_strangers_say_others_are_served_and_nothing_is_left_of_it(self):
        speaker = Speaker(self.chance, self.engine.ask("engine.protocol")["ops"])
        worker, noise = Worker(self.engine), Noise(self.chance, self.engine)
        self.addCleanup(noise.close)
        with self.subTest(seed=SEED):
            self.campaign(speaker, worker, noise, time.monotonic() + SECONDS / 4)  # what is taken once is taken
            noise.close()
            self.forget()
            memory, descriptors = self.memory(), self.descriptors()
            total = self.campaign(speaker, worker, noise, time.monotonic() + SECONDS * 3 / 4)
            noise.close()
            self.forget()
            worker.finish()
            self.assertEqual([one for one in self.engine.ask("engine.actors")["actors"] if one.get("last_error")], [])
            deadline = time.monotonic() + PATIENCE
            while self.descriptors() > descriptors + 20 and time.monotonic() < deadline:
                self.engine.ask("engine.info")  # connections are closed by and by
            self.assertLessEqual(self.descriptors(), descriptors + 20)
            if not sanitized():
                self.assertLessEqual(self.memory(), memory + MEMORY)
            self.assertEqual(self.engine.stop(), 0, self.engine.said())
            total["turns"], total["pushed"] = worker.turns, worker.pushed
            if os.environ.get("REPRISE_SECONDS"):
                print(f"seed {SEED}: {dict(total)}")


if __name__ == "__main__":
    unittest.main()
