"""The story that the engine exists for: live sources are recorded once, in the background, and replayed the same way every time."""
import unittest

from engine import FILE, GENERATOR, Engine, pipeline, replay, source

COUNT = 20000


class Story(unittest.TestCase):
    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)
        self.log = self.engine.folder / "app.log"
        self.log.write_text("line 0\n")

    def definition(self, *more, rate=10000):
        return pipeline("clicks", source("Lines", FILE, {"path": str(self.log)}), source("Numbers", GENERATOR, {"rate": rate}), *more)

    def follow(self):
        """A replay that follows the recording to its end. For each number that it shows, somebody's program logs a line."""
        events, lines = [], 1
        with open(self.log, "a", buffering=1) as file:
            for event, elements in replay(self.engine.endpoints["test_stream"], pipeline="clicks"):
                events.append((event, elements))
                if event["event"] == "elements" and event["tag"] == "Numbers":
                    file.write("".join(f"line {lines + more}\n" for more in range(event["count"])))
                    lines += event["count"]
        return events

    def test_a_growing_file_and_a_generator_are_recorded_to_the_count_and_replayed_the_same(self):
        first = self.engine.run(self.definition(), limits={"count": COUNT})
        self.assertEqual((first["started"], first["reason"], sorted(first["tags"])), (True, "first_run", ["Lines", "Numbers"]))
        self.assertEqual(len(first["added"]), 2)
        live = self.follow()

        job = self.engine.wait("clicks")
        self.assertEqual((job["state"], job["stop_reason"], job["is_done"], job["elements"]), ("CANCELLED", "count", True, COUNT))
        self.assertEqual(live[-1][0]["reason"], "end")
        self.assertEqual(live[-1][0]["elements"], COUNT)
        elements = [(event["tag"], one[1]) for event, some in live for one in some or []]
        lines = [data for tag, data in elements if tag == "Lines"]
        self.assertGreater(len(lines), 1000)
        self.assertGreater(len(elements) - len(lines), 1000)
        self.assertEqual(lines, [b"line %d" % number for number in range(len(lines))])

        self.assertEqual(self.engine.stop(), 0)
        self.engine.start()
        self.assertEqual(self.engine.replay(pipeline="clicks"), live)
        self.assertEqual(self.engine.ask("recording.describe", pipeline="clicks")["digest"], live[-1][0]["digest"])

        second = self.engine.run(self.definition())
        self.assertEqual((second["started"], second["reason"], second["recording"]), (False, "recording_valid", first["recording"]))
        self.assertEqual((second["added"], second["removed"]), ([], []))

    def test_a_source_that_is_altered_or_added_is_recorded_anew_and_one_that_is_removed_is_not(self):
        first = self.engine.run(self.definition(), limits={"count": 100})
        self.engine.wait("clicks")

        altered = self.engine.run(self.definition(rate=4000), limits={"count": 100})
        self.assertEqual((altered["started"], altered["reason"]), (True, "sources_changed"))
        self.assertEqual((len(altered["added"]), len(altered["removed"])), (1, 1))
        self.assertRegex(altered["added"][0], r"^reprise:source:generator:v1\|msgpack:[0-9a-f]+$")
        self.assertNotEqual(altered["recording"], first["recording"])
        self.engine.wait("clicks")
        self.assertEqual([one["recording"] for one in self.engine.ask("recording.list")["recordings"]], [altered["recording"]])

        more = self.engine.run(self.definition(source("More", GENERATOR, {"seed": 7}), rate=4000), limits={"count": 100})
        self.assertEqual((more["started"], more["reason"], len(more["added"]), more["removed"]), (True, "sources_changed", 1, []))
        self.engine.wait("clicks")

        fewer = self.engine.run(self.definition(rate=4000))
        self.assertEqual((fewer["started"], fewer["reason"]), (False, "recording_valid"))
        self.assertEqual((fewer["added"], fewer["removed"]), ([], more["added"]))
        self.assertEqual(sorted(fewer["tags"]), ["Lines", "Numbers"])
        self.assertEqual({element[0] for element in self.engine.elements(pipeline="clicks")} - {"Lines", "Numbers"}, set())

    def test_a_run_while_the_job_records_joins_it(self):
        first = self.engine.run(self.definition())
        second = self.engine.run(self.definition())
        self.assertEqual((second["started"], second["reason"], second["job"]), (False, "job_running", first["job"]))
        self.engine.ask("job.cancel", pipeline="clicks")
        third = self.engine.run(self.definition(), limits={"count": 10})
        self.assertEqual((third["started"], third["reason"]), (True, "job_cancelled"))

    def test_a_restart_of_the_engine_in_mid_recording_goes_on_without_a_hole_in_the_elements(self):
        self.engine.run(self.definition(), limits={"count": COUNT})
        with open(self.log, "a") as file:
            file.write("".join(f"line {number}\n" for number in range(1, 100)))
        seen = self.engine.elements(pipeline="clicks", max_elements=2000)
        self.assertEqual(self.engine.stop(), 0)
        self.engine.start()
        job = self.engine.wait("clicks")
        self.assertEqual((job["state"], job["stop_reason"], job["elements"]), ("CANCELLED", "count", COUNT))
        whole = self.engine.elements(pipeline="clicks")
        self.assertEqual(whole[:2000], seen)
        numbers = [time for tag, time, _ in whole if tag == "Numbers"]
        self.assertEqual({later - sooner for sooner, later in zip(numbers, numbers[1:])}, {100})
        self.assertEqual([data for tag, _, data in whole if tag == "Lines"], [b"line %d" % number for number in range(100)])
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])


if __name__ == "__main__":
    unittest.main()
