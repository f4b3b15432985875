"""MQTT as a source, with the real broker: what is recorded when the connection, the broker or the engine dies, and what is left behind."""
import json
import pathlib
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import msgpack

from disk import Disk
from engine import PATIENCE, Engine, EngineTest, pipeline, source
from mqtt import DISCONNECT, SUBACK, SUBSCRIBE, Client, Mosquitto, Publisher, Script, packet, publish_packet, text
from proxy import Proxy

MQTT = "reprise:source:mqtt:v1"
LIMITS = {"duration_ms": 600000}
MEMORY_MAX = 96 << 20  # of an engine that has one source and does not hold more than its credit


def texts(elements):
    return [bytes(element[2]) for element in elements]


class Recorder:
    """A pipeline that records from a broker; for a TestCase that has an `engine`."""

    def record(self, name, broker, topics="t/#", **payload):
        self.name = name
        self.engine.run(pipeline(name, source("Read", MQTT, {"server": broker.server, "topics": topics, **payload})), limits=LIMITS)

    def job(self):
        return self.engine.ask("job.describe", pipeline=self.name)

    def until(self, holds):
        """Asks for the job until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.job()):
            assert time.monotonic() < deadline, job
        return job

    def listening(self, broker, times=1):
        """Until it has subscribed so often."""
        deadline = time.monotonic() + PATIENCE
        while broker.said().count("Sending SUBACK to reprise") < times:
            assert time.monotonic() < deadline, broker.said()

    def connected(self, broker, times):
        """Until it was let in so often."""
        deadline = time.monotonic() + PATIENCE
        while broker.said().count("Sending CONNACK to reprise") < times:
            assert time.monotonic() < deadline, broker.said()

    def assert_left(self, broker, name, protocol):
        """It ends its session there, which may be a moment after the job has ended; in 3.1.1 by a connection that wants none. Others may have
        come and gone before: the last one counts. Nothing of it is left."""
        last = "p5, c0," if protocol == "5" else "p2, c1,"
        left = re.compile(f"as {name} \\({last}.*Client {name} disconnected\\.", re.DOTALL)
        deadline = time.monotonic() + PATIENCE
        while not left.search((said := broker.said())[said.rfind(f" as {name} ("):]):
            assert time.monotonic() < deadline, said[-2000:]
        self.assertFalse(broker.has_session(name))

    def client_id(self, broker):
        """What it calls itself there."""
        return next(word for word in broker.said().split() if word.startswith("reprise") and len(word) == 23)

    def has(self, count):
        """Until exactly so many elements are recorded, or more."""
        return self.until(lambda job: job["elements"] >= count)

    def end(self):
        self.engine.ask("job.cancel", pipeline=self.name)
        job = self.engine.wait(self.name)
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        self.recording = job["recording"]
        return self.engine.elements(recording=job["recording"])

    def gaps(self):
        """Those of the source: (what, lost_us)."""
        gaps = self.engine.ask("recording.describe", recording=self.recording)["gaps"]
        return [(gap["what"], gap.get("lost_us")) for gap in gaps if gap["what"].startswith("mqtt")]

    def attributes(self):
        bodies = [msgpack.unpackb(record["body"]) for record in self.engine.records(self.recording) if record["kind"] == 1]
        return [element[2] if len(element) > 2 else {} for body in bodies for element in body]


class MqttTest(EngineTest, Recorder):
    def broker(self, **settings):
        broker = Mosquitto(**settings)
        self.addCleanup(broker.remove)
        return broker

    def wire(self, broker):
        """To the broker, and may be cut."""
        wire = Proxy(broker.port)
        self.addCleanup(wire.close)
        wire.server = wire.endpoint.removeprefix("tcp://")
        return wire


class Recording(MqttTest):
    def test_messages_are_elements_in_their_order_whatever_the_protocol_and_the_qos(self):
        broker = self.broker()
        for protocol in ("5", "3.1.1"):
            for qos in (0, 1, 2):
                with self.subTest(protocol=protocol, qos=qos):
                    before = broker.said().count("Sending SUBACK to reprise")
                    self.record(f"plain-{protocol}-{qos}", broker, protocol=protocol, qos=qos)
                    self.listening(broker, before + 1)
                    sent = [b"message %d" % n for n in range(500)] + [b"", b"\0\xff" * 50000]
                    broker.publish("t/a", *sent)
                    self.has(len(sent))
                    self.assertEqual(texts(self.end()), sent)
                    self.assertEqual(self.gaps(), [])

    def test_topics_and_what_was_retained_are_attributes(self):
        broker = self.broker()
        broker.publish("t/old", b"before", retain=True)
        self.record("attributes", broker, "t/+,other/#")
        self.listening(broker)
        self.has(1)
        broker.publish("t/new", b"one")
        broker.publish("elsewhere", b"not asked for")
        broker.publish("other/a/b", b"two")
        self.has(3)
        self.assertEqual(texts(self.end()), [b"before", b"one", b"two"])
        self.assertEqual(self.attributes(), [{"topic": "t/old", "retained": "true"}, {"topic": "t/new"}, {"topic": "other/a/b"}])

    def test_what_was_retained_is_left_out_on_demand(self):
        broker = self.broker()
        broker.publish("t/old", b"before", retain=True)
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                self.record(f"new-{protocol}", broker, protocol=protocol, retained=False)
                self.listening(broker, 1 if protocol == "5" else 2)
                broker.publish("t/new", b"one")
                self.has(1)
                self.assertEqual(texts(self.end()), [b"one"])

    def test_event_times_and_keys_stand_in_the_message_and_the_watermark_follows(self):
        broker = self.broker()
        self.record("times", broker, event_time="/at", event_time_unit="ms", key="/user", out_of_order_ms=500, on_error="skip")
        self.listening(broker)
        broker.publish("t/a", *(json.dumps(value).encode() for value in ({"at": 1000, "user": "ann"}, {"user": "bob"}, {"at": 4000, "user": 7})))
        self.has(2)
        elements = self.end()
        self.assertEqual([element[1] for element in elements], [1000000, 4000000])
        self.assertEqual([attributes["key"] for attributes in self.attributes()], ["ann", "7"])
        marks = [event.get("to") for event, _ in self.engine.replay(recording=self.recording) if event["event"] == "watermark"]
        self.assertIn(3500000, marks)

    def test_a_message_that_cannot_be_read_fails_the_job_with_its_topic(self):
        broker = self.broker()
        self.record("bad", broker, event_time="/at")
        self.listening(broker)
        broker.publish("t/a", b'{"at": 1}')
        broker.publish("t/odd", b"no json")
        job = self.engine.wait("bad")
        self.assertEqual((job["state"], job["elements"]), ("FAILED", 1))
        self.assertIn("t/odd", job["error"])

    def test_fields_that_cannot_be_are_named_with_their_value(self):
        for payload, *said in (({"server": "broker:x"}, "server", "broker:x"), ({"server": "a:1,b:2"}, "server", "a:1,b:2"),
                               ({"topics": "t/#/a"}, "topics", "t/#/a"), ({"topics": "t,,u"}, "topics"), ({"qos": 3}, "qos", "3"),
                               ({"protocol": "4"}, "protocol", "4"), ({"inflight": 0}, "inflight", "0"), ({"keep_alive_s": 1}, "keep_alive_s", "1"),
                               ({"tls_ca": "/nowhere/ca.pem"}, "tls_ca", "/nowhere/ca.pem"), ({"tls_cert": "/etc/hosts"}, "tls_key"),
                               ({"client_id": ""}, "client_id"), ({"password_file": "/nowhere/pass"}, "password_file", "/nowhere/pass"),
                               ({"event_time": "now"}, "event_time", "now"), ({"topic": "t"}, "topic")):
            with self.subTest(**payload):
                self.engine.run(pipeline("wrong", source("Read", MQTT, {"server": "127.0.0.1:1", "topics": "t", **payload})), limits=LIMITS)
                job = self.engine.wait("wrong")
                self.assertEqual(job["state"], "FAILED")
                for part in said:
                    self.assertIn(part, job["error"])


class Breaking(MqttTest):
    """Connections and brokers that go."""

    def test_a_broker_that_is_not_there_is_waited_for(self):
        broker = self.broker()
        broker.kill()
        self.record("early", broker)
        job = self.until(lambda job: "waits" in job)
        self.assertEqual(job["state"], "RUNNING")
        self.assertIn(f"{broker.server}: Connection refused", str(job["waits"]))
        broker.start()
        self.listening(broker)
        self.until(lambda job: "waits" not in job)
        broker.publish("t/a", b"one")
        self.has(1)
        self.assertEqual(texts(self.end()), [b"one"])
        self.assertEqual(self.gaps(), [])

    def test_a_connection_that_is_cut_loses_nothing_while_the_session_is_kept(self):
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                broker = self.broker()
                wire = self.wire(broker)
                self.record(f"cut-{protocol}", wire, protocol=protocol)
                self.listening(broker)
                publisher = Publisher(broker, "t/a")
                for times in range(2, 8):
                    publisher.wait(300)
                    wire.cut()
                    self.connected(broker, times)
                publisher.wait(300)
                sent = publisher.stop()
                self.has(len(sent))
                self.assertEqual(texts(self.end()), sent)
                self.assertEqual(self.gaps(), [])

    def test_with_qos_0_a_connection_that_is_cut_is_a_gap_with_its_length(self):
        broker = self.broker()
        wire = self.wire(broker)
        self.record("qos0", wire, qos=0)
        self.listening(broker)
        broker.publish("t/a", b"one")
        self.has(1)
        wire.cut()
        self.listening(broker, 2)
        broker.publish("t/a", b"two")
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        ((what, lost_us),) = self.gaps()
        self.assertIn("connection", what)
        self.assertGreater(lost_us, 0)

    def test_where_publishers_use_qos_0_a_session_that_is_kept_is_a_gap_too(self):
        broker = self.broker()
        wire = self.wire(broker)
        self.record("mixed", wire)
        self.listening(broker)
        broker.publish("t/a", b"one", qos=0)
        self.has(1)
        wire.cut()
        self.connected(broker, 2)
        broker.publish("t/a", b"two")
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        self.assertEqual(len(self.gaps()), 1)

    def test_a_broker_that_is_killed_and_has_no_session_any_more_is_a_gap_and_recording_goes_on(self):
        broker = self.broker()
        self.record("killed", broker)
        self.listening(broker)
        broker.publish("t/a", b"one")
        self.has(1)
        for times in (2, 3):
            broker.kill()
            self.until(lambda job: "waits" in job)
            broker.start()
            self.listening(broker, times)
            broker.publish("t/a", b"number %d" % times)
            self.has(times)
        self.assertEqual(texts(self.end()), [b"one", b"number 2", b"number 3"])
        gaps = self.gaps()
        self.assertEqual(len(gaps), 2)
        for what, lost_us in gaps:
            self.assertIn("does not have the session any more", what)
            self.assertGreater(lost_us, 0)

    def test_a_broker_that_keeps_its_sessions_through_a_restart_leaves_no_gap(self):
        broker = self.broker(persistence=True)
        self.record("kept", broker)
        self.listening(broker)
        sent = [b"message %d" % n for n in range(100)]
        broker.publish("t/a", *sent[:50])
        broker.stop()
        broker.start()
        broker.publish("t/a", *sent[50:])
        self.has(100)
        self.assertEqual(texts(self.end()), sent)
        self.assertEqual(self.gaps(), [])

    def test_a_wire_that_goes_silent_is_noticed_by_the_keep_alive(self):
        broker = self.broker()
        wire = self.wire(broker)
        self.record("silent", wire, keep_alive_s=5)
        self.listening(broker)
        broker.publish("t/a", b"one")
        self.has(1)
        wire.silence()
        broker.publish("t/a", b"two")
        self.until(lambda job: "waits" in job)
        wire.resume()
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        self.assertEqual(self.gaps(), [])


class Dying(unittest.TestCase, Recorder):
    """Engines that go."""

    def start(self, *flags, **settings):
        self.broker = Mosquitto(**settings)
        self.addCleanup(self.broker.remove)
        self.engine = Engine(*flags)
        self.addCleanup(self.engine.remove)

    def test_an_engine_that_is_killed_records_each_message_once_and_has_no_gap_of_its_own(self):
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                self.start()
                self.record("killed", self.broker, protocol=protocol)
                self.listening(self.broker)
                publisher = Publisher(self.broker, "t/a", size=50)
                for times in range(2, 8):
                    publisher.wait(500)
                    self.engine.kill()
                    publisher.wait(200)
                    self.engine.start()
                    had = self.job()["elements"]
                    self.connected(self.broker, times)
                    self.has(had + 1)  # before, an engine that is killed again would rightly not trust the session
                publisher.wait(500)
                sent = publisher.stop()
                self.has(len(sent))
                self.assertEqual(texts(self.end()), sent)
                self.assertEqual(self.gaps(), [])

    def test_what_comes_again_because_the_recorder_failed_is_not_late(self):
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                self.start("--chaos")
                self.record("again", self.broker, protocol=protocol, event_time="/at", out_of_order_ms=0)
                self.listening(self.broker)
                sent = [b'{"at": %d}' % n for n in range(10000)]
                self.engine.process.send_signal(signal.SIGSTOP)  # it has much to read at once then
                self.broker.publish("t/a", *sent)
                self.engine.process.send_signal(signal.SIGCONT)
                for _ in range(4):
                    before = self.job()["elements"]
                    self.engine.ask("chaos.fail", actor="recorder")
                    self.has(min(before + 1000, len(sent)))
                self.has(len(sent))
                elements = self.end()
                self.assertEqual((texts(elements) == sent, self.gaps()), (True, []))
                self.connected(self.broker, 2)  # at least once something had to come again
                watermarks, late = [], []
                for event, some in self.engine.replay(recording=self.recording):
                    if event["event"] == "watermark":
                        watermarks.append(event["to"])
                    late += [element[0] for element in some or [] if watermarks and element[0] < watermarks[-1]]
                self.assertEqual((late, elements[-1][1] in watermarks), ([], True))

    def test_an_engine_that_is_stopped_in_order_keeps_the_session_and_loses_nothing(self):
        self.start()
        self.record("stopped", self.broker)
        self.listening(self.broker)
        self.broker.publish("t/a", b"one")
        self.has(1)
        self.engine.stop()
        self.broker.publish("t/a", b"two")
        self.engine.start()
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        self.assertEqual(self.gaps(), [])

    def test_with_qos_0_the_time_that_the_engine_was_away_is_a_gap(self):
        self.start()
        self.record("qos0", self.broker, qos=0)
        self.listening(self.broker)
        self.broker.publish("t/a", b"one")
        self.has(1)
        self.engine.kill()
        self.broker.publish("t/a", b"two")
        self.engine.start()
        self.listening(self.broker, 2)
        self.broker.publish("t/a", b"three")
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"three"])
        ((_, lost_us),) = self.gaps()
        self.assertGreater(lost_us, 0)

    def test_a_session_that_ended_while_the_engine_was_away_is_a_gap(self):
        self.start()
        self.record("gone", self.broker)
        self.listening(self.broker)
        self.broker.publish("t/a", b"one")
        self.has(1)
        name = self.client_id(self.broker)
        self.engine.kill()
        self.assertTrue(self.broker.has_session(name))
        self.engine.start()
        self.listening(self.broker, 2)
        self.broker.publish("t/a", b"two")
        self.has(2)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        ((what, lost_us),) = self.gaps()
        self.assertIn("does not have the session any more", what)
        self.assertGreater(lost_us, 0)

    def test_nothing_is_left_at_the_broker_when_the_job_has_ended(self):
        self.start()
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                name = "reprise" + protocol
                self.record(f"left-{protocol}", self.broker, protocol=protocol, client_id=name)
                self.until(lambda job: f"Sending SUBACK to {name}" in self.broker.said())
                self.end()
                self.assert_left(self.broker, name, protocol)


class Pressure(unittest.TestCase, Recorder):
    """A disk that does not go on."""

    def setUp(self):
        self.broker = Mosquitto()
        self.addCleanup(self.broker.remove)
        self.disk = Disk()
        self.addCleanup(self.disk.remove)
        self.engine = Engine("--durability", "sync", env=self.disk.env)
        self.addCleanup(self.engine.remove)

    def memory(self):
        with open(f"/proc/{self.engine.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def test_what_is_not_on_the_disk_is_not_acknowledged_and_a_connection_that_is_lost_over_it_loses_nothing(self):
        self.record("held", self.broker, keep_alive_s=5)
        self.listening(self.broker)
        sent = [b"%d " % n + b"x" * 100000 for n in range(300)]
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.broker.publish("t/a", *sent)
            held()
            self.assertNotIn("Received PUBACK from reprise", self.broker.said())
            deadline = time.monotonic() + PATIENCE
            while "exceeded timeout" not in self.broker.said():
                assert time.monotonic() < deadline, "the broker bears a client that says nothing"
            self.assertNotIn("Received PUBACK from reprise", self.broker.said())
        self.has(len(sent))
        self.assertEqual(texts(self.end()), sent)
        self.assertEqual(self.gaps(), [])

    def test_what_comes_too_fast_is_left_to_the_broker(self):
        self.record("flood", self.broker, qos=0)
        self.listening(self.broker)
        with self.disk.holding("fdatasync", "*.seg") as held:
            for _ in range(20):
                self.broker.publish("t/a", *[b"x" * 100000] * 100)
            held()
            self.assertLess(self.job()["elements"], 2000 // 10)
            self.assertLess(self.memory(), MEMORY_MAX)
        self.broker.publish("t/last", b"the end")
        self.until(lambda job: job["elements"] > 200)
        self.end()


class Guarded(MqttTest):
    """TLS and passwords."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="reprise-mqtt-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        for signer in ("ca", "other"):
            cls.openssl("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={signer}", "-keyout", f"{signer}.key", "-out", f"{signer}.pem")
        (cls.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        for name, signer in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
            cls.openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days",
                        "2", "-extfile", "names", "-out", f"{name}.pem")
        (cls.folder / "password").write_text("sesame\n")
        (cls.folder / "wrong").write_text("pepper\n")
        subprocess.run(["mosquitto_passwd", "-b", "-c", cls.folder / "users", "ann", "sesame"], check=True, capture_output=True)

    @classmethod
    def openssl(cls, *words):
        subprocess.run(["openssl", *words], cwd=cls.folder, check=True, capture_output=True)

    def path(self, name):
        return str(self.folder / name)

    def guarded(self, **settings):
        context = ssl.create_default_context(cafile=self.path("ca.pem"))
        context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return self.broker(access={"tls": context, "user": "ann", "password": "sesame"}, cafile=self.path("ca.pem"),
                           certfile=self.path("server.pem"), keyfile=self.path("server.key"), allow_anonymous="false",
                           password_file=self.path("users"), **settings)

    def test_over_tls_with_a_password_and_a_certificate_through_a_cut_too(self):
        broker = self.guarded(require_certificate="true")
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                wire = self.wire(broker)
                before = broker.said().count("Sending CONNACK to reprise")
                name = "reprise" + protocol
                self.record(f"guarded-{protocol}", wire, protocol=protocol, client_id=name, username="ann", password_file=self.path("password"),
                            tls_ca=self.path("ca.pem"), tls_cert=self.path("client.pem"), tls_key=self.path("client.key"))
                self.connected(broker, before + 1)
                self.until(lambda job: f"Sending SUBACK to {name}" in broker.said())
                publisher = Publisher(broker, "t/a", size=100)
                publisher.wait(500)
                wire.cut()
                self.connected(broker, before + 2)
                publisher.wait(500)
                sent = publisher.stop()
                self.has(len(sent))
                self.assertEqual(texts(self.end()), sent)
                self.assertEqual(self.gaps(), [])
                self.assert_left(broker, name, protocol)

    def test_a_wrong_password_fails_the_job(self):
        broker = self.guarded()
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                self.record("wrong", broker, protocol=protocol, username="ann", password_file=self.path("wrong"), tls_ca=self.path("ca.pem"))
                job = self.engine.wait("wrong")
                self.assertEqual(job["state"], "FAILED")
                self.assertIn("`username` `ann`", job["error"])

    def test_a_broker_that_others_vouch_for_is_not_trusted(self):
        broker = self.guarded()
        self.record("stranger", broker, username="ann", password_file=self.path("password"), tls_ca=self.path("other.pem"))
        job = self.until(lambda job: "waits" in job)
        self.assertIn("certificate verify failed", str(job["waits"]))
        self.end()


