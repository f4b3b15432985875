"""Quotas: each option that bounds what clients may cost holds at its number and not before, and the error names it and its value."""
import os
import socket
import struct
import time
import unittest

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, PUSH, Engine, EngineTest, Producer, Refused, pipeline, source

MIB = 1 << 20


def memory(pid):
    """What the process has of its own, in bytes."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:")), 0)
    except FileNotFoundError:
        return 0


class Quotas(EngineTest):
    def setUp(self):
        before = self.engine.ask("options.get")
        quotas = {name: value for name, value in before.items() if name.endswith("_max")}
        self.assertGreater(len(quotas), 9)
        self.addCleanup(lambda: self.engine.ask("options.set", **quotas))

    def set(self, **options):
        self.engine.ask("options.set", **options)

    def dealer(self, door, **options):
        """A plain socket."""
        dealer = zmq.Context.instance().socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            dealer.setsockopt(getattr(zmq, name), value)
        dealer.connect(self.engine.endpoints[door])
        self.addCleanup(dealer.close)
        return dealer

    def answer(self, dealer):
        self.assertTrue(dealer.poll(PATIENCE * 1000), "no answer")
        return msgpack.unpackb(dealer.recv_multipart()[0])

    def until_counted(self, requests):
        """Until so many more have arrived."""
        deadline = time.monotonic() + PATIENCE
        while self.engine.counter("commands") < self.asked + requests:
            self.assertLess(time.monotonic(), deadline)

    def limited(self, said, op, code="limit", **fields):
        """Refused, with these words."""
        self.assertIn(said, self.refused(code, op, **fields)["message"])

    def test_a_quota_has_a_range_that_the_refusal_names(self):
        for name, wrong, said in (("message_size_max", MIB - 1, "from 1048576 to 16777216"), ("body_size_max", 16 * MIB + 1, "to 16777216"),
                                  ("transforms_max", 0, "from 1 to 1000000"), ("replays_max", 1000001, "from 1 to 1000000"),
                                  ("unread_max", 1, "1048576 or more")):
            with self.subTest(name=name):
                self.limited(f"`options.set`: `{name}` must be a whole number", "options.set", "bad_request", **{name: wrong})
                self.limited(said, "options.set", "bad_request", **{name: wrong})

    def test_a_message_over_its_size_is_refused_on_every_endpoint(self):
        self.set(message_size_max=MIB)
        for door in ("commands", "ingest", "test_stream"):
            dealer = self.dealer(door)
            for size, code in ((MIB, "unknown_op"), (MIB + 1, "too_large")):
                head = b"\x82\xa2op\xa1x\xa1y\xc6"
                with self.subTest(door=door, size=size):
                    dealer.send(head + struct.pack(">I", size - len(head) - 4) + bytes(size - len(head) - 4))
                    error = self.answer(dealer)["error"]
                    self.assertEqual(error["code"], code)
                    self.assertTrue(code != "too_large" or error["message"].endswith("is larger than `message_size_max` (1048576)"), error)

    def test_a_body_over_its_size_is_refused_and_what_follows_is_taken(self):
        self.set(body_size_max=MIB)
        self.pushable("bodies")
        fits, beyond = (msgpack.packb([[1, bytes(size)]]) for size in (MIB - 100, MIB))
        for body, accepted in ((fits, 1), (beyond, 0), (fits, 1)):
            if accepted:
                self.assertEqual(self.engine.ask("push", body, pipeline="bodies", tag="Read")["accepted"], 1)
            else:
                self.limited("is larger than `body_size_max` (1048576)", "push", "too_large", body=body, pipeline="bodies", tag="Read")
        with self.engine.connect("ingest") as ingest:
            attached = ingest.ask("source.attach", pipeline="bodies", tag="Read", producer="p")
            for seq, body in enumerate((beyond, fits), 1):
                ingest.send("source.batch", body, source=attached["source"], tag="Read", seq=seq)
            refused, taken = ingest.receive(PATIENCE)[0], ingest.receive(PATIENCE)[0]
            self.assertEqual((refused["op"], refused["seq"], refused["error"]["code"]), ("source.nack", 1, "too_large"))
            self.assertEqual((taken["op"], taken["seq"]), ("source.ack", 2))
        self.engine.ask("pipeline.forget", pipeline="bodies")

    def test_a_pipeline_has_no_more_transforms_than_are_allowed_and_one_that_is_known_stays(self):
        self.set(transforms_max=5)
        steps = [source(f"step {number}", "beam:transform:pardo:v1") for number in range(5)]
        self.limited("pipeline `steps` has 6 transforms, and `transforms_max` is 5", "pipeline.run",
                     pipeline=pipeline("steps", source("Read", PUSH), *steps))
        self.engine.run(pipeline("steps", source("Read", PUSH), *steps[1:]))
        self.set(transforms_max=1)
        self.assertTrue(self.engine.ask("source.has", pipeline="steps")["has"])
        self.assertEqual(self.engine.ask("push", msgpack.packb([[1, b"x"]]), pipeline="steps", tag="Read")["accepted"], 1)
        self.engine.ask("pipeline.forget", pipeline="steps")

    def test_there_are_no_more_pipelines_than_are_allowed(self):
        there = len(self.engine.ask("pipeline.list")["pipelines"])
        self.set(pipelines_max=there + 3)
        dealer = self.dealer("commands")
        for number in range(10):  # at once: those that are being stored count
            dealer.send(msgpack.packb({"op": "pipeline.track", "pipeline": pipeline(f"many {number}")}))
        answers = [self.answer(dealer) for _ in range(10)]
        self.assertEqual(sum(answer["ok"] for answer in answers), 3)
        for error in (answer["error"] for answer in answers if not answer["ok"]):
            self.assertEqual(error["code"], "limit")
            self.assertIn(f"there are {there + 3}, and `pipelines_max` is {there + 3}", error["message"])
        names = [one["name"] for one in self.engine.ask("pipeline.list")["pipelines"] if one["name"].startswith("many ")]
        self.engine.ask("pipeline.track", pipeline=pipeline(names[0], source("Read", PUSH)))  # no new one
        self.engine.ask("pipeline.forget", pipeline=names[0])
        self.engine.ask("pipeline.track", pipeline=pipeline("another"))
        for name in (*names[1:], "another"):
            self.engine.ask("pipeline.forget", pipeline=name)

    def test_definitions_have_no_more_bytes_together_than_are_allowed(self):
        self.set(definitions_size_max=4 * MIB)
        def large(name, size):
            return pipeline(name, source("Other", "elsewhere:v1", os.urandom(size)))
        dealer = self.dealer("commands")
        for number in range(6):  # at once: those that are being stored count
            dealer.send(msgpack.packb({"op": "pipeline.track", "pipeline": large(f"large {number}", MIB), "id": number}))
        answers = sorted((self.answer(dealer) for _ in range(6)), key=lambda answer: answer["id"])
        self.assertEqual([answer["ok"] for answer in answers], 3 * [True] + 3 * [False])
        self.assertEqual(answers[5]["error"]["code"], "limit")
        self.assertRegex(answers[5]["error"]["message"], r"`large 5` has 10\d{5} bytes: .* `definitions_size_max` is 4194304")
        self.engine.restart()  # what is stored counts again
        self.limited("`definitions_size_max`", "pipeline.track", pipeline=large("large 3", MIB))
        self.limited("`definitions_size_max`", "pipeline.track", pipeline=large("large 2", 2 * MIB))
        self.engine.ask("pipeline.track", pipeline=large("large 2", MIB // 2))
        self.engine.ask("pipeline.forget", pipeline="large 1")
        self.engine.ask("pipeline.track", pipeline=large("large 3", MIB))
        for number in (0, 2, 3):
            self.engine.ask("pipeline.forget", pipeline=f"large {number}")

    def test_there_are_no_more_replays_than_are_allowed_of_all_and_of_one_connection(self):
        recording = self.recorded("replayed")["recording"]
        self.set(replays_max=5, client_replays_max=3)
        with self.engine.connect("test_stream") as one, self.engine.connect("test_stream") as other:
            for _ in range(3):
                one.ask("replay.open", recording=recording, credit=1)
            with self.assertRaises(Refused) as caught:
                one.ask("replay.open", recording=recording, credit=1)
            self.assertEqual(caught.exception.error["code"], "limit")
            self.assertEqual(caught.exception.error["message"], "`replay.open`: this connection has 3 replays, and `client_replays_max` is 3")
            for _ in range(2):
                last = other.ask("replay.open", recording=recording, credit=1)["replay"]
            with self.assertRaises(Refused) as caught:
                other.ask("replay.open", recording=recording, credit=1)
            self.assertEqual(caught.exception.error["message"], "`replay.open`: 5 replays are under way, and `replays_max` is 5")
            other.ask("replay.close", replay=last)
            other.ask("replay.open", recording=recording, credit=1)
        self.engine.ask("pipeline.forget", pipeline="replayed")

    def test_an_endpoint_has_no_more_connections_than_are_allowed_and_room_is_given_to_others(self):
        self.set(connections_max=5)
        for door, others in (("ingest", 0), ("test_stream", 0), ("commands", 1)):  # this test's own
            with self.subTest(door=door):
                waiting = [self.dealer(door) for _ in range(8)]
                for dealer in waiting:
                    dealer.send(msgpack.packb({"op": "nothing"}))
                let_in = []
                deadline = time.monotonic() + PATIENCE
                while len(let_in) < 5 - others:
                    self.assertLess(time.monotonic(), deadline, f"{len(let_in)} were let in")
                    let_in += [dealer for dealer in waiting if dealer not in let_in and dealer.poll(10)][:5 - others - len(let_in)]
                refused = self.engine.counter("connections_refused")
                while self.engine.counter("connections_refused") < refused + 5:  # they try again and again
                    self.assertLess(time.monotonic(), deadline)
                waiting = [dealer for dealer in waiting if dealer not in let_in]
                self.assertGreaterEqual(len(waiting), 3)
                for dealer in let_in:
                    dealer.close()
                for dealer in waiting:  # what one said before it was shut down is lost, so it asks again
                    while not dealer.poll(500):
                        self.assertLess(time.monotonic(), deadline)
                        dealer.send(msgpack.packb({"op": "nothing"}))
                    self.assertEqual(self.answer(dealer)["error"]["code"], "unknown_op")
                    dealer.close()

    def test_no_more_requests_of_a_client_wait_than_are_allowed_and_each_is_answered(self):
        self.set(client_requests_max=20, requests_max=30)
        self.pushable("waiting")
        dealers = [self.dealer("commands") for _ in range(2)]
        errors = []
        for dealer, refusals in ((dealers[0], 6), (dealers[1], 16)):
            for number in range(25):
                dealer.send(msgpack.packb({"op": "job.wait", "id": number, "pipeline": "waiting", "timeout_ms": PATIENCE * 1000}))
            dealer.send(msgpack.packb({"op": "nothing", "id": 25}))  # no request, so it does not count
            answers = [self.answer(dealer) for _ in range(refusals)]
            self.assertEqual([answer["id"] for answer in answers], list(range(26 - refusals, 26)))
            errors.append(answers[0]["error"])
        self.assertEqual([(error["code"], error["retry"]) for error in errors], [("limit", True)] * 2)
        self.assertEqual(errors[0]["message"], "`job.wait`: 20 requests of this client wait for their answers, and `client_requests_max` is 20")
        self.assertEqual(errors[1]["message"], "`job.wait`: 30 requests of all clients wait for their answers, and `requests_max` is 30")
        producer = Producer(self.engine, "waiting", size=1)
        producer.push(1)
        producer.done()
        for dealer, waits in zip(dealers, (20, 10)):
            answers = [self.answer(dealer) for _ in range(waits)]
            self.assertEqual(sorted((answer["id"], answer["ok"], answer["state"]) for answer in answers),
                             [(number, True, "DONE") for number in range(waits)])
        self.assertTrue(self.engine.ask("job.wait", pipeline="waiting", timeout_ms=1)["is_done"])
        self.engine.ask("pipeline.forget", pipeline="waiting")

    def test_requests_that_wait_have_no_more_bytes_than_are_allowed(self):
        self.engine.run(pipeline("heavy", source("Read", PUSH)))
        before, dealer = memory(self.engine.process.pid), self.dealer("commands")
        for number in range(20):
            dealer.send(msgpack.packb({"op": "job.wait", "pipeline": "heavy", "timeout_ms": 600000, "id": number,
                                       "padding": bytes(15 * MIB)}))
        refused = [self.answer(dealer) for _ in range(16)]
        self.assertEqual({answer["error"]["code"] for answer in refused}, {"limit"})
        self.assertIn("bytes of requests of this client wait for their answers", refused[0]["error"]["message"])
        self.assertLess(memory(self.engine.process.pid) - before, 128 * MIB)
        self.engine.ask("job.cancel", pipeline="heavy")
        self.assertEqual({self.answer(dealer)["ok"] for _ in range(4)}, {True})
        dealer.send(msgpack.packb({"op": "job.wait", "pipeline": "heavy", "timeout_ms": 0, "padding": bytes(15 * MIB)}))
        self.assertTrue(self.answer(dealer)["ok"])
        self.engine.ask("pipeline.forget", pipeline="heavy")

    def test_no_more_producers_of_a_connection_wait_to_be_let_in_than_are_allowed(self):
        """Where a source lacks its worker, those that feed the others wait."""
        self.set(client_requests_max=20)
        self.engine.run(pipeline("patient", source("Read", PUSH), source("Other", "reprise:source:elsewhere:v1")))
        before, dealer = memory(self.engine.process.pid), self.dealer("ingest")
        attach = {"op": "source.attach", "pipeline": "patient", "tag": "Read"}
        for number in range(25):
            dealer.send(msgpack.packb({**attach, "id": number, "producer": str(number)}))
        errors = [self.answer(dealer) for _ in range(5)]
        self.assertEqual([(answer["id"], answer["error"]["retry"]) for answer in errors], [(number, True) for number in range(20, 25)])
        self.assertEqual(errors[0]["error"]["message"],
                         "`source.attach`: 20 requests of this client wait for their answers, and `client_requests_max` is 20")
        heavy = self.dealer("ingest")
        for number in range(20):
            heavy.send_multipart([msgpack.packb({**attach, "id": number, "producer": f"heavy {number}"}), bytes(15 * MIB)])
        self.assertEqual({self.answer(heavy)["error"]["code"] for _ in range(16)}, {"limit"})
        self.assertLess(memory(self.engine.process.pid) - before, 128 * MIB)
        self.engine.ask("pipeline.forget", pipeline="patient")
        self.assertEqual({answer["ok"] for answer in (self.answer(one) for one, waits in ((dealer, 20), (heavy, 4)) for _ in range(waits))},
                         {False})

    def test_an_administrator_is_heard_where_all_requests_are_used_up(self):
        self.set(client_requests_max=5, requests_max=10)
        self.pushable("used up")
        dealers = [self.dealer("commands") for _ in range(2)]
        for dealer in dealers:
            for number in range(6):
                dealer.send(msgpack.packb({"op": "job.wait", "id": number, "pipeline": "used up", "timeout_ms": PATIENCE * 1000}))
            self.assertEqual(self.answer(dealer)["error"]["code"], "limit")
        self.limited("10 requests of all clients wait for their answers, and `requests_max` is 10", "engine.info")
        self.limited("`requests_max` is 10", "pipeline.track", pipeline=pipeline("one more"))
        dealers[0].send(msgpack.packb({"op": "options.set", "id": 6, "requests_max": 11}))  # whose own are used up, too
        answer = self.answer(dealers[0])
        self.assertEqual((answer["ok"], answer["id"], answer["requests_max"]), (True, 6, 11))
        self.assertTrue(self.engine.ask("engine.info")["ok"])
        self.engine.ask("pipeline.forget", pipeline="used up")  # which ends what they wait for
        for dealer in dealers:
            self.assertEqual({self.answer(dealer)["ok"] for _ in range(5)}, {True})

    def test_one_who_asks_much_before_reading_has_each_answer(self):
        self.asked = self.engine.counter("commands")
        dealer = self.dealer("commands", SNDHWM=0, RCVHWM=1, RCVBUF=4096)
        for number in range(60000):
            dealer.send(msgpack.packb({"op": "options.get", "id": number}))
        self.until_counted(60000)
        # Those that find a mailbox full are refused, before those that it holds are answered.
        self.assertEqual(sorted(self.answer(dealer)["id"] for _ in range(60000)), list(range(60000)))

    def test_one_for_whom_nothing_more_can_be_kept_is_let_go(self):
        self.set(client_unread_max=MIB, unread_max=MIB)
        undelivered = self.engine.counter("undelivered")
        dealer = self.dealer("commands", SNDHWM=0, RCVHWM=1, RCVBUF=4096)
        monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        for _ in range(20000):
            dealer.send(msgpack.packb({"op": "options.get"}))
        deadline = time.monotonic() + PATIENCE
        while self.engine.counter("undelivered") == undelivered:  # what else was sent may be lost with the connection
            self.assertLess(time.monotonic(), deadline)
        while not monitor.poll(0):  # libzmq notices when it has room for what came before
            self.answer(dealer)
        dealer.disable_monitor()
        monitor.close()

    def test_answers_that_nobody_reads_are_bounded_for_each_client_and_for_all_together(self):
        job = self.recorded("unread", count=1000, size=3000)
        before = memory(self.engine.process.pid)
        self.set(client_unread_max=16 * MIB, unread_max=48 * MIB)
        fetch = msgpack.packb({"op": "recording.fetch", "recording": job["recording"], "max": 1000})
        first, *rest = [self.dealer("commands", RCVHWM=1, RCVBUF=4096) for _ in range(8)]
        for asking in ([first], rest):
            answered = self.engine.counter("commands")
            for _ in range(20):
                for dealer in asking:
                    dealer.send(fetch)
            while self.engine.counter("commands") < answered + 20 * len(asking):
                self.engine.ask("recording.fetch", recording=job["recording"], max=1)  # those who read are served all the while
            self.assertLess(memory(self.engine.process.pid) - before, 128 * MIB)
        for asked, quota in (([first], "`client_unread_max` (16777216)"), (rest, "`unread_max` (50331648)")):
            errors = [answer["error"] for dealer in asked for answer in (self.answer(dealer) for _ in range(20)) if not answer["ok"]]
            self.assertTrue(errors)
            self.assertEqual({(error["code"], error["retry"]) for error in errors}, {("limit", True)})
            self.assertTrue(any(error["message"].endswith(quota) for error in errors), errors[0])
        self.assertEqual(len(self.engine.ask("recording.fetch", recording=job["recording"], max=1000)["elements"]), 1000)
        self.engine.ask("pipeline.forget", pipeline="unread")


class Memory(unittest.TestCase):
    """What nobody counts before its end has come: the frames of one message."""
    MOST = 256 * MIB

    def shaken(self, endpoint):
        """A connection that speaks ZeroMQ by hand."""
        host, port = endpoint[len("tcp://"):].split(":")
        peer = socket.create_connection((host, int(port)), PATIENCE)
        self.addCleanup(peer.close)
        ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity" + bytes(4)
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32) + b"\x04" + bytes([len(ready)]) + ready)
        heard = b""
        while b"ROUTER" not in heard:
            heard += peer.recv(1000)
        return peer

    def test_frames_without_end_end_the_process_at_its_bound_and_the_next_one_serves(self):
        engine = Engine("--memory-max", str(self.MOST), guard=True)
        self.addCleanup(engine.remove)
        engine.run(pipeline("kept", source("Read", GENERATOR, {"rate": 0})), limits={"count": 1000})
        recording = engine.wait("kept")["recording"]
        first = engine.ask("engine.info")["pid"]
        frames = (b"\x01\x40" + bytes(64)) * 1000  # each is followed by more
        largest = sent = 0
        for door in ("commands", "ingest", "test_stream"):
            pid = engine.ask("engine.info")["pid"]
            peer = self.shaken(engine.endpoints[door])
            with self.subTest(door=door), self.assertRaises(OSError):
                for sent in range(0, 4 * self.MOST, len(frames)):
                    peer.sendall(frames)
                    largest = max(largest, memory(pid))
            self.assertGreater(sent, self.MOST // 16)
            self.assertLess(largest, self.MOST)
            engine.commands.socket.close()
            engine.commands = engine.connect("commands")
            self.assertNotEqual(engine.ask("engine.info")["pid"], pid)
        self.assertNotEqual(engine.ask("engine.info")["pid"], first)
        self.assertTrue(engine.ask("recording.verify", recording=recording)["intact"])
        self.assertEqual(len(engine.elements(recording=recording)), 1000)


if __name__ == "__main__":
    unittest.main()
