"""The clients of docs/clients, each run as a user would: each feeds a pipeline of its own, and all see every recording the same."""
import json
import shutil
import signal
import subprocess
import sys
import threading
import unittest

from engine import BUILD, DOORS, PATIENCE, PUSH, ROOT, Engine, EngineTest, feed, pipeline, source
from proxy import Proxy

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


class OneBatch(list):
    """Breaks the wire when it is asked for so often: first before it is sent, third before its end is told."""

    def __init__(self, wire, losing, at):
        super().__init__([[[1, b"x"]]])
        self.wire, self.losing, self.left = wire, losing, at

    def __len__(self):
        self.left -= 1
        if self.left == 0:
            self.wire.losing = self.losing
        return super().__len__()


class Lost(EngineTest):
    def test_what_was_lost_with_a_connection_is_said_again(self):
        """A batch, its end, and the answer to its end: afterwards the engine pings nobody, since it knows nobody."""
        feeds = {}
        for name, losing, at in ("batch", Proxy.TO_TARGET, 1), ("end", Proxy.TO_TARGET, 3), ("answer", Proxy.FROM_TARGET, 3):
            wire, outcome = Proxy(self.engine.port + DOORS.index("ingest")), []
            self.addCleanup(wire.close)
            self.pushable(name, "Numbers")
            thread = threading.Thread(target=lambda *what, outcome=outcome: outcome.append(feed(*what)),
                                      args=(wire.endpoint, name, "Numbers", OneBatch(wire, losing, at)))
            thread.start()
            feeds[name] = wire, thread, outcome
        for name, (wire, _, _) in feeds.items():
            self.assertTrue(wire.has_lost.wait(PATIENCE), name)
            wire.losing = None
            wire.cut()
        for name, (_, thread, outcome) in feeds.items():
            with self.subTest(lost=name):
                thread.join(PATIENCE)
                self.assertEqual(outcome, [None])
                self.assertEqual(self.engine.wait(name)["elements"], 1)


class Restart(unittest.TestCase):
    def test_a_client_survives_the_end_of_the_engine_in_mid_feed(self):
        for language in COMMANDS:
            with self.subTest(language=language):
                engine = Engine()
                self.addCleanup(engine.remove)
                recording = engine.run(pipeline("survivor", source("Numbers", PUSH)))["recording"]
                process = subprocess.Popen([*COMMANDS[language], "--engine", engine.endpoints["commands"], "survivor", "300000"],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                while not any(record["kind"] == 1 for record in engine.records(recording)):
                    self.assertIsNone(process.poll())
                engine.process.send_signal(signal.SIGSTOP)  # before it has all
                engine.restart()
                out, said = process.communicate(timeout=PATIENCE)
                self.assertEqual(process.returncode, 0, said)
                events = [json.loads(line) for line in out.splitlines()]
                self.assertEqual(data_of(events), [f"number {number}" for number in range(300000)])


if __name__ == "__main__":
    unittest.main()
