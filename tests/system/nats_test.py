"""NATS with its own server: of a stream every message is recorded once, whoever is killed; of a subject a hole is seen where nobody was there."""
import datetime
import json
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.request

from brokers import Nats
from disk import Disk
from engine import PATIENCE, Engine, free_ports, pipeline, source

NATS = "reprise:source:nats:v1"
FOREVER = {"duration_ms": 3600000}


def numbered(subject, count, start=1):
    return [[subject, b"%s %d" % (subject.encode(), n)] for n in range(start, start + count)]


def microseconds(text):
    """Of a time as NATS writes it, with up to nine digits behind the second."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return int(datetime.datetime.fromisoformat(whole + "+00:00").timestamp()) * 1000000 + int(fraction.ljust(6, "0")[:6] or 0)


def memory(engine):
    """Anonymous, in bytes."""
    status = pathlib.Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024


class NatsTest(unittest.TestCase):
    def broker(self, *words, **options):
        self.nats = Nats(*words, **options)
        self.addCleanup(self.nats.remove)
        return self.nats

    def begin(self, *flags, env=None, **payload):
        self.engine = Engine(*flags, env=env)
        self.addCleanup(self.engine.remove)
        self.record(**payload)

    def record(self, name="orders", limits=FOREVER, **payload):
        self.engine.run(pipeline(name, source("Read", NATS, {"server": self.nats.server, **payload})), limits=limits)

    def job(self, name="orders"):
        return self.engine.ask("job.describe", pipeline=name)

    def until(self, holds, name="orders"):
        """The job, once it is so."""
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.job(name)):
            assert time.monotonic() < deadline, job
        return job

    def subscribed(self, times=1, subject="orders.>"):
        """Somebody is, so often."""
        deadline = time.monotonic() + PATIENCE
        while (subscriptions := self.nats.subscriptions()).count(subject) != times:
            assert time.monotonic() < deadline, subscriptions

    def counts(self, elements, name="orders"):
        return self.until(lambda job: job["elements"] >= elements, name)

    def gaps(self, job):
        return self.engine.ask("recording.describe", recording=job["recording"])["gaps"]

    def finish(self, name="orders"):
        """Its recording's values, in order, and its gaps."""
        if not self.job(name)["is_done"]:
            self.engine.ask("job.cancel", pipeline=name)
        job = self.engine.wait(name)
        recording = job["recording"]
        self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
        self.events = self.engine.replay(recording=recording)
        self.elements = [element for _, elements in self.events for element in elements or []]
        return [element[1] for element in self.elements], self.engine.ask("recording.describe", recording=recording)["gaps"]


