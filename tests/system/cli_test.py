"""The command-line client against a real engine: what a user types, and what comes of it."""
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
import unittest

from engine import BUILD, PATIENCE, Engine, free_ports


class CliEngine(Engine):
    """An engine and the client's way to it."""

    def environment(self):
        return dict(os.environ, REPRISE_ENGINE=self.endpoints["commands"], TZ="UTC")

    def spawn(self, *words, **options):
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return subprocess.Popen([BUILD / "reprise", *words], env=self.environment(), text=True, **{**pipes, **options})

    def type(self, *words, stdin="", text=True):
        return subprocess.run([BUILD / "reprise", *words], env=self.environment(), input=stdin, capture_output=True, text=text,
                              timeout=PATIENCE)


class CliTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = CliEngine()

    @classmethod
    def tearDownClass(cls):
        cls.engine.remove()

    def done(self, *words, stdin=""):
        """What a command that must succeed prints."""
        result = self.engine.type(*words, stdin=stdin)
        self.assertEqual(result.returncode, 0, f"{words}: {result.stderr}")
        return result.stdout

    def document(self, *words, stdin=""):
        return json.loads(self.done("--json", *words, stdin=stdin))

    def refused(self, *words, status=1, stdin=""):
        """What a command that must fail says."""
        result = self.engine.type(*words, stdin=stdin)
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout}{result.stderr}")
        self.assertRegex(result.stderr, "(?m)^reprise: ")
        return result.stderr

    def recorded(self, name, count=100, source="generator:?rate=0&size=20"):
        """A recording of exactly so many elements, by the pipeline's name."""
        return self.document("record", source, "--limit", str(count), "--name", name)["job"]

    def pushable(self, name, *limits):
        """A pipeline that is running and waits for pushes."""
        transforms = [{"name": "Read", "urn": "reprise:source:push:v1"}]
        return self.document("run", "-", *limits, stdin=json.dumps({"name": name, "transforms": transforms}))

    def file(self, name, text):
        path = self.engine.folder / name
        path.write_text(text)
        return path


class Helping(CliTest):
    def test_the_help_of_every_command_fits_80_columns_and_goes_to_stdout(self):
        commands = re.findall(r"(?m)^  ([a-z]+)  +[A-Z]", self.done("--help"))
        self.assertLessEqual({"status", "run", "record", "push", "replay", "recordings", "describe", "verify", "jobs", "cancel", "options",
                              "stop"},
                             set(commands))
        for command in commands:
            with self.subTest(command=command):
                text = self.done(command, "--help")
                self.assertIn(command, text.splitlines()[0])
                for line in text.splitlines():
                    self.assertLessEqual(len(line), 80, line)

    def test_wrong_words_are_exit_status_2_and_named(self):
        for words, named in ((("explode",), "`explode`"), (("status", "--bogus"), "--bogus"), (("cancel",), "cancel"),
                             (("replay", "a", "b"), "reprise replay PIPELINE"),
                             (("record", "generator:", "--limit", "5 parsecs"), "parsecs"),
                             (("record", "generator:?colour=red"), "no field `colour`; it has `rate`"),
                             (("record", "generator:?rate=fast"), "`rate` must be a number"),
                             (("record", "generator:", "--limit", "5s,6s"), "`duration` is given twice"),
                             (("record", "generator:", "--limit", "count=5", "--limit", "6"), "`count` is given twice"),
                             (("replay", "a", "--digest", "--events"), "--events")):
            with self.subTest(words=words):
                self.assertIn(named, self.refused(*words, status=2))

    def test_an_engine_that_is_not_there_is_exit_status_3(self):
        result = self.engine.type("--engine", "ipc:///nonexistent/engine", "--timeout", "100ms", "status")
        self.assertEqual((result.returncode, result.stdout), (3, ""))
        self.assertIn("ipc:///nonexistent/engine", result.stderr)


