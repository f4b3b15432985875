"""Garbage on every endpoint gets an error or is dropped, is counted, and hurts nobody: every request is answered, and a run works.

What is random comes from a seed that a failure prints; REPRISE_SEED sets it.
"""
import os
import random
import socket
import struct
import unittest

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, PUSH, EngineTest, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
MESSAGE_MAX = 16 << 20
ASKED = ("commands", "ingest", "test_stream")  # the endpoints that answer

# Frames that lie about themselves: what they declare is not there, or is deeper than anything may be. And what the answer says.
LIES = {
    "no map": (msgpack.packb([1, 2]), "a map with an `op`"),
    "a number": (b"\x07", "a map with an `op`"),
    "a reserved byte": (b"\xc1", "0xc1 at byte 0"),
    "a list of 4 billion": (b"\xdd\xff\xff\xff\xff", "a list of 4294967295 at byte 0, but only 0 bytes follow"),
    "a map of 4 billion": (b"\xdf\xff\xff\xff\xff", "a map of 4294967295 at byte 0, but only 0 bytes follow"),
    "text of 4 GB": (b"\xdb\xff\xff\xff\xff", "text of 4294967295 bytes at byte 0, but only 0 bytes follow"),
    "bytes of 4 GB in a map": (b"\x81\xa2op\xc6\xff\xff\xff\xff", "4294967295 bytes at byte 4, but only 0 bytes follow"),
    "a thousand lists in each other": (b"\x91" * 1000 + b"\xc0", "nested deeper than 64 at byte 64"),
    "a million lists in each other": (b"\x91" * 1000000 + b"\xc0", "nested deeper than 64 at byte 64"),
    "a million maps in each other": (b"\x81\xa1a" * 1000000 + b"\xc0", "nested deeper than 64 at byte 192"),
    "a deep field": (b"\x82\xa2op\xabengine.info\xa1x" + b"\x91" * 1000 + b"\xc0", "nested deeper than 64"),
    "two million values": (b"\xdd" + struct.pack(">I", 2000000) + b"\xc0" * 2000000, "more than 1048576 values"),
    "two messages": (msgpack.packb({"op": "engine.info"}) * 2, "ends at byte 16, but 16 bytes follow"),
    "no op": (msgpack.packb({"id": 1}), "a map with an `op`"),
    "an op that is no text": (msgpack.packb({"op": 7}), "`op` must be text"),
    "an op that is bytes": (msgpack.packb({"op": b"engine.info"}), "`op` must be text"),
    "an empty op": (msgpack.packb({"op": ""}), "no operation ``"),
    "an op that is long": (msgpack.packb({"op": "x" * 100000}), "no operation `x+`"),
    "an op that is no UTF-8": (b"\x81\xa2op\xa4\xff\xfe\xfd\xfc", "no operation"),
    "an unknown op": (msgpack.packb({"op": "engine.explode"}), "no operation `engine.explode`"),
    "an op of actors": (msgpack.packb({"op": "actor.fail"}), "no operation `actor.fail`"),
    "an op of the engine": (msgpack.packb({"op": "source.ack", "source": 1, "tag": "x", "seq": 1}), "no operation `source.ack`"),
    "an answer": (msgpack.packb({"ok": True, "id": 1}), "a map with an `op`"),
    "an error": (msgpack.packb({"ok": False, "error": {"code": "internal", "message": "boo"}}), "a map with an `op`"),
    "an event": (msgpack.packb({"event": "end", "replay": 1, "reason": "end", "elements": 0}), "no operation `end`"),
}

# A value of each kind, for a field that wants another.
VALUES = [None, True, -1, 0, 1 << 63, -(1 << 63), 1.5, float("nan"), float("inf"), "", "x" * 300, "a\x00b", "\u202e", b"", b"\xff", [], [1],
          {}, {"a": 1},
          {"name": "x", "transforms": 1}, {"name": "x", "transforms": [1]}, {"name": "x", "transforms": [{"name": "y", "urn": 7}]}, [[[]]]]