class StreamTest(NatsTest):
    def orders(self, count=0, **config):
        """A broker with a stream, and so many messages in it."""
        self.broker()
        self.nats.stream("ORDERS", "orders.>", **config)
        return self.nats.store(numbered("orders.a", count)) if count else 0

    def values(self, *parts):
        return [value for part in parts for _, value in part]

    def gone(self, consumers):
        """The stream has so many consumers; not after they were forgotten, which takes a minute."""
        deadline = time.monotonic() + PATIENCE
        while len(self.nats.consumers("ORDERS")) != consumers:
            assert time.monotonic() < deadline, self.nats.consumers("ORDERS")

    def test_what_is_there_and_what_comes_is_recorded_once_and_in_order(self):
        self.orders(3000)
        self.begin(stream="ORDERS")
        self.counts(3000)
        self.nats.store(numbered("orders.b", 2000))
        self.counts(5000)
        values, gaps = self.finish()
        self.assertEqual(values, self.values(numbered("orders.a", 3000), numbered("orders.b", 2000)))
        self.assertEqual(gaps, [])

    def test_until_its_end_is_done_there(self):
        self.orders(2500)
        self.nats.store([["orders.sub.deep", b"not for `orders.*`"]])
        self.begin(stream="ORDERS", subject="orders.*", until="end")
        self.assertEqual(self.engine.wait("orders")["state"], "DONE")
        self.assertEqual(self.finish(), (self.values(numbered("orders.a", 2500)), []))
        self.record(name="none", stream="ORDERS", subject="orders.none", until="end")
        self.assertEqual(self.engine.wait("none")["elements"], 0)
        self.gone(0)

    def test_only_what_a_subject_matches_is_recorded_and_the_rest_is_no_hole(self):
        self.orders()
        self.nats.store([message for n in range(1, 2001) for message in (["orders.yes", b"%d" % n], ["orders.no", b"x"])])
        self.begin(stream="ORDERS", subject="orders.yes")
        self.counts(2000)
        self.assertEqual(self.finish(), ([b"%d" % n for n in range(1, 2001)], []))

    def test_it_begins_where_it_is_told_to(self):
        self.orders(10)
        at = self.nats.ask("$JS.API.STREAM.MSG.GET.ORDERS", {"seq": 6})["message"]["time"]
        self.begin(stream="ORDERS", **{"from": "4"})
        self.record("timed", stream="ORDERS", **{"from": at})
        self.record("fresh", stream="ORDERS", **{"from": "new"})
        self.counts(7)
        self.counts(5, "timed")
        self.until(lambda job: len(self.nats.consumers("ORDERS")) == 3, "fresh")
        self.nats.store(numbered("orders.b", 3))
        for name, first in (("orders", 4), ("timed", 6), ("fresh", 11)):
            self.counts(14 - first, name)
            self.assertEqual(self.finish(name), (self.values(numbered("orders.a", 10), numbered("orders.b", 3))[first - 1:], []), name)

    def test_new_is_since_the_job_began_although_the_engine_dies_before_anything_comes(self):
        self.orders(10)
        self.begin(stream="ORDERS", **{"from": "new"})
        self.gone(1)
        consumer, = self.nats.consumers("ORDERS")
        recording = self.job()["recording"]
        self.until(lambda job: any(record["count"] == 0 and record["kind"] == 1 for record in self.engine.records(recording)))
        self.engine.kill()
        self.nats.store(numbered("orders.b", 5))
        self.engine.start()
        self.counts(5)
        values, _ = self.finish()
        self.assertEqual(values, self.values(numbered("orders.b", 5)))
        self.assertNotIn(consumer, self.nats.consumers("ORDERS")[1:])

    # ---- whoever dies

    def test_killed_engines_and_brokers_lose_nothing_and_repeat_nothing(self):
        self.orders(100000)
        self.begin(stream="ORDERS")
        for kill in (self.engine.restart, self.nats.restart) * 3:
            self.counts(min(100000, self.job()["elements"] + 1000))
            kill()
        self.counts(100000)
        self.nats.store(numbered("orders.b", 100))
        self.counts(100100)
        values, gaps = self.finish()
        self.assertEqual(values, self.values(numbered("orders.a", 100000), numbered("orders.b", 100)))
        self.assertEqual([gap for gap in gaps if "tag" in gap], [])

    def test_a_source_that_fails_goes_on_where_the_recording_is(self):
        self.orders(20000)
        self.begin("--chaos", stream="ORDERS")
        for _ in range(5):
            child = next(actor["name"] for actor in self.engine.ask("engine.actors")["actors"] if actor["name"].startswith("source"))
            self.engine.ask("chaos.fail", actor=child)
        self.nats.store(numbered("orders.b", 500))
        self.counts(20500)
        values, gaps = self.finish()
        self.assertEqual(values, self.values(numbered("orders.a", 20000), numbered("orders.b", 500)))
        self.assertEqual(gaps, [])

    def test_what_comes_again_because_the_recorder_failed_is_not_late(self):
        count = 200000
        self.orders(count)
        self.begin("--chaos", stream="ORDERS", out_of_order_ms=0)
        for _ in range(5):
            before = self.job()["elements"]
            self.engine.ask("chaos.fail", actor="recorder")
            self.until(lambda job: job["elements"] > min(before + 2000, count - 1))
        self.counts(count)
        values, gaps = self.finish()
        self.assertEqual((values == self.values(numbered("orders.a", count)), gaps), (True, []))
        watermark = None
        for event, elements in self.events:
            if event["event"] == "watermark":
                watermark = event["to"]
            for element in elements or []:
                self.assertTrue(watermark is None or element[0] >= watermark, (watermark, element))

    def test_a_consumer_that_somebody_deletes_is_made_again(self):
        self.orders(1000)
        self.begin(stream="ORDERS")
        self.counts(1000)
        for part in range(3):
            consumer, = self.nats.consumers("ORDERS")
            self.nats.ask(f"$JS.API.CONSUMER.DELETE.ORDERS.{consumer}")
            self.nats.store(numbered("orders.b", 100, 1 + 100 * part))
            self.counts(1100 + 100 * part)
        self.assertEqual(self.finish(), (self.values(numbered("orders.a", 1000), numbered("orders.b", 300)), []))

    # ---- what the broker forgot

    def test_messages_that_were_deleted_before_they_were_read_are_a_gap(self):
        self.orders(500, max_msgs=1000)
        self.begin(stream="ORDERS")
        self.counts(500)
        self.engine.kill()
        last = self.nats.store(numbered("orders.b", 3000))
        self.engine.start()
        self.counts(1500)
        values, gaps = self.finish()
        self.assertEqual(values, self.values(numbered("orders.a", 500), numbered("orders.b", 1000, 2001)))
        gap, = [gap for gap in gaps if "tag" in gap]
        self.assertEqual(gap["element"], 500)
        self.assertIn(f"no message before {last - 999} any more", gap["what"])
        self.assertGreater(gap["lost_us"], 0)

    def test_messages_that_are_deleted_while_the_engine_does_not_read_are_a_gap(self):
        self.orders(500, max_msgs=1000)
        self.begin(stream="ORDERS")
        self.counts(500)
        self.engine.process.send_signal(signal.SIGSTOP)
        size = 500
        self.nats.store([["orders.b", b"%d " % n + b"x" * size] for n in range(60000)])
        self.engine.process.send_signal(signal.SIGCONT)
        self.until(lambda job: self.consumer()["num_pending"] == 0)
        self.counts(self.consumer()["delivered"]["consumer_seq"])
        values, gaps = self.finish()
        numbers = [int(value.split()[0]) for value in values[500:]]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(numbers[-1], 59999)
        jumps = [500 + n for n in range(1, len(numbers)) if numbers[n] != numbers[n - 1] + 1]
        self.assertTrue(jumps, "nothing was deleted: the test shows nothing")
        self.assertEqual([gap["element"] for gap in gaps], jumps)

    def test_messages_that_a_full_stream_deletes_as_soon_as_they_are_stored_are_gaps(self):
        self.orders(max_msgs=1)
        self.begin(stream="ORDERS")
        self.gone(1)
        rounds, burst = 100, 20
        with self.nats.connect() as client:
            for first in range(0, rounds * burst, burst):
                client.publish([["orders.a", b"%d" % n] for n in range(first, first + burst)])
        self.until(lambda job: self.consumer()["delivered"]["stream_seq"] == rounds * burst)
        self.counts(self.consumer()["delivered"]["consumer_seq"])
        values, gaps = self.finish()
        numbers = [int(value) for value in values]
        jumps = [n for n, number in enumerate(numbers) if number != (numbers[n - 1] + 1 if n else 0)]
        self.assertTrue(jumps, "nothing was deleted: the test shows nothing")
        self.assertEqual([gap["element"] for gap in gaps], jumps)

    def test_what_is_gone_is_a_gap_although_nothing_comes_behind_it(self):
        self.orders(500)
        self.begin(stream="ORDERS")
        self.counts(500)
        self.engine.kill()
        self.nats.store(numbered("orders.b", 100))
        self.nats.ask("$JS.API.STREAM.PURGE.ORDERS")
        self.engine.start()
        job = self.until(lambda job: any("tag" in gap for gap in self.gaps(job)))
        self.assertEqual(job["elements"], 500)
        _, gaps = self.finish()
        gap, = [gap for gap in gaps if "tag" in gap]
        self.assertEqual(gap["element"], 500)
        self.assertNotIn("lost_us", gap)
        self.assertIn("no message before 601 any more", gap["what"])

    def test_a_bounded_job_says_what_was_gone_before_its_end(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.orders()
        self.nats.store([["orders.a", b"x" * 2000]] * 30000)
        with disk.holding("fdatasync", "*.seg") as held:
            self.begin("--durability", "sync", env=disk.env, stream="ORDERS", until="end")
            held()
            self.gone(1)
            deadline = time.monotonic() + PATIENCE
            while (consumer := self.consumer())["delivered"]["consumer_seq"] == 0:
                assert time.monotonic() < deadline, consumer
            self.nats.ask("$JS.API.STREAM.PURGE.ORDERS")
            self.nats.store(numbered("orders.b", 10))
        self.assertEqual(self.engine.wait("orders")["state"], "DONE")
        values, gaps = self.finish()
        self.assertLess(len(values), 30000, "all was read: the test shows nothing")
        self.assertEqual(set(values), {b"x" * 2000})
        gap, = gaps
        self.assertEqual(gap["element"], len(values))

    def consumer(self):
        consumer, = self.nats.ask("$JS.API.CONSUMER.LIST.ORDERS")["consumers"]
        return consumer

    def test_single_messages_that_somebody_deleted_are_no_gap(self):
        self.orders(1000)
        for sequence in range(10, 1000, 10):
            self.nats.ask("$JS.API.STREAM.MSG.DELETE.ORDERS", {"seq": sequence})
        self.begin(stream="ORDERS")
        self.counts(901)
        values, gaps = self.finish()
        self.assertEqual(values, [value for n, value in enumerate(self.values(numbered("orders.a", 1000)), 1) if n % 10 or n == 1000])
        self.assertEqual(gaps, [])

    def test_another_stream_of_that_name_is_a_gap_and_is_read_from_its_beginning(self):
        self.orders(100)
        self.begin(stream="ORDERS")
        self.counts(100)
        self.engine.kill()
        self.nats.ask("$JS.API.STREAM.DELETE.ORDERS")
        self.nats.stream("ORDERS", "orders.>")
        self.nats.store(numbered("orders.b", 200))
        self.engine.start()
        self.counts(300)
        values, gaps = self.finish()
        self.assertEqual(values, self.values(numbered("orders.a", 100), numbered("orders.b", 200)))
        gap, = [gap for gap in gaps if "tag" in gap]
        self.assertIn("is another one than before", gap["what"])

    def test_a_stream_that_lost_its_end_is_a_gap_whether_or_not_it_has_as_many_again(self):
        for more in (0, 5, 10, 50):
            with self.subTest(more=more):
                self.orders(100)
                self.begin(stream="ORDERS")
                self.counts(100)
                self.nats.kill()
                kept = self.nats.folder / "kept"
                shutil.copytree(self.nats.folder / "store", kept)
                self.nats.start()
                self.nats.store(numbered("orders.lost", 10))
                self.counts(110)
                self.engine.kill()
                self.nats.kill()
                shutil.rmtree(self.nats.folder / "store")
                kept.rename(self.nats.folder / "store")
                self.nats.start()
                self.nats.store(numbered("orders.b", more))
                self.engine.start()
                self.counts(110 + more)
                self.nats.store(numbered("orders.c", 20))
                self.counts(130 + more)
                values, gaps = self.finish()
                self.assertEqual(values, self.values(numbered("orders.a", 100), numbered("orders.lost", 10), numbered("orders.b", more),
                                                     numbered("orders.c", 20)))
                gap, = [gap for gap in gaps if "tag" in gap]
                self.assertEqual(gap["element"], 110)
                self.assertIn("gives the numbers up to 110 to other messages", gap["what"])

    def test_a_stream_that_is_deleted_fails_the_job(self):
        self.orders(100)
        self.begin(stream="ORDERS")
        self.counts(100)
        self.nats.ask("$JS.API.STREAM.DELETE.ORDERS")
        job = self.engine.wait("orders")
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("stream `ORDERS`", job["error"])
        self.assertIn("stream not found", job["error"])

    # ---- times and attributes

    def test_event_times_are_when_it_was_stored(self):
        self.orders(50)
        stored = [self.nats.ask("$JS.API.STREAM.MSG.GET.ORDERS", {"seq": n})["message"]["time"] for n in range(1, 51)]
        self.begin(stream="ORDERS", until="end", out_of_order_ms=0)
        self.engine.wait("orders")
        self.finish()
        times = [element[0] for element in self.elements]
        self.assertEqual(times, [microseconds(text) for text in stored])
        self.assertEqual(self.engine.ask("recording.describe", pipeline="orders")["tags"][0]["watermark"], times[-1])

    def test_event_times_and_keys_in_json_and_an_idle_stream(self):
        self.orders()
        self.nats.store([["orders.a", json.dumps({"at": 1000 * n, "who": f"user {n}"}).encode()] for n in (3, 1, 2)])
        self.begin(stream="ORDERS", event_time="/at", event_time_unit="ms", key="/who", out_of_order_ms=1000, idle_ms=50)
        self.counts(3)
        now = time.time() * 1e6
        self.until(lambda job: self.engine.ask("recording.describe", pipeline="orders")["tags"][0].get("watermark", 0) > now)
        self.finish()
        self.assertEqual([(time, attributes) for time, _, attributes in self.elements],
                         [(n * 1000000, {"key": f"user {n}"}) for n in (3, 1, 2)])

    def test_what_is_no_json_fails_the_job_or_is_left_out(self):
        self.orders()
        self.nats.store([["orders.a", b'{"at": 1}'], ["orders.a", b"no json"], ["orders.a", b'{"at": 2}']])
        self.begin(stream="ORDERS", event_time="/at")
        job = self.engine.wait("orders")
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("message 2 of stream `ORDERS`: this is not JSON", job["error"])
        self.record("lax", stream="ORDERS", event_time="/at", on_error="skip", until="end")
        self.assertEqual(self.engine.wait("lax")["elements"], 2)

    def test_attributes_that_are_no_text_are_bytes(self):
        self.orders()
        with self.nats.connect() as client:
            head = b"NATS/1.0\r\nC\xe9f: \xff\xfe\r\n\r\n"
            client.socket.sendall(b"HPUB orders.\xfc answers %d %d\r\n%sone\r\n" % (len(head), len(head) + 3, head))
            client.message()
        self.begin(stream="ORDERS", metadata=True)
        self.counts(1)
        self.finish()
        self.assertEqual(self.elements[0][2], {"subject": b"orders.\xfc", "sequence": "1", "header.C?f": b"\xff\xfe"})

    def test_metadata_are_attributes(self):
        self.orders()
        self.nats.store([["orders.a", b"one"], ["orders.b.c", b"", {"Trace": "7f", "Nats-Msg-Id": "m-1"}]])
        self.begin(stream="ORDERS", until="end", metadata=True)
        self.engine.wait("orders")
        self.finish()
        self.assertEqual([element[1:] for element in self.elements],
                         [[b"one", {"subject": "orders.a", "sequence": "1"}],
                          [b"", {"subject": "orders.b.c", "sequence": "2", "header.Trace": "7f", "header.Nats-Msg-Id": "m-1"}]])

    # ---- what is left, and what is not there

    def test_nothing_is_left_at_the_server(self):
        self.orders(20000)
        self.begin(stream="ORDERS")
        self.gone(1)
        self.finish()
        self.gone(0)

    def test_a_server_that_is_not_there_yet_is_waited_for(self):
        self.orders(10)
        self.nats.kill()
        self.begin(stream="ORDERS")
        waits, = self.until(lambda job: job.get("waits"))["waits"]
        self.assertIn(self.nats.server, waits)
        self.nats.start()
        self.counts(10)
        self.until(lambda job: "waits" not in job)
        self.assertEqual(self.finish(), (self.values(numbered("orders.a", 10)), []))

    def test_one_server_of_several_is_enough(self):
        self.orders(10)
        self.begin(stream="ORDERS", server=f"127.0.0.1:{free_ports(1)},{self.nats.server}")
        self.counts(10)

    def test_a_server_without_a_jetstream_is_waited_for(self):
        self.broker(jetstream=False)
        self.begin(stream="ORDERS")
        waits, = self.until(lambda job: job.get("waits"))["waits"]
        self.assertIn("it has no JetStream", waits)
        self.nats.kill()
        self.nats.jetstream = True
        self.nats.start()
        self.until(lambda job: job["state"] == "FAILED")  # for it has no such stream

    def test_a_stream_that_is_not_there_fails_the_job(self):
        self.orders()
        self.begin(stream="OTHERS")
        job = self.engine.wait("orders")
        self.assertEqual(job["state"], "FAILED")
        self.assertIn("stream `OTHERS`", job["error"])

    def test_while_nothing_is_recorded_the_engine_asks_for_no_more(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.orders()
        self.nats.store([["orders.a", b"%07d" % n + b"x" * 2000] for n in range(30000)])
        with disk.holding("fdatasync", "*.seg") as held:
            self.begin("--durability", "sync", env=disk.env, stream="ORDERS")
            held()
            self.gone(1)
            deadline = time.monotonic() + PATIENCE
            while (consumer := self.consumer())["num_waiting"] > 0:
                assert time.monotonic() < deadline, consumer
            self.assertGreater(consumer["num_pending"], 10000)
            self.assertLess(memory(self.engine), 64 << 20)
        self.counts(30000)
        values, gaps = self.finish()
        self.assertEqual([int(value[:7]) for value in values], list(range(30000)))
        self.assertEqual(gaps, [])


class SubjectTest(NatsTest):
    def begin_subject(self, *words, flags=(), **payload):
        self.broker(*words, jetstream=False)
        self.begin(*flags, subject="orders.>", **payload)
        self.subscribed()

    def begun(self):
        """Its first batch, which has no elements, is recorded."""
        self.until(lambda job: any(record["count"] == 0 and record["kind"] == 1 for record in self.engine.records(job["recording"])))

    def test_what_is_published_is_recorded_in_order_with_its_arrival(self):
        self.begin_subject(metadata=True)
        before = time.time() * 1e6
        self.nats.publish([*numbered("orders.a", 5000), ["others", b"no"], ["orders.b", b"", {"Trace": "7f"}]])
        self.counts(5001)
        values, gaps = self.finish()
        self.assertEqual(values, [value for _, value in numbered("orders.a", 5000)] + [b""])
        self.assertEqual(gaps, [])
        time_of_last, _, attributes = self.elements[-1]
        self.assertEqual(attributes, {"subject": "orders.b", "header.Trace": "7f"})
        self.assertTrue(before <= time_of_last <= time.time() * 1e6)

    def test_a_broker_that_dies_leaves_a_gap_with_its_length(self):
        self.begin_subject()
        self.nats.publish(numbered("orders.a", 10))
        self.counts(10)
        self.nats.kill()
        waits, = self.until(lambda job: job.get("waits"))["waits"]
        self.assertIn(f"NATS at {self.nats.server}", waits)
        self.nats.start()
        self.subscribed()
        self.nats.publish(numbered("orders.b", 10))
        self.counts(20)
        self.until(lambda job: "waits" not in job)
        values, gaps = self.finish()
        self.assertEqual(values, [value for part in ("orders.a", "orders.b") for _, value in numbered(part, 10)])
        gap, = gaps
        self.assertEqual((gap["tag"], gap["element"]), ("Read", 10))
        self.assertIn("the connection to NATS at", gap["what"])
        self.assertGreater(gap["lost_us"], 0)

    def test_an_engine_that_dies_leaves_a_gap_from_what_is_recorded(self):
        self.begin_subject()
        self.nats.publish(numbered("orders.a", 10))
        self.counts(10)
        self.engine.kill()
        self.subscribed(0)
        self.nats.publish(numbered("orders.lost", 10))
        self.engine.start()
        self.subscribed()
        self.nats.publish(numbered("orders.b", 10))
        self.counts(20)
        values, gaps = self.finish()
        self.assertEqual(values, [value for part in ("orders.a", "orders.b") for _, value in numbered(part, 10)])
        gap, = [gap for gap in gaps if "tag" in gap]
        self.assertEqual(gap["element"], 10)
        self.assertGreater(gap["lost_us"], 0)

    def test_an_engine_that_dies_before_anything_came_leaves_a_gap(self):
        self.begin_subject()
        self.begun()
        self.engine.restart()
        self.subscribed()
        self.nats.publish(numbered("orders.a", 10))
        self.counts(10)
        self.assertEqual(len([gap for gap in self.finish()[1] if "tag" in gap]), 1)

    def test_a_recorder_that_fails_leaves_no_gap_where_nothing_was_on_its_way(self):
        self.begin_subject(flags=("--chaos",))
        self.begun()
        self.engine.ask("chaos.fail", actor="recorder")
        self.until(lambda job: self.engine.counter("actor_restarts") == 1)
        self.nats.publish(numbered("orders.a", 1000))
        self.counts(1000)
        self.assertEqual(self.finish(), ([value for _, value in numbered("orders.a", 1000)], []))

    def test_a_server_that_drops_a_slow_reader_leaves_a_gap(self):
        self.begin_subject("max_pending: 1MB\nwrite_deadline: \"2s\"")
        self.engine.process.send_signal(signal.SIGSTOP)
        self.nats.publish([["orders.much", b"%d " % n + b"x" * 1000] for n in range(40000)])
        self.engine.process.send_signal(signal.SIGCONT)
        before = self.until(lambda job: self.gaps(job))["elements"]
        self.nats.publish([["orders.b", b"-1"]])
        self.counts(before + 1)
        values, gaps = self.finish()
        numbers = [int(value.split()[0]) for value in values[:-1]]
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertLess(len(numbers), 40000, "the server kept all of it: the test shows nothing")
        gap, = gaps
        self.assertEqual(gap["element"], len(numbers))

    def test_empty_messages_are_held_back_like_others(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.broker(jetstream=False)
        with disk.holding("fdatasync", "*.seg") as held:
            self.begin("--durability", "sync", env=disk.env, subject="orders.>")
            self.subscribed()
            self.nats.publish(numbered("orders.a", 1))
            held()
            count = 0
            while count < 1000000:
                self.nats.publish([["orders.a", b""]] * 100000)
                count += 100000
            self.assertLess(memory(self.engine), 64 << 20)
        self.counts(1 + count)
        self.assertEqual(self.finish()[1], [])

    def test_no_subscription_is_left_at_the_server(self):
        self.begin_subject()
        self.finish()
        self.subscribed(0)


class AccessTest(NatsTest):
    """Who the engine is."""
    AUTHORIZATION = """authorization { users: [
        {user: "me", password: 'quote " and \\ and ü'}, {user: "guest", password: "guest", permissions: {subscribe: ["open.>", "_INBOX.>"]}} ] }"""

    def secret(self, text):
        path = self.nats.folder / "secret"
        path.write_text(text)
        return str(path)

    def works(self, who, **payload):
        self.begin(subject="orders.>", **payload)
        self.subscribed()
        self.nats.publish(numbered("orders.a", 10), **who)
        self.counts(10)
        self.finish()

    def fails(self, expected, **payload):
        self.engine = getattr(self, "engine", None) or self.fresh_engine()
        name = f"failing {time.monotonic()}"
        self.record(name, **payload)
        job = self.engine.wait(name)
        self.assertEqual(job["state"], "FAILED", job)
        for text in expected if isinstance(expected, tuple) else (expected,):
            self.assertIn(text, job["error"])

    def fresh_engine(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        return engine

    def test_a_user_with_any_password(self):
        self.broker(self.AUTHORIZATION, jetstream=False)
        password = 'quote " and \\ and ü'
        self.works({"user": "me", "pass": password}, username="me", password_file=self.secret(password + "\n"))
        self.fails("Authorization Violation", subject="x", username="me", password_file=self.secret("wrong"))
        self.fails("Authorization Violation", subject="x")

    def test_a_token(self):
        self.broker('authorization { token: "s3cret" }', jetstream=False)
        self.works({"auth_token": "s3cret"}, token_file=self.secret("s3cret"))
        self.fails("Authorization Violation", subject="x", token_file=self.secret("other"))

    def test_a_subject_that_is_not_allowed_fails_the_job(self):
        self.broker(self.AUTHORIZATION, jetstream=False)
        self.fails(("Permissions Violation", "orders.>"), subject="orders.>", username="guest", password_file=self.secret("guest"))

    def test_tls_with_certificates_on_both_sides(self):
        self.certificates()
        where = f'"{self.folder}/'
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        self.broker(f'tls {{ cert_file: {where}server.pem", key_file: {where}server.key", ca_file: {where}ca.pem", verify: true }}',
                    wrap=lambda connection: context.wrap_socket(connection, server_hostname="127.0.0.1"))
        self.nats.stream("ORDERS", "orders.>")
        self.nats.store([["orders.a", b"%d" % n + b"x" * 20000] for n in range(500)])
        mine = {"tls_cert": str(self.folder / "client.pem"), "tls_key": str(self.folder / "client.key")}
        self.begin(stream="ORDERS", tls_ca=str(self.folder / "ca.pem"), **mine)
        self.counts(500)
        values, _ = self.finish()
        self.assertEqual([len(value) for value in values], [len(b"%d" % n) + 20000 for n in range(500)])
        self.record("stranger", stream="ORDERS", tls_ca=str(self.folder / "other.pem"), **mine)
        waits, = self.until(lambda job: job.get("waits"), "stranger")["waits"]
        self.assertIn("certificate", waits)

    def certificates(self):
        folder = tempfile.TemporaryDirectory(prefix="reprise-nats-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        for signer in ("ca", "other"):
            self.openssl("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={signer}", "-keyout", f"{signer}.key", "-out", f"{signer}.pem")
        for name in ("server", "client"):
            self.openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                         "-extfile", "names", "-out", f"{name}.pem")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def test_a_payload_that_cannot_be_used_says_why(self):
        self.broker(jetstream=False)
        for expected, payload in (
                (("`subject`", "orders..x"), {"subject": "orders..x"}),
                (("`stream`", "OR DERS"), {"stream": "OR DERS"}),
                ("a `subject` is needed", {}),
                ("`until` needs a `stream`", {"subject": "x", "until": "end"}),
                ("`from` needs a `stream`", {"subject": "x", "from": "7"}),
                (("`from`", "yesterday"), {"stream": "X", "from": "yesterday"}),
                (("`server`", "nats://x"), {"subject": "x", "server": "nats://x"}),
                (("`password_file`", "/nowhere"), {"subject": "x", "username": "me", "password_file": "/nowhere"}),
                ("`password_file` needs a `username`", {"subject": "x", "password_file": "/nowhere"}),
                (("`creds`", "/nowhere"), {"subject": "x", "creds": "/nowhere"}),
                (("`tls_ca`", "/etc/hostname"), {"subject": "x", "tls_ca": "/etc/hostname"}),
                ("`tls_cert` and `tls_key` go together", {"subject": "x", "tls_cert": "/etc/hostname"}),
                ("`event_time` must be `arrival`", {"subject": "x", "event_time": "system"})):
            self.fails(expected, **payload)


if __name__ == "__main__":
    unittest.main()
