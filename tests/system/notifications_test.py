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

    def until(self, topic, **fields):
        """All notifications up to and with the first of that topic that has these fields."""
        while True:
            self.assertTrue(self.sub.poll(PATIENCE * 1000), f"no {topic} {fields} in {self.seen}")
            frames = self.sub.recv_multipart()
            self.assertEqual(len(frames), 2)
            name, message = frames[0].decode(), msgpack.unpackb(frames[1])
            self.seen.append((name, message))
            if name == topic and all(message.get(key) == value for key, value in fields.items()):
                return message

    def states(self, topic, key, name):
        return [message["state"] for seen, message in self.seen if seen == topic and message.get(key) == name]

    def test_a_jobs_states_and_its_limit_are_published_in_their_order(self):
        answer = self.engine.run(pipeline("numbers", source("Read", GENERATOR, {"rate": 0})), limits={"count": 1000})
        self.until("recording.complete", recording=answer["recording"])
        if not self.states("job.state", "job", answer["job"])[-1:] == ["CANCELLED"]:
            self.until("job.state", job=answer["job"], state="CANCELLED")
        self.assertEqual(self.states("job.state", "job", answer["job"]), ["STARTING", "RUNNING", "CANCELLING", "CANCELLED"])
        self.assertEqual(self.states("limit.reached", "job", answer["job"]), ["count"])
        self.assertIn(("pipeline.tracked", "numbers"), [(topic, message.get("pipeline")) for topic, message in self.seen])
        self.assertIn(("test_stream.started", "numbers"), [(topic, message.get("pipeline")) for topic, message in self.seen])

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
