"""Workers, programs outside that run sources: whichever dies or falls silent, in whatever language it is, another goes on from the cursor,
and each element is recorded once. Without any, a job waits and then says what it lacks."""
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack

from engine import BUILD, PATIENCE, PUSH, ROOT, EngineTest, pipeline, source, subscriber

LINES = "example:lines:v1"
COUNT = 150000
CLIENTS = ROOT / "docs" / "clients"
PYTHON = [sys.executable, CLIENTS / "python" / "worker.py"]
C = [BUILD / "tests" / "worker-c"]
NODE = ["node", CLIENTS / "node" / "worker.mjs"]
LANGUAGES = {"Python": PYTHON, "C": C, "Node": NODE}
JEROMQ = pathlib.Path("/usr/share/java/jeromq.jar")
if shutil.which("javac") and JEROMQ.exists():
    CLASSES = tempfile.TemporaryDirectory(prefix="reprise-workers-")
    JAVA = LANGUAGES["Java"] = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JEROMQ}:{CLASSES.name}", "Worker"]


def setUpModule():
    if "Java" in LANGUAGES:
        unittest.addModuleCleanup(CLASSES.cleanup)
        subprocess.run(["javac", "-Xlint:all,-serial", "-Werror", "-cp", JEROMQ, "-d", CLASSES.name, *(CLIENTS / "java").glob("*.java")],
                       check=True, timeout=10 * PATIENCE)


