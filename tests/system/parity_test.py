"""What Beam's background recording job decides, decided here through operations: a test for each row of docs/beam-parity.md.

The last class reads that page: each of Beam's names has one row, no cell is empty, and each test that a row names exists.
"""
import re
import signal
import unittest

import msgpack

from engine import FILE, GENERATOR, PATIENCE, PUSH, ROOT, EngineTest, pipeline, source
from replay_test import MUCH, Reader

GONE = "/nonexistent"
DEFAULTS = {"enable_recording_replay": True, "recording_duration_ms": 60000, "recording_size_limit": 1000000000,
            "recording_count_limit": None, "keep_recordings": 0, "min_free_disk": 268435456,
            "recordable_sources": ["reprise:source:*:v1", "beam:transform:pubsub_read:v1"]}

# What Beam has, by module: each name needs a row.
BEAM = """
attempt_to_run_background_caching_job is_background_caching_job_needed is_cache_complete has_source_to_cache
attempt_to_cancel_background_caching_job attempt_to_stop_test_stream_service is_a_test_stream_service_running is_source_to_cache_changed
is_source_to_cache_changed(update_cached_source_signature) extract_source_to_cache_signature
BackgroundCachingJob BackgroundCachingJob.is_done BackgroundCachingJob.is_running BackgroundCachingJob.cancel BackgroundCachingJob.state
BackgroundCachingJob._background_caching_job_condition_checker BackgroundCachingJob._should_end_condition_checker
Limiter Limiter.is_triggered ElementLimiter ElementLimiter.update SizeLimiter DurationLimiter CountLimiter ProcessingTimeLimiter
CaptureControl CaptureControl.limiters CaptureControl.set_limiters_for_test evict_captured_data InteractiveOptions
Options.enable_recording_replay Options.recordable_sources Options.recording_duration Options.recording_size_limit Options.cache_root
Options.display_timestamp_format Options.display_timezone
Recordings Recordings.describe Recordings.clear Recordings.stop Recordings.record collect collect(n) collect(duration) show
evict_recorded_data watch show_graph Clusters
ElementStream ElementStream.var ElementStream.pcoll ElementStream.cache_key ElementStream.display_id ElementStream.is_computed
ElementStream.is_done ElementStream.read ElementStream.read(tail=False)
Recording Recording.is_computed Recording.stream Recording.computed Recording.uncomputed Recording.cancel Recording.wait_until_finish
Recording.describe RecordingManager RecordingManager.clear RecordingManager.cancel RecordingManager.describe
RecordingManager.record_pipeline RecordingManager.record RecordingManager.read RecordingManager.compute_async AsyncComputationResult
StreamingCacheSink StreamingCacheSink.path StreamingCacheSink.size_in_bytes StreamingCacheSink.expand
StreamingCacheSource StreamingCacheSource._wait_until_file_exists StreamingCacheSource._emit_from_file
StreamingCacheSource._try_parse_as StreamingCacheSource.read
StreamingCache StreamingCache.size StreamingCache.capture_size StreamingCache.capture_paths StreamingCache.capture_keys
StreamingCache.exists StreamingCache.read StreamingCache.read_multiple StreamingCache.write StreamingCache.clear StreamingCache.source
StreamingCache.sink StreamingCache.save_pcoder StreamingCache.load_pcoder StreamingCache.cleanup StreamingCache.Reader
StreamingCache.Reader.read StreamingCache.Reader._merge_sort StreamingCache.Reader._advance_processing_time
TestStreamServiceController TestStreamServiceController.endpoint TestStreamServiceController.start TestStreamServiceController.stop
TestStreamServiceController.Events TestStreamService.Events
InteractiveEnvironment.cleanup InteractiveEnvironment.describe_all_recordings InteractiveEnvironment.is_terminated
InteractiveEnvironment.get_cached_source_signature InteractiveEnvironment.set_cached_source_signature
InteractiveEnvironment.evict_cached_source_signature InteractiveEnvironment.get_background_caching_job
InteractiveEnvironment.set_background_caching_job InteractiveEnvironment.evict_background_caching_job
InteractiveEnvironment.get_test_stream_service_controller InteractiveEnvironment.set_test_stream_service_controller
InteractiveEnvironment.evict_test_stream_service_controller InteractiveEnvironment.get_recording_manager
InteractiveEnvironment.evict_recording_manager InteractiveEnvironment.track_user_pipelines InteractiveEnvironment.tracked_user_pipelines
InteractiveEnvironment.add_user_pipeline InteractiveEnvironment.pipeline_id_to_pipeline InteractiveEnvironment.pipeline_result
InteractiveEnvironment.set_pipeline_result utils.unbounded_sources utils.has_unbounded_sources
UNKNOWN STARTING STOPPED RUNNING DONE FAILED CANCELLED UPDATED DRAINING DRAINED PENDING CANCELLING RESOURCE_CLEANING_UP UNRECOGNIZED
PipelineState.is_terminal
"""