class Showing(CliTest):
    def test_status_shows_the_engine_and_its_actors(self):
        status = self.document("status")
        self.assertTrue(status["ok"])
        self.assertEqual(status["engine"]["endpoints"]["commands"], self.engine.endpoints["commands"])
        self.assertIn("recorder", [actor["name"] for actor in status["actors"]])
        self.assertIn("commands", status["counters"])
        text = self.done("status", "--counters")
        self.assertRegex(text, r"(?m)^recorder +running")

    def test_status_shows_who_failed_when_and_why(self):
        self.assertNotIn("FAILED AT", self.done("status"))
        engine = Engine("--chaos")
        self.addCleanup(engine.remove)
        for actor in ("syncer", "notifier"):
            engine.ask("chaos.fail", actor=actor)
            while (actor, 1, "running") not in {(one["name"], one["restarts"], one["state"]) for one in engine.ask("engine.actors")["actors"]}:
                pass  # each answer takes its time
        text = self.done("--engine", engine.endpoints["commands"], "status")
        self.assertRegex(text, r"(?m)^syncer +running +1 ")
        self.assertRegex(text, r"(?m)^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  notifier +told to fail by chaos.fail$")
        self.assertLess(text.index("  syncer  "), text.rindex("  notifier  "))

    def test_lists_fit_80_columns_and_name_what_was_recorded(self):
        job = self.recorded("listed")
        for command in ("jobs", "recordings", "status"):
            for line in self.done(command).splitlines():
                self.assertLessEqual(len(line), 80, line)
        self.assertIn("listed", self.done("jobs"))
        self.assertIn(job["recording"], [one["recording"] for one in self.document("recordings")["recordings"]])

    def test_a_pipeline_and_its_recording_are_described(self):
        job = self.recorded("described")
        self.assertEqual(self.document("describe", "described")["recording"]["recording"], job["recording"])
        self.assertEqual(self.document("describe", job["recording"])["elements"], 100)
        self.assertIn("100 elements", self.done("describe", "described"))
        self.assertIn("`nobody` is neither", self.refused("describe", "nobody"))

    def test_options_are_shown_in_units_and_set_in_units(self):
        before = self.document("options")
        changed = self.document("options", "recording_duration_ms=90s", "recording_size_limit=2GB", "recording_count_limit=1e6")
        self.assertEqual((changed["recording_duration_ms"], changed["recording_size_limit"], changed["recording_count_limit"]),
                         (90000, 2000000000, 1000000))
        self.assertRegex(self.done("options"), r"recording_duration_ms +1 min 30 s\n")
        self.done("options", "recording_count_limit=none", "recording_duration_ms=60s", "recording_size_limit=1GB")
        self.assertEqual(self.document("options"), before)
        self.assertIn("no option `bogus`", self.refused("options", "bogus=1", status=2))

    def test_an_error_is_a_document_with_json(self):
        result = self.engine.type("--json", "describe", "nobody")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(json.loads(result.stdout)["error"]["code"], "not_found")
        self.assertIn("`nobody`", result.stderr)


