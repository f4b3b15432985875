"""Threads that hang: a source's is replaced while the engine runs on; a core actor's is the end of the process, and a new one goes on."""
import time
import unittest

from engine import GENERATOR, PATIENCE, Engine, pipeline, source, subscriber


class Hang(unittest.TestCase):
    def test_a_source_that_hangs_is_replaced_and_a_core_actor_that_hangs_ends_the_process(self):
        self.engine = Engine("--chaos")
        self.addCleanup(self.engine.remove)
        self.notices = subscriber(self.engine)
        self.addCleanup(self.notices.close)
        job = self.engine.run(pipeline("numbers", source("Read", GENERATOR, {"rate": 2000})))["job"]
        name = next(one for one in self.actors() if one.startswith("source_"))
        self.until(lambda: self.elements(job) > 0)
        self.engine.ask("chaos.hang", actor=name)
        self.until(lambda: self.actors()[name].get("silent_ms", 0) >= 2000)
        recorded = self.elements(job)
        self.engine.ask("chaos.hang", actor="verifier", ms=1000)  # which may take so long
        self.until(lambda: (self.actors()[name]["restarts"], self.actors()[name]["state"]) == (1, "running"))
        self.assertEqual(self.actors()[name]["last_error"], "it has not answered for 10000 ms")
        self.assertEqual(self.engine.counter("threads_left"), 1)
        self.until(lambda: self.elements(job) > recorded)
        self.assertEqual({one["name"]: one["restarts"] for one in self.actors().values() if one["restarts"]}, {name: 1})

        self.engine.ask("chaos.hang", actor="gateway")
        self.assertEqual(self.engine.ended(), 70)
        self.assertIn("the engine ends: gateway hangs: it has not answered for 10000 ms", self.engine.said())

        self.engine.start()
        recorded = self.elements(job)
        self.until(lambda: self.elements(job) > recorded)
        self.engine.ask("job.cancel", job=job)
        recording = self.engine.wait("numbers")["recording"]
        self.assertTrue(self.engine.ask("recording.verify", recording=recording)["intact"])
        times = [event_time for _, event_time, _ in self.engine.elements(pipeline="numbers")]
        self.assertEqual({later - sooner for sooner, later in zip(times, times[1:])}, {500})
        self.assertEqual(self.engine.stop(), 0)

    def test_an_engine_stops_in_order_though_a_source_hangs(self):
        self.engine = Engine("--chaos")
        self.addCleanup(self.engine.remove)
        self.engine.run(pipeline("numbers", source("Read", GENERATOR, {"rate": 2000})))
        name = next(one for one in self.actors() if one.startswith("source_"))
        self.engine.ask("chaos.hang", actor=name)
        self.assertEqual(self.engine.stop(), 0)
        self.assertIn(f"{name} did not stop within 5000 ms and is left", self.engine.said())

    def actors(self):
        return {one["name"]: one for one in self.engine.ask("engine.actors")["actors"]}

    def elements(self, job):
        return self.engine.ask("job.describe", job=job)["elements"]

    def until(self, condition):
        """Looks again whenever something was published, and now and then."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "this takes too long")
            if self.notices.poll(100):
                self.notices.recv_multipart()


if __name__ == "__main__":
    unittest.main()