def numbers(seed, count=20, **fields):
    """A source that ends by itself. Another seed makes another source."""
    return source(fields.pop("name", f"Numbers {seed}"), GENERATOR, {"rate": 0, "count": count, "size": 20, "seed": seed}, **fields)


def too_long(*_):
    raise AssertionError("it waits for what does not come")


class ParityTest(EngineTest):
    """Each test has a pipeline of its own, named after it. None waits for ever, though the engine may give signs of life for ever."""

    def setUp(self):
        signal.signal(signal.SIGALRM, too_long)
        signal.alarm(PATIENCE)
        self.addCleanup(signal.alarm, 0)
        self.name = self.id().split(".")[-1]
        self.addCleanup(self.engine.ask, "options.set", **DEFAULTS)

    def of(self, *sources):
        return pipeline(self.name, *sources)

    def run_to_end(self, *sources, **limits):
        """The answer to a run, and its job when that has ended."""
        answer = self.engine.run(self.of(*sources), **({"limits": limits} if limits else {}))
        return answer, self.engine.ask("job.wait", job=answer["job"], timeout_ms=20000)

    def decided(self, *sources):
        """Whether a run starts a job, and why."""
        answer = self.engine.run(self.of(*sources))
        return answer["started"], answer["reason"]

    def needed(self, *sources):
        answer = self.engine.ask("job.needed", pipeline=self.of(*sources))
        return answer["needed"], answer["reason"]

    def changed(self, *sources, **fields):
        return self.engine.ask("source.changed", pipeline=self.of(*sources), **fields)["changed"]

    def signature(self, *sources):
        return self.engine.ask("source.signature", pipeline=self.of(*sources))["signature"]

    def state(self, **which):
        job = self.engine.ask("job.describe", **(which or {"pipeline": self.name}))
        return job["state"], job.get("stop_reason"), job["is_done"], job["is_running"]

    def described(self, **which):
        return self.engine.ask("recording.describe", **(which or {"pipeline": self.name}))

    def is_gone(self, recording):
        self.refused("not_found", "recording.describe", recording=recording)
        self.assertFalse((self.engine.data / "recordings" / recording).exists())

    def push(self, count, tag="Read", **fields):
        body = msgpack.packb([[number, b"%d" % number] for number in range(count)])
        return self.engine.ask("push", body, pipeline=self.name, tag=tag, **fields)

    def reader(self, **what):
        """A replay that is open and has all the credit it needs."""
        reader = Reader(self.engine)
        self.addCleanup(reader.close)
        reader.ask("replay.open", credit=MUCH, **what)
        return reader

    def end_of(self, reader):
        return reader.until("end")[-1]["reason"]


