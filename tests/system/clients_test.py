"""The clients of docs/clients, each run as a user would: each feeds a pipeline of its own, and all see every recording the same."""
import json
import shutil
import subprocess
import sys
import unittest

from engine import BUILD, PATIENCE, PUSH, ROOT, Engine, EngineTest, pipeline, source

CLIENTS = ROOT / "docs" / "clients"
PYTHON, NODE, C = "python", "node", "c"
COMMANDS = {PYTHON: [sys.executable, CLIENTS / "python" / "client.py"], NODE: ["node", CLIENTS / "node" / "client.mjs"],
            C: [BUILD / "tests" / "client-c"]}
COUNT = 2345


def data_of(events):
    return [element[1] for event in events if event["event"] == "elements" for element in event["elements"]]


class Clients(EngineTest):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("node") or not (CLIENTS / "node" / "node_modules").is_dir():
            raise AssertionError("the Node client is not set up: `npm ci` in docs/clients/node (bin/setup does it)")
        super().setUpClass()

    def run_client(self, language, *words, engine=None):
        return subprocess.run([*COMMANDS[language], "--engine", (engine or self.engine).endpoints["commands"], *map(str, words)],
                              capture_output=True, text=True, timeout=PATIENCE)

    def done(self, language, *words):
        result = self.run_client(language, *words)
        self.assertEqual(result.returncode, 0, f"{language} {words}: {result.stderr}")
        return [json.loads(line) for line in result.stdout.splitlines()], result.stderr

    def test_what_one_records_all_see_the_same_to_the_digest(self):
        for writer in COMMANDS:
            with self.subTest(writer=writer):
                events, said = self.done(writer, f"of {writer}", COUNT)
                self.assertIn("first_run", said)
                self.assertIn(f"DONE: {COUNT} elements recorded", said)
                self.assertEqual(data_of(events), [f"number {number}" for number in range(COUNT)])
                times = [element[0] for event in events if event["event"] == "elements" for element in event["elements"]]
                self.assertEqual(times, list(range(times[0], times[0] + COUNT)))
                self.assertEqual((events[-1]["reason"], events[-1]["elements"]), ("end", COUNT))
                digest = self.engine.ask("recording.describe", pipeline=f"of {writer}")["digest"]
                self.assertEqual(events[-1]["digest"], digest)
                for reader in COMMANDS:
                    again, said = self.done(reader, f"of {writer}", 1)
                    self.assertIn("recording_valid", said)
                    self.assertEqual(again, events, reader)

    def test_python_can_feed_by_push_requests(self):
        events, _ = self.done(PYTHON, "--push", "pushed", COUNT)
        self.assertEqual((events[-1]["reason"], events[-1]["elements"]), ("end", COUNT))

    def test_a_recording_larger_than_the_credit_is_fed_and_read(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                events, _ = self.done(language, f"large {language}", 150000)
                self.assertEqual(events[-1]["elements"], 150000)

    def test_one_that_joins_goes_on_where_another_was(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                name = f"interrupted {language}"
                self.engine.run(pipeline(name, source("Numbers", PUSH)))
                with self.engine.connect("ingest") as ingest:
                    ingest.ask("source.attach", pipeline=name, tag="Numbers", producer="client")
                    ingest.send("source.batch", b"\x91\x92\x01\xc4\x01x", tag="Numbers", seq=1)
                    ingest.receive()
                events, said = self.done(language, name, 250)
                self.assertIn("job_running", said)
                self.assertEqual(data_of(events), ["x"] + [f"number {number}" for number in range(100, 250)])

    def test_a_limit_that_ends_the_job_is_no_error(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                name = f"limited {language}"
                self.engine.run(pipeline(name, source("Numbers", PUSH)), limits={"count": 150})
                events, said = self.done(language, name, 1000)
                self.assertIn("CANCELLED: 150 elements recorded", said)
                self.assertEqual(events[-1]["elements"], 150)

    def test_an_error_is_told_and_is_exit_status_1(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                result = self.run_client(language, "", 1)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, r"^client\S*: bad_request: `pipeline.run`: `pipeline.name` must be text")


class Restart(unittest.TestCase):
    def test_a_client_survives_the_end_of_the_engine_in_mid_feed(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                engine = Engine()
                self.addCleanup(engine.remove)
                engine.run(pipeline("survivor", source("Numbers", PUSH)))
                process = subprocess.Popen([*COMMANDS[language], "--engine", engine.endpoints["commands"], "survivor", "300000"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                engine.replay(pipeline="survivor", max_elements=1)
                engine.restart()
                out, said = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, 0, said)
                events = [json.loads(line) for line in out.splitlines()]
                self.assertEqual(data_of(events), [f"number {number}" for number in range(300000)])


if __name__ == "__main__":
    unittest.main()
