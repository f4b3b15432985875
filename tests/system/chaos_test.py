"""Each actor is told to fail while a run is under way: it is restarted, and the run goes on as if nothing had happened."""
import signal
import time
import unittest

import msgpack

from engine import GENERATOR, PATIENCE, PUSH, Engine, Producer, Refused, pipeline, source, subscriber

BATCHES = 400


class Chaos(unittest.TestCase):
    def start(self, *flags):
        self.engine = Engine("--chaos", *flags)
        self.addCleanup(self.engine.remove)
        self.notices = subscriber(self.engine)
        self.addCleanup(self.notices.close)

    def begin(self, name, **limits):
        """A run whose one source is pushed to, and whose other one produces by itself."""
        sources = [source("Read", PUSH), source("Numbers", GENERATOR, {"rate": 2000})]
        return self.engine.run(pipeline(name, *sources), **({"limits": limits} if limits else {}))

    def bring_down(self, actor):
        """Has an actor fail, and waits until it is back."""
        before = self.actors()[actor]["restarts"]
        self.engine.ask("chaos.fail", actor=actor)
        self.until(lambda: (self.actors()[actor]["restarts"], self.actors()[actor]["state"]) == (before + 1, "running"))

    def until(self, condition):
        """Looks again whenever something was published, and now and then."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "this takes too long")
            if self.notices.poll(100):
                self.notices.recv_multipart()

    def actors(self):
        return {one["name"]: one for one in self.engine.ask("engine.actors")["actors"]}

    def producer(self, name):
        producer = Producer(self.engine, name)
        self.addCleanup(producer.close)
        return producer

    def check(self, name, producer, batches):
        """Everything that was acknowledged is there once, in its order; the generator has no hole; the recording is sound."""
        elements = self.engine.elements(pipeline=name)
        self.assertEqual([one for one in elements if one[0] == "Read"], producer.expected(batches))
        times = [time for tag, time, _ in elements if tag == "Numbers"]
        self.assertEqual({later - sooner for sooner, later in zip(times, times[1:])} - {500}, set())
        recording = self.engine.ask("recording.describe", pipeline=name)
        self.assertTrue(self.engine.ask("recording.verify", recording=recording["recording"])["intact"])
        self.assertEqual(self.engine.replay(pipeline=name)[-1][0]["digest"], recording["digest"])
        return recording

    def test_a_run_goes_on_through_the_failure_of_each_actor(self):
        self.start()
        job = self.begin("clicks")["job"]
        producer = self.producer("clicks")
        actors = list(self.actors())
        self.assertIn("recorder", actors)
        self.assertEqual(len([name for name in actors if name.startswith("source_")]), 1)
        for number, actor in enumerate(actors, 1):
            with self.subTest(actor=actor):
                producer.push(number * 20)
                producer.attached or producer.attach()
                for _ in range(5):
                    producer.send()  # these are under way when it fails
                self.bring_down(actor)
                self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
        producer.push(BATCHES)
        self.engine.ask("job.cancel", job=job)
        self.engine.wait("clicks")
        recording = self.check("clicks", producer, BATCHES)
        self.assertGreater({one["tag"]: one["elements"] for one in recording["tags"]}["Numbers"], 10)
        self.assertEqual({name: one["restarts"] for name, one in self.actors().items()}, dict.fromkeys(list(self.actors()), 1))
        self.assertEqual((self.engine.counter("actor_failures"), self.engine.counter("actor_restarts")), (len(actors), len(actors)))
        self.assertEqual(self.engine.stop(), 0)

    def test_a_count_stays_exact_when_those_who_count_fail(self):
        self.start()
        job = self.begin("counted", count=6000)["job"]
        producer = self.producer("counted")
        for number, actor in enumerate(["recorder", "limiter", "job_supervisor", "recorder", "catalog", "limiter"], 1):
            producer.push(number * 20)
            self.bring_down(actor)
        producer.push(100000)
        self.assertEqual(producer.stopped["reason"], "count")
        job = self.engine.wait("counted")
        self.assertEqual((job["elements"], job["state"], job["stop_reason"]), (6000, "CANCELLED", "count"))
        recording = self.engine.ask("recording.describe", pipeline="counted")
        pushed = {one["tag"]: one["elements"] for one in recording["tags"]}["Read"]
        elements = [one for one in self.engine.elements(pipeline="counted") if one[0] == "Read"]
        self.assertEqual(elements, producer.expected(pushed // 10 + 1)[:pushed])
        self.assertGreaterEqual(pushed, producer.acked * 10)

    def test_no_element_is_lost_or_doubled_when_actors_fail_under_full_load(self):
        self.start()
        count = 300000
        self.engine.run(pipeline("load", source("Read", GENERATOR, {"rate": 0, "size": 1000})), limits={"count": count})
        for actor in ("syncer", "recorder", "limiter", "job_supervisor", "catalog"):
            recorded = self.engine.ask("job.describe", pipeline="load")["elements"]
            self.bring_down(actor)
            self.until(lambda: self.engine.ask("job.describe", pipeline="load")["elements"] > recorded or recorded == count)
        job = self.engine.wait("load")
        self.assertEqual((job["elements"], job["stop_reason"]), (count, "count"))
        times = [element[1] for element in self.engine.elements(pipeline="load")]
        self.assertEqual(times, list(range(times[0], times[0] + count)))
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])

    def test_a_replay_that_is_under_way_is_opened_again_where_it_was(self):
        self.start()
        self.engine.run(pipeline("numbers", source("Read", GENERATOR, {"rate": 0, "size": 1000})), limits={"count": 20000})
        self.engine.wait("numbers")
        with self.engine.connect("test_stream") as stream:
            stream.ask("replay.open", pipeline="numbers", credit=10000)
            seen = []
            while len(seen) < 10:
                _, elements, _ = stream.receive()
                seen += elements or []
            self.bring_down("test_stream_server")
            with self.assertRaises(Refused) as caught:
                stream.ask("replay.pause", replay=1)
            self.assertEqual((caught.exception.error["code"], caught.exception.error["retry"]), ("not_found", True))
        rest = [one[1:] for one in self.engine.elements(pipeline="numbers", **{"from": {"element": len(seen)}})]
        self.assertEqual(seen + rest, [one[1:] for one in self.engine.elements(pipeline="numbers")])

    def test_each_push_is_answered_once_while_the_recorder_fails(self):
        self.start("--durability", "sync")
        self.begin("pushed")
        accepted = []
        with self.engine.connect("commands") as commands:
            for number in range(100):
                commands.send("push", msgpack.packb([[number, b"%d" % number]]), id=number, pipeline="pushed", tag="Read")
                if number % 20 == 10:
                    self.engine.commands.send("chaos.fail", actor="recorder")
                answer, _, _ = commands.receive(PATIENCE)
                self.assertEqual(answer["id"], number)
                self.assertTrue(answer["ok"] or answer["error"]["code"] == "unavailable", answer)
                accepted += [number] if answer["ok"] else []
            for _ in range(5):
                self.assertTrue(self.engine.commands.receive(PATIENCE)[0]["ok"])
        self.check_pushed("pushed", accepted)

    def test_many_pushes_at_once_are_each_answered_while_actors_fail(self):
        self.start()
        self.begin("pushed")
        numbers = range(1, 1001)
        with self.engine.connect("commands") as commands:
            for number in numbers:
                body = msgpack.packb([[number, b"%d" % number]])
                commands.send("push", body, id=number, pipeline="pushed", tag="Read", producer="me", seq=number)
                if number % 100 == 50:
                    self.engine.ask("chaos.fail", actor=("recorder", "gateway")[number // 100 % 2])
            answers = [commands.receive(PATIENCE)[0] for _ in numbers]
        self.assertEqual(sorted(answer["id"] for answer in answers), list(numbers))
        self.check_pushed("pushed", [answer["id"] for answer in answers if answer["ok"]])

    def check_pushed(self, name, accepted):
        self.engine.ask("job.cancel", pipeline=name)
        self.engine.wait(name)
        recorded = [one[1] for one in self.engine.elements(pipeline=name) if one[0] == "Read"]
        self.assertEqual(recorded, sorted(set(recorded)))
        self.assertEqual(set(accepted) - set(recorded), set())

    def test_an_actor_that_fails_again_and_again_ends_the_engine_and_a_new_one_goes_on(self):
        self.start()
        job = self.begin("clicks")["job"]
        producer = self.producer("clicks")
        producer.push(20)
        for _ in range(5):
            self.bring_down("recorder")
        self.engine.ask("chaos.fail", actor="recorder")
        self.assertEqual(self.engine.ended(), 70)
        self.assertIn("gives up: recorder: told to fail", self.engine.said())
        self.engine.start()
        self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
        producer.push(40)
        self.engine.ask("job.cancel", job=job)
        self.engine.wait("clicks")
        self.check("clicks", producer, 40)

    def test_a_crash_on_demand_ends_the_process_by_that_signal_and_a_new_one_goes_on(self):
        self.start()
        job = self.begin("clicks")["job"]
        producer = self.producer("clicks")
        for number, (how, by) in enumerate((("abort", signal.SIGABRT), ("segv", signal.SIGSEGV), ("kill", signal.SIGKILL)), 1):
            producer.push(number * 20)
            self.engine.commands.send("chaos.crash", how=how, actor="recorder")
            self.assertEqual(self.engine.ended(), -by)
            self.engine.start()
            producer.attached = None
            self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
        self.assertEqual(self.refused("chaos.crash", how="loudly")["field"], "how")
        producer.push(80)
        self.engine.ask("job.cancel", job=job)
        self.engine.wait("clicks")
        self.check("clicks", producer, 80)

    def test_an_actor_that_hangs_for_a_while_answers_afterwards(self):
        self.start()
        self.begin("clicks")
        self.engine.ask("chaos.hang", actor="recorder", ms=300)
        begun = time.monotonic()
        self.assertEqual(self.engine.ask("recording.describe", pipeline="clicks")["state"], "RUNNING")
        self.assertGreater(time.monotonic() - begun, 0.2)
        self.assertEqual(self.refused("chaos.hang", actor="nobody")["code"], "not_found")

    def fail_a_run(self, *flags, **fault):
        """What the run's job says after such a fault; all that was acknowledged is there, and the next run goes well."""
        self.start(*flags)
        self.begin("clicks")
        producer = self.producer("clicks")
        producer.push(20)
        self.engine.ask(**fault)
        producer.push(10000)
        job = self.engine.wait("clicks")
        self.assertEqual((producer.stopped["reason"], job["state"], job["stop_reason"]), ("error", "FAILED", "error"))
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        elements = [one for one in self.engine.elements(recording=job["recording"]) if one[0] == "Read"]
        self.assertGreaterEqual(len(elements), producer.acked * producer.size)
        self.assertEqual(elements, producer.expected(producer.sent)[:len(elements)])
        self.begin("clicks", count=100)
        self.assertEqual(self.engine.wait("clicks")["stop_reason"], "count")
        return job["error"]

    def test_a_write_that_fails_on_demand_fails_the_job_and_loses_nothing_acknowledged(self):
        self.assertRegex(self.fail_a_run(op="chaos.disk", writes=1, error="ENOSPC"), r"cannot append to .*\.seg: No space left")
        self.assertEqual(self.refused("chaos.disk", writes=1, error="EVIL")["field"], "error")

    def test_an_fdatasync_that_fails_on_demand_fails_the_job_and_loses_nothing_acknowledged(self):
        error = self.fail_a_run("--durability", "sync", op="chaos.sync", syncs=1, error="EIO")
        self.assertRegex(error, r"cannot sync .*\.seg: Input/output")
        self.assertEqual(self.refused("chaos.sync", syncs=1, error="EVIL")["field"], "error")

    def test_messages_between_actors_are_lost_on_demand_and_their_requests_refused(self):
        self.start()
        self.assertEqual(self.engine.ask("chaos.messages", count=1000000, drop=1)["messages"], 0)
        error = self.refused("job.list")
        self.assertEqual((error["code"], error["retry"]), ("unavailable", True))
        tally = self.engine.ask("chaos.messages", count=0)
        self.assertGreaterEqual(tally["messages"], tally["dropped"])
        self.assertGreaterEqual(tally["dropped"], 1)
        self.assertEqual((tally["duplicated"], tally["delayed"]), (0, 0))
        self.assertEqual(self.engine.ask("job.list")["jobs"], [])
        self.assertEqual(self.refused("chaos.messages", count=1, drop=1.1)["field"], "drop")

    def refused(self, op, **fields):
        with self.assertRaises(Refused) as caught:
            self.engine.ask(op, **fields)
        return caught.exception.error

    def test_without_the_flag_there_are_no_such_operations(self):
        self.start()
        ops = {one["op"] for one in self.engine.ask("engine.protocol")["ops"] if one["op"].startswith("chaos.")}
        self.assertLessEqual({"chaos.fail", "chaos.hang", "chaos.crash", "chaos.disk", "chaos.sync", "chaos.messages"}, ops)
        self.engine.remove()
        self.engine = Engine()
        self.addCleanup(self.engine.remove)
        for op in ops:
            good = {"actor": "recorder", "how": "abort", "writes": 1, "syncs": 1, "error": "EIO", "count": 1}
            self.assertEqual(self.refused(op, **good)["code"], "unknown_op")
        self.assertFalse({one["op"] for one in self.engine.ask("engine.protocol")["ops"]} & ops)


if __name__ == "__main__":
    unittest.main()