class Changes(ParityTest):
    """is_source_to_cache_changed, has_source_to_cache, extract_source_to_cache_signature, is_cache_complete."""

    def test_a_change_is_said_once_and_the_next_run_still_starts_one_job(self):
        self.run_to_end(numbers(1))
        self.assertEqual([self.changed(numbers(2)) for _ in range(3)], [True, False, False])
        answer, _ = self.run_to_end(numbers(2))
        self.assertEqual((answer["started"], answer["reason"]), (True, "sources_changed"))
        self.assertEqual([self.decided(numbers(2)) for _ in range(2)], [(False, "recording_valid")] * 2)

    def test_a_run_names_what_changed_also_when_somebody_else_saw_it_first(self):
        self.run_to_end(numbers(1))
        self.changed(numbers(2))
        answer, _ = self.run_to_end(numbers(2))
        self.assertEqual((answer["added"], answer["removed"]), (self.signature(numbers(2)), self.signature(numbers(1))))

    def test_a_change_invalidates_at_once(self):
        _, job = self.run_to_end(numbers(1))
        reader = Reader(self.engine)
        self.addCleanup(reader.close)
        reader.ask("replay.open", pipeline=self.name, credit=0)
        self.assertTrue(self.changed(numbers(2)))
        self.assertEqual(self.end_of(reader), "invalidated")
        self.is_gone(job["recording"])
        self.refused("not_found", "recording.describe", pipeline=self.name)

    def test_a_change_ends_the_job_that_runs_as_superseded(self):
        job = self.engine.run(self.of(source("Read", PUSH)))["job"]
        self.assertTrue(self.changed(source("Read", PUSH), source("More", PUSH, 2)))
        self.assertEqual(self.state(job=job), ("CANCELLED", "superseded", False, False))

    def test_without_update_nothing_changes(self):
        _, job = self.run_to_end(numbers(1))
        before = self.engine.ask("pipeline.describe", pipeline=self.name)
        for _ in range(2):
            answer = self.engine.ask("source.changed", pipeline=self.of(numbers(2)), update=False)
            self.assertEqual((answer["changed"], answer["added"], answer["removed"]),
                             (True, self.signature(numbers(2)), self.signature(numbers(1))))
        after = self.engine.ask("pipeline.describe", pipeline=self.name)
        self.assertEqual({**after, "id": 0}, {**before, "id": 0})
        self.assertEqual(self.described()["recording"], job["recording"])
        self.assertEqual(self.decided(numbers(1)), (False, "recording_valid"))

    def test_what_only_asks_changes_nothing(self):
        _, job = self.run_to_end(numbers(1))
        for op in ("source.has", "source.signature", "pipeline.track"):
            self.engine.ask(op, pipeline=self.of(numbers(2)))
        self.assertEqual(self.described()["recording"], job["recording"])
        self.assertTrue(self.changed(numbers(2), update=False))

    def test_a_pipeline_never_seen_has_changed(self):
        sources = [numbers(1), numbers(2)]
        self.assertTrue(self.engine.ask("pipeline.track", pipeline=self.of(*sources))["changed"])
        answer = self.engine.ask("source.changed", pipeline=self.of(*sources), update=False)
        self.assertEqual((answer["changed"], answer["added"], answer["removed"]), (True, self.signature(*sources), []))
        self.assertEqual([self.changed(*sources) for _ in range(2)], [True, False])
        self.assertEqual(self.decided(*sources), (True, "first_run"))

    def test_a_pipeline_without_sources_has_not_changed(self):
        self.assertFalse(self.changed())
        self.assertEqual(self.needed(), (False, "no_recordable_source"))

    def test_removing_a_source_keeps_the_recording_and_so_does_putting_it_back(self):
        first, job = self.run_to_end(numbers(1), numbers(2))
        both = self.engine.elements(recording=job["recording"])
        answer = self.engine.run(self.of(numbers(2)))
        self.assertEqual((answer["started"], answer["reason"], answer["recording"]), (False, "recording_valid", job["recording"]))
        self.assertEqual((answer["added"], answer["removed"], answer["tags"]), ([], self.signature(numbers(1)), ["Numbers 2"]))
        self.assertFalse(self.changed(numbers(2)))
        self.assertEqual(self.engine.elements(pipeline=self.name), [one for one in both if one[0] == "Numbers 2"])
        self.assertEqual(self.engine.elements(recording=job["recording"]), both)
        self.assertEqual(self.decided(numbers(1), numbers(2)), (False, "recording_valid"))
        self.assertEqual(self.engine.elements(pipeline=self.name), both)
        self.assertEqual(sorted(first["tags"]), ["Numbers 1", "Numbers 2"])

    def test_removing_a_source_leaves_the_job_running(self):
        first = self.engine.run(self.of(source("A", PUSH, "a"), source("B", PUSH, "b")))
        answer = self.engine.run(self.of(source("A", PUSH, "a")))
        self.assertEqual((answer["started"], answer["reason"], answer["job"]), (False, "job_running", first["job"]))

    def test_adding_a_source_invalidates_the_whole_recording(self):
        _, old = self.run_to_end(numbers(1))
        answer, job = self.run_to_end(numbers(1), numbers(2))
        self.assertEqual((answer["started"], answer["reason"]), (True, "sources_changed"))
        self.assertEqual((answer["added"], answer["removed"]), (self.signature(numbers(2)), []))
        self.is_gone(old["recording"])
        self.assertEqual(job["elements"], 40)

    def test_altering_a_source_invalidates_the_whole_recording(self):
        _, old = self.run_to_end(numbers(1), numbers(2))
        answer, job = self.run_to_end(numbers(1), numbers(3))
        self.assertEqual((answer["started"], answer["reason"]), (True, "sources_changed"))
        self.assertEqual((answer["added"], answer["removed"]), (self.signature(numbers(3)), self.signature(numbers(2))))
        self.is_gone(old["recording"])
        self.assertEqual(job["elements"], 40)

    def test_two_instances_of_a_source_are_one_signature_and_one_stream(self):
        twins = [numbers(1, name="First", tag="a"), numbers(1, name="Second", tag="b")]
        self.assertEqual(len(self.signature(*twins)), 1)
        self.assertEqual(self.signature(*twins), self.signature(numbers(1)))
        _, job = self.run_to_end(*twins)
        self.assertEqual(job["elements"], 20)
        self.assertEqual(len(self.described()["signature"]), 1)
        elements = self.engine.elements(pipeline=self.name)
        self.assertEqual([one[1:] for one in elements if one[0] == "a"], [one[1:] for one in elements if one[0] == "b"])
        self.assertEqual(len(elements), 40)
        self.assertEqual(self.decided(numbers(1)), (False, "recording_valid"))

    def test_labels_tags_and_order_do_not_count(self):
        self.run_to_end(numbers(1), numbers(2))
        renamed = [numbers(2, name="Another", tag="x"), source("Map", "my:transform"), numbers(1, name="Label", tag="y")]
        self.assertEqual(self.signature(*renamed), self.signature(numbers(1), numbers(2)))
        self.assertFalse(self.changed(*renamed))
        answer = self.engine.run(self.of(*renamed))
        self.assertEqual((answer["started"], answer["reason"], sorted(answer["tags"])), (False, "recording_valid", ["x", "y"]))
        self.assertEqual({one[0] for one in self.engine.elements(pipeline=self.name)}, {"x", "y"})

    def test_only_unbounded_sources_of_recordable_urns_count(self):
        bounded, foreign = numbers(1, bounded=True), source("Kinesis", "other:source:kinesis:v1", {"stream": "s"})
        self.assertFalse(self.engine.ask("source.has", pipeline=self.of(bounded, foreign))["has"])
        self.assertEqual(self.signature(bounded, foreign, numbers(2)), self.signature(numbers(2)))
        self.engine.ask("options.set", recordable_sources=["other:source:*"])
        answer = self.engine.ask("source.has", pipeline=self.of(bounded, foreign, numbers(2)))
        self.assertEqual((answer["has"], [one["name"] for one in answer["sources"]]), (True, ["Kinesis"]))
        self.assertEqual(self.engine.ask("source.has", pipeline=self.of(numbers(2)))["has"], False)

    def test_a_source_that_nobody_can_run_fails_its_job_by_name(self):
        self.engine.ask("options.set", worker_wait_ms=100)
        self.addCleanup(self.engine.ask, "options.set", worker_wait_ms=30000)
        self.engine.ask("options.set", recordable_sources=["other:source:*"])
        self.engine.run(self.of(source("Kinesis", "other:source:kinesis:v1", tag="events")))
        job = self.engine.wait(self.name)
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"]), ("FAILED", "error", False))
        self.assertIn("`other:source:kinesis:v1`", job["error"])
        self.assertIn("`events`", job["error"])

    def test_a_recording_is_complete_when_its_job_is_done_or_its_sources_changed(self):
        def complete(*sources):
            return self.engine.ask("recording.complete", pipeline=self.of(*sources))["complete"]
        self.assertTrue(complete(source("Read", PUSH)), "never seen: changed")
        self.engine.run(self.of(source("Read", PUSH)))
        self.assertFalse(complete(source("Read", PUSH)))
        self.assertTrue(complete(source("Read", PUSH), numbers(1)), "changed")
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.wait(self.name)
        self.assertFalse(complete(source("Read", PUSH)), "cancelled by a user")
        self.run_to_end(source("Read", PUSH), duration_ms=20)
        self.assertTrue(complete(source("Read", PUSH)), "ended by a limit")
        self.run_to_end(numbers(1))
        self.assertTrue(complete(numbers(1)), "done")
        self.run_to_end(source("Lines", FILE, {"path": GONE}))
        self.assertFalse(complete(source("Lines", FILE, {"path": GONE})), "failed")


