"""The worker for Google Pub/Sub, against a Pub/Sub of the tests: what is recorded is acknowledged and nothing else, and each message is
recorded once, also where the worker is killed, or Pub/Sub sends it again."""
import os
import struct
import subprocess
import sys
import unittest

from engine import ROOT, EngineTest, pipeline, source
from workers_test import WorkersTest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "pubsub"))
import pubsub_wire  # noqa: E402
import wire  # noqa: E402
from pubsub_server import PubSub  # noqa: E402

READ = "beam:transform:pubsub_read:v1"
TOPIC, SUBSCRIPTION = "projects/p/topics/clicks", "projects/p/subscriptions/ours"
HERE = os.path.dirname(os.path.abspath(__file__))


def beam_payload(**fields):
    """A PubSubReadPayload, as Beam serializes it."""
    names = ("topic", "subscription", "timestamp_attribute", "id_attribute")
    out = b""
    for number, name in enumerate(names, 1):
        if name in fields:
            text = fields[name].encode()
            out += bytes([number << 3 | 2, len(text)]) + text
    return out + (b"\x28\x01" if fields.get("with_attributes") else b"")


class PubSubTest(WorkersTest):
    @classmethod
    def setUpClass(cls):
        EngineTest.setUpClass.__func__(cls)

    def setUp(self):
        super().setUp()
        self.pubsub = PubSub()
        self.addCleanup(self.pubsub.stop)
        self.pubsub.subscribe(SUBSCRIPTION, TOPIC)

    def spawn(self, name):
        env = {**os.environ, "PUBSUB_EMULATOR_HOST": self.pubsub.endpoint, "PYTHONPATH": os.path.join(HERE, "pubsub")}
        command = [sys.executable, ROOT / "docs" / "clients" / "python" / "pubsub_worker.py"]
        self.workers[name] = process = subprocess.Popen([*command, "--engine", self.engine.endpoints["commands"], "--name", name], env=env)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_of(self, name, count, payload=None, **fields):
        payload = beam_payload(**{"subscription": SUBSCRIPTION, **fields}) if payload is None else payload
        return self.engine.run(pipeline(name, source("Read", READ, payload)), limits={"count": count})

    def publish(self, count, start=0, **attributes):
        return [self.pubsub.publish(TOPIC, b"message %d" % number, **attributes) for number in range(start, start + count)]

    def recorded_once(self, name, count):
        job = self.engine.wait(name)
        self.assertEqual((job["state"], job.get("stop_reason"), job["elements"]), ("CANCELLED", "count", count), job.get("error"))
        elements = self.engine.elements(pipeline=name)
        self.assertEqual(sorted(element[2] for element in elements), sorted(b"message %d" % number for number in range(count)))
        return elements

    def acknowledged(self, count):
        ours = self.pubsub.subscriptions[SUBSCRIPTION]
        self.until(lambda: len(ours.acknowledged) >= count)
        return ours.acknowledged

    def test_what_is_recorded_is_acknowledged_and_nothing_else(self):
        self.spawn("one")
        self.run_of("simple", 250)
        published = self.publish(300)
        times = {message.data: message.publish_time.ToMicroseconds() for message in published}
        elements = self.recorded_of("simple", 250)
        self.assertEqual({element[2]: element[1] for element in elements},
                         {data: time for data, time in times.items() if data in {element[2] for element in elements}})
        self.assertEqual(len(self.acknowledged(250)), 250)
        recorded = {message.message_id for message in published if message.data in {element[2] for element in elements}}
        self.assertEqual(set(self.pubsub.subscriptions[SUBSCRIPTION].acknowledged), recorded)
        self.run_of("rest", 50, payload={"subscription": SUBSCRIPTION})  # what was not recorded comes again, to the next job
        rest = self.recorded_of("rest", 50)
        self.assertEqual({element[2] for element in rest} & {element[2] for element in elements}, set())

    def recorded_of(self, name, count):
        job = self.engine.wait(name)
        self.assertEqual((job["state"], job.get("stop_reason"), job["elements"]), ("CANCELLED", "count", count), job.get("error"))
        return self.engine.elements(pipeline=name)

    def test_a_worker_that_is_killed_is_replaced_and_each_message_is_recorded_once(self):
        self.spawn("one")
        self.spawn("other")
        job = self.run_of("killed", 3000)["job"]
        self.publish(1500)
        self.until(lambda: self.elements("killed") > 300)
        self.until(lambda: self.runner(job) in self.workers)
        self.workers[self.runner(job)].kill()
        self.publish(1500, 1500)
        self.recorded_once("killed", 3000)

    def test_what_comes_again_is_recorded_once(self):
        self.spawn("one")
        self.run_of("again", 40)
        published = self.publish(20)
        self.acknowledged(20)
        for message in published:
            self.pubsub.again(SUBSCRIPTION, message)
        self.acknowledged(40)
        self.publish(20, 20)
        self.recorded_once("again", 40)

    def test_an_id_attribute_says_what_is_the_same(self):
        self.spawn("one")
        self.run_of("same", 3, id_attribute="order")
        for number, order in enumerate(("a", "b", "a", "b", "c")):
            self.pubsub.publish(TOPIC, b"%d of %s" % (number, order.encode()), order=order)
        self.assertEqual([element[2] for element in self.recorded_of("same", 3)], [b"0 of a", b"1 of b", b"4 of c"])

    def test_the_event_time_may_stand_in_an_attribute(self):
        self.spawn("one")
        self.run_of("timed", 3, timestamp_attribute="at")
        for at in ("1700000000123", "2023-11-14T22:13:20.123456Z", "2023-11-14T23:13:20+01:00"):
            self.pubsub.publish(TOPIC, at.encode(), at=at)
        self.assertEqual([element[1] for element in self.recorded_of("timed", 3)], [1700000000123000, 1700000000123456, 1700000000000000])
        self.run_of("no time", 3, timestamp_attribute="at")
        self.pubsub.publish(TOPIC, b"x", at="yesterday")
        self.assertRegex(self.engine.wait("no time")["error"], "`at` is `yesterday`, neither milliseconds nor RFC 3339")

    def test_with_attributes_the_element_is_the_message_as_beam_has_it(self):
        self.spawn("one")
        self.run_of("whole", 1, with_attributes=True)
        published = self.pubsub.publish(TOPIC, b"data", colour="red", size="7")
        (_, _, element), = self.recorded_of("whole", 1)
        read = pubsub_wire.PubsubMessage.FromString(element)
        self.assertEqual(read, published)

    def test_a_topic_is_read_through_a_subscription_that_goes_with_the_job(self):
        self.spawn("one")
        self.run_of("topic", 10, payload=beam_payload(topic=TOPIC))
        self.until(lambda: len(self.pubsub.subscriptions) == 2)
        self.publish(10)
        self.recorded_once("topic", 10)
        self.until(lambda: list(self.pubsub.subscriptions) == [SUBSCRIPTION])

    def test_a_pipeline_of_beam_is_recorded_and_replayed_as_it_stands(self):
        self.spawn("one")
        graph = wire.beam(["Read"], wire.transform("Read", READ, beam_payload(topic=TOPIC), outputs=["Read.out"]),
                          wire.pcollection("Read.out"))
        run = self.engine.run({"name": "of beam", "beam": graph}, limits={"count": 10})
        self.assertEqual(run["tags"], ["Read.out"])
        self.until(lambda: len(self.pubsub.subscriptions) == 2)
        self.publish(10)
        self.assertEqual({element[0] for element in self.recorded_once("of beam", 10)}, {"Read.out"})
        self.assertEqual(self.engine.run({"name": "of beam", "beam": graph})["reason"], "recording_valid")

    def test_a_payload_that_says_neither_or_is_none_fails_the_job(self):
        self.spawn("one")
        for name, payload, said in (("neither", b"", "a topic or a subscription is needed"),
                                    ("cut", b"\x0a\x20x", "cut off"), ("type", struct.pack("<Bd", 9, 1.0), "field 1 has type 1")):
            self.run_of(name, 1, payload=payload)
            job = self.engine.wait(name)
            self.assertEqual(job["state"], "FAILED")
            self.assertIn(said, job["error"])


if __name__ == "__main__":
    unittest.main()
