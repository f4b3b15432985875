"""Topics of Kafka, read from librdkafka's mock cluster: whatever dies, each message is recorded once and in the order of its partition, and what the broker has
no more is a gap."""
import collections
import contextlib
import pathlib
import re
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from brokers import Kafka
from disk import Disk
from engine import PATIENCE, Engine, Refused, pipeline, source
from kafka_front import Front

KAFKA = "reprise:source:kafka:v1"
LONG = {"duration_ms": 3600000}
FETCH = 1
LIST_OFFSETS = 2
UNKNOWN_TOPIC, NO_LEADER, TOPIC_REFUSED = 3, 5, 29
GROUPS = {8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47}  # the APIs that leave something of a group behind, or need one
PARTITION_BYTES = 5 << 20                             # that the mock cluster keeps
QUEUE_MAX = 128 << 20                                 # what may be read ahead, and what the engine has besides


class KafkaTest(unittest.TestCase):
    def start(self, *flags, brokers=1, **how):
        self.kafka = Kafka(brokers)
        self.addCleanup(self.kafka.close)
        self.engine = Engine(*flags, **how)
        self.addCleanup(self.engine.remove)

    def run_it(self, name="clicks", server=None, limits=LONG, **payload):
        """Starts a job; its source reads a topic of that name, unless something else is said."""
        payload = {"server": server or self.kafka.server, "topics": name, **payload}
        return self.engine.run(pipeline(name, source("Read", KAFKA, payload)), limits=limits)

    def job(self, name="clicks"):
        return self.engine.ask("job.describe", pipeline=name)

    def until(self, holds, name="clicks"):
        """Asks for the job until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.job(name)):
            assert time.monotonic() < deadline, job
        return job

    def recorded(self, count, name="clicks"):
        return self.until(lambda job: job["elements"] >= count, name)

    def waits(self, *words, name="clicks"):
        return self.until(lambda job: all(word in str(job.get("waits")) for word in words), name)

    def end(self, name="clicks"):
        """The job's recording, complete and in order."""
        with contextlib.suppress(Refused):
            self.engine.ask("job.cancel", pipeline=name)
        job = self.engine.wait(name)
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        return job

    def values(self, name="clicks"):
        return [element[2].decode() for element in self.engine.elements(pipeline=name)]

    def gaps(self, name="clicks"):
        """What the source said is lost; the engine says in other words that it was away."""
        gaps = self.engine.ask("recording.describe", recording=self.job(name)["recording"])["gaps"]
        return [gap["what"] for gap in gaps if gap["what"].startswith("kafka: ")]

    def by_partition(self, name="clicks"):
        """The values in the order of the recording, of each partition; they say which it is: "PARTITION NUMBER"."""
        found = collections.defaultdict(list)
        for value in self.values(name):
            partition, number = value.split()[:2]
            found[int(partition)].append(int(number))
        return dict(found)