class Decisions(ParityTest):
    """is_background_caching_job_needed and attempt_to_run_background_caching_job."""

    def test_asking_whether_a_job_is_needed_takes_note_of_the_change(self):
        _, job = self.run_to_end(numbers(1))
        self.assertEqual(self.needed(numbers(2)), (True, "sources_changed"))
        self.is_gone(job["recording"])
        self.assertFalse(self.changed(numbers(2)), "it was told already")
        self.assertEqual([self.needed(numbers(2)) for _ in range(2)], [(True, "sources_changed")] * 2)
        self.run_to_end(numbers(2))
        self.assertEqual(self.needed(numbers(2)), (False, "recording_valid"))

    def test_asking_whether_a_job_is_needed_starts_none(self):
        self.assertEqual([self.needed(source("Read", PUSH)) for _ in range(2)], [(True, "first_run")] * 2)
        self.refused("not_found", "job.describe", pipeline=self.name)
        self.engine.run(self.of(source("Read", PUSH)))
        self.assertEqual(self.needed(source("Read", PUSH)), (False, "job_running"))
        self.engine.ask("job.cancel", pipeline=self.name)
        self.assertEqual(self.needed(source("Read", PUSH)), (True, "job_cancelled"))

    def test_without_replay_asking_evicts_and_says_needed(self):
        _, job = self.run_to_end(numbers(1))
        self.engine.ask("options.set", enable_recording_replay=False)
        self.assertEqual(self.needed(numbers(1)), (True, "replay_disabled"))
        self.is_gone(job["recording"])
        self.assertEqual(self.needed(numbers(1)), (True, "replay_disabled"))

    def test_without_replay_every_run_records_anew_and_only_its_own_pipeline(self):
        other = self.recorded(f"{self.name} other", 10)
        self.engine.ask("options.set", enable_recording_replay=False)
        jobs = []
        for _ in range(3):
            answer = self.engine.run(self.of(source("Read", PUSH)))
            self.assertEqual((answer["started"], answer["reason"]), (True, "replay_disabled"))
            jobs.append(answer["job"])
        self.assertEqual([self.state(job=job)[:2] for job in jobs], [("CANCELLED", "superseded")] * 2 + [("RUNNING", None)])
        self.assertEqual(self.described()["job"], jobs[-1])
        self.assertEqual(len(self.engine.elements(recording=other["recording"])), 10)
        self.engine.ask("options.set", enable_recording_replay=True)
        self.assertEqual(self.decided(source("Read", PUSH)), (False, "job_running"))

    def test_without_replay_what_is_pinned_stays_and_does_not_come_back(self):
        _, job = self.run_to_end(numbers(1))
        self.engine.ask("recording.keep", recording=job["recording"], kept=True)
        self.engine.ask("options.set", enable_recording_replay=False)
        self.assertEqual(self.needed(numbers(1)), (True, "replay_disabled"))
        answer, _ = self.run_to_end(numbers(1))
        self.assertEqual((answer["started"], answer["reason"]), (True, "replay_disabled"))
        self.assertNotEqual(self.described()["recording"], job["recording"])
        self.assertEqual(len(self.engine.elements(recording=job["recording"])), 20)

    def test_of_several_reasons_the_first_is_given(self):
        self.engine.ask("options.set", enable_recording_replay=False)
        self.assertEqual(self.decided(), (False, "no_recordable_source"), "before replay_disabled")
        self.assertEqual(self.needed(numbers(1)), (True, "replay_disabled"), "before first_run")
        self.engine.ask("options.set", enable_recording_replay=True)
        self.assertEqual(self.needed(numbers(2)), (True, "first_run"), "before sources_changed")
        self.run_to_end(numbers(1))
        self.engine.ask("options.set", enable_recording_replay=False)
        self.assertEqual(self.needed(numbers(2)), (True, "replay_disabled"), "before sources_changed")
        self.assertEqual(self.decided(numbers(3), numbers(2)), (True, "replay_disabled"), "before sources_changed")
        self.engine.ask("options.set", enable_recording_replay=True)
        self.run_to_end(source("Lines", FILE, {"path": GONE}))
        self.assertEqual(self.needed(source("Lines", FILE, {"path": GONE})), (True, "job_failed"))
        self.assertEqual(self.decided(source("Read", PUSH)), (True, "sources_changed"), "before job_failed")
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.wait(self.name)
        self.engine.ask("recording.clear", pipeline=self.name)
        self.assertEqual(self.needed(source("Read", PUSH)), (True, "job_cancelled"), "before recording_missing")
        self.assertEqual(self.needed(source("Read", PUSH, 2)), (True, "sources_changed"), "before job_cancelled")
        self.run_to_end(numbers(4))
        self.engine.ask("recording.clear", pipeline=self.name)
        self.assertEqual(self.needed(numbers(4)), (True, "recording_missing"))
        self.assertEqual(self.needed(numbers(5)), (True, "sources_changed"), "before recording_missing")

    def test_a_change_overrules_a_job_that_runs_and_a_recording_that_is_valid(self):
        first = self.engine.run(self.of(source("Read", PUSH)))
        second = self.engine.run(self.of(source("Read", PUSH), source("More", PUSH, 2)))
        self.assertEqual((second["started"], second["reason"]), (True, "sources_changed"))
        self.assertEqual(self.state(job=first["job"]), ("CANCELLED", "superseded", False, False))
        self.run_to_end(numbers(1))
        self.assertEqual(self.decided(numbers(2)), (True, "sources_changed"))

    def test_a_run_that_starts_a_job_ends_the_old_one_and_its_readers_first(self):
        first = self.engine.run(self.of(source("Read", PUSH)))
        reader = self.reader(pipeline=self.name)
        self.push(5)
        reader.until("elements")
        second = self.engine.run(self.of(source("Read", PUSH, "altered")))
        self.assertEqual(self.end_of(reader), "invalidated")
        old, new = (self.engine.ask("job.describe", job=one["job"]) for one in (first, second))
        self.assertLessEqual(old["started_at"] + old["elapsed_ms"] * 1000, new["started_at"])
        self.is_gone(first["recording"])
        self.assertTrue(self.engine.ask("test_stream.status", pipeline=self.name)["running"])
        self.push(3)
        self.assertEqual(len(self.engine.elements(pipeline=self.name, follow=False)), 3)

    def test_a_run_after_a_users_cancel_records_anew_and_says_so(self):
        first = self.engine.run(self.of(source("Read", PUSH)))
        self.push(5)
        self.engine.ask("job.cancel", pipeline=self.name)
        self.engine.wait(self.name)
        self.assertEqual(len(self.engine.elements(pipeline=self.name)), 5, "what is recorded stays")
        second = self.engine.run(self.of(source("Read", PUSH)))
        self.assertEqual((second["started"], second["reason"], second["added"], second["removed"]), (True, "job_cancelled", [], []))
        self.assertNotEqual(second["job"], first["job"])
        self.is_gone(first["recording"])

    def test_a_run_after_a_failure_records_anew_and_says_so(self):
        log = self.engine.folder / f"{self.name}.log"
        lines = source("Lines", FILE, {"path": str(log), "follow": False})
        _, job = self.run_to_end(lines)
        self.assertEqual((job["state"], job["is_done"]), ("FAILED", False))
        log.write_text("one\ntwo\n")
        answer, job = self.run_to_end(lines)
        self.assertEqual((answer["started"], answer["reason"], job["state"], job["elements"]), (True, "job_failed", "DONE", 2))

    def test_pipelines_are_decided_each_for_itself(self):
        self.recorded(f"{self.name} other", 10, seed=1)
        self.assertEqual(self.decided(numbers(1)), (True, "first_run"))
        self.assertEqual(self.engine.run(f"{self.name} other")["reason"], "recording_valid")

    def test_the_answer_names_the_job_the_recording_and_where_the_test_stream_is(self):
        answer = self.engine.run(self.of(source("Read", PUSH)))
        job = self.engine.ask("job.describe", pipeline=self.name)
        self.assertEqual((answer["job"], answer["recording"], answer["test_stream"]),
                         (job["job"], job["recording"], self.engine.endpoints["test_stream"]))


