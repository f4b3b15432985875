"""reprise-bench in its shortest form: that it measures everything it says it measures. What the figures are is the machine's business.

Needs the binaries: REPRISE_BUILD is their folder, build/dev unless it is set.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("REPRISE_BUILD", ROOT / "build" / "dev"))
PATIENCE = 120  # seconds that any one run may take before the test fails

FIGURES = {
    "record": [f"record.{kind}{disk}" for kind in ("unbatched", "batch-64", "batch-256KiB", "push") for disk in ("", ".disk")],
    "replay": ["replay.large", "replay.single"],
    "commands": [f"{op}.{when}.{part}" for when in ("idle", "recording") for op in ("engine.info", "job.describe.ended", "job.describe.running")
                 for part in ("p50", "p99")],
    "tail": ["tail.p50", "tail.p99"],
    "limits": ["limits.count", "limits.count.state", "limits.bytes", "limits.bytes.state", "limits.duration", "limits.duration.state",
               "limits.idle.state"],
    "recovery": [f"recovery.{heat}{step}" for heat in ("", "cold.") for step in ("ready", "answer", "job")] + ["recovery.memory"],
    "memory": ["memory.tracked", "memory.recording", "memory.replaying", "memory.busy"],
    "scale": [f"scale.size.{what}.{size}" for what in ("record", "replay", "seek") for size in ("1MB", "10MB")]
             + [f"scale.replays.{count}" for count in (1, 10, 100, 1000)] + [f"scale.sources.{count}" for count in (1, 10, 100, "raw.1", "raw.10", "raw.100")],
    "keys": [f"keys.{what}" for what in ("record.unbatched", "record.batch-64", "record.batch-256KiB", "replay.large", "replay.single",
                                         "engine.info.idle.p50", "engine.info.idle.p99")],
    "beam": ["beam.1", "beam.10", "beam.100"],
    "sources": [f"sources.{kind}" for kind in ("file", "kafka", "mqtt", "nats", "redis", "zmq")],
    "restart": [f"restart.actor.{actor}" for actor in ("gateway", "catalog", "recorder", "job_supervisor", "pipeline_tracker",
                                                       "test_stream_server", "verifier", "librarian", "notifier", "syncer", "limiter",
                                                       "signature_checker", "recorder.writing")] + ["restart.process"],
}
FLAGS = {"recovery": ["--bytes", "10MB"], "scale": ["--bytes", "10MB"]}
SERVERS = ("nats-server", "redis-server", "gnuplot")
PROGRAMS = [f"reprise-compare-{name}" for name in ("reprise", "jetstream", "redis")]
WORKS = ("push", "unbatched", "each", "batch-64", "batch-256KiB", "replay")


def bench(*words, folder=None):
    environment = dict(os.environ, TMPDIR=folder) if folder else os.environ
    return subprocess.run([BUILD / "reprise-bench", *words], env=environment, capture_output=True, text=True, timeout=PATIENCE)


class BenchTest(unittest.TestCase):
    def document(self, *words):
        result = bench(*words, "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def test_every_measurement_has_its_figures_beside_those_of_a_peer(self):
        for measurement, names in FIGURES.items():
            with self.subTest(measurement):
                document = self.document(measurement, "--seconds", "0.2", "--rounds", "1", *FLAGS.get(measurement, []))
                self.assertEqual(document["bench"], measurement)
                self.assertEqual([figure["name"] for figure in document["figures"]], names)
                for figure in document["figures"]:
                    for key in ("value", "peer_value", "ratio", "ratio_least", "ratio_most"):
                        self.assertGreater(figure[key], 0, (figure["name"], key))
                    self.assertLessEqual(figure["value_least"], figure["value"])
                    self.assertGreaterEqual(figure["value_most"], figure["value"])
                    self.assertTrue(figure["unit"] and figure["peer"] and figure["what"], figure["name"])

    def test_a_limit_of_elements_is_met_at_the_element(self):
        figures = self.document("limits", "--seconds", "0.1", "--rounds", "2", "--batch", "7", "--producers", "2")["figures"]
        count = next(figure for figure in figures if figure["name"] == "limits.count")
        self.assertEqual((count["value_least"], count["value_most"]), (count["peer_value"], count["peer_value"]))
        for name in ("limits.bytes", "limits.duration"):
            self.assertLessEqual(next(figure for figure in figures if figure["name"] == name)["ratio_most"], 1, name)

    def test_what_kills_its_engine_or_reads_its_time_will_have_one_of_its_own(self):
        for measurement in ("recovery", "scale", "keys", "restart"):
            result = bench(measurement, "--engine", "ipc:///nonexistent/commands")
            self.assertEqual((result.returncode, result.stdout), (1, ""), measurement)
            self.assertIn("--engine", result.stderr)

    def test_what_is_asked_for_is_what_is_measured(self):
        document = self.document("record", "--seconds", "0.2", "--rounds", "2", "--batch", "10", "--size", "1kB", "--producers", "3",
                                 "--durability", "sync", "--credit", "1MiB")
        self.assertEqual([figure["name"] for figure in document["figures"]], ["record.batch", "record.batch.disk"])
        self.assertIn("10 of 1000 B", document["figures"][0]["what"])
        self.assertEqual((document["size"], document["producers"], document["rounds"], document["durability"]), (1000, 3, 2, "sync"))

    def test_text_has_a_line_for_each_figure(self):
        result = bench("tail", "--seconds", "0.05", "--rounds", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()], FIGURES["tail"])
        self.assertEqual(result.stderr, "")

    def test_nothing_is_left_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(bench("tail", "--seconds", "0.05", "--rounds", "1", folder=folder).returncode, 0)
            self.assertEqual(os.listdir(folder), [])

    def test_help_names_every_measurement_and_a_wrong_word_ends_with_2(self):
        text = bench("--help").stdout
        for measurement in FIGURES:
            self.assertIn(measurement, text)
        for words in ([], ["fly"], ["record", "--seconds", "0"], ["record", "--size", "many"], ["record", "replay"]):
            result = bench(*words)
            self.assertEqual((result.returncode, result.stdout), (2, ""), words)
            self.assertTrue(result.stderr, words)

    def test_an_engine_that_is_not_there_is_named(self):
        result = bench("tail", "--engine", "ipc:///nonexistent/commands")
        self.assertEqual(result.returncode, 1)
        self.assertIn("ipc:///nonexistent/commands", result.stderr)


def run(program, *words, **others):
    return subprocess.run([sys.executable, ROOT / "bench" / program, *words], capture_output=True, text=True, timeout=PATIENCE, **others)


def page_copy(folder):
    copy = pathlib.Path(folder, "page.md")
    shutil.copy(ROOT / "docs" / "benchmarks.md", copy)
    return copy


class TargetsTest(unittest.TestCase):
    def test_each_target_is_judged_by_its_figures_or_said_to_be_unknown(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = page_copy(folder)
            before = copy.read_text()
            result = run("targets", BUILD, "--quick", "--only", "tail", "memory", "--json", "--docs", copy)
            document, after = json.loads(result.stdout), copy.read_text()
        known = {row["target"]: row for row in document["targets"] if row["met"] is not None}
        self.assertEqual(set(known), {"P5", "P8"} if known.get("P8") else {"P5"})
        self.assertEqual({row["target"] for row in document["targets"]}, {f"P{number}" for number in range(1, 13)})
        self.assertIn(result.returncode, (0, 1))
        self.assertEqual(sum(figure["name"].startswith("tail.") for figure in document["figures"]), 2)
        self.assertIn(known["P5"]["measured"], after)
        self.assertEqual(after.partition("<!-- targets")[0], before.partition("<!-- targets")[0])

    def test_a_build_without_the_bench_is_named(self):
        result = run("targets", "/nonexistent")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("/nonexistent", result.stderr)


class CompareTest(unittest.TestCase):
    def test_what_is_not_installed_is_named_and_nothing_is_started(self):
        with tempfile.TemporaryDirectory() as nothing:
            result = run("compare/run", BUILD, "--docs", env={"PATH": nothing})
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        for package in ("nats-server", "redis-server", "gnuplot-nox", "bin/setup bench"):
            self.assertIn(package, result.stderr)

    @unittest.skipUnless(all(map(shutil.which, SERVERS)) and all((BUILD / name).exists() for name in PROGRAMS), "bin/setup bench was not run")
    def test_the_same_work_is_done_on_all_three_and_shown(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = page_copy(folder)
            result = run("compare/run", BUILD, "--rounds", "1", "--seconds", "0.1", "--json", "--docs", copy)
            self.assertEqual(result.returncode, 0, result.stderr)
            text, plot = copy.read_text(), copy.with_suffix(".svg").read_text()
        document = json.loads(result.stdout)
        self.assertEqual([figure["name"] for figure in document["figures"]],
                         [f"compare.{work}.{peer}" for work in WORKS for peer in ("jetstream", "redis")])
        for figure in document["figures"]:
            for key in ("value", "peer_value", "ratio", "server_ns", "peer_server_ns"):
                self.assertGreater(figure[key], 0, (figure["name"], key))
        for title, version, _ in document["servers"]:
            self.assertIn(f"{title} {version}", text)
            self.assertIn(title, plot)


if __name__ == "__main__":
    unittest.main()