class Recording(CliTest):
    def test_a_count_limit_is_exact(self):
        job = self.recorded("exact", 12345)
        self.assertEqual((job["elements"], job["state"], job["stop_reason"], job["is_done"]), (12345, "CANCELLED", "count", True))

    def test_the_summary_says_how_to_replay(self):
        result = self.engine.type("record", "generator:?rate=0", "--limit", "1000")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("recorded 1,000 elements", result.stdout)
        name = re.search(r"reprise replay (\S+)", result.stdout).group(1)
        self.assertEqual(len(self.done("replay", name).splitlines()), 1000)

    def test_what_is_recorded_ad_hoc_replaces_nothing(self):
        first, second = (self.document("record", "generator:?rate=0", "--limit", "10")["pipeline"] for _ in range(2))
        self.assertNotEqual(first, second)

    def test_a_source_with_a_server_is_recorded_by_its_url(self):
        port = free_ports(1)
        process = self.engine.spawn("--json", "record", f"udp://127.0.0.1:{port}?event_time=/at&event_time_unit=s", "--limit", "count=1",
                                    "--name", "datagrams")
        deadline = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while process.poll() is None and time.monotonic() < deadline:
                sender.sendto(b'{"at": 1700000000}', ("127.0.0.1", port))
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
        out, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, out + said)
        self.assertEqual(json.loads(self.done("replay", "datagrams"))["time"], 1700000000000000)

    def test_a_pipeline_is_called_as_its_source_is(self):
        path = self.file("named.log", "one\n")
        names = [self.document("record", f"file://{path}", "--limit", "1")["pipeline"] for _ in range(2)]
        self.assertEqual(names, ["file-named.log", "file-named.log-2"])

    def test_a_name_that_has_recorded_the_source_records_it_no_more(self):
        job = self.recorded("once")
        again = self.document("record", "generator:?rate=0&size=20", "--name", "once")
        self.assertEqual((again["run"]["started"], again["run"]["reason"]), (False, "recording_valid"))
        self.assertEqual(again["job"]["job"], job["job"])

    def test_a_files_lines_are_recorded(self):
        path = self.file("app.log", "one\ntwo\nthree\n")
        self.document("record", f"file://{path}", "--limit", "3", "--name", "lines", "--tag", "Log")
        elements = [json.loads(line) for line in self.done("replay", "lines").splitlines()]
        self.assertEqual([(one["tag"], one["data"]) for one in elements], [("Log", "one"), ("Log", "two"), ("Log", "three")])

    def test_a_pipeline_runs_from_a_file_and_then_by_its_name(self):
        definition = {"name": "clicks", "transforms": [
            {"name": "Read", "urn": "reprise:source:generator:v1", "payload": {"rate": 0, "count": 50}}]}
        path = self.file("clicks.json", json.dumps(definition))
        first = self.document("run", str(path), "--wait")
        self.assertEqual((first["run"]["started"], first["run"]["reason"]), (True, "first_run"))
        self.assertEqual((first["job"]["state"], first["job"]["elements"]), ("DONE", 50))
        second = self.document("run", "clicks")
        self.assertEqual((second["started"], second["reason"]), (False, "recording_valid"))
        self.assertIn("no file and no pipeline", self.refused("run", "clocks"))

    def test_a_run_whose_job_fails_at_once_says_why(self):
        transforms = [{"name": "Read", "urn": "beam:transform:pubsub_read:v1"}]
        self.engine.ask("options.set", worker_wait_ms=100)
        self.addCleanup(self.engine.ask, "options.set", worker_wait_ms=30000)
        said = self.refused("run", "-", stdin=json.dumps({"name": "foreign", "transforms": transforms}))
        self.assertIn("nobody can run the source of `Read`", said)

    def test_ctrl_c_cancels_the_job_and_says_what_was_recorded(self):
        process = self.engine.spawn("record", "generator:?rate=1000", "--name", "interrupted")
        self.assertIn("recording interrupted", process.stderr.readline())
        while "RUNNING" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertIn("it was cancelled", out)
        self.assertEqual(self.document("describe", "interrupted")["job"]["stop_reason"], "user")

    def test_a_source_that_cannot_be_recorded_leaves_no_pipeline_behind(self):
        before = self.document("jobs")["jobs"], self.document("recordings")["recordings"]
        self.assertIn("`rate`", self.refused("record", "generator:?rate=-1"))
        self.assertIn("is neither a pipeline", self.refused("describe", "generator"))
        self.assertEqual((self.document("jobs")["jobs"], self.document("recordings")["recordings"]), before)
        self.refused("record", "generator:?rate=-1", "--name", "mine")  # who named it may want to look at it
        shown = self.done("describe", "mine")
        self.assertIn("FAILED", shown)
        self.assertNotIn("digest", shown)

    def test_a_job_that_fails_is_exit_status_1(self):
        self.assertIn("/nonexistent", self.refused("record", "file:///nonexistent/file", "--name", "fails"))

    def on_a_terminal(self, *arguments):
        """What the command draws on a terminal, and its exit status."""
        leader, follower = pty.openpty()
        process = self.engine.spawn(*arguments, stderr=follower)
        os.close(follower)
        drawn = b""
        while process.poll() is None or select.select([leader], [], [], 0)[0]:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    drawn += os.read(leader, 65536)
                except OSError:  # the other end is closed
                    break
        process.communicate(timeout=PATIENCE)
        os.close(leader)
        return drawn.decode(), process.returncode

    def test_the_bars_on_a_terminal_fit_80_columns(self):
        text, _ = self.on_a_terminal("record", "generator:?rate=2000", "--limit", "60s,1GB,2000")
        self.assertRegex(text, r"elements +\[#{36}\] 2,000 of 2,000")
        for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9]*[A-Z]", "", text)):
            self.assertLessEqual(len(line), 80, line)

    def test_what_has_no_limit_has_no_bar(self):
        text, status = self.on_a_terminal("record", "file:///nonexistent/file", "--limit", "60s", "--name", "nowhere")
        self.assertEqual(status, 1)
        self.assertRegex(text, r"elements +0\r?\n")

    def waiting(self, name, **pipes):
        """A job whose source waits for a server that is not there, recorded by the CLI; what that says until the engine knows of the wait."""
        with socket.socket() as nobody:  # bound, and nobody listens
            nobody.bind(("127.0.0.1", 0))
            server = f"127.0.0.1:{nobody.getsockname()[1]}"
            process = self.engine.spawn("record", f"mqtt://{server}/t/%23", "--limit", "600s", "--name", name, **pipes)
            yield server, process
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)

    def test_what_a_source_waits_for_is_shown_while_it_is_recorded_and_by_status(self):
        for server, process in self.waiting("waiting", stderr=subprocess.PIPE):
            said = next(line for line in process.stderr if line.startswith("waits"))
            self.assertIn(f"{server}: Connection refused", said)
            shown = self.done("status")
            self.assertRegex(shown, f"waits +waiting, .*{server}: Connection refused")
        self.assertNotIn("waits", self.done("status"))

    def test_what_a_source_waits_for_fits_under_the_bars_on_a_terminal(self):
        leader, follower = pty.openpty()
        for server, process in self.waiting("waiting-" + "ü" * 60, stderr=follower):
            drawn = b""
            while not (found := re.search(r"waits     (.*?)\r\n", drawn.decode(errors="replace"))):
                self.assertTrue(select.select([leader], [], [], PATIENCE)[0], drawn)
                drawn += os.read(leader, 65536)
            self.assertIn("Connection refused", found[1])
            self.assertLessEqual(len(found[0].strip()), 80)
        os.close(follower)
        os.close(leader)

    def test_cancel_of_what_is_unknown_says_so_and_of_what_has_ended_is_no_error(self):
        self.recorded("over", 5)
        self.assertIn("nothing was running", self.done("cancel", "over"))
        self.assertIn("`nobody` is neither a job nor a pipeline", self.refused("cancel", "nobody"))

    def test_cancel_ends_a_job_by_its_pipeline(self):
        self.pushable("endless")
        self.assertTrue(self.document("cancel", "endless")["cancelled"])
        self.assertFalse(self.document("cancel", "endless")["cancelled"])