class States(ParityTest):
    """BackgroundCachingJob and PipelineState."""

    def check(self, job, state, reason, done):
        self.assertEqual(self.state(job=job), (state, reason, done, False))

    def test_is_done_follows_from_the_state_and_from_what_ended_the_job(self):
        self.check(self.run_to_end(numbers(1))[1]["job"], "DONE", "sources_ended", True)
        self.check(self.run_to_end(source("Read", PUSH), duration_ms=20)[1]["job"], "CANCELLED", "duration", True)
        self.check(self.run_to_end(numbers(2, None), count=10)[1]["job"], "CANCELLED", "count", True)
        self.check(self.run_to_end(numbers(3, None), bytes=20000)[1]["job"], "CANCELLED", "bytes", True)
        self.check(self.run_to_end(source("Lines", FILE, {"path": GONE}))[1]["job"], "FAILED", "error", False)
        cancelled = self.engine.run(self.of(source("Read", PUSH, 2)))["job"]
        self.engine.ask("job.cancel", job=cancelled)
        self.engine.ask("job.wait", job=cancelled, timeout_ms=20000)
        self.check(cancelled, "CANCELLED", "user", False)
        superseded = self.engine.run(self.of(source("Read", PUSH, 3)))["job"]
        self.engine.run(self.of(source("Read", PUSH, 4)))
        self.check(superseded, "CANCELLED", "superseded", False)

    def test_only_a_recording_whose_job_is_done_is_valid(self):
        for seed, ends in enumerate(({"count": 10}, {"bytes": 20000}, {"duration_ms": 20}), 1):
            self.run_to_end(numbers(seed, None), **ends)
            self.assertEqual(self.needed(numbers(seed, None)), (False, "recording_valid"), ends)

    def test_is_running_is_the_state_running_and_no_other(self):
        job = self.engine.run(self.of(source("Read", PUSH)))["job"]
        self.assertEqual(self.state(job=job), ("RUNNING", None, False, True))
        self.engine.ask("job.cancel", job=job)
        self.engine.wait(self.name)
        self.assertEqual(self.state(job=job), ("CANCELLED", "user", False, False))

    def test_a_cancel_where_nothing_runs_is_no_error_and_changes_nothing(self):
        answer = self.engine.ask("job.cancel", pipeline=self.name)
        self.assertEqual((answer["cancelled"], answer.get("job")), (False, None))
        for sources, limits in (([numbers(1)], {}), ([source("Read", PUSH)], {"duration_ms": 20}),
                                ([source("Lines", FILE, {"path": GONE})], {})):
            _, job = self.run_to_end(*sources, **limits)
            before = self.state(job=job["job"])
            self.assertFalse(self.engine.ask("job.cancel", pipeline=self.name)["cancelled"])
            self.assertEqual(self.state(job=job["job"]), before)

    def test_of_two_cancels_the_second_does_nothing(self):
        job = self.engine.run(self.of(source("Read", PUSH)))["job"]
        self.assertEqual([self.engine.ask("job.cancel", job=job)["cancelled"] for _ in range(2)], [True, False])
        self.check(job, "CANCELLED", "user", False)

    def test_the_duration_runs_from_the_start_that_the_job_tells(self):
        asked = self.engine.run(self.of(source("Read", PUSH)), limits={"duration_ms": 200})
        job = self.engine.wait(self.name)
        described = self.described(recording=asked["recording"])
        self.assertEqual(described["start"], job["started_at"])
        self.assertGreaterEqual(described["end"], job["started_at"])
        self.assertLessEqual(described["end"], job["started_at"] + 200000)
        self.assertGreaterEqual(job["elapsed_ms"], 199)


