"""Messages of real ZeroMQ programs: which of them are recorded, as what, and what is said of those that are not."""
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import msgpack
import zmq

from engine import BUILD, PATIENCE, ROOT, Engine, EngineTest, free_ports, pipeline, source

ZMQ = "reprise:source:zmq:v1"
LIMITS = {"duration_ms": 3600000}
NODE, SENDERS = ROOT / "docs" / "clients" / "node", ROOT / "tests" / "system" / "senders"


class Sender:
    """A program that publishes or pushes at an endpoint of its own, and can be killed: then its socket is gone, and its context with it."""

    def __init__(self, kind=zmq.XPUB, endpoint=None, **options):
        self.kind, self.options = kind, options
        self.endpoint = endpoint or f"tcp://127.0.0.1:{free_ports(1)}"
        self.start()

    def start(self):
        self.context = zmq.Context()
        self.open()

    def open(self):
        self.socket = self.context.socket(self.kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, PATIENCE * 1000)
        self.socket.setsockopt(zmq.RCVTIMEO, PATIENCE * 1000)
        for name, value in self.options.items():
            setattr(self.socket, name, value)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket.bind(self.endpoint)
                return
            except zmq.ZMQError:  # libzmq gives a port back late
                assert time.monotonic() < deadline, f"{self.endpoint} is not given back"

    def reopen(self, **options):
        """With other options, in the same context."""
        self.socket.close()
        self.options = options
        self.endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.open()

    def connect(self, endpoint):
        self.socket.unbind(self.endpoint)
        self.socket.connect(endpoint)

    def subscribed(self, *topics):
        """Waits until somebody listens, to just these."""
        assert [self.socket.recv() for _ in topics or (b"",)] == [b"\x01" + topic for topic in sorted(topics) or (b"",)]

    def send(self, *messages):
        for message in messages:
            self.socket.send_multipart(message if isinstance(message, (list, tuple)) else [message])

    def kill(self):
        self.socket.close()
        self.context.term()


def numbered(count, start=0):
    return [b"message %d" % number for number in range(start, start + count)]


class ZmqTest(EngineTest):
    def sender(self, *arguments, **options):
        one = Sender(*arguments, **options)
        self.addCleanup(lambda: one.socket.closed or one.kill())
        return one

    def record(self, name, server, limits=None, **payload):
        payload = {"server": server, **payload}
        return self.engine.run(pipeline(name, source("Read", ZMQ, payload)), limits=limits or LIMITS)["recording"]

    def wait_for(self, name, count):
        return self.engine.replay(pipeline=name, max_elements=count)

    def waits_for(self, name, *texts):
        """Until the source says that it waits for that; for nothing without a text."""
        deadline = time.monotonic() + PATIENCE
        while True:
            waits = " ".join(self.engine.ask("job.describe", pipeline=name).get("waits") or [])
            if all(text in waits for text in texts) and (texts or not waits):
                return waits
            self.assertLess(time.monotonic(), deadline, f"{name} waits for {waits!r}, not for {texts}")

    def end(self, name):
        """The gaps and the elements of a recording, once its job was cancelled."""
        self.engine.ask("job.cancel", pipeline=name)
        job = self.engine.wait(name)
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        gaps = self.engine.ask("recording.describe", recording=job["recording"])["gaps"]
        return gaps, self.engine.elements(recording=job["recording"])

    def bodies(self, name):
        gaps, elements = self.end(name)
        self.assertEqual(gaps, [])
        return [element[2] for element in elements]

    def failure(self, name):
        return self.engine.wait(name)["error"]