class Recording(KafkaTest):
    def test_the_messages_of_all_partitions_are_recorded_with_their_times_and_keys(self):
        self.start()
        self.kafka.topic("clicks", partitions=3)
        sent = []
        for partition in (0, 2):
            messages = [[f"{partition} {n}", 1700000000000 + n, f"key {n}" if n % 2 else None] for n in range(100)]
            self.kafka.produce("clicks", *messages, partition=partition)
            sent += [[time_ms * 1000, value.encode(), *([{"key": key.encode()}] if key else [])] for value, time_ms, key in messages]
        self.run_it(until="end")
        self.assertEqual(self.engine.wait("clicks")["state"], "DONE")
        self.assertEqual(sorted(element[1:3] for element in self.engine.elements(pipeline="clicks")), sorted(part[:2] for part in sent))
        self.assertCountEqual([element[1:] for element in self.engine.elements(pipeline="clicks")], sent)
        self.assertEqual(self.by_partition(), {0: list(range(100)), 2: list(range(100))})

    def test_metadata_are_attributes_and_of_headers_with_one_name_the_last_counts(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", "zero", ["one", 1700000000000, "key", [["trace", "a"], ["other", ""], ["trace", "b"]]])
        self.run_it(until="end", metadata=True)
        self.engine.wait("clicks")
        where = {"topic": "clicks", "partition": "0"}
        self.assertEqual([element[3] for element in self.engine.elements(pipeline="clicks")],
                         [{**where, "offset": "0"}, {"key": b"key", **where, "offset": "1", "header.other": b"", "header.trace": b"b"}])

    def test_event_time_and_key_come_from_json_where_that_is_asked_for(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", ['{"at": 5, "who": "ann"}', 1700000000000, "ignored"], "no JSON", '{"at": 7}')
        self.run_it(until="end", event_time="/at", event_time_unit="s", key="/who", on_error="skip")
        self.engine.wait("clicks")
        self.assertEqual([element[1:] for element in self.engine.elements(pipeline="clicks")],
                         [[5000000, b'{"at": 5, "who": "ann"}', {"key": "ann"}], [7000000, b'{"at": 7}']])

    def test_a_message_in_which_nothing_is_found_fails_the_job_and_says_where_it_is(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", '{"at": 5}', "no JSON")
        self.run_it(event_time="/at")
        job = self.engine.wait("clicks")
        self.assertEqual((job["state"], job["elements"]), ("FAILED", 1))
        self.assertRegex(job["error"], "offset 1 of partition 0 of clicks: .*not JSON")

    def test_several_topics_and_chosen_partitions(self):
        self.start()
        for topic in ("clicks", "views", "other"):
            self.kafka.topic(topic, partitions=4)
            for partition in range(4):
                self.kafka.produce(topic, f"{topic} {partition}", partition=partition)
        self.run_it(topics="clicks,views", partitions="0,2-3", until="end")
        self.engine.wait("clicks")
        self.assertCountEqual(self.values(), [f"{topic} {partition}" for topic in ("clicks", "views") for partition in (0, 2, 3)])

    def test_it_begins_where_it_is_told_to(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        for partition in (0, 1):
            self.kafka.produce("clicks", *(f"{partition} {n}" for n in range(10)), partition=partition)
        self.run_it("offsets", topics="clicks", **{"from": "0:7,1:9"}, until="end")
        self.engine.wait("offsets")
        self.assertEqual(self.by_partition("offsets"), {0: [7, 8, 9], 1: [9]})

    def test_where_it_began_is_known_after_a_kill_though_nothing_was_recorded(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        for partition in (0, 1):
            self.kafka.produce("clicks", f"{partition} 0", partition=partition)
        recording = self.run_it(**{"from": "latest"})["recording"]
        self.until(lambda job: any(record["meta"] for record in self.engine.records(recording)))
        self.engine.kill()
        for partition in (0, 1):
            self.kafka.produce("clicks", f"{partition} 1", partition=partition)
        self.engine.start()
        self.recorded(2)
        self.end()
        self.assertEqual(self.by_partition(), {0: [1], 1: [1]})

    def test_messages_larger_than_a_batch_are_recorded(self):
        self.start()
        self.kafka.topic("clicks")
        sizes = [0, 1, 300000, 3000000]
        for size in sizes:
            self.kafka.produce("clicks", "x" * size)
        self.run_it(until="end")
        self.assertEqual(self.engine.wait("clicks")["state"], "DONE")
        self.assertEqual([len(value) for value in self.values()], sizes)

    def test_the_watermark_is_the_least_of_the_partitions(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        self.kafka.produce("clicks", ["0 0", 1700000009000], partition=0)
        self.kafka.produce("clicks", ["1 0", 1700000005000], partition=1)
        self.run_it(out_of_order_ms=1000)
        self.recorded(2)
        self.kafka.produce("clicks", ["1 1", 1700000007000], partition=1)
        self.recorded(3)
        self.end()
        watermarks = [event["to"] for event, _ in self.engine.replay(pipeline="clicks") if event.get("event") == "watermark"]
        self.assertIn(1700000006000000, watermarks)
        self.assertLessEqual(max(mark for mark in watermarks if mark < 1 << 60), 1700000006000000)


    def test_a_partition_whose_end_was_reached_holds_no_watermark_back(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)  # one is empty
        self.kafka.do("load", topic="clicks", count=10000, size=100)
        self.run_it(until="end", out_of_order_ms=0)
        self.engine.wait("clicks")
        watermarks = [event["to"] for event, _ in self.engine.replay(pipeline="clicks") if event.get("event") == "watermark"]
        self.assertGreater(len(watermarks), 1)
        self.assertLess(watermarks[0], 1 << 60)

    def test_an_end_that_a_broker_has_not_heard_of_is_waited_for(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", *(f"0 {n}" for n in range(10)))
        front = Front(self.kafka.server)
        self.addCleanup(front.close)
        front.ignorant = True
        self.run_it(server=front.server, until="end")
        self.assertEqual(self.engine.wait("clicks")["elements"], 10)
        self.assertFalse(front.ignorant, "nothing was held back: the test shows nothing")
        self.assertEqual(self.gaps(), [])


class Trouble(KafkaTest):
    def test_an_offset_that_is_not_there_yet_is_waited_for(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", "0 0", "0 1")
        self.run_it(**{"from": "0:3"})
        self.waits("offset 3 of partition 0 of clicks, which ends at 2")
        self.kafka.produce("clicks", "0 2", "0 3")
        self.recorded(1)
        self.end()
        self.assertEqual(self.values(), ["0 3"])
        self.assertEqual(self.gaps(), [])

    def test_a_server_that_is_not_there_is_waited_for(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", "one")
        self.kafka.down()
        self.run_it()
        self.waits("kafka: ", "refused")
        self.kafka.up()
        self.recorded(1)
        self.until(lambda job: "waits" not in job)

    def test_a_topic_that_is_not_there_yet_is_waited_for(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.do("refuse", topic="clicks", error=UNKNOWN_TOPIC)
        self.run_it()
        self.waits("topic clicks")
        self.kafka.do("refuse", topic="clicks", error=0)
        self.kafka.produce("clicks", "one")
        self.recorded(1)

    def test_a_topic_that_is_refused_fails_the_job(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.do("refuse", topic="clicks", error=TOPIC_REFUSED)
        self.run_it()
        job = self.engine.wait("clicks")
        self.assertEqual(job["state"], "FAILED")
        self.assertRegex(job["error"], "`topics`: topic clicks: .*authorization")

    def test_a_partition_without_a_leader_is_waited_for(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        self.kafka.produce("clicks", "0 0", partition=0)
        self.kafka.produce("clicks", "1 0", partition=1)
        self.kafka.do("leader", topic="clicks", partition=1, broker=-1)
        self.run_it()
        self.recorded(1)
        self.waits("partition 1 of clicks")
        self.kafka.do("leader", topic="clicks", partition=1, broker=1)
        self.recorded(2)
        self.end()
        self.assertEqual(self.by_partition(), {0: [0], 1: [0]})

    def test_what_the_broker_has_no_more_is_a_gap(self):
        self.start()
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", *(f"0 {n}" for n in range(10)))
        self.run_it()
        self.recorded(10)
        self.engine.kill()
        self.kafka.do("errors", api=LIST_OFFSETS, errors=[NO_LEADER] * 20)  # it is not known at once what is there
        size = 1000
        count = 3 * PARTITION_BYTES // size
        self.kafka.do("load", topic="clicks", first=10, count=count, size=size)  # its values have no partition before their number
        self.engine.start()
        self.until(lambda job: self.gaps())
        lost, = re.findall(r"partition 0 of clicks: offsets 10 to (\d+) are gone from the broker", self.gaps()[0])
        left = list(range(int(lost) + 1, count + 10))
        self.assertLess(len(left), count)
        self.recorded(10 + len(left))
        self.end()
        self.assertEqual(self.values()[:10], [f"0 {n}" for n in range(10)])
        self.assertEqual([int(value.split()[0]) for value in self.values()[10:]], left)
        self.assertEqual(len(self.gaps()), 1)

    def test_wrong_payloads_are_refused_with_the_field_and_the_value(self):
        self.start()
        for wrong, said in (
            ({"topics": "a b"}, "`topics`: `a b`"), ({"topics": "a,a"}, "`topics`: a is there twice"),
            ({"partitions": "3-1"}, "`partitions` .*`?3-1"), ({"from": "yesterday"}, "`from` must be .*yesterday"),
            ({"until": "noon"}, "`until` must be .*noon"), ({"settings": 5}, "`settings` must be a map"),
            ({"settings": {"group.id": "g"}}, "`settings`: `group.id` is of no use"),
            ({"settings": {"bootstrap.servers": "x"}}, "`settings`: `bootstrap.servers` has a field of its own: `server`"),
            ({"settings": {"ssl.engine.location": "x.so"}}, "`settings`: `ssl.engine.location` is none"),
            ({"settings": {"sasl.kerberos.kinit.cmd": "x"}}, "`settings`: `sasl.kerberos.kinit.cmd` is none"),
            ({"settings": {"fetch.wait.max.ms": "soon"}}, "`settings`: .*fetch.wait.max.ms"),
            ({"settings": {"isolation.level": "some"}}, "`settings`: .*isolation.level.*some|`settings`: .*some.*isolation.level"),
            ({"username": "ann"}, "`username` and `password_file`"), ({"sasl": "PLAIN"}, "`sasl` needs"),
            ({"username": "ann", "password_file": "/nowhere"}, "`password_file`: .*/nowhere"),
            ({"username": "ann", "password_file": "/dev/null", "sasl": "KERBEROS"}, "`sasl` must be .*KERBEROS"),
            ({"tls_ca": "/nowhere"}, "`tls_ca`: .*/nowhere"), ({"out_of_order": 5}, "no field `out_of_order`"),
        ):
            with self.subTest(wrong=wrong):
                name = f"wrong-{abs(hash(str(wrong)))}"
                try:
                    self.engine.run(pipeline(name, source("Read", KAFKA, {"server": self.kafka.server, "topics": "clicks", **wrong})))
                    message = self.engine.wait(name)["error"]
                except Refused as refused:
                    message = refused.error["message"]
                self.assertRegex(message, said)


class Access(KafkaTest):
    @classmethod
    def setUpClass(cls):
        """Two who vouch for others, a broker and an engine that the first vouches for, and one for whom it does not."""
        folder = tempfile.TemporaryDirectory(prefix="reprise-kafka-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        for signer in ("ca", "other"):
            cls.openssl("req", "-x509", *curve, "-days", "2", "-subj", f"/CN={signer}", "-keyout", f"{signer}.key", "-out", f"{signer}.pem")
        (cls.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        for name in ("broker", "engine"):
            cls.openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                        "-extfile", "names", "-out", f"{name}.pem")
        (cls.folder / "password").write_text("sesame\n")
        (cls.folder / "wrong").write_text("sesam\n")

    @classmethod
    def openssl(cls, *words):
        subprocess.run(["openssl", *words], cwd=cls.folder, check=True, capture_output=True)

    def path(self, name):
        return str(self.folder / name)

    def start_behind(self, asks=False, users=None):
        """A broker that is reached by TLS alone, and with `asks` by those alone who can show a certificate."""
        self.start()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.path("broker.pem"), self.path("broker.key"))
        if asks:
            tls.load_verify_locations(self.path("ca.pem"))
            tls.verify_mode = ssl.CERT_REQUIRED
        self.front = Front(self.kafka.server, tls, users)
        self.addCleanup(self.front.close)
        self.kafka.topic("clicks")
        self.kafka.produce("clicks", "0 0", "0 1")

    def test_tls_with_certificates_on_both_sides(self):
        self.start_behind(asks=True)
        self.run_it(server=self.front.server, tls_ca=self.path("ca.pem"), tls_cert=self.path("engine.pem"), tls_key=self.path("engine.key"))
        self.recorded(2)

    def test_a_broker_that_nobody_vouches_for_is_not_read(self):
        self.start_behind()
        self.run_it(server=self.front.server, tls_ca=self.path("other.pem"))
        self.waits("certificate")
        self.assertEqual((self.front.apis, self.job()["elements"]), (set(), 0))

    def test_a_password_from_a_file_over_tls(self):
        self.start_behind(users={"ann": "sesame"})
        self.run_it(server=self.front.server, tls_ca=self.path("ca.pem"), username="ann", password_file=self.path("password"))
        self.recorded(2)
        self.end()
        for file in self.engine.data.rglob("*"):
            self.assertNotIn(b"sesame", file.read_bytes() if file.is_file() else b"")

    def test_a_wrong_password_fails_the_job_and_names_the_field(self):
        self.start_behind(users={"ann": "sesame"})
        self.run_it(server=self.front.server, tls_ca=self.path("ca.pem"), username="ann", password_file=self.path("wrong"))
        job = self.engine.wait("clicks")
        self.assertEqual(job["state"], "FAILED")
        self.assertRegex(job["error"], "`username`: .*nobody has that password")


class Pressure(KafkaTest):
    def memory(self):
        with open(f"/proc/{self.engine.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+) kB", status.read())[1]) * 1024

    def test_while_the_disk_is_slow_nothing_becomes_late(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.start("--durability", "sync", env=disk.env)
        self.kafka.topic("clicks", partitions=2)
        for partition in range(2):
            self.kafka.do("load", topic="clicks", partition=partition, count=4000, size=1000)
        with disk.holding("fdatasync", "*.seg") as held:
            self.run_it(out_of_order_ms=0, idle_ms=100)
            held()
            self.until(lambda job: job["elapsed_ms"] > 1000)
        self.recorded(8000)
        self.end()
        watermark, late = 0, 0
        for event, elements in self.engine.replay(pipeline="clicks"):
            watermark = max(watermark, event["to"] if event.get("event") == "watermark" else 0)
            late += sum(element[0] < watermark for element in elements or [])
        self.assertEqual(late, 0)

    def test_while_the_disk_is_slow_no_more_is_read_than_fits_into_the_queue(self):
        disk = Disk()
        self.addCleanup(disk.remove)
        self.start("--durability", "sync", env=disk.env)
        partitions, size = 50, 10000
        count = PARTITION_BYTES * 9 // 10 // size
        self.kafka.topic("clicks", partitions=partitions)
        for partition in range(partitions):
            self.kafka.do("load", topic="clicks", partition=partition, count=count, size=size)
        with disk.holding("fdatasync", "*.seg") as held:
            self.run_it(until="end")
            held()
            subprocess.run(["kcat", "-b", self.kafka.server, "-C", "-t", "clicks", "-e", "-q", "-f", ""], check=True,
                           timeout=PATIENCE)  # as long as this takes, one that did not hold back would have read it all, too
            self.assertEqual(self.job()["state"], "RUNNING")
            self.assertLess(self.memory(), QUEUE_MAX)
        self.assertEqual(self.engine.wait("clicks")["elements"], partitions * count)


class Deaths(KafkaTest):
    def test_a_broker_that_dies_and_comes_back_costs_nothing(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        for round in range(4):
            for partition in (0, 1):
                self.kafka.produce("clicks", *(f"{partition} {n}" for n in range(round * 100, round * 100 + 100)), partition=partition)
            if round == 0:
                self.run_it()
            self.recorded(200 * round + 1)
            self.kafka.down()
            self.waits("kafka: ")
            self.kafka.up()
        self.recorded(800)
        self.end()
        self.assertEqual(self.by_partition(), {partition: list(range(400)) for partition in (0, 1)})
        self.assertEqual(self.gaps(), [])

    def test_an_engine_that_is_killed_goes_on_behind_what_is_recorded(self):
        self.start()
        partitions, rounds, count = 5, 6, 400
        self.kafka.topic("clicks", partitions=partitions)
        front = Front(self.kafka.server)
        self.addCleanup(front.close)
        self.run_it(server=front.server)
        produced = threading.Thread(target=lambda: [
            self.kafka.produce("clicks", *(f"{partition} {n}" for n in range(round * count, round * count + count)), partition=partition)
            for round in range(rounds) for partition in range(partitions)])
        produced.start()
        for _ in range(6):
            before = self.job()["elements"]
            deadline = time.monotonic() + 1
            while self.job()["elements"] == before < partitions * rounds * count and time.monotonic() < deadline:
                pass
            self.engine.restart()
            front.cut()
        produced.join()
        self.recorded(partitions * rounds * count)
        self.end()
        self.assertEqual(self.by_partition(), {partition: list(range(rounds * count)) for partition in range(partitions)})
        self.assertEqual(self.gaps(), [])
        self.assertIn(FETCH, front.apis)
        self.assertEqual(front.apis & GROUPS, set(), "a group was asked for")

    def test_a_bounded_job_ends_where_the_topic_ended_at_first_however_often_it_is_killed(self):
        self.start()
        self.kafka.topic("clicks", partitions=2)
        for partition in (0, 1):
            self.kafka.produce("clicks", *(f"{partition} {n}" for n in range(50)), partition=partition)
        self.run_it(until="end", limits={**LONG, "count": 10000})
        self.recorded(1)
        for partition in (0, 1):
            self.kafka.produce("clicks", *(f"{partition} {n}" for n in range(50, 60)), partition=partition)
        self.engine.restart()
        self.assertEqual(self.engine.wait("clicks")["state"], "DONE")
        self.assertEqual(self.by_partition(), {0: list(range(50)), 1: list(range(50))})


if __name__ == "__main__":
    unittest.main()