class WorkersTest(EngineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine.ask("options.set", recordable_sources=["reprise:source:*:v1", "example:*"])

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-workers-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.workers = {}

    def spawn(self, name, command=PYTHON):
        name = f"{name} of {self.id().rpartition('.')[2]}"  # those of other tests may not have been missed yet
        self.workers[name] = process = subprocess.Popen([*command, "--engine", self.engine.endpoints["commands"], "--name", name])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.until(lambda: any(one["worker"] == name for one in self.engine.ask("worker.list")["workers"]))
        return name

    def until(self, holds):
        """Asks again and again: whoever is asked is busy with something else meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), deadline)

    def lines(self, name="lines", count=COUNT, start=0):
        path = self.folder / name
        with open(path, "ab") as file:
            file.writelines(b"line %d\n" % number for number in range(start, count))
        return str(path)

    def elements(self, name):
        return self.engine.ask("job.describe", pipeline=name)["elements"]

    def runner(self, job):
        """Which worker has the job's source."""
        return next((one["worker"] for one in self.engine.ask("worker.list")["workers"] for given in one["sources"] if given["job"] == job),
                    None)

    def begin(self, name):
        """A job that ends with so many lines, of which half are there; it is somewhere among them."""
        payload = {"path": self.lines(name, COUNT // 2), "follow": True}
        job = self.engine.run(pipeline(name, source("Read", LINES, payload)), limits={"count": COUNT})["job"]
        self.until(lambda: self.elements(name) > COUNT // 10)
        return job

    def go_on(self, name):
        self.lines(name, COUNT, COUNT // 2)
        self.check(name, reason="count")

    def check(self, name, count=COUNT, reason="sources_ended"):
        job = self.engine.wait(name)
        self.assertEqual((job["is_done"], job.get("stop_reason"), job["elements"]), (True, reason, count), job.get("error"))
        recorded = [element[2] for element in self.engine.elements(pipeline=name)]
        wrong = next((number for number, line in enumerate(recorded) if line != b"line %d" % number), None)
        self.assertEqual((len(recorded), wrong), (count, None))  # to show how lists of this length differ takes unittest minutes

    def in_the_middle(self, name, harm, *commands):
        """Two workers; the one that runs the source is harmed in the middle of it."""
        for worker, command in zip(("one", "other"), commands or (PYTHON, PYTHON)):
            self.spawn(worker, command)
        harmed = self.runner(self.begin(name))
        harm(self.workers[harmed])
        self.go_on(name)
        return harmed


class Python(WorkersTest):
    def test_a_worker_that_is_killed_in_the_middle_is_replaced_from_the_cursor(self):
        self.in_the_middle("killed", subprocess.Popen.kill)

    def test_a_worker_that_falls_silent_is_replaced_and_does_no_harm_when_it_is_back(self):
        self.engine.ask("options.set", worker_timeout_ms=1000)
        self.addCleanup(self.engine.ask, "options.set", worker_timeout_ms=10000)
        silent = self.in_the_middle("silent", lambda process: process.send_signal(signal.SIGSTOP))
        self.workers[silent].send_signal(signal.SIGCONT)
        self.until(lambda: any(one["worker"] == silent for one in self.engine.ask("worker.list")["workers"]))
        self.engine.run(pipeline("after silence", source("Read", LINES, {"path": self.lines("more", 100)})))
        self.check("after silence", 100)

    def test_a_worker_that_is_terminated_leaves_and_its_source_goes_on_at_once(self):
        sub = subscriber(self.engine)
        self.addCleanup(sub.close)
        left = self.in_the_middle("left", subprocess.Popen.terminate)
        self.assertEqual(self.workers[left].wait(PATIENCE), 0)
        seen = []
        while ("worker.lost", left, "left") not in seen:
            self.assertTrue(sub.poll(PATIENCE * 1000), seen)
            topic, message = sub.recv_multipart()
            message = msgpack.unpackb(message)
            if topic.startswith(b"worker."):
                seen.append((topic.decode(), message["worker"], message["state"]))
        self.assertLessEqual({("worker.joined", name, "ready") for name in self.workers}, set(seen))

    def test_a_job_waits_for_a_worker_and_says_for_what(self):
        self.engine.run(pipeline("waits", source("Read", LINES, {"path": self.lines(count=100)}), source("Push", PUSH)))
        job = self.engine.ask("job.describe", pipeline="waits")
        self.assertEqual((job["state"], job["waiting_for"], job["needs_workers"]), ("STARTING", ["Read"], [LINES]))
        waiting = self.engine.ask("worker.list")["waiting"]
        self.assertEqual([(one["pipeline"], one["tag"], one["urn"]) for one in waiting], [("waits", "Read", LINES)])
        self.spawn("late")
        self.engine.feed("waits", "Push", [])
        self.check("waits", 100)

    def test_a_job_for_which_no_worker_comes_fails_and_names_the_source(self):
        self.engine.ask("options.set", worker_wait_ms=200)
        self.addCleanup(self.engine.ask, "options.set", worker_wait_ms=30000)
        self.engine.run(pipeline("nobody", source("Read", LINES, {"path": "/x"}, tag="Clicks")))
        job = self.engine.wait("nobody")
        self.assertEqual((job["state"], job["stop_reason"]), ("FAILED", "error"))
        self.assertEqual(job["error"], f"nobody can run the source of `Clicks`: no worker was ready for `{LINES}` in 200 ms")

    def test_many_sources_are_spread_over_the_workers(self):
        ours = [self.spawn(worker) for worker in ("one", "other", "third")]
        names = [f"spread {number}" for number in range(9)]
        for name in names:
            payload = {"path": self.lines(name, 3000), "follow": True}
            self.engine.run(pipeline(name, source("Read", LINES, payload)), limits={"count": 4000})
        had = {one["worker"]: len(one["sources"]) for one in self.engine.ask("worker.list")["workers"]}
        self.assertEqual([had[worker] for worker in ours], [3, 3, 3])
        for name in names:
            self.lines(name, 4000, 3000)
            self.check(name, 4000, "count")

    def test_a_job_that_is_cancelled_stops_its_worker(self):
        self.spawn("stopped")
        self.engine.run(pipeline("cut", source("Read", LINES, {"path": self.lines()})), limits={"count": 5000})
        job = self.engine.wait("cut")
        self.assertEqual((job["state"], job["stop_reason"], job["elements"]), ("CANCELLED", "count", 5000))
        self.assertEqual([one for worker in self.engine.ask("worker.list")["workers"] for one in worker["sources"]], [])
        self.engine.run(pipeline("next", source("Read", LINES, {"path": self.lines("next", 100)})))
        self.check("next", 100)


class Languages(WorkersTest):
    def test_a_worker_is_replaced_by_one_in_another_language(self):
        pairs = [(C, PYTHON), (PYTHON, NODE), (NODE, C), (NODE, NODE)]
        for number, (one, other) in enumerate(pairs + ([(JAVA, PYTHON), (C, JAVA)] if "Java" in LANGUAGES else [])):
            with self.subTest(number):
                name = f"in two languages {number}"
                self.workers = {}
                self.spawn(f"first {number}", one)
                job = self.begin(name)
                self.spawn(f"second {number}", other)
                self.workers[self.runner(job)].kill()
                self.go_on(name)
                for process in self.workers.values():
                    process.kill()

    def test_a_worker_that_is_terminated_leaves(self):
        for language in LANGUAGES.keys() - {"Python"}:
            with self.subTest(language):
                self.workers, command = {}, LANGUAGES[language]
                left = self.in_the_middle(f"left {language}", lambda process: process.send_signal(signal.SIGINT), command, command)
                self.assertEqual(self.workers[left].wait(PATIENCE), 0)
                for process in self.workers.values():
                    process.kill()

    def test_a_worker_that_cannot_run_it_fails_the_job_and_says_why(self):
        for language, command in LANGUAGES.items():
            with self.subTest(language):
                worker = self.spawn(f"unable {language}", command)
                self.engine.run(pipeline(f"no file {language}", source("Read", LINES, {"path": "/does/not/exist"})))
                self.assertRegex(self.engine.wait(f"no file {language}")["error"], "^`Read`: .*(?i:no such file or directory)")
                self.workers[worker].kill()

    def test_two_sources_of_a_job_are_let_in_together(self):
        for language, command in LANGUAGES.items():
            with self.subTest(language):
                worker = self.spawn(f"both {language}", command)
                sources = [source(tag, LINES, {"path": self.lines(f"{tag} {language}", 100)}) for tag in ("A", "B")]
                self.engine.run(pipeline(f"pair {language}", *sources))
                self.assertEqual(self.engine.wait(f"pair {language}")["elements"], 200)
                self.workers[worker].kill()

    def test_a_worker_that_falls_silent_is_replaced_and_does_no_harm_when_it_is_back(self):
        self.engine.ask("options.set", worker_timeout_ms=1000)
        self.addCleanup(self.engine.ask, "options.set", worker_timeout_ms=10000)
        for language in LANGUAGES.keys() - {"Python"}:
            with self.subTest(language):
                self.workers, command = {}, LANGUAGES[language]
                silent = self.in_the_middle(f"silent {language}", lambda process: process.send_signal(signal.SIGSTOP), command, command)
                self.workers[silent].send_signal(signal.SIGCONT)
                self.until(lambda: any(one["worker"] == silent for one in self.engine.ask("worker.list")["workers"]))
                for process in self.workers.values():
                    process.kill()


class Restarts(WorkersTest):
    def test_the_engine_is_killed_in_the_middle_and_the_workers_come_back(self):
        for language, command in LANGUAGES.items():
            self.spawn(language, command)
        for round in range(3):
            name = f"killed {round}"
            self.begin(name)
            self.engine.restart()
            self.go_on(name)

    def test_the_recorder_fails_in_the_middle_and_the_workers_go_on(self):
        for language, command in LANGUAGES.items():
            self.spawn(language, command)
        self.begin("failed")
        for part in range(5):
            self.engine.ask("chaos.fail", actor="recorder")
            self.lines("failed", COUNT // 2 + (part + 1) * 100, COUNT // 2 + part * 100)
            self.until(lambda: self.elements("failed") == COUNT // 2 + (part + 1) * 100)
        self.lines("failed", COUNT, COUNT // 2 + 500)
        self.check("failed", reason="count")


if __name__ == "__main__":
    unittest.main()