class Messages(ZmqTest):
    def test_every_message_of_a_publisher_is_recorded_in_order(self):
        publisher = self.sender()
        self.record("all", publisher.endpoint.removeprefix("tcp://"))
        publisher.subscribed()
        sent = numbered(20000) + [b"", b"\x00" * 1000, b"x" * 300000]
        publisher.send(*sent)
        self.wait_for("all", len(sent))
        self.assertEqual(self.bodies("all"), sent)

    def test_only_the_topics_that_are_asked_for_are_heard(self):
        publisher = self.sender()
        self.record("topics", publisher.endpoint, topics="a,bc")
        publisher.subscribed(b"a", b"bc")
        publisher.send(b"a1", b"b1", b"bc1", b"c1", b"a2")
        self.wait_for("topics", 3)
        self.assertEqual(self.bodies("topics"), [b"a1", b"bc1", b"a2"])

    def test_the_last_part_is_the_element_and_the_first_its_topic(self):
        publisher = self.sender()
        self.record("parts", publisher.endpoint, topics="news")
        publisher.subscribed(b"news")
        publisher.send([b"news", b"one"], [b"news.sport", b"2", b"3", b"two"], [b"news\xff", b""], b"news alone")
        self.wait_for("parts", 4)
        _, elements = self.end("parts")
        self.assertEqual([element[2:] for element in elements], [
            [b"one", {"topic": "news"}],
            [b"two", {"topic": "news.sport", "parts": msgpack.packb([b"2", b"3"])}],
            [b"", {"topic": b"news\xff"}],
            [b"news alone"]])

    def test_parts_are_joined_or_elements_of_their_own_or_a_list(self):
        message = [b"one", b"", b"three"]
        for parts, expected in (("join", [b"onethree", b"single"]), ("each", [b"one", b"", b"three", b"single"]),
                                ("list", [msgpack.packb(message), msgpack.packb([b"single"])])):
            with self.subTest(parts):
                publisher = self.sender()
                self.record(parts, publisher.endpoint, parts=parts)
                publisher.subscribed()
                publisher.send(message, b"single")
                self.wait_for(parts, len(expected))
                self.assertEqual(self.bodies(parts), expected)

    def test_pushers_that_connect_are_pulled_from(self):
        endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.record("bound", endpoint, socket="pull", bind=True)
        self.waits_for("bound", endpoint, "nobody has connected")
        pushers = [self.sender(zmq.PUSH) for _ in range(3)]
        for number, pusher in enumerate(pushers):
            pusher.connect(endpoint)
            pusher.send(*(b"%d %d" % (number, index) for index in range(1000)))
        self.wait_for("bound", 3000)
        bodies = self.bodies("bound")
        for number in range(3):
            mine = [body for body in bodies if body.startswith(b"%d " % number)]
            self.assertEqual(mine, [b"%d %d" % (number, index) for index in range(1000)])
        self.assertEqual(len(bodies), 3000)

    def test_several_publishers_are_one_stream(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-zmq-"))
        self.addCleanup(shutil.rmtree, folder, True)
        publishers = [self.sender(), self.sender(endpoint=f"ipc://{folder}/one")]
        self.record("several", ",".join(publisher.endpoint for publisher in publishers))
        for number, publisher in enumerate(publishers):
            publisher.subscribed()
            publisher.send(*(b"%d %d" % (number, index) for index in range(500)))
        self.wait_for("several", 1000)
        bodies = self.bodies("several")
        self.assertEqual(sorted(bodies), sorted(b"%d %d" % (number, index) for number in range(2) for index in range(500)))

    def test_event_time_and_key_stand_in_the_last_part(self):
        publisher = self.sender()
        self.record("times", publisher.endpoint, event_time="/at", event_time_unit="ms", key="/user", out_of_order_ms=1000, on_error="skip")
        publisher.subscribed()
        publisher.send([b"clicks", b'{"at": 5000, "user": "u1"}'], b"no JSON", b'{"at": 4500}', b'{"at": 9000, "user": 7}')
        seen = self.wait_for("times", 3)
        _, elements = self.end("times")
        self.assertEqual([element[1:] for element in elements], [
            [5000000, b'{"at": 5000, "user": "u1"}', {"key": "u1", "topic": "clicks"}],
            [4500000, b'{"at": 4500}'],
            [9000000, b'{"at": 9000, "user": 7}', {"key": "7"}]])
        recording = self.engine.ask("recording.describe", pipeline="times")
        self.assertIsNotNone(seen)
        events = self.engine.replay(recording=recording["recording"])
        marks = [event["to"] for event, _ in events if event["event"] == "watermark"]
        self.assertIn(8000000, marks)

    def test_what_is_no_message_of_the_kind_fails_the_job_and_is_named(self):
        publisher = self.sender()
        self.record("fails", publisher.endpoint, event_time="/at")
        publisher.subscribed()
        publisher.send(b'{"at": 1}', b"no JSON")
        error = self.failure("fails")
        self.assertIn(publisher.endpoint, error)
        self.assertIn("message 2", error)
        self.assertIn("this is not JSON", error)
        self.assertEqual([element[2] for element in self.engine.elements(pipeline="fails")], [b'{"at": 1}'])

    def test_a_message_too_large_is_refused_or_left_out_and_what_follows_is_whole(self):
        large = [[b"x" * (16 << 20)], [b"x" * (8 << 20)] * 2, [b"x"] * 65]
        for on_error in ("skip", "fail"):
            publisher = self.sender()
            self.record(on_error, publisher.endpoint, on_error=on_error, parts="join")
            publisher.subscribed()
            publisher.send(b"before", *large, [b"x"] * 64, b"after")
            if on_error == "skip":
                self.wait_for(on_error, 3)
                self.assertEqual(self.bodies(on_error), [b"before", b"x" * 64, b"after"])
            else:
                self.assertIn("message 2", self.failure(on_error))
                self.assertEqual([element[2] for element in self.engine.elements(pipeline=on_error)], [b"before"])


class Languages(ZmqTest):
    """Senders that this project has not written: libzmq from C and its binding for Node. Python's is in the other tests."""

    def run_sender(self, *command, cwd=None):
        process = subprocess.Popen([str(word) for word in command], cwd=cwd, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_publisher_and_a_pusher_in_c(self):
        for kind, kind_there in (("pub", "sub"), ("push", "pull")):
            endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
            self.record(kind_there, endpoint, socket=kind_there)
            self.run_sender(BUILD / "tests" / "sender-c", kind, endpoint, 50000, 40)
            self.wait_for(kind_there, 50000)
            self.assertEqual(self.bodies(kind_there), [(b"%d " % number).ljust(40, b"x")[:40] for number in range(50000)])

    def test_a_publisher_and_a_pusher_in_node(self):
        if not shutil.which("node") or not (NODE / "node_modules").is_dir():
            raise AssertionError("the Node client is not set up: `npm ci` in docs/clients/node (bin/setup does it)")
        for kind, kind_there in (("pub", "sub"), ("push", "pull")):
            endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
            name = f"node {kind}"
            self.record(name, endpoint, socket=kind_there)
            self.run_sender("node", "--input-type=module", "-e", (SENDERS / "sender.mjs").read_text(), kind, endpoint, 2000, cwd=NODE)
            self.wait_for(name, 2000)
            _, elements = self.end(name)
            topic = [{"topic": "numbers"}] if kind == "pub" else []
            self.assertEqual([element[2:] for element in elements], [[b"%d from Node" % number, *topic] for number in range(2000)])

    def test_a_sender_that_is_killed_and_comes_back(self):
        endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.record("again", endpoint)
        for round_ in range(3):
            process = self.run_sender(BUILD / "tests" / "sender-c", "pub", endpoint, 1000, 40)
            self.wait_for("again", 1000 * (round_ + 1))
            process.kill()
            process.wait()
        gaps, elements = self.end("again")
        self.assertEqual([gap["element"] for gap in gaps], [1000, 2000])
        self.assertEqual([element[2] for element in elements], [(b"%d " % number).ljust(40, b"x")[:40] for number in range(1000)] * 3)


class Losses(ZmqTest):
    """What ZeroMQ loses is a gap, and what it does not lose is there once."""

    def setUp(self):
        self.engine = Engine("--chaos")  # its own: it is killed
        self.addCleanup(self.engine.remove)

    def test_a_publisher_that_was_away_leaves_a_gap_where_it_comes_back(self):
        publisher = self.sender()
        self.record("away", publisher.endpoint)
        publisher.subscribed()
        publisher.send(*numbered(1000))
        self.wait_for("away", 1000)
        publisher.kill()
        self.waits_for("away", publisher.endpoint, "the connection has ended")
        began = time.monotonic()
        publisher.start()
        publisher.subscribed()
        self.waits_for("away")
        publisher.send(*numbered(1000, 1000))
        self.wait_for("away", 2000)
        gaps, elements = self.end("away")
        self.assertEqual([element[2] for element in elements], numbered(2000))
        (gap,) = gaps
        self.assertEqual((gap["tag"], gap["element"]), ("Read", 1000))
        self.assertEqual(gap["what"], f"{publisher.endpoint}: the connection had ended; what was published meanwhile is missing")
        self.assertGreater(gap["lost_us"], 0)
        self.assertLess(gap["lost_us"], (time.monotonic() - began + 60) * 1e6)

    def test_each_publisher_of_several_has_gaps_of_its_own(self):
        publishers = [self.sender(), self.sender()]
        self.record("each", ",".join(publisher.endpoint for publisher in publishers))
        for publisher in publishers:
            publisher.subscribed()
        for round_ in range(3):
            for number, publisher in enumerate(publishers):
                publisher.kill()
                self.waits_for("each", publisher.endpoint)
                publisher.start()
                publisher.subscribed()
                self.waits_for("each")
                publisher.send(b"%d" % number)
                self.wait_for("each", round_ * 2 + number + 1)
        gaps, elements = self.end("each")
        self.assertEqual([gap["element"] for gap in gaps], list(range(6)))
        self.assertEqual([gap["what"].split(": ")[0] for gap in gaps], [publisher.endpoint for publisher in publishers] * 3)
        self.assertEqual([element[2] for element in elements], [b"0", b"1"] * 3)

    def test_an_engine_that_was_killed_leaves_a_gap_since_the_last_message(self):
        publisher = self.sender()
        self.record("killed", publisher.endpoint)
        publisher.subscribed()
        publisher.send(*numbered(1000))
        self.wait_for("killed", 1000)
        self.engine.kill()
        assert publisher.socket.recv() == b"\x00"
        publisher.send(*numbered(500, 1000))  # nobody hears this
        self.engine.start()
        publisher.subscribed()
        self.waits_for("killed")
        publisher.send(*numbered(1000, 1500))
        self.wait_for("killed", 2000)
        gaps, elements = self.end("killed")
        self.assertEqual([element[2] for element in elements], numbered(1000) + numbered(1000, 1500))
        restart, gap = gaps
        self.assertEqual(restart["what"], "the engine was restarted")
        self.assertEqual((gap["tag"], gap["element"]), ("Read", 1000))
        self.assertEqual(gap["what"], f"{publisher.endpoint}: this source was started anew; what was published meanwhile is missing")
        self.assertGreaterEqual(gap["lost_us"], restart["lost_us"])

    def test_an_engine_that_was_killed_before_the_first_message_leaves_a_gap(self):
        publisher = self.sender()
        self.record("early", publisher.endpoint)
        publisher.subscribed()
        recording = self.engine.ask("job.describe", pipeline="early")["recording"]
        deadline = time.monotonic() + PATIENCE
        while not any(record["kind"] == 1 for record in self.engine.records(recording)):  # that it has begun
            self.assertLess(time.monotonic(), deadline)
        self.engine.kill()
        assert publisher.socket.recv() == b"\x00"
        self.engine.start()
        publisher.subscribed()
        self.waits_for("early")
        publisher.send(b"one")
        self.wait_for("early", 1)
        gaps, elements = self.end("early")
        self.assertEqual([element[2] for element in elements], [b"one"])
        self.assertIn("this source was started anew", gaps[-1]["what"])

    def test_what_a_pusher_holds_back_meanwhile_is_not_lost(self):
        pusher = self.sender(zmq.PUSH)
        self.record("pull", pusher.endpoint, socket="pull")
        pusher.send(*numbered(1000))
        self.wait_for("pull", 1000)
        self.engine.kill()
        deadline = time.monotonic() + PATIENCE
        while pusher.socket.poll(0, zmq.POLLOUT):  # until it has seen that nobody is there
            self.assertLess(time.monotonic(), deadline)
        self.engine.start()
        pusher.send(*numbered(1000, 1000))
        self.wait_for("pull", 2000)
        gaps, elements = self.end("pull")
        self.assertEqual([element[2] for element in elements], numbered(2000))
        self.assertEqual(gaps[-1]["what"], f"{pusher.endpoint}: this source was started anew; what was on its way may be missing")
        self.assertNotIn("lost_us", gaps[-1])

    def test_a_recorder_that_fails_loses_only_what_a_gap_counts(self):
        publisher = self.sender()
        self.record("recorder", publisher.endpoint)
        publisher.subscribed()
        sent = 0
        for _ in range(5):
            publisher.send(*numbered(5000, sent))
            self.engine.ask("chaos.fail", actor="recorder")
            sent += 5000
        later, bodies = [], []
        deadline = time.monotonic() + PATIENCE
        while not set(later).intersection(bodies):  # the first of these may be lost, too, until a state takes them
            self.assertLess(time.monotonic(), deadline)
            later.append(b"later %d" % len(later))
            publisher.send(later[-1])
            events = self.engine.replay(pipeline="recorder", follow=False)
            bodies = [element[1] for event, elements in events for element in elements or []]
        gaps, elements = self.end("recorder")
        bodies = [element[2] for element in elements]
        places = {body: place for place, body in enumerate(numbered(sent) + later)}
        first = next(body for body in bodies if body in later)
        lost = sum(int(gap["what"].split()[-1]) for gap in gaps if "recorder's state" in gap["what"])
        self.assertEqual(lost, places[first] - bodies.index(first), gaps)
        self.assertEqual(sorted(set(bodies), key=places.get), bodies, "out of order, or twice")

    def test_by_the_numbers_of_a_publisher_each_kill_of_the_engine_costs_what_the_gaps_count(self):
        publisher = self.sender()
        self.record("numbers", publisher.endpoint, sequence="0")
        sent = 0
        for _ in range(4):
            publisher.subscribed()
            self.waits_for("numbers")
            publisher.send(*([struct.pack(">Q", number), b"message %d" % number] for number in range(sent, sent + 3000)))
            sent += 3000
            deadline = time.monotonic() + PATIENCE
            while self.engine.ask("job.describe", pipeline="numbers")["elements"] < 100:
                self.assertLess(time.monotonic(), deadline)
            self.engine.kill()
            assert publisher.socket.recv() == b"\x00"
            publisher.send([struct.pack(">Q", sent), b"unheard"])
            sent += 1
            self.engine.start()
        publisher.subscribed()
        self.waits_for("numbers")
        publisher.send([struct.pack(">Q", sent), b"last"])
        deadline = time.monotonic() + PATIENCE
        while [element[2] for element in self.engine.elements(pipeline="numbers", follow=False)][-1:] != [b"last"]:
            self.assertLess(time.monotonic(), deadline)
        gaps, elements = self.end("numbers")
        numbers = [struct.unpack(">Q", element[3]["topic"] if isinstance(element[3]["topic"], bytes) else element[3]["topic"].encode())[0]
                   for element in elements]
        self.assertEqual(numbers, sorted(set(numbers)))
        missing = [(int(words[-5]), int(words[-1])) for words in (gap["what"].split() for gap in gaps if "missing before" in gap["what"])]
        holes = [(after - before - 1, after) for before, after in zip(numbers, numbers[1:]) if after > before + 1]
        # Killed between a gap and the message after it, the next gap begins with that message: two gaps, one hole.
        merged = []
        for count, after in missing:
            joins = merged and merged[-1][1] == after - count
            merged.append((merged.pop()[0] + count, after) if joins else (count, after))
        self.assertEqual(merged, holes)
        self.assertIn(len(missing), range(1, 5))  # one that was killed before it had recorded anything leaves its loss to the next
        self.assertEqual(len(numbers) + sum(count for count, _ in missing), sent + 1)

    def test_a_job_that_ends_leaves_no_subscription(self):
        publisher = self.sender()
        self.record("ends", publisher.endpoint, topics="a")
        publisher.subscribed(b"a")
        self.engine.ask("job.cancel", pipeline="ends")
        self.engine.wait("ends")
        self.assertEqual(publisher.socket.recv(), b"\x00a")

    def test_a_bound_file_is_gone_with_its_job_and_other_files_are_left_alone(self):
        folder = self.engine.folder
        taken, free = folder / "taken", folder / "free"
        taken.write_text("mine")
        self.record("free", f"ipc://{free}", bind=True)
        self.waits_for("free", "nobody has connected")
        self.assertTrue(free.is_socket())
        self.record("second", f"ipc://{free}", bind=True, queue=7)
        self.waits_for("second", "somebody else listens there")
        self.record("taken", f"ipc://{taken}", bind=True)
        self.waits_for("taken", "a file that is no socket")
        for name in ("second", "taken"):
            self.engine.ask("job.cancel", pipeline=name)
        self.assertTrue(free.is_socket())
        self.end("free")
        deadline = time.monotonic() + PATIENCE
        while free.exists():
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(taken.read_text(), "mine")

    def test_a_port_in_use_is_waited_for(self):
        other = self.sender(zmq.PUSH)
        self.record("bind", other.endpoint, bind=True, socket="pull")
        self.waits_for("bind", "Address already in use")
        other.kill()
        self.waits_for("bind", "nobody has connected")
        pusher = self.sender(zmq.PUSH)
        pusher.connect(other.endpoint)
        pusher.send(b"one")
        self.wait_for("bind", 1)
        self.assertEqual(self.bodies("bind"), [b"one"])

    def test_a_publisher_that_is_there_later_is_waited_for(self):
        publisher = self.sender()
        publisher.kill()
        self.record("later", publisher.endpoint)
        self.waits_for("later", publisher.endpoint, "nobody is there")
        publisher.start()
        publisher.subscribed()
        self.waits_for("later")
        publisher.send(b"one")
        self.wait_for("later", 1)
        self.assertEqual(self.bodies("later"), [b"one"])


class Guarded(ZmqTest):
    """Passwords and keys, on both sides."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-zmq-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)

    def key(self, path):
        """A certificate as `reprise keygen` makes it; both keys."""
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([BUILD / "reprise", "keygen", "--force", path], check=True, stdout=subprocess.DEVNULL)
        text = path.with_suffix(".key").read_text().split('"')
        return text[-4].encode(), text[-2].encode()

    def password(self, text="open sesame"):
        path = self.folder / "password"
        path.write_text(f"{text}\n")
        return str(path)

    def porter(self, sender, **plain):
        """Asks for passwords at the sender's sockets, as its authenticator."""
        from zmq.auth.thread import ThreadAuthenticator
        porter = ThreadAuthenticator(sender.context)
        porter.start()
        self.addCleanup(porter.stop)
        if plain:
            porter.configure_plain(domain="*", passwords=plain)
        return porter

    def test_a_publisher_with_a_key_is_heard_by_whoever_knows_its_public_one(self):
        public, secret = self.key(self.folder / "publisher")
        for given in (public.decode(), str(self.folder / "publisher.pub")):
            publisher = self.sender(curve_server=1, curve_secretkey=secret)
            name = "file" if "/" in given else "key"
            self.record(name, publisher.endpoint, server_key=given)
            publisher.subscribed()
            publisher.send(b"one")
            self.wait_for(name, 1)
            self.assertEqual(self.bodies(name), [b"one"])

    def test_another_key_than_the_publishers_is_waited_with_and_the_reason_is_said(self):
        _, secret = self.key(self.folder / "publisher")
        other, _ = self.key(self.folder / "other")
        publisher = self.sender(curve_server=1, curve_secretkey=secret)
        self.record("other", publisher.endpoint, server_key=other.decode())
        self.waits_for("other", publisher.endpoint, "is its key right?")
        self.assertEqual(self.bodies("other"), [])

    def test_a_publisher_that_wants_keys_is_reached_once_it_wants_none(self):
        """libzmq gives up where the mechanisms differ; the source does not."""
        _, secret = self.key(self.folder / "publisher")
        publisher = self.sender(curve_server=1, curve_secretkey=secret)
        self.record("mechanism", publisher.endpoint)
        self.waits_for("mechanism", "wants another mechanism")
        publisher.kill()
        publisher.options = {}
        publisher.start()
        publisher.subscribed()
        self.waits_for("mechanism")
        publisher.send(b"one")
        self.wait_for("mechanism", 1)
        self.assertEqual(self.bodies("mechanism"), [b"one"])

    def test_a_publisher_that_asks_for_our_key_gets_the_one_of_the_file(self):
        public, secret = self.key(self.folder / "publisher")
        mine, _ = self.key(self.folder / "mine")
        self.key(self.folder / "other")
        known = self.folder / "known"
        known.mkdir()
        shutil.copy(self.folder / "mine.pub", known / "mine.key")
        publisher = self.sender(zmq.PUSH)
        self.porter(publisher).configure_curve(domain="*", location=str(known))
        publisher.reopen(curve_server=1, curve_secretkey=secret)
        keys = {"server_key": public.decode(), "socket": "pull"}
        self.record("known", publisher.endpoint, key_file=str(self.folder / "mine.key"), **keys)
        publisher.send(b"one")
        self.wait_for("known", 1)
        self.assertEqual(self.bodies("known"), [b"one"])
        self.record("unknown", publisher.endpoint, key_file=str(self.folder / "other.key"), **keys)
        error = self.failure("unknown")
        self.assertIn(publisher.endpoint, error)
        self.assertIn("400", error)

    def test_a_password_is_sent_from_its_file_and_a_wrong_one_fails_the_job(self):
        publisher = self.sender(zmq.PUSH)
        porter = self.porter(publisher, reader="open sesame")
        publisher.reopen(plain_server=1)
        who = {"socket": "pull", "username": "reader"}
        self.record("right", publisher.endpoint, password_file=self.password(), **who)
        publisher.send(b"one")
        self.wait_for("right", 1)
        self.assertEqual(self.bodies("right"), [b"one"])
        self.record("wrong", publisher.endpoint, password_file=self.password("close sesame"), **who)
        error = self.failure("wrong")
        self.assertIn(publisher.endpoint, error)
        self.assertIn("lets nobody in like this: 400", error)
        self.assertNotIn("close sesame", error)
        self.assertTrue(porter.is_alive())

    def test_who_binds_with_keys_lets_in_only_those_that_it_knows(self):
        folder = self.folder / "bound"
        public, _ = self.key(folder / "server")
        known, known_secret = self.key(folder / "clients" / "known")
        stranger, stranger_secret = self.key(self.folder / "stranger")
        endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.record("guarded", endpoint, bind=True, socket="pull", keys=str(folder))
        self.waits_for("guarded", "nobody has connected")
        strangers = [{}, {"curve_serverkey": public, "curve_publickey": stranger, "curve_secretkey": stranger_secret},
                     {"plain_username": b"known", "plain_password": b"sesame"}]
        for options in strangers:
            pusher = self.sender(zmq.PUSH, **options)
            watch = pusher.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            pusher.connect(endpoint)
            self.assertTrue(watch.poll(PATIENCE * 1000), options)
            pusher.socket.disable_monitor()
            watch.close()
        friend = self.sender(zmq.PUSH, curve_serverkey=public, curve_publickey=known, curve_secretkey=known_secret)
        friend.connect(endpoint)
        friend.send(b"one")
        self.wait_for("guarded", 1)
        self.assertEqual(self.bodies("guarded"), [b"one"])

    def test_who_binds_with_a_password_lets_in_only_those_that_say_it(self):
        endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.record("plain", endpoint, bind=True, socket="pull", username="me", password_file=self.password())
        self.waits_for("plain", "nobody has connected")
        wrong = [{}, {"plain_username": b"me", "plain_password": b"close sesame"},
                 {"plain_username": b"m", "plain_password": b"open sesame"}]
        for options in wrong:
            pusher = self.sender(zmq.PUSH, **options)
            watch = pusher.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            pusher.connect(endpoint)
            self.assertTrue(watch.poll(PATIENCE * 1000), options)
            pusher.socket.disable_monitor()
            watch.close()
        friend = self.sender(zmq.PUSH, plain_username=b"me", plain_password=b"open sesame")
        friend.connect(endpoint)
        friend.send(b"one")
        self.wait_for("plain", 1)
        self.assertEqual(self.bodies("plain"), [b"one"])

    def test_what_other_machines_reach_needs_keys(self):
        port = free_ports(1)
        self.record("open", f"tcp://0.0.0.0:{port}", bind=True)
        self.assertIn(f"tcp://0.0.0.0:{port} can be reached from other machines", self.failure("open"))
        self.record("plain", f"tcp://*:{port}", bind=True, username="me", password_file=self.password())
        self.assertIn("can be reached from other machines", self.failure("plain"))
        self.key(self.folder / "open" / "server")
        (self.folder / "open" / "clients").mkdir()
        self.record("guarded", f"tcp://0.0.0.0:{port}", bind=True, keys=str(self.folder / "open"))
        self.waits_for("guarded", "nobody has connected")
        self.engine.ask("job.cancel", pipeline="guarded")
        insecure = Engine("--insecure")
        self.addCleanup(insecure.remove)
        insecure.run(pipeline("open", source("Read", ZMQ, {"server": f"tcp://0.0.0.0:{free_ports(1)}", "bind": True})), limits=LIMITS)
        self.assertEqual(insecure.ask("job.describe", pipeline="open")["state"], "RUNNING")

    def test_a_browser_at_a_bound_port_is_not_recorded(self):
        endpoint = f"tcp://127.0.0.1:{free_ports(1)}"
        self.record("http", endpoint, bind=True, socket="pull")
        self.waits_for("http", "nobody has connected")
        before = self.engine.counter("dropped")
        host, port = endpoint.removeprefix("tcp://").split(":")
        one = socket.create_connection((host, int(port)))
        self.addCleanup(one.close)
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"b" * 1200)
        deadline = time.monotonic() + PATIENCE
        while self.engine.counter("dropped") == before:
            self.assertLess(time.monotonic(), deadline)
        pusher = self.sender(zmq.PUSH)
        pusher.connect(endpoint)
        pusher.send(b"one")
        self.wait_for("http", 1)
        self.assertEqual(self.bodies("http"), [b"one"])


if __name__ == "__main__":
    unittest.main()
