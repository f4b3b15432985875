"""The engine's binary: its flags and its configuration file, when it says that it is ready, how it ends and with what status."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import zmq

from engine import BUILD, GENERATOR, PATIENCE, PUSH, Engine, free_ports, pipeline, source


def reprised(*words, **variables):
    return subprocess.run([BUILD / "reprised", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE,
                          env={**os.environ, **variables})


class Settings(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def refused(self, *words, status=2):
        result = reprised(*words)
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertRegex(result.stderr, r"^reprised: .+\n$")
        return result.stderr

    def shown(self, *words, **variables):
        """The settings that --check-config prints."""
        result = reprised("--check-config", *words, **variables)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return dict(re.fullmatch(r'(\S+) = "?([^"]*)"?', line).groups() for line in result.stdout.splitlines())

    def config(self, text):
        path = self.folder / "reprised.conf"
        path.write_text(text)
        return path

    def test_help_fits_80_columns_and_names_every_exit_status(self):
        result = reprised("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for line in result.stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)
        for flag in ("--config", "--data", "--port", "--commands", "--ingest", "--test-stream", "--notifications", "--beam", "--beam-ports", "--beam-tls-cert", "--beam-tls-key",
                     "--beam-tls-ca", "--durability",
                     "--chaos", "--crashes", "--no-guard",
                     "--insecure", "--check-config", "--version"):
            self.assertIn(f"  {flag} ", result.stdout)
        self.assertIn("Exit status:", result.stdout)

    def test_version_is_one_line(self):
        self.assertRegex(reprised("--version").stdout, r"^reprised \d+\.\d+\.\d+\n$")

    def test_the_defaults(self):
        shown = self.shown(XDG_STATE_HOME="/var/state")
        self.assertEqual((shown["data"], shown["commands"], shown["notifications"], shown["durability"], shown["chaos"]),
                         ("/var/state/reprise", "tcp://127.0.0.1:5570", "tcp://127.0.0.1:5573", "interval", "false"))

    def test_flags_win_over_the_file_and_an_endpoint_over_the_port(self):
        path = self.config("data = /srv/reprise\nport = 6000\ndurability = sync\n")
        shown = self.shown("--config", path, "--durability=async", "--ingest", "ipc:///tmp/ingest")
        self.assertEqual((shown["data"], shown["commands"], shown["ingest"], shown["test-stream"], shown["durability"]),
                         ("/srv/reprise", "tcp://127.0.0.1:6000", "ipc:///tmp/ingest", "tcp://127.0.0.1:6002", "async"))

    def test_what_is_shown_is_a_configuration_file(self):
        words = ("--data", self.folder / "data", "--port", "7000", "--durability", "sync", "--chaos")
        first = reprised("--check-config", *words).stdout
        self.assertEqual(reprised("--check-config", "--config", self.config(first)).stdout, first)

    def test_bad_flags_are_exit_status_2_and_named(self):
        for words, named in ((("--bogus",), "--bogus"), (("file",), "`file`"), (("--port",), "--port"), (("--port", "0"), "`0`"),
                             (("--port", "70000"), "70000"),
                             (("--port", "5570x"), "5570x"), (("--durability", "maybe"), "`maybe`"),
                             (("--commands", "http://x"), "http://x"),
                             (("--data", ""), "data"), (("--segment-bytes", "1"), "`1`"), (("--crashes", "-1"), "`-1`"),
                             (("--crashes", "1000"), "`1000`"), (("--no-guard=maybe",), "`maybe`"),
                             (("--ingest", "tcp://127.0.0.1:5570"), "two endpoints"),
                             (("--config", "/nonexistent"), "/nonexistent"), (("--commands", "tcp://0.0.0.0:5570"), "--insecure")):
            with self.subTest(words=words):
                self.assertIn(named, self.refused(*words))

    def test_a_bad_file_is_exit_status_2_and_named(self):
        for text, named in (("bogus = 1\n", "`bogus`"), ("port = many\n", "`many`"), ("config = other\n", "`config`"),
                            ("help = true\n", "`help`")):
            with self.subTest(text=text):
                said = self.refused("--config", self.config(text))
                self.assertIn(named, said)
                self.assertIn("reprised.conf", said)

    def test_a_data_folder_that_cannot_be_is_exit_status_1_and_named(self):
        file = self.config("")
        self.assertIn(str(file), self.refused("--data", file / "data", status=1))

    def test_a_port_that_is_taken_is_exit_status_1_and_named(self):
        taken = zmq.Context.instance().socket(zmq.ROUTER)
        self.addCleanup(taken.close, 0)
        port = taken.bind_to_random_port("tcp://127.0.0.1", 20000, 32000)
        result = reprised("--data", self.folder / "data", "--port", port)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn(f"tcp://127.0.0.1:{port}: Address already in use", result.stderr)


class Life(unittest.TestCase):
    def start(self, *flags):
        self.engine = Engine(*flags)
        self.addCleanup(self.engine.remove)

    def test_ready_is_said_once_with_the_endpoints_and_all_of_them_serve(self):
        self.start()
        self.assertEqual(self.engine.ask("engine.info")["endpoints"], {**self.engine.endpoints, "beam": self.engine.beam})
        self.engine.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.engine.process.stdout.read(), "")
        self.assertEqual(self.engine.ended(), 0)

    def test_both_signals_stop_it_in_order_in_mid_recording_and_leave_no_process(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                self.start()
                job = self.engine.run(pipeline("running", source("Read", GENERATOR, {"rate": 0}), source("Push", PUSH)))["job"]
                self.engine.replay(pipeline="running", max_elements=1000)
                with self.engine.connect("commands") as waiting:
                    waiting.send("job.wait", job=job, timeout_ms=60000)
                    waiting.send("engine.info")  # of the same connection: once that is answered, the engine has the request before it
                    self.assertTrue(waiting.receive()[0]["ok"])
                    self.engine.process.send_signal(number)
                    self.assertEqual(waiting.receive()[0]["error"]["code"], "unavailable")
                self.assertEqual(self.engine.ended(), 0)
                self.assertEqual(self.engine.said(), "")
                self.assertRaises(ProcessLookupError, os.kill, self.engine.process.pid, 0)
                self.engine.start()
                self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
                self.assertEqual(self.engine.stop(), 0)

    def test_engine_stop_is_answered_and_ends_it_with_0(self):
        self.start()
        self.assertTrue(self.engine.ask("engine.stop")["ok"])
        self.assertEqual(self.engine.ended(), 0)

    def test_options_and_pipelines_outlive_a_restart(self):
        self.start()
        self.engine.ask("options.set", recording_count_limit=17, recordable_sources=["reprise:source:generator:v1"])
        self.engine.run(pipeline("kept", source("Read", GENERATOR, {"rate": 0})))
        self.engine.wait("kept")
        before = [self.engine.ask(op, **fields) for op, fields in self.remembered()]
        self.engine.restart()
        after = [self.engine.ask(op, **fields) for op, fields in self.remembered()]
        other = {"id": 0, "test_stream": 0, "beam_endpoint": 0}
        self.assertEqual([{**one, **other} for one in after], [{**one, **other} for one in before])

    def remembered(self):
        return (("options.get", {}), ("pipeline.list", {}), ("pipeline.describe", {"pipeline": "kept"}), ("job.list", {}),
                ("recording.list", {}))

    def test_endpoints_may_be_of_another_transport(self):
        folder = tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        flags = [f"--{name}=ipc://{folder}/{name}" for name in ("commands", "ingest", "test-stream", "notifications")]
        process = subprocess.Popen([BUILD / "reprised", f"--data={folder}/data", "--beam=off", *flags], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), f"ready commands=ipc://{folder}/commands ingest=ipc://{folder}/ingest "
                                                    f"test_stream=ipc://{folder}/test-stream notifications=ipc://{folder}/notifications\n")
        status = subprocess.run([BUILD / "reprise", "--engine", f"ipc://{folder}/commands", "stop"], capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual((status.returncode, process.wait(PATIENCE)), (0, 0), status.stderr)

    def test_endpoints_may_have_addresses_of_ipv6(self):
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError as error:
            self.skipTest(f"this machine has no loopback of IPv6: {error}")
        folder = tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        names = ("commands", "ingest", "test-stream", "notifications")
        first = free_ports(len(names))
        flags = [f"--{name}=tcp://[::1]:{first + number}" for number, name in enumerate(names)]
        process = subprocess.Popen([BUILD / "reprised", f"--data={folder}/data", "--beam=off", *flags], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        said = process.stdout.readline()
        self.assertEqual(said, "ready " + " ".join(flag[2:].replace("test-stream", "test_stream") for flag in flags) + "\n")
        recorded = subprocess.run([BUILD / "reprise", "--engine", flags[0].split("=")[1], "record", "generator:?count=10"],
                                  capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(recorded.returncode, 0, recorded.stderr)
        stopped = subprocess.run([BUILD / "reprise", "--engine", flags[0].split("=")[1], "stop"], capture_output=True, text=True,
                                 timeout=PATIENCE)
        self.assertEqual((stopped.returncode, process.wait(PATIENCE)), (0, 0), stopped.stderr)

    def test_what_ended_in_disorder_leaves_no_lock_behind(self):
        self.start()
        for _ in range(3):
            self.engine.restart()
        self.assertEqual(self.engine.stop(), 0)


if __name__ == "__main__":
    unittest.main()
