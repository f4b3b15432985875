"""Files as sources of a real engine: folders whose files grow, are renamed and made anew while the engine is killed, rotations at full speed,
named pipes, msgpack, and what is piped into `reprise push`. In the end every line is there, once, in the order of its file."""
import collections
import os
import pathlib
import random
import subprocess
import time
import unittest

import msgpack

from engine import BUILD, FILE, PATIENCE, PUSH, Engine, pipeline, source

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
LIMITS = {"duration_ms": 3600000}
AWAY = "the engine was restarted"


class FilesTest(unittest.TestCase):
    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)
        self.folder = pathlib.Path(self.engine.folder) / "in"
        self.folder.mkdir()
        self.random = random.Random(SEED)
        self.written = 0

    def start(self, **payload):
        return self.engine.run(pipeline("files", source("Read", FILE, {"path": str(self.folder), **payload})), limits=LIMITS)["recording"]

    def write(self, name, *lines):
        with open(self.folder / name, "a") as file:
            file.writelines(f"{line}\n" for line in lines)
        self.written += len(lines)

    def until(self, count, name="files"):
        """Waits until so many elements are recorded."""
        deadline = time.monotonic() + PATIENCE
        while (job := self.engine.ask("job.describe", pipeline=name))["elements"] < count:
            self.assertLess(time.monotonic(), deadline, (count, job["elements"], self.engine.ask("recording.describe", recording=job["recording"])["gaps"]))
            self.assertFalse(job["is_done"], job.get("error"))

    def all_there(self):
        """Waits until so much is recorded as was written, and ends the job."""
        self.until(self.written)
        self.engine.ask("job.cancel", pipeline="files")
        job = self.engine.wait("files")
        self.assertEqual(job["elements"], self.written)
        self.gaps = self.engine.ask("recording.describe", recording=job["recording"])["gaps"]
        return [bytes(body) for _, _, body in self.engine.elements(pipeline="files")]

    def watched(self):
        """Waits until the source is back and watches the folder."""
        deadline = time.monotonic() + PATIENCE
        while not any(actor["name"].startswith("source_file:") and actor["state"] == "running"
                      for actor in self.engine.ask("engine.actors")["actors"]):
            self.assertLess(time.monotonic(), deadline)

    # ---- folders

    def assert_each_file_in_order(self, lines):
        """Lines are "writer number": each writer's come in order, without a hole and without a second."""
        heard = collections.Counter()
        for line in lines:
            writer, number = line.split()
            self.assertEqual(int(number), heard[writer], line)
            heard[writer] += 1

    def test_a_folder_of_growing_files_is_recorded_once_whenever_the_engine_is_killed(self):
        next_line = collections.Counter()

        def grow(name):
            count = self.random.randrange(1, 400)
            self.write(name, *(f"{name} {next_line[name] + number}" for number in range(count)))
            next_line[name] += count

        with self.subTest(seed=SEED):
            for number in range(5):
                grow(f"{number:03}")
            self.start()
            for step in range(8):
                for _ in range(40):
                    grow(f"{self.random.randrange(max(0, step * 3 - 15), 5 + step * 3):03}")
                self.until(self.random.randrange(1, self.written))
                self.engine.kill()
                grow(f"{4 + step * 3:03}")
                grow(f"{5 + step * 3:03}")
                self.engine.start()
            self.assert_each_file_in_order(self.all_there())
            for gap in self.gaps:
                self.assertTrue(gap["what"].startswith(AWAY), gap)  # a kill may have met an append

    def test_a_thousand_files_that_are_moved_in_are_recorded_in_order_and_may_be_deleted(self):
        outside = pathlib.Path(self.engine.folder)
        self.start()
        for number in range(1000):
            (outside / "part").write_text(f"first {number}\nlast {number}")  # no newline at its end
            (outside / "part").rename(self.folder / f"{number:04}")
            self.written += 2
            if number % 250 == 200:
                self.until(self.written)
                self.engine.restart()
                self.watched()  # a file that is moved in before cannot be told from one that somebody still writes to
            if number % 250 == 249:
                self.until(self.written)
                for old in range(number - 249, number - 40):
                    (self.folder / f"{old:04}").unlink()
        expected = [f"{which} {number}".encode() for number in range(1000) for which in ("first", "last")]
        self.assertEqual(self.all_there(), expected)
        self.assertEqual({gap["what"] for gap in self.gaps}, {AWAY})

    def test_what_a_folder_has_is_recorded_and_the_job_ends(self):
        for name in ("b.json", "a.json", "c.txt"):
            self.write(name, f'{{"at": {ord(name[0])}, "who": "{name}"}}')
        payload = {"path": str(self.folder / "*.json"), "follow": False, "format": "json", "event_time": "/at", "event_time_unit": "s",
                   "key": "/who"}
        self.engine.run(pipeline("end", source("Read", FILE, payload)))
        self.assertEqual(self.engine.wait("end")["stop_reason"], "sources_ended")
        self.assertEqual([(element[1], element[3]["key"]) for element in self.engine.elements(pipeline="end")],
                         [(97000000, "a.json"), (98000000, "b.json")])

    # ---- rotation

    def rotate_under_load(self, rotate, awaited=False):
        """Lines are written all the while. How much of them is read at a rotation is for chance to decide, unless the last file must have been seen."""
        self.folder = self.folder / "app.log"
        self.folder.touch()
        self.start()
        for _ in range(30):
            with open(self.folder, "a") as file:
                for _ in range(self.random.randrange(1, 30)):
                    self.lines(file, self.random.randrange(1, 300))
                if awaited:
                    self.until(self.written)
                rotate(self.folder)
                self.lines(file, 10)  # until its writer opens the new one
        with open(self.folder, "a") as file:
            self.lines(file, 1)
        found = [int(line) for line in self.all_there()]
        self.assertEqual(found, list(range(self.written)))
        self.assertEqual(self.gaps, [])

    def lines(self, file, count):
        file.writelines(f"{line}\n" for line in range(self.written, self.written + count))
        file.flush()
        self.written += count

    def test_rotation_by_renaming_loses_nothing_however_fast_it_is(self):
        def rotate(log):
            for number in range(30, 0, -1):
                older = log.with_name(f"app.log.{number}")
                if older.exists():
                    older.rename(log.with_name(f"app.log.{number + 1}"))
            log.rename(log.with_name("app.log.1"))
            log.touch()

        self.rotate_under_load(rotate)

    def test_rotation_by_deleting_loses_nothing_of_what_was_opened(self):
        def rotate(log):
            log.unlink()
            log.touch()

        self.rotate_under_load(rotate, awaited=True)

    def test_a_log_and_its_folder_that_are_away_are_waited_for_whatever_dies(self):
        here, away = self.folder, self.folder.with_name("away")
        self.folder = here / "app.log"
        self.write("", "one")
        self.start()
        self.until(1)
        here.rename(away)
        self.waits([f"Read: cannot open {self.folder}: No such file or directory"])
        self.engine.kill()
        self.engine.start()
        self.waits([f"Read: cannot open {self.folder}: No such file or directory"])
        away.rename(here)
        self.write("", "two")
        self.until(2)
        self.waits(None)
        here.rename(away)  # for good: what is made in its place is another
        here.mkdir()
        self.write("", "three")
        self.assertEqual(self.all_there(), [b"one", b"two", b"three"])
        self.assertEqual({gap["what"] for gap in self.gaps}, {AWAY})

    def waits(self, expected):
        """Until that is what the source waits for."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.engine.ask("job.describe", pipeline="files").get("waits")) != expected:
            self.assertLess(time.monotonic(), deadline, found)

    # ---- pipes

    def test_a_named_pipe_is_recorded_and_a_crash_is_a_gap(self):
        self.folder = self.folder / "pipe"
        os.mkfifo(self.folder)
        self.start()
        self.write("", "one", "two")
        self.until(2)
        self.engine.restart()
        self.write("", "three")
        self.assertEqual(self.all_there(), [b"one", b"two", b"three"])
        self.assertEqual([gap.get("tag") for gap in self.gaps], [None, "Read"])
        self.assertIn(f"{self.folder} is a pipe", self.gaps[1]["what"])

    # ---- msgpack

    def test_values_of_msgpack_are_elements_as_they_are(self):
        values = [msgpack.packb(value) for value in ({"n": 1}, [1, 2, "three"], None, b"x" * 70000, 2.5)]
        (self.folder / "values").write_bytes(b"".join(values))
        self.engine.run(pipeline("values", source("Read", FILE, {"path": str(self.folder / "values"), "format": "msgpack",
                                                                 "follow": False})))
        self.engine.wait("values")
        self.assertEqual([bytes(body) for _, _, body in self.engine.elements(pipeline="values")], values)

    # ---- standard input

    def cli(self, *arguments, **options):
        return subprocess.Popen([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def test_what_grows_can_be_piped_into_push(self):
        log = self.folder / "log"
        log.touch()
        self.engine.run(pipeline("pushed", source("Lines", PUSH)), limits=LIMITS)
        tail = subprocess.Popen(["tail", "-n", "+1", "-f", log], stdout=subprocess.PIPE)
        push = self.cli("push", "pushed", "Lines", "--done", stdin=tail.stdout)
        tail.stdout.close()
        self.addCleanup(push.kill)
        self.addCleanup(tail.kill)
        for number in range(3):
            self.write("log", f"line {number}")
            self.until(number + 1, "pushed")  # each is there before the next is written
        tail.kill()
        tail.wait(PATIENCE)
        out, err = push.communicate(timeout=PATIENCE)
        self.assertEqual(push.returncode, 0, err)
        self.assertIn("3 elements", out)
        self.assertEqual(self.engine.wait("pushed")["stop_reason"], "sources_ended")
        self.assertEqual([bytes(body) for _, _, body in self.engine.elements(pipeline="pushed")], [b"line 0", b"line 1", b"line 2"])

    def test_the_engine_is_not_asked_to_read_standard_input(self):
        record = self.cli("record", "file:-")
        _, err = record.communicate(timeout=PATIENCE)
        self.assertEqual(record.returncode, 2)
        self.assertIn("`reprise push`", err)


if __name__ == "__main__":
    unittest.main()
