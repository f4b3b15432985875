"""reprise-bench in its shortest form: that it measures everything it says it measures. What the figures are is the machine's business.

Needs the binaries: REPRISE_BUILD is their folder, build/dev unless it is set.
"""
import json
import os
import pathlib
import subprocess
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
    "memory": ["memory.tracked", "memory.recording", "memory.replaying", "memory.busy"],
}


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
                document = self.document(measurement, "--seconds", "0.2", "--rounds", "1")
                self.assertEqual(document["bench"], measurement)
                self.assertEqual([figure["name"] for figure in document["figures"]], names)
                for figure in document["figures"]:
                    for key in ("value", "peer_value", "ratio", "ratio_least", "ratio_most"):
                        self.assertGreater(figure[key], 0, (figure["name"], key))
                    self.assertIn(figure["unit"], ("MiB",) if measurement == "memory" else ("elements/s", "µs"))
                    self.assertTrue(figure["peer"].startswith("at most" if measurement == "memory" else "raw"))

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


if __name__ == "__main__":
    unittest.main()