class Replaying(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine.type("record", "generator:?rate=0&size=20", "--limit", "1000", "--name", "thousand")

    def test_two_replays_are_the_same_and_the_digest_proves_it(self):
        self.assertEqual(self.done("replay", "thousand", "--events"), self.done("replay", "thousand", "--events"))
        first, second = (self.done("replay", "thousand", "--digest") for _ in range(2))
        self.assertRegex(first, "^[0-9a-f]{32}\n$")
        self.assertEqual(first, second)
        self.assertEqual(first.strip(), self.document("describe", "thousand")["recording"]["digest"])

    def test_formats_show_the_same_elements(self):
        elements = [json.loads(line) for line in self.done("replay", "thousand").splitlines()]
        self.assertEqual(len(elements), 1000)
        as_hex = self.done("replay", "thousand", "--format", "hex").splitlines()
        self.assertEqual(len(as_hex), 1000)
        self.assertEqual(len(as_hex[0]), 40)
        document = self.document("replay", "thousand")
        self.assertEqual(document["events"], elements)
        self.assertEqual(document["end"]["elements"], 1000)

    def test_a_part_can_be_replayed(self):
        whole = self.done("replay", "thousand").splitlines()
        self.assertEqual(self.done("replay", "thousand", "--max-elements", "7").splitlines(), whole[:7])
        self.assertEqual(self.done("replay", "thousand", "--from", "990").splitlines(), whole[990:])
        fetched = self.document("fetch", "thousand", "--from", "10", "--max", "5")
        self.assertEqual([json.loads(line) for line in whole[10:15]], fetched["elements"])
        self.assertEqual(fetched["next"], 15)

    def test_what_is_not_there_is_refused(self):
        self.assertIn("`nothing`", self.refused("replay", "nothing"))
        self.assertIn("`Nope`", self.refused("replay", "thousand", "--tag", "Nope"))
        self.assertIn("has no digest", self.refused("replay", "thousand", "--digest", "--from", "5"))
        self.assertIn("`xml`", self.refused("replay", "thousand", "--format", "xml", status=2))

    def test_a_reader_that_leaves_early_hurts_nobody(self):
        with self.engine.spawn("replay", "thousand") as process:
            process.stdout.readline()
        self.assertEqual(len(self.done("replay", "thousand").splitlines()), 1000)

    def test_bytes_that_are_not_text_come_through(self):
        self.pushable("binary")
        pushed = self.engine.type("push", "binary", "Read", "--done", stdin=b"\xff\x00\nplain\n", text=False)
        self.assertEqual(pushed.returncode, 0, pushed.stderr)
        data = [json.loads(line)["data"] for line in self.done("replay", "binary").splitlines()]
        self.assertEqual(data, [{"base64": "/wA="}, "plain"])
        raw = self.engine.type("replay", "binary", "--format", "raw", stdin=b"", text=False)
        self.assertEqual(raw.stdout, b"\xff\x00\nplain\n")


class Pushing(CliTest):
    def test_lines_are_recorded_in_order_each_once(self):
        lines = [f"line {number}" for number in range(20000)]
        self.pushable("ordered")
        pushed = self.document("push", "ordered", "Read", "--batch", "64", "--done", stdin="\n".join(lines))
        self.assertEqual((pushed["elements"], pushed["recorded"]), (20000, 20000))
        self.assertEqual(self.done("replay", "ordered", "--format", "raw").splitlines(), lines)
        self.assertEqual(self.document("describe", "ordered")["job"]["state"], "DONE")

    def test_a_line_is_seen_by_a_reader_that_follows_at_once(self):
        self.pushable("live")
        pusher, reader = self.engine.spawn("push", "live", "Read", "--done"), self.engine.spawn("replay", "live")
        for word in ("first", "second"):
            pusher.stdin.write(word + "\n")
            pusher.stdin.flush()
            self.assertEqual(json.loads(reader.stdout.readline())["data"], word)
        self.assertEqual(pusher.communicate(timeout=PATIENCE)[1], "")
        reader.communicate(timeout=PATIENCE)
        self.assertEqual((pusher.returncode, reader.returncode), (0, 0))

    def test_the_time_of_elements_can_be_given(self):
        self.pushable("timed")
        self.done("push", "timed", "Read", "--event-time", "1700000000000000", "--done", stdin="a\n")
        self.assertEqual(json.loads(self.done("replay", "timed"))["time"], 1700000000000000)

    def test_a_limit_that_cuts_a_push_is_told(self):
        self.pushable("limited", "--limit", "10")
        said = self.refused("push", "limited", "Read", stdin="x\n" * 25)
        self.assertIn("10 of 25 elements were recorded", said)
        self.assertEqual(len(self.done("replay", "limited").splitlines()), 10)

    def test_a_push_that_waits_for_lines_ends_with_the_job(self):
        for flags in ((), ("--event-time", "1700000000000000")):
            with self.subTest(flags=flags):
                name = f"cancelled{len(flags)}"
                self.pushable(name)
                pusher, reader = self.engine.spawn("push", name, "Read", *flags), self.engine.spawn("replay", name)
                pusher.stdin.write("a line\n")
                pusher.stdin.flush()
                self.assertEqual(json.loads(reader.stdout.readline())["data"], "a line")
                self.done("cancel", name)
                self.assertEqual(pusher.wait(PATIENCE), 1)
                self.assertIn("the job takes no more (`user`): 1 of 1 elements were recorded, and the rest was not read",
                              pusher.communicate()[1])
                reader.communicate(timeout=PATIENCE)

    def test_ctrl_c_ends_a_push_and_what_was_read_is_recorded(self):
        self.pushable("stopped")
        pusher, reader = self.engine.spawn("push", "stopped", "Read"), self.engine.spawn("replay", "stopped", "--max-elements", "2")
        pusher.stdin.write("one\ntwo\nthr")
        pusher.stdin.flush()
        reader.communicate(timeout=PATIENCE)
        pusher.send_signal(signal.SIGINT)
        out, said = pusher.communicate(timeout=PATIENCE)
        self.assertEqual((pusher.returncode, said), (0, ""))
        self.assertIn("2 elements in ", out)

    def test_a_push_to_nobody_is_refused(self):
        self.refused("push", "nobody", "Read", stdin="x\n")
        self.pushable("tagged")
        self.assertIn("`Wrong`", self.refused("push", "tagged", "Wrong", stdin="x\n"))


class Keeping(CliTest):
    def test_a_recording_is_verified_kept_and_deleted(self):
        job = self.recorded("kept")
        self.assertTrue(self.document("verify", job["recording"])["intact"])
        self.assertTrue(self.document("keep", "kept")["kept"])
        self.assertEqual(self.document("delete", "--all", "kept")["recordings"], [])
        self.assertFalse(self.document("keep", "kept", "--release")["kept"])
        self.assertEqual(self.document("delete", job["recording"])["recordings"], [job["recording"]])
        self.refused("replay", job["recording"])

    def test_all_recordings_of_an_unknown_pipeline_are_an_error_and_of_one_without_any_are_none(self):
        self.recorded("emptied", 5)
        self.done("delete", "--all", "emptied")
        self.assertIn("nothing to delete", self.done("delete", "--all", "emptied"))
        self.assertIn("`nowhere` is no pipeline", self.refused("delete", "--all", "nowhere"))

    def test_damage_is_found_and_is_exit_status_1(self):
        recording = self.recorded("damaged", 1000)["recording"]
        segment = self.engine.segments(recording)[0]
        with open(segment, "r+b") as file:
            file.seek(segment.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0xff]))
        self.assertIn("is damaged", self.refused("verify", "damaged"))
        self.assertIn("corrupt", self.refused("replay", "damaged"))

    def test_a_pipeline_is_forgotten_with_all_it_has(self):
        recording = self.recorded("forgotten")["recording"]
        self.done("forget", "forgotten")
        self.refused("describe", "forgotten")
        self.refused("describe", recording)


