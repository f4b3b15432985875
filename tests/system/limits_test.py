"""Limits are budgets: a count is exact, bytes are never over, no record is later than the deadline. The segment files are the witness."""
import unittest

import msgpack

from engine import GENERATOR, PUSH, EngineTest, Producer, pipeline, source


class Limits(EngineTest):
    def tearDown(self):
        self.engine.ask("options.set", recording_duration_ms=60000, recording_size_limit=1000000000, recording_count_limit=None,
                        min_free_disk=268435456)

    def run_generators(self, name, rate=0, size=100, **limits):
        sources = [source(tag, GENERATOR, {"rate": rate, "size": size, "seed": seed}) for seed, tag in enumerate("AB", 1)]
        self.engine.run(pipeline(name, *sources), limits=limits)
        return self.engine.wait(name)

    def written(self, recording):
        return sum(segment.stat().st_size for segment in self.engine.segments(recording))

    def check_end(self, job, reason):
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"], job["is_running"]), ("CANCELLED", reason, True, False))
        described = self.engine.ask("recording.describe", recording=job["recording"])
        self.assertEqual((described["size"], described["elements"]), (self.written(job["recording"]), job["elements"]))
        self.assertEqual(job["bytes"], described["size"])
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        self.assertEqual(self.engine.replay(recording=job["recording"])[-1][0]["elements"], job["elements"])

    def test_a_count_is_exact_over_several_producers_and_tags(self):
        self.pushable("shared", "A", "B", count=1234)
        producers = [Producer(self.engine, "shared", tag, name, size=7) for tag, name in (("A", "one"), ("A", "two"), ("B", "three"))]
        while not all(producer.stopped for producer in producers):
            for producer in producers:
                if not producer.stopped:
                    producer.push(producer.acked + 3)
        job = self.engine.wait("shared")
        self.assertEqual(job["elements"], 1234)
        self.check_end(job, "count")
        elements = self.engine.elements(pipeline="shared")
        told = 0
        for producer in producers:
            mine = [one for one in elements if one[0] == producer.tag and one[2].startswith(producer.name.encode())]
            stop = producer.stopped
            taken = (stop["seq"] - 1) * producer.size + stop["accepted"] if "seq" in stop else 0
            self.assertEqual(mine, producer.expected(stop.get("seq", 0))[:taken])
            self.assertEqual(stop["reason"], "count")
            told += taken
            producer.close()
        self.assertEqual(told, 1234)

    def test_a_count_is_exact_over_generators_at_full_speed(self):
        job = self.run_generators("fast", count=54321)
        self.assertEqual(job["elements"], 54321)
        self.check_end(job, "count")

    def test_a_count_of_one_is_one(self):
        job = self.run_generators("one", count=1)
        self.assertEqual(job["elements"], 1)
        self.check_end(job, "count")

    def test_a_batch_that_straddles_the_limit_is_cut_at_the_element(self):
        self.pushable("cut", count=25)
        self.assertEqual([self.push("cut", range(10)), self.push("cut", range(10, 20)), self.push("cut", range(20, 30))],
                         [(10, None), (10, None), (5, "count")])
        self.assertEqual([int(one[2]) for one in self.engine.elements(pipeline="cut")], list(range(25)))

    def push(self, name, numbers):
        answer = self.engine.ask("push", msgpack.packb([[number, b"%d" % number] for number in numbers]), pipeline=name, tag="Read")
        return answer["accepted"], answer.get("stopped")

    def test_bytes_are_never_over_whatever_the_size_of_elements(self):
        for size in (1, 100, 5000):
            for limit in (20000, 300001):
                with self.subTest(size=size, limit=limit):
                    job = self.run_generators(f"bytes-{size}-{limit}", size=size, bytes=limit)
                    self.check_end(job, "bytes")
                    self.assertLessEqual(self.written(job["recording"]), limit)
                    self.assertGreater(job["elements"] * size, limit // 20)

    def test_an_element_that_is_larger_than_what_is_left_ends_the_job_and_is_not_stored(self):
        job = self.run_generators("large", size=100000, bytes=50000)
        self.check_end(job, "bytes")
        self.assertEqual(job["elements"], 0)

    def test_no_record_is_later_than_the_start_and_the_duration(self):
        job = self.run_generators("timed", rate=20000, duration_ms=300)
        self.check_end(job, "duration")
        times = [record["at"] for record in self.engine.records(job["recording"]) if record["kind"] != 0]
        start, last = job["started_at"], max(times)
        self.assertLessEqual(last, start + 300000)
        self.assertGreater(last, start + 250000)
        self.assertGreaterEqual(min(times), start)
        self.assertGreater(job["elements"], 1000)
        self.assertLess(abs(job["elapsed_ms"] - 300), 50)

    def test_a_duration_ends_a_job_that_nobody_feeds(self):
        self.pushable("idle", duration_ms=100)
        job = self.engine.wait("idle")
        self.assertEqual(job["elements"], 0)
        self.check_end(job, "duration")

    def test_limits_of_a_job_replace_the_options_of_the_same_meaning(self):
        self.engine.ask("options.set", recording_count_limit=10, recording_duration_ms=50000)
        self.engine.run(pipeline("own", source("Read", GENERATOR, {"rate": 0})), limits={"count": 77})
        job = self.engine.wait("own")
        self.assertEqual((job["elements"], job["limits"]), (77, {"duration_ms": 50000, "bytes": None, "count": 77}))
        self.engine.run(pipeline("others", source("Read", GENERATOR, {"rate": 0})))
        job = self.engine.wait("others")
        self.assertEqual((job["elements"], job["limits"]), (10, {"duration_ms": 50000, "bytes": None, "count": 10}))
        self.engine.run(pipeline("none", source("Read", GENERATOR, {"rate": 0, "count": 50})), limits={"count": None, "duration_ms": None})
        job = self.engine.wait("none")
        self.assertEqual((job["elements"], job["limits"]), (50, {"duration_ms": None, "bytes": None, "count": None}))
        self.assertEqual((job["state"], job["stop_reason"]), ("DONE", "sources_ended"))

    def test_the_bytes_of_all_recordings_together_are_limited(self):
        before = sum(one["size"] for one in self.engine.ask("recording.list")["recordings"])
        self.engine.ask("options.set", recording_size_limit=before + 500000)
        first = self.run_generators("first", bytes=200000)
        self.check_end(first, "bytes")
        second = self.run_generators("second")
        self.check_end(second, "bytes")
        total = sum(one["size"] for one in self.engine.ask("recording.list")["recordings"])
        self.assertLessEqual(total, before + 500000)
        self.assertGreater(total, before + 400000)

    def test_where_all_recordings_leave_no_room_the_next_job_is_refused_and_can_run_once_there_is(self):
        first = self.run_generators("filling", bytes=100000)
        held = sum(one["size"] for one in self.engine.ask("recording.list")["recordings"])
        self.engine.ask("options.set", recording_size_limit=held + 1000)
        error = self.refused("no_space", "pipeline.run", pipeline=pipeline("crowded", source("Read", PUSH)))
        self.assertEqual(error["field"], "recording_size_limit")
        self.assertIn(f"the recordings take {held} bytes", error["message"])
        self.engine.ask("recording.clear", pipeline="filling")
        self.assertNotIn(first["recording"], [one["recording"] for one in self.engine.ask("recording.list")["recordings"]])
        self.engine.run(pipeline("crowded", source("Read", GENERATOR, {"rate": 0, "count": 3})))
        self.assertEqual(self.engine.wait("crowded")["elements"], 3)

    def test_a_limit_of_bytes_in_which_nothing_fits_is_refused_and_the_least_takes_one_element(self):
        error = self.refused("bad_request", "pipeline.run", pipeline=pipeline("tiny", source("Read", GENERATOR, {"rate": 0, "size": 10})),
                             limits={"bytes": 1000})
        self.assertEqual(error["field"], "limits.bytes")
        least = int(error["message"].split("needs ")[1].split()[0])
        self.engine.run(pipeline("tiny", source("Read", GENERATOR, {"rate": 0, "size": 10})), limits={"bytes": least})
        job = self.engine.wait("tiny")
        self.check_end(job, "bytes")
        self.assertGreater(job["elements"], 0)
        self.assertLessEqual(self.written(job["recording"]), least)

    def test_lowering_the_limit_of_all_bytes_ends_the_jobs_that_record(self):
        self.pushable("lowered")
        self.assertEqual(self.push("lowered", range(10)), (10, None))
        self.engine.ask("options.set", recording_size_limit=2000)
        job = self.engine.wait("lowered")
        self.check_end(job, "bytes")
        self.assertEqual(job["elements"], 10)

    def test_a_full_disk_refuses_new_jobs_and_ends_those_that_run(self):
        self.engine.run(pipeline("running", source("Read", GENERATOR, {"rate": 1000})))
        self.engine.replay(pipeline="running", max_elements=10)
        self.engine.ask("options.set", min_free_disk=1 << 60)
        job = self.engine.wait("running")
        self.check_end(job, "free_disk")
        self.assertGreaterEqual(job["elements"], 10)
        error = self.refused("no_space", "pipeline.run", pipeline=pipeline("refused", source("Read", PUSH)))
        self.assertEqual(error["field"], "min_free_disk")

    def test_a_job_whose_source_ends_is_done(self):
        self.engine.run(pipeline("finite", source("Read", GENERATOR, {"rate": 0, "count": 500})))
        job = self.engine.wait("finite")
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"], job["elements"]), ("DONE", "sources_ended", True, 500))


if __name__ == "__main__":
    unittest.main()
