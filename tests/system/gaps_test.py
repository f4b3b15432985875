"""A hole in a recording is said where it is, once: by the engine when it was away, by a source when it lost something."""
import os
import pathlib
import unittest

import msgpack

from disk import Disk
from engine import FILE, PATIENCE, PUSH, Engine, pipeline, source

LIMITS = {"duration_ms": 3600000}


class Gaps(unittest.TestCase):
    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)

    def start(self, name, *sources):
        return self.engine.run(pipeline(name, *sources), limits=LIMITS)["recording"]

    def end(self, name):
        """Ends the job; the recording's gaps, as they are described."""
        self.engine.ask("job.cancel", pipeline=name)
        job = self.engine.wait(name)
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        return self.engine.ask("recording.describe", recording=job["recording"])["gaps"]

    def events(self, recording):
        """A replay without its clock and watermarks: texts of elements, gaps as (tag, what, lost_us). Twice the same."""
        replays = []
        for _ in range(2):
            seen = []
            for event, elements in self.engine.replay(recording=recording):
                if event["event"] == "elements":
                    seen += [body.decode() for _, body in elements]
                elif event["event"] == "gap":
                    seen.append((event.get("tag"), event["what"], event.get("lost_us")))
                elif event["event"] == "end":
                    self.assertEqual(event["reason"], "end")
                    seen.append(event["digest"])
            replays.append(seen)
        self.assertEqual(*replays)
        self.assertEqual(replays[0].pop(), self.engine.ask("recording.describe", recording=recording)["digest"])
        return replays[0]

    # ---- what a source says

    def attach(self, name, tag="Read"):
        connection = self.engine.connect("ingest")
        self.addCleanup(connection.socket.close)
        return connection, connection.ask("source.attach", timeout_s=PATIENCE, pipeline=name, tag=tag, producer="camera")

    def batch(self, attachment, seq, *texts, **fields):
        """Sends a batch and waits until it is acknowledged."""
        connection, attached = attachment
        connection.send("source.batch", msgpack.packb([[seq, text.encode()] for text in texts]), source=attached["source"], tag="Read",
                        seq=seq, **fields)
        message, _, _ = connection.receive(PATIENCE)
        self.assertEqual((message["op"], message["seq"]), ("source.ack", seq), message)

    def test_a_gap_that_comes_with_a_batch_stands_before_its_elements_and_is_there_once(self):
        recording = self.start("camera", source("Read", PUSH, "r"), source("Other", PUSH, "o"))
        attachment = self.attach("camera")
        self.batch(attachment, 1, "one", "two")
        for _ in range(2):  # it may come twice
            self.batch(attachment, 2, "three", gap="the camera was unplugged", lost_us=2500000)
        self.batch(attachment, 3, gap="a frame was dropped")
        self.batch(attachment, 4, "four")
        gaps = self.end("camera")
        self.assertEqual(gaps, [{"tag": "Read", "what": "the camera was unplugged", "lost_us": 2500000, "element": 2},
                                {"tag": "Read", "what": "a frame was dropped", "element": 3}])
        self.assertEqual(self.events(recording), ["one", "two", ("Read", "the camera was unplugged", 2500000), "three",
                                                  ("Read", "a frame was dropped", None), "four"])

    def test_gaps_of_sources_outlive_a_crash_and_the_restart_is_one_more_for_all_streams(self):
        recording = self.start("camera", source("Read", PUSH, "r"), source("Other", PUSH, "o"))
        attachment = self.attach("camera")
        self.batch(attachment, 1, "one", gap="it began late")
        self.engine.restart()
        attachment = self.attach("camera")
        self.assertEqual(attachment[1]["next_seq"], 2)
        self.batch(attachment, 1, "one", gap="it began late")
        self.batch(attachment, 2, "two", gap="it began late")
        first, restart, second = self.end("camera")
        self.assertEqual((first["element"], second["element"]), (0, 1))
        self.assertEqual(restart["what"], "the engine was restarted")
        self.assertNotIn("tag", restart)
        self.assertGreater(restart["lost_us"], 0)
        self.assertEqual(self.events(recording), [("Read", "it began late", None), "one", (None, restart["what"], restart["lost_us"]),
                                                  ("Read", "it began late", None), "two"])
        self.assert_time_goes_on_by(recording, restart["lost_us"])

    def test_an_engine_that_dies_while_it_records_a_gap_has_its_batch_too_or_neither(self):
        """A source without positions: it says what is missing since the last that is recorded, whatever it said before."""
        for size in (0, 1, 45, 80, 100, 130, 1000000):  # so many bytes reach the file
            with self.subTest(size):
                disk = Disk()
                self.addCleanup(disk.remove)
                self.engine = Engine(env=disk.env)
                self.addCleanup(self.engine.remove)
                recording = self.start("camera", source("Read", PUSH, "r"))
                attachment = self.attach("camera")
                self.batch(attachment, 1, "1")
                label, = disk.set(("write", "*.seg", 1, 1, f"kill:{size}"))
                connection, attached = attachment
                connection.send("source.batch", msgpack.packb([[2, b"3"]]), source=attached["source"], tag="Read", seq=2, gap="1 missing")
                self.engine.ended()
                self.assertTrue(disk.fired(label), "it did not happen")
                disk.set()
                self.engine.start()
                attachment = self.attach("camera")
                whole = attachment[1]["next_seq"] == 3
                self.assertEqual(whole, size == 1000000)
                self.batch(attachment, 3 if whole else 2, "5", gap="1 missing" if whole else "3 missing")
                gaps = [gap["what"] for gap in self.end("camera") if "tag" in gap]
                self.assertEqual(gaps, ["1 missing", "1 missing"] if whole else ["3 missing"])
                said = [one if isinstance(one, str) else one[1] for one in self.events(recording)]
                restart, = [one for one in said if "the engine was restarted" in one]
                self.assertEqual(said, ["1", "1 missing", "3", restart, "1 missing", "5"] if whole else ["1", restart, "3 missing", "5"])
                self.assertEqual("at its end" in restart, 0 < size < 1000000)

    def assert_time_goes_on_by(self, recording, lost_us):
        """No record is earlier than the one before it, and the engine's gap is as long as it says."""
        records = list(self.engine.records(recording))
        times = [record["at"] for record in records]
        self.assertEqual(times, sorted(times))
        (at,) = [number for number, record in enumerate(records) if record["kind"] == 3 and "all" in msgpack.unpackb(record["body"])]
        self.assertEqual(times[at] - times[at - 1], lost_us)

    def test_a_gap_without_a_text_is_refused(self):
        self.start("camera", source("Read", PUSH, "r"))
        connection, attached = self.attach("camera")
        connection.send("source.batch", msgpack.packb([]), source=attached["source"], tag="Read", seq=1, gap="")
        message, _, _ = connection.receive(PATIENCE)
        self.assertEqual((message["op"], message["error"]["code"], message["error"]["field"]), ("source.nack", "bad_request", "gap"))
        self.assertEqual(self.end("camera"), [])

    # ---- files

    def path(self, name="app.log"):
        return pathlib.Path(self.engine.folder) / name

    def write(self, *lines, name="app.log"):
        with open(self.path(name), "a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def wait_for(self, name, count):
        self.engine.replay(pipeline=name, max_elements=count)

    def test_a_rotation_that_the_engine_sees_leaves_no_gap(self):
        self.write("one")
        recording = self.start("log", source("Log", FILE, {"path": str(self.path())}))
        self.wait_for("log", 1)
        self.write("two")
        self.path().rename(self.path("app.log.1"))
        self.write("three", name="app.log.1")
        self.write("four")
        self.wait_for("log", 4)
        self.assertEqual(self.end("log"), [])
        self.assertEqual(self.events(recording), ["one", "two", "three", "four"])

    def test_a_rotation_while_the_engine_was_away_leaves_only_its_own_gap(self):
        self.write("one")
        recording = self.start("log", source("Log", FILE, {"path": str(self.path())}))
        self.wait_for("log", 1)
        self.engine.kill()
        self.write("two")
        self.path().rename(self.path("app.log.1"))
        self.write("three")
        self.engine.start()
        self.wait_for("log", 3)
        (gap,) = self.end("log")
        self.assertEqual(gap["what"], "the engine was restarted")
        self.assertEqual(self.events(recording), ["one", (None, gap["what"], gap["lost_us"]), "two", "three"])

    def test_a_file_that_is_gone_or_was_cut_while_the_engine_was_away_has_a_gap_that_says_so(self):
        def lose_it():
            self.path().unlink()
            self.write("three")

        def cut_it():
            os.truncate(self.path(), 0)
            self.write("three")

        for name, change, expected in (("gone", lose_it, "read to byte 8"), ("cut", cut_it, "was truncated or replaced")):
            with self.subTest(name):
                self.path().unlink(missing_ok=True)
                self.write("one", "two")
                recording = self.start(name, source("Log", FILE, {"path": str(self.path()), "out_of_order_ms": len(name)}))
                self.wait_for(name, 2)
                self.engine.kill()
                change()
                self.engine.start()
                self.wait_for(name, 3)
                restart, gap = self.end(name)
                self.assertNotIn("tag", restart)
                self.assertEqual((gap["tag"], gap["element"]), ("Log", 2))
                self.assertNotIn("lost_us", gap)
                self.assertIn(str(self.path()), gap["what"])
                self.assertIn(expected, gap["what"])
                self.assertEqual([one for one in self.events(recording) if isinstance(one, str)], ["one", "two", "three"])


if __name__ == "__main__":
    unittest.main()