class Scripted(MqttTest):
    """What no real broker does on demand."""

    def script(self):
        script = Script()
        self.addCleanup(script.close)
        return script

    def test_a_message_that_is_given_again_is_recorded_once_and_one_that_looks_the_same_is_another(self):
        script = self.script()
        self.record("again", script, inflight=10)
        wire = script.accept()
        script.subscribe(wire)
        wire.send(*(publish_packet("t", b"same", 1, number, v5=True) for number in (1, 2, 3)))
        self.assertEqual(script.acknowledged(wire, 3), [1, 2, 3])
        wire.send(publish_packet("t", b"same", 1, 1, v5=True))  # its number is free again
        self.assertEqual(script.acknowledged(wire, 1), [1])
        wire.close()
        wire = script.accept(session=True)
        wire.send(publish_packet("t", b"same", 1, 2, dup=True, v5=True), publish_packet("t", b"same", 1, 3, dup=True, v5=True),
                  publish_packet("t", b"same", 1, 1, dup=True, v5=True), publish_packet("t", b"other", 1, 4, dup=True, v5=True),
                  publish_packet("t", b"same", 1, 5, v5=True), publish_packet("t", b"same", 1, 2, v5=True))
        self.assertEqual(script.acknowledged(wire, 6), [2, 3, 1, 4, 5, 2])
        self.assertEqual(texts(self.end()), [b"same"] * 4 + [b"other", b"same", b"same"])
        self.assertEqual(self.gaps(), [])

    def test_an_engine_that_was_killed_while_it_asked_for_the_session_does_not_trust_it(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        self.addCleanup(setattr, self, "engine", self.engine)
        self.engine = engine
        script = self.script()
        self.record("asked", script)
        wire = script.accept()
        script.subscribe(wire)
        wire.send(publish_packet("t", b"one", 1, 1, v5=True))
        script.acknowledged(wire, 1)
        wire.close()
        wire = script.accept(session=True, answer=False)
        engine.kill()
        wire.close()
        engine.start()
        wire = script.accept(session=True)
        script.subscribe(wire)
        wire.send(publish_packet("t", b"two", 1, 2, v5=True))
        script.acknowledged(wire, 1)
        self.assertEqual(texts(self.end()), [b"one", b"two"])
        self.assertEqual(len(self.gaps()), 1)

    def test_refusals_that_will_not_heal_fail_the_job_and_others_are_waited_out(self):
        script = self.script()
        for code, part in ((135, "username"), (133, "client_id"), (132, "protocol")):
            with self.subTest(code=code):
                self.record("refused", script, username="ann")
                script.accept(refused=code).close()
                job = self.engine.wait("refused")
                self.assertEqual(job["state"], "FAILED")
                self.assertIn(part, job["error"])
        self.record("busy", script)
        script.accept(refused=137).close()
        wire = script.accept()
        script.subscribe(wire)
        wire.send(publish_packet("t", b"one", 1, 1, v5=True))
        script.acknowledged(wire, 1)
        self.assertEqual(texts(self.end()), [b"one"])

    def test_a_broker_that_says_a_little_again_and_again_at_the_end_holds_nobody(self):
        script = self.script()
        self.record("end", script)
        wire = script.accept()
        script.subscribe(wire)
        wire.send(publish_packet("t", b"one", 1, 1, v5=True))
        script.acknowledged(wire, 1)
        self.engine.ask("job.cancel", pipeline="end")
        wire.expect(DISCONNECT)
        ended = threading.Event()
        threading.Thread(target=self.trickle, args=[wire, ended], daemon=True).start()
        self.assertTrue(ended.wait(PATIENCE), "the source reads on for ever")

    @staticmethod
    def trickle(wire, ended):
        """Until the other end is gone."""
        try:
            while not ended.wait(0.1):
                wire.socket.sendall(b"\xd0")
        except OSError:
            ended.set()

    def test_a_topic_filter_that_is_refused_fails_the_job_with_its_name(self):
        script = self.script()
        self.record("filter", script, "secret/#")
        script.subscribe(script.accept(), granted=135)
        job = self.engine.wait("filter")
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("secret/#", job["error"])

    def test_a_session_that_somebody_left_under_our_name_is_ended_and_none_of_it_is_recorded(self):
        broker = self.broker()
        for protocol in ("5", "3.1.1"):
            with self.subTest(protocol=protocol):
                other = Client(broker.port, "mine" + protocol, clean=False)
                other.send(packet(SUBSCRIBE, b"\0\1" + text("other/#") + b"\1", 2))
                other.expect(SUBACK)
                other.close()
                broker.publish("other/x", b"before")
                self.record("named", broker, protocol=protocol, client_id="mine" + protocol)
                self.until(lambda job: broker.said().count(f"Sending SUBACK to mine{protocol}") == 2)
                broker.publish("other/x", b"another's")
                broker.publish("t/x", b"ours")
                self.has(1)
                self.assertEqual(texts(self.end()), [b"ours"])

    def test_a_broker_that_takes_another_to_be_us_says_so(self):
        script = self.script()
        self.record("taken", script)
        wire = script.accept()
        script.subscribe(wire)
        wire.send(packet(DISCONNECT, b"\x8e\0"))
        wire.close()
        job = self.until(lambda job: "waits" in job)
        self.assertIn("Session taken over", str(job["waits"]))
        script.accept(session=True)
        self.end()


if __name__ == "__main__":
    unittest.main()
