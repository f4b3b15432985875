"""What happens is published to those who subscribed: hints in order, without which `job.wait` is still the guarantee."""
import unittest

import msgpack

from engine import GENERATOR, PATIENCE, PUSH, EngineTest, pipeline, source, subscriber


class Notifications(EngineTest):
    def setUp(self):
        self.subscribe()
        self.seen = []

    def subscribe(self):
        self.sub = subscriber(self.engine)
        self.addCleanup(self.sub.close)

    def receive(self):
        self.assertTrue(self.sub.poll(PATIENCE * 1000), f"no more after {self.seen}")
        frames = self.sub.recv_multipart()
        self.assertEqual(len(frames), 2)
        self.seen.append((frames[0].decode(), msgpack.unpackb(frames[1])))
        return self.seen[-1]

    def until(self, topic, **fields):
        """The first notification of that topic that has these fields."""
        while True:
            name, message = self.receive()
            if name == topic and all(message.get(key) == value for key, value in fields.items()):
                return message

    def states(self, topic, key, name):
        return [message["state"] for seen, message in self.seen if seen == topic and message.get(key) == name]

    def test_a_jobs_states_and_its_limit_are_published_in_their_order(self):
        answer = self.engine.run(pipeline("numbers", source("Read", GENERATOR, {"rate": 0})), limits={"count": 1000})
        expected = {("pipeline.tracked", "pipeline", "numbers"), ("test_stream.started", "pipeline", "numbers"),
                    ("recording.complete", "recording", answer["recording"]), ("job.state", "job", answer["job"])}
        while not self.states("job.state", "job", answer["job"])[3:] or any(not self.states(*one) for one in expected):
            self.receive()
        self.assertEqual(self.states("job.state", "job", answer["job"]), ["STARTING", "RUNNING", "CANCELLING", "CANCELLED"])
        self.assertEqual(self.states("limit.reached", "job", answer["job"]), ["count"])

    def test_numbers_follow_each_other_within_a_boot(self):
        self.engine.run(pipeline("numbered", source("Read", GENERATOR, {"rate": 0, "count": 10})))
        self.until("job.state", state="DONE")
        self.assertEqual({message["boot"] for _, message in self.seen}, {self.seen[0][1]["boot"]})
        numbers = [message["seq"] for _, message in self.seen]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        times = [message["at"] for _, message in self.seen]
        self.assertEqual(times, sorted(times))
        boot = self.seen[0][1]["boot"]
        self.engine.restart()
        self.subscribe()
        self.engine.ask("pipeline.track", pipeline=pipeline("other"))
        self.assertNotEqual(self.until("pipeline.tracked", pipeline="other")["boot"], boot)

    def test_a_change_of_sources_is_published(self):
        recording = self.recorded("changed", 10)["recording"]
        self.engine.run(pipeline("changed", source("Read", PUSH)))
        self.until("recording.invalidated", recording=recording)

    def test_a_pipeline_that_is_forgotten_and_a_test_stream_that_stops_are_published(self):
        self.pushable("short")
        self.engine.ask("test_stream.stop", pipeline="short")
        self.until("test_stream.stopped", pipeline="short")
        self.engine.ask("pipeline.forget", pipeline="short")
        self.until("pipeline.forgotten", pipeline="short")

    def test_an_actor_that_fails_and_is_restarted_is_published_with_the_reason(self):
        self.engine.ask("chaos.fail", actor="limiter")
        self.assertIn("chaos.fail", self.until("actor.failed", actor="limiter")["detail"])
        self.until("actor.restarted", actor="limiter")


if __name__ == "__main__":
    unittest.main()