class Page(unittest.TestCase):
    """docs/beam-parity.md."""

    def setUp(self):
        self.rows = []  # section, cells
        for line in (ROOT / "docs" / "beam-parity.md").read_text().splitlines():
            section = line[3:] if line.startswith("## ") else self.rows[-1][0] if self.rows else ""
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            self.rows.append((section, cells))
        self.rows = [(section, cells) for section, cells in self.rows if cells and not set("".join(cells)) <= set("-")]

    def test_no_cell_is_empty(self):
        self.assertGreater(len(self.rows), 100)
        for section, cells in self.rows:
            self.assertEqual(len(cells), 2 if section.startswith("Not ") else 4, cells)
            self.assertNotIn("", cells)

    def test_each_of_beams_names_has_one_row(self):
        told = [name for section, cells in self.rows if section != "What is different on purpose"
                for name in re.findall(r"`([^`]+)`", cells[0])]
        self.assertEqual(sorted(name for name in told if told.count(name) > 1), [])
        self.assertEqual(sorted(set(BEAM.split()) - set(told)), [])

    def test_each_row_names_tests_that_exist_and_are_run(self):
        for section, cells in self.rows:
            if len(cells) == 4 and cells[-1] != "proved by":
                proofs = list(self.proofs(cells[-1]))
                self.assertTrue(proofs, f"{section}: {cells[0]} is not proved")
                for file, test in proofs:
                    self.assertTrue(self.is_run(file, test), f"{section}: {cells[0]}: there is no test `{test}` in {file}")

    def proofs(self, cell):
        file = None
        for name, test in re.findall(r"(\w+_test\.(?:py|c)):|`(\w+)`", cell):
            file = name or file
            if test:
                yield file, test

    def is_run(self, file, test):
        if file.endswith(".py"):
            path = ROOT / "tests" / "system" / file
            return path.exists() and re.search(rf"^    def {test}\(self\):", path.read_text(), re.M)
        paths = [path for path in (ROOT / "tests").glob(f"*/{file}")]
        return any(re.search(rf"cmocka_unit_test\w*\({test}[,)]", path.read_text()) for path in paths)


if __name__ == "__main__":
    unittest.main()