class Restarting(unittest.TestCase):
    """Each with an engine of its own, which does not outlive the test as it was."""

    def setUp(self):
        self.engine = CliEngine()
        self.addCleanup(self.engine.remove)

    def test_stop_ends_the_engine_with_0(self):
        self.assertEqual(self.engine.type("stop").returncode, 0)
        self.assertEqual(self.engine.ended(), 0)
        gone = self.engine.type("--timeout", "200ms", "status")
        self.assertEqual(gone.returncode, 3)
        self.assertIn("no engine answers at", gone.stderr)

    def test_a_push_survives_a_crash_of_the_engine_with_each_line_once(self):
        definition = {"name": "crash", "transforms": [{"name": "Read", "urn": "reprise:source:push:v1"}]}
        self.assertEqual(self.engine.type("run", "-", stdin=json.dumps(definition)).returncode, 0)
        pusher = self.engine.spawn("--timeout", "30s", "push", "crash", "Read", "--batch", "10", "--done")
        for number in range(1000):
            pusher.stdin.write(f"line {number}\n")
        pusher.stdin.flush()
        reader = self.engine.spawn("replay", "crash", "--max-elements", "100")
        reader.communicate(timeout=PATIENCE)  # some are recorded
        self.engine.restart()
        for number in range(1000, 2000):
            pusher.stdin.write(f"line {number}\n")
        out, said = pusher.communicate(timeout=PATIENCE)
        self.assertEqual(pusher.returncode, 0, out + said)
        replayed = self.engine.type("replay", "crash", "--format", "raw")
        self.assertEqual(replayed.stdout.splitlines(), [f"line {number}" for number in range(2000)])
        self.assertEqual(self.engine.type("verify", "crash").returncode, 0)

    def test_record_waits_through_a_crash_of_the_engine(self):
        recorder = self.engine.spawn("--timeout", "30s", "--json", "record", "generator:?rate=1000", "--limit", "2000", "--name", "crash")
        reader = self.engine.spawn("--timeout", "30s", "replay", "crash", "--max-elements", "100")
        while reader.wait(PATIENCE) != 0:  # there is no such recording yet
            reader.communicate()
            reader = self.engine.spawn("--timeout", "30s", "replay", "crash", "--max-elements", "100")
        reader.communicate()
        self.engine.restart()
        out, said = recorder.communicate(timeout=PATIENCE)
        self.assertEqual(recorder.returncode, 0, said)
        self.assertEqual(json.loads(out)["job"]["elements"], 2000)


if __name__ == "__main__":
    unittest.main()