class Hostile(EngineTest):
    def dealer(self, door, kind=zmq.DEALER):
        one = zmq.Context.instance().socket(kind)
        one.setsockopt(zmq.LINGER, 0)
        one.connect(self.engine.endpoints[door])
        self.addCleanup(one.close, 0)
        return one

    def answer(self, dealer):
        """What the engine says to it, without pings."""
        while True:
            self.assertTrue(dealer.poll(PATIENCE * 1000), "no answer")
            frames = dealer.recv_multipart()
            mirrored = frames.index(b"") + 1 if b"" in frames[:2] else 0  # what REQ wants to have before the answer
            message = msgpack.unpackb(frames[mirrored], strict_map_key=False)
            if message.get("op") != "ping":
                return message

    def error(self, dealer, *frames):
        dealer.send_multipart(frames)
        answer = self.answer(dealer)
        self.assertIs(answer.get("ok"), False, answer)
        self.assertLessEqual({"code", "message"}, set(answer["error"]))
        return answer["error"]

    def probe(self, dealer, door):
        """Asks something harmless, and what came before the answer to it."""
        dealer.send(msgpack.packb({"op": {"commands": "engine.info", "ingest": "source.done", "test_stream": "replay.close"}[door],
                                   "id": "probe", "tag": "none", "replay": 1}))
        before = []
        while not before or before[-1].get("id") != "probe":
            before.append(self.answer(dealer))
        return before[:-1]

    def setUp(self):
        self.said = self.engine.said()

    def tearDown(self):
        """Whatever it was: the engine is the same process, nothing in it failed, and a run works."""
        info = self.engine.ask("engine.info")
        self.assertEqual(info["pid"], self.engine.process.pid)
        self.assertEqual([one for one in self.engine.ask("engine.actors")["actors"] if one.get("last_error")], [])
        self.assertEqual(self.engine.said(), self.said)
        name = f"after {self.id()}"[:200]
        self.assertEqual(self.recorded(name, 100)["elements"], 100)
        self.assertEqual(len(self.engine.elements(pipeline=name)), 100)
        self.engine.ask("pipeline.forget", pipeline=name)

    def test_what_lies_about_itself_is_answered_with_an_error_that_says_where(self):
        for door in ASKED:
            for what, (frame, said) in LIES.items():
                with self.subTest(door=door, what=what):
                    before = self.engine.counter("refusals")
                    error = self.error(self.dealer(door), frame)
                    self.assertIn(error["code"], ("bad_request", "unknown_op"))
                    self.assertRegex(error["message"], said)
                    self.assertEqual(self.engine.counter("refusals"), before + 1)

    def test_values_that_nobody_asked_for_are_ignored(self):
        for value in (b"\xd4\x01\x02", b"\xc9\x00\x00\x00\x01\xffx", b"\x91" * 31 + b"\xc0", b"\xc4\x02\xff\xfe", b"\xcb" + b"\xff" * 8):
            dealer = self.dealer("commands")
            dealer.send(b"\x82\xa2op\xabengine.info\xa1x" + value)
            self.assertTrue(self.answer(dealer)["ok"], value)

    def test_random_bytes_are_answered_with_an_error(self):
        chance = random.Random(SEED)
        for door in ASKED:
            dealer = self.dealer(door)
            for number in range(2000):
                frame = chance.randbytes(chance.randrange(1, 200))
                with self.subTest(seed=SEED, door=door, number=number):
                    self.assertIn(self.error(dealer, frame)["code"], ("bad_request", "unknown_op"))

    def test_every_message_of_the_protocol_that_is_cut_or_has_a_flipped_bit_is_survived(self):
        chance = random.Random(SEED)
        examples = {
            "commands": [({"op": "pipeline.run", "pipeline": pipeline("cut", source("Read", PUSH, {"a": [1, 2.5]})),
                           "limits": {"count": 5}}, None),
                         ({"op": "push", "pipeline": "cut", "tag": "Read", "seq": 1}, [[1, b"x"], [2, b"y", {"k": "v"}]])],
            "ingest": [({"op": "source.attach", "pipeline": "cut", "tag": "Read", "producer": "p"}, None),
                       ({"op": "worker.ready", "urns": ["reprise:source:telex:v1"], "worker": "w"}, None),
                       ({"op": "source.batch", "tag": "Read", "seq": 1, "cursor": [1], "watermark": 3},
                        [[1, b"x"], [2, b"y", {"k": "v"}]])],
            "test_stream": [({"op": "replay.open", "pipeline": "cut", "tags": ["Read"], "from": {"element": 0}, "credit": 10}, None),
                            ({"op": "replay.credit", "replay": 1, "bytes": 100}, None)],
        }
        for door, messages in examples.items():
            dealer = self.dealer(door)
            for message, body in messages:
                for number in range(400):
                    frames = [bytearray(msgpack.packb(part)) for part in (message, body) if part is not None]
                    victim = chance.choice(frames)
                    if number % 2:
                        victim[chance.randrange(len(victim))] ^= 1 << chance.randrange(8)
                    else:
                        del victim[chance.randrange(1, len(victim)):]
                    dealer.send_multipart(frames)
            self.probe(dealer, door)
        for one in self.engine.ask("pipeline.list")["pipelines"]:
            if one["name"] != "probe":
                self.engine.ask("pipeline.forget", pipeline=one["name"])

    def test_each_field_of_each_operation_with_each_wrong_value_is_answered(self):
        harmful = ("engine.stop", "chaos.fail", "chaos.hang", "chaos.crash", "chaos.messages", "options.set")
        ops = [op for op in self.engine.ask("engine.protocol")["ops"] if op["from"] == "client" and op["op"] not in harmful]
        self.assertGreater(len(ops), 40)
        dealers = {door: self.dealer(door) for door in ASKED}
        good = {"NAME": "nobody", "TEXT": "text", "COUNT": 0, "POSITIVE": 1, "SIZE": 1 << 20, "ROOM": 1 << 20, "QUOTA": 1, "INT": 1, "REAL": 1.0, "FLAG": True, "NAMES": ["a"],
                "LIMIT": 1, "BYTES": b"bytes",
                "MAP": {}, "ANY": 1, "NAME or MAP": "nobody"}
        asked = 0
        for op in ops:
            request = {field["name"]: good[field["type"]] for field in op["fields"]}
            for field in op["fields"]:
                for value in VALUES:
                    asked += 1
                    message = {"op": op["op"], **request, field["name"]: value, "id": asked}
                    body = [msgpack.packb([])] if op["op"] in ("push", "source.batch") else []
                    with self.subTest(message=message):
                        dealers[op["endpoint"]].send_multipart([msgpack.packb(message), *body])
                        if op["kind"] == "request":
                            self.assertEqual(self.answer(dealers[op["endpoint"]])["id"], asked)
                        else:
                            self.probe(dealers[op["endpoint"]], op["endpoint"])
                missing = {key: value for key, value in {"op": op["op"], **request}.items() if key != field["name"]}
                if field["required"]:
                    with self.subTest(missing=missing):
                        error = self.error(dealers[op["endpoint"]], msgpack.packb(missing))
                        self.assertEqual((error["code"], error["field"]), ("bad_request", field["name"]))

    def test_options_of_the_wrong_kind_change_nothing(self):
        before = {**self.engine.ask("options.get"), "id": 0}
        for name, value in before.items():
            for wrong in VALUES:
                if name in ("ok", "id") or type(wrong) is type(value) or wrong is None or (name.endswith("_limit") and wrong == 1 << 63):
                    continue
                with self.subTest(name=name, value=wrong):
                    if isinstance(value, (int, type(None))) and type(wrong) is int and wrong > 0 and wrong < 1 << 63:
                        continue
                    if name == "recordable_sources" and isinstance(wrong, list):
                        continue
                    self.assertEqual(self.refused("bad_request", "options.set", **{name: wrong})["field"].split("[")[0], name)
        self.assertEqual({**self.engine.ask("options.get"), "id": 0}, before)

    def test_more_frames_than_a_message_and_its_body_are_refused(self):
        message = msgpack.packb({"op": "engine.info"})
        for door in ASKED:
            for count in (3, 4, 20, 1000):
                with self.subTest(door=door, count=count):
                    self.assertEqual(self.error(self.dealer(door), *[message] * count)["code"], "bad_request")

    def test_empty_messages_are_refused_and_no_message_at_all_is_dropped(self):
        for door in ASKED:
            dealer = self.dealer(door)
            before = self.engine.counter("dropped")
            for frames in ([b""], [b"", b""], [b"", b"", b""], [b"1234", b""], [b"1234", b"", b""], [b""] * 20):
                dealer.send_multipart(frames)
            with self.subTest(door=door):
                self.assertEqual([answer["error"]["code"] for answer in self.probe(dealer, door)], ["bad_request"] * 5)
                self.assertEqual(self.engine.counter("dropped"), before + 1)

    def test_a_frame_over_the_size_that_is_taken_is_refused(self):
        large = b"\xc6" + struct.pack(">I", MESSAGE_MAX) + bytes(MESSAGE_MAX)
        for door in ASKED:
            with self.subTest(door=door):
                self.assertEqual(self.error(self.dealer(door), b"\x81\xa1x" + large)["code"], "too_large")
        self.pushable("large")
        request = msgpack.packb({"op": "push", "pipeline": "large", "tag": "Read"})
        self.assertEqual(self.error(self.dealer("commands"), request, b"\x91\x92\x01" + large)["code"], "too_large")
        fits = MESSAGE_MAX - 8
        dealer = self.dealer("commands")
        dealer.send_multipart([request, b"\x91\x92\x01\xc6" + struct.pack(">I", fits) + bytes(fits)])
        self.assertEqual(self.answer(dealer)["accepted"], 1)
        self.engine.ask("pipeline.forget", pipeline="large")

    def test_bodies_that_are_no_elements_are_refused_naming_the_element(self):
        self.pushable("bodies")
        dealer = self.dealer("commands")
        request = msgpack.packb({"op": "push", "pipeline": "bodies", "tag": "Read"})
        good = [1, b"x"]
        for body in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", msgpack.packb({}), msgpack.packb(good), msgpack.packb([good]) + b"\x00",
                     msgpack.packb([good, [1]]), msgpack.packb([good, [1, "text"]]), msgpack.packb([good, ["1", b"x"]]),
                     msgpack.packb([good, [1.5, b"x"]]),
                     msgpack.packb([good, [1, b"x", 1]]), msgpack.packb([good, [1, b"x", {1: 2}]]),
                     msgpack.packb([good, [1, b"x", {"a": 2}]]),
                     msgpack.packb([good, [1, b"x", {}, 1]]), msgpack.packb([good, [1 << 63, b"x"]]), b"\x91" * 1000000):
            with self.subTest(body=body[:20]):
                error = self.error(dealer, request, body)
                self.assertEqual(error["code"], "bad_request")
        self.assertEqual(self.engine.ask("job.describe", pipeline="bodies")["elements"], 0)
        self.engine.ask("pipeline.forget", pipeline="bodies")

    def test_names_that_are_none_are_refused(self):
        for name in ("", "x" * 256, "a\nb", "a\x00b", "\x7f"):
            with self.subTest(name=name):
                self.refused("bad_request", "pipeline.track", pipeline=pipeline(name))
                self.refused("bad_request", "pipeline.track", pipeline=pipeline("tags", source("Read", PUSH, tag=name)))
                self.refused("bad_request", "pipeline.describe", pipeline=name)
        for name in ("x" * 255, "../../etc/passwd", "a b", "ü€", "%s%n"):
            with self.subTest(name=name):
                self.assertEqual(self.recorded(name, 5)["elements"], 5)
                self.engine.ask("pipeline.forget", pipeline=name)
        self.error(self.dealer("commands"), b"\x82\xa2op\xb0pipeline.describe\xa8pipeline\xa2\xff\xfe")

    def test_envelopes_of_every_kind_of_client_are_mirrored(self):
        message = msgpack.packb({"op": "engine.info", "id": 5})
        for door in ASKED:
            for correlate in (0, 1):
                with self.subTest(door=door, correlate=correlate):
                    one = zmq.Context.instance().socket(zmq.REQ)
                    one.setsockopt(zmq.REQ_CORRELATE, correlate)
                    one.setsockopt(zmq.LINGER, 0)
                    one.connect(self.engine.endpoints[door])
                    self.addCleanup(one.close, 0)
                    for _ in range(3):
                        one.send(message)
                        self.assertEqual(self.answer(one)["id"], 5)
            with self.subTest(door=door, delimiter=True):
                dealer = self.dealer(door)
                dealer.send_multipart([b"", message])
                self.assertTrue(dealer.poll(PATIENCE * 1000))
                frames = dealer.recv_multipart()
                self.assertEqual((len(frames), frames[0]), (2, b""))
                dealer.send(message)
                self.assertEqual(self.answer(dealer)["id"], 5)

    def test_other_protocols_on_a_port_are_dropped(self):
        before = self.engine.counter("dropped")
        for door in ASKED + ("notifications",):
            for words in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                          b"\x16\x03\x01\x02\x00\x01\x00",
                          b"SSH-2.0-x\r\n", b"\x01\x00" * 50, b"\xff" * 10 + b"\x7f" + bytes(200), bytes(1000),
                          random.Random(SEED).randbytes(5000)):
                with self.subTest(door=door, words=words[:20]), socket.create_connection(self.address(door), PATIENCE) as peer:
                    try:
                        peer.sendall(words)
                        peer.shutdown(socket.SHUT_WR)
                        while peer.recv(4096):
                            pass
                    except OSError:
                        pass  # it hung up first
        self.assertGreater(self.engine.counter("dropped"), before)

    def test_a_zmtp_1_peer_with_a_message_is_dropped_and_counted(self):
        before = self.engine.counter("dropped")
        with socket.create_connection(self.address("commands"), PATIENCE) as peer:
            peer.sendall(b"\x01\x00" + b"\x06\x00hello")  # an identity, a message: as the first versions spoke
            counts = iter(lambda: self.engine.counter("dropped"), before + 1)
            self.assertEqual({count for _, count in zip(range(1000), counts)} - {before}, set())
            self.assertEqual(self.engine.counter("dropped"), before + 1)

    def address(self, door):
        host, port = self.engine.endpoints[door][len("tcp://"):].split(":")
        return host, int(port)

    def test_clients_that_vanish_in_mid_push_and_mid_replay_are_let_go(self):
        self.pushable("vanish")
        for number in range(50):
            with self.engine.connect("ingest") as ingest:
                attached = ingest.ask("source.attach", pipeline="vanish", tag="Read", producer=f"p{number}")
                ingest.send("source.batch", msgpack.packb([[number, b"x"]]), source=attached["source"], tag="Read", seq=1)
                if number % 2:
                    ingest.receive()
        job = self.recorded("big", 200000, size=100)
        for number in range(50):
            with self.engine.connect("test_stream") as stream:
                stream.ask("replay.open", recording=job["recording"], credit=1 << 40)
                if number % 2:
                    stream.receive()
        for number in range(50):
            with self.engine.connect("commands") as commands:
                commands.send("job.wait", pipeline="vanish", timeout_ms=100)
        self.assertEqual(len(self.engine.elements(recording=job["recording"])), 200000)
        self.engine.ask("pipeline.forget", pipeline="big")
        self.engine.ask("pipeline.forget", pipeline="vanish")

    def test_one_who_does_not_read_holds_up_nobody(self):
        job = self.recorded("unread", 200000, size=100)
        dealer = self.dealer("test_stream")
        for _ in range(20):
            dealer.send(msgpack.packb({"op": "replay.open", "recording": job["recording"], "credit": 1 << 40}))
        commands = self.dealer("commands")
        for _ in range(5000):
            commands.send(msgpack.packb({"op": "job.list"}))
        self.assertEqual(len(self.engine.elements(recording=job["recording"])), 200000)
        self.engine.ask("pipeline.forget", pipeline="unread")

    def test_payloads_of_sources_that_make_no_sense_fail_the_job_and_nothing_else(self):
        for number, payload in enumerate([{"rate": "fast"}, {"size": -1}, {"size": 1 << 40}, {"sise": 5}, 7, [1], b"\x00", "text",
                                          {"count": 0}, {"rate": -5.0}]):
            name = f"payload-{number}"
            with self.subTest(payload=payload):
                self.engine.run(pipeline(name, source("Read", GENERATOR, payload)))
                job = self.engine.wait(name)
                self.assertEqual((job["state"], job["stop_reason"]), ("FAILED", "error"), job)
                self.assertRegex(job["error"], "payload|source")
                self.engine.ask("pipeline.forget", pipeline=name)
        self.said = self.engine.said()  # it told, too


if __name__ == "__main__":
    unittest.main()
