"""Datagrams, which nobody sends twice: what came is there once, and what could not be taken is a gap that says so."""
import itertools
import json
import socket
import time
import unittest

from engine import PATIENCE, Engine, free_ports, pipeline, source

UDP = "reprise:source:udp:v1"
LIMITS = {"duration_ms": 3600000}


class Udp(unittest.TestCase):
    def start(self, *flags, **payload):
        self.engine = Engine(*flags)
        self.addCleanup(self.engine.remove)
        self.port = free_ports(1)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.sender.close)
        self.engine.run(pipeline("stats", source("Read", UDP, {"server": f"127.0.0.1:{self.port}", **payload})), limits=LIMITS)

    def send(self, *datagrams):
        for datagram in datagrams:
            self.sender.sendto(datagram, ("127.0.0.1", self.port))

    def job(self):
        return self.engine.ask("job.describe", pipeline="stats")

    def until(self, holds):
        """Asks for the job until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.job()):
            assert time.monotonic() < deadline, job
        return job

    def listens(self):
        """Sends until something is recorded, the port being open then; how often."""
        before = self.job()["elements"]
        deadline = time.monotonic() + PATIENCE
        for tries in itertools.count(1):
            self.send(b'{"hello": 1, "at": 1}')
            if self.job()["elements"] > before:
                return self.until(lambda job: job["elements"] == before + tries or time.monotonic() > deadline)["elements"]
            assert time.monotonic() < deadline

    def end(self):
        self.engine.ask("job.cancel", pipeline="stats")
        job = self.engine.wait("stats")
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        return self.engine.ask("recording.describe", recording=job["recording"])

    def test_each_datagram_is_an_element_even_an_empty_one_and_a_large_one(self):
        self.start()
        self.until(lambda job: job["state"] == "RUNNING")
        self.listens()
        sent = [b"requests:1|c", b"", b"x" * 60000, *(b"number %d" % n for n in range(500))]
        before = self.job()["elements"]
        for n, datagram in enumerate(sent):
            self.send(datagram)
            if n % 50 == 0:
                self.until(lambda job: job["elements"] >= before + n)
        self.until(lambda job: job["elements"] >= before + len(sent))
        self.assertEqual(self.end()["gaps"], [])
        self.assertEqual([body for _, _, body in self.engine.elements(pipeline="stats")][before:], sent)

    def test_event_times_keys_and_watermarks_come_from_json(self):
        self.start(event_time="/at", event_time_unit="s", key="/user", out_of_order_ms=1000, on_error="skip")
        began = self.listens()
        self.send(b"no JSON", json.dumps({"at": 100, "user": "ann"}).encode(), json.dumps({"at": 99}).encode())
        self.until(lambda job: job["elements"] >= began + 2)
        recording = self.end()
        self.assertEqual(recording["tags"][0]["watermark"], 99000000)
        batches = [elements for _, elements in self.engine.replay(pipeline="stats") if elements]
        last = [element for batch in batches for element in batch][-2:]
        self.assertEqual(last[0], [100000000, b'{"at": 100, "user": "ann"}', {"key": "ann"}])
        self.assertEqual(last[1], [99000000, b'{"at": 99}'])

    def test_what_came_while_the_engine_was_away_is_a_gap_with_its_length(self):
        self.start()
        began = self.listens()
        self.engine.kill()
        self.send(b"nobody hears this")
        self.engine.start()
        self.assertGreater(self.listens(), began)
        mine = [gap for gap in self.end()["gaps"] if "datagrams" in gap["what"]]
        self.assertEqual([(gap["tag"], gap["element"]) for gap in mine], [("Read", began)])
        self.assertGreater(mine[0]["lost_us"], 0)
        self.assertNotIn(b"nobody hears this", [body for _, _, body in self.engine.elements(pipeline="stats")])

    def test_what_the_system_dropped_is_counted_in_a_gap(self):
        self.start("--chaos", queue=5000)
        self.listens()
        child = next(actor["name"] for actor in self.engine.ask("engine.actors")["actors"] if "udp" in actor["name"])
        self.engine.ask("chaos.hang", actor=child, ms=1000)
        for number in range(1000):
            self.send(b"%d" % number + b"x" * 1000)
        before = self.job()["elements"]
        self.until(lambda job: job["elements"] > before)
        self.listens()
        recording = self.end()
        dropped = sum(int(gap["what"].split()[0]) for gap in recording["gaps"] if "dropped" in gap["what"])
        kept = sum(body.endswith(b"xxx") for _, _, body in self.engine.elements(pipeline="stats"))
        self.assertGreater(dropped, 0)
        self.assertEqual(dropped + kept, 1000)

    def test_a_port_that_another_has_is_waited_for(self):
        self.start()
        self.end()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            self.port = other.getsockname()[1]
            self.engine.run(pipeline("stats", source("Read", UDP, {"server": f"127.0.0.1:{self.port}"})), limits=LIMITS)
            job = self.until(lambda job: job.get("waits"))
            self.assertEqual(job["waits"], [f"Read: its port 127.0.0.1:{self.port}: Address already in use"])
        self.until(lambda job: "waits" not in job)
        self.listens()
        self.assertEqual(self.end()["gaps"], [])

    def test_what_cannot_be_listened_at_fails_the_job_with_the_field_and_the_value(self):
        self.start()
        self.end()
        for payload, text in (({"server": "0.0.0.0:5140"}, "other machines could send to 0.0.0.0:5140"),
                              ({"server": "some.host:5140"}, "`server` must be an address in numbers and a port, such as `127.0.0.1:5140`, not `some.host:5140`"),
                              ({"server": "127.0.0.1"}, "not `127.0.0.1`"),
                              ({"server": "127.0.0.1:9", "queue": 1 << 40}, "`queue` must be at most 1073741824 bytes, not 1099511627776"),
                              ({"server": "127.0.0.1:9", "port": 3}, "port")):
            with self.subTest(payload=payload):
                self.engine.run(pipeline("stats", source("Read", UDP, payload)), limits=LIMITS)
                job = self.engine.wait("stats")
                self.assertEqual(job["state"], "FAILED")
                self.assertIn(text, job["error"])


if __name__ == "__main__":
    unittest.main()
