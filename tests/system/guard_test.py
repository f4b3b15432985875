"""The process guard: a crashed engine is started again on the same ports and goes on, and what is no crash is left as it is.

Nothing here is timed: each wait is for an answer, a line or the end of a process.
"""
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import zmq

from disk import Disk
from engine import BUILD, GENERATOR, PATIENCE, PUSH, PORTS, ROOT, Engine, Producer, free_ports, pipeline, sanitizers, source


def running(pid):
    """Is there such a process? One that has ended and that nobody has asked about is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class GuardTest(unittest.TestCase):
    def start(self, *flags, **more):
        self.engine = Engine(*flags, guard=True, **more)
        self.addCleanup(self.engine.remove)

    def pid(self):
        """The engine's own, once it answers: what was asked of one that died is asked again."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with self.engine.connect("commands") as commands:
                try:
                    return commands.ask("engine.info", timeout_s=1)["pid"]
                except TimeoutError:
                    pass
        raise AssertionError(f"no engine answers: {self.engine.said()}")

    def crash(self, number=signal.SIGKILL):
        """Ends the engine process, and waits for the next one: its pid."""
        before = self.pid()
        os.kill(before, number)
        self.assertRegex(self.engine.process.stdout.readline(), r"^ready commands=")
        after = self.pid()
        self.assertNotEqual(after, before)
        return after

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, "this takes too long")
            self.engine.process.poll()


class Restart(GuardTest):
    def test_the_engine_is_a_child_of_the_guard_and_says_its_own_pid(self):
        self.start()
        pid = self.pid()
        self.assertNotEqual(pid, self.engine.process.pid)
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            self.assertEqual(int(stat.read().rpartition(")")[2].split()[1]), self.engine.process.pid)
        self.assertEqual(self.engine.stop(), 0)
        self.assertFalse(running(pid))

    def test_after_a_crash_the_same_ports_serve_again_and_jobs_go_on(self):
        self.start()
        job = self.engine.run(pipeline("clicks", source("Read", PUSH), source("Numbers", GENERATOR, {"rate": 1000})))["job"]
        producer = Producer(self.engine, "clicks")
        self.addCleanup(producer.close)
        for number, how in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE), 1):
            with self.subTest(signal=how):
                producer.push(number * 20)
                self.crash(how)
                producer.attached = None
                self.assertEqual(self.engine.ask("engine.info")["endpoints"], {**self.engine.endpoints, "beam": self.engine.beam})
                self.assertTrue(self.engine.ask("job.describe", job=job)["is_running"])
                self.assertIn(f"the engine was ended by {how.name}", self.engine.said())
        producer.push(200)
        self.engine.ask("job.cancel", job=job)
        self.engine.wait("clicks")
        pushed = [one for one in self.engine.elements(pipeline="clicks") if one[0] == "Read"]
        self.assertEqual(pushed, producer.expected(200))
        self.assertEqual(self.engine.stop(), 0)

    def test_a_client_that_stays_is_answered_by_the_next_engine(self):
        self.start()
        first = self.engine.ask("engine.info")["pid"]
        second = self.crash()
        self.assertEqual(self.engine.ask("engine.info")["pid"], second)
        self.assertNotEqual(first, second)

    def test_the_first_restart_comes_at_once_and_the_next_ones_later(self):
        self.start()
        for _ in range(4):
            self.crash()
        pauses = [int(pause) for pause in re.findall(r"starts again in (\d+) ms", self.engine.said())]
        self.assertEqual(pauses[0], 0)
        for pause, middle in zip(pauses[1:], (100, 200, 400), strict=True):
            self.assertLessEqual(abs(pause - middle), middle / 4)

    def test_an_engine_that_gives_up_on_an_actor_is_started_again(self):
        self.start("--chaos")
        pid = self.pid()
        output = [self.engine.process.stdout]
        with self.engine.connect("commands") as commands:
            while not select.select(output, [], [], 0)[0]:
                commands.send("chaos.fail", actor="syncer")
                try:
                    commands.receive(0.1)
                except TimeoutError:
                    pass
        self.assertRegex(output[0].readline(), "^ready")
        self.assertNotEqual(self.pid(), pid)
        self.assertRegex(self.engine.said(), "gives up: syncer.*\n.*starts again")

    def test_the_engine_comes_back_where_nobody_reads_what_the_guard_says(self):
        port, folder = free_ports(PORTS), tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        process = subprocess.Popen([BUILD / "reprised", "--data", folder, "--port", str(port)], text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stderr.close()
        self.assertRegex(process.stdout.readline(), "^ready")
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as children:
            os.kill(int(children.read()), signal.SIGKILL)
        self.assertRegex(process.stdout.readline(), "^ready")

    def test_what_an_engine_is_told_by_its_environment_every_one_is(self):
        self.start(env={"REPRISE_TEST_MARK": "kept"})
        for find in (self.pid, self.crash):
            with open(f"/proc/{find()}/environ", "rb") as environment:
                self.assertIn(b"REPRISE_TEST_MARK=kept\0", environment.read())


class End(GuardTest):
    def test_too_many_crashes_in_a_minute_are_the_end_with_status_1(self):
        self.start("--crashes", "2")
        for _ in range(2):
            self.crash()
        os.kill(self.pid(), signal.SIGSEGV)
        self.assertEqual(self.engine.ended(), 1)
        self.assertIn("gives up: 3 crashes in a minute are more than `crashes` (2)", self.engine.said())

    def test_no_crash_at_all_may_be_borne(self):
        self.start("--crashes", "0")
        os.kill(self.pid(), signal.SIGKILL)
        self.assertEqual(self.engine.ended(), 1)

    def test_each_signal_that_stops_is_passed_on_and_ends_both_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number):
                self.start()
                pid = self.pid()
                self.engine.process.send_signal(number)
                self.assertEqual((self.engine.ended(), self.engine.said()), (0, ""))
                self.assertFalse(running(pid))

    def test_a_signal_to_both_as_from_a_terminal_is_one_request_to_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.start()
            self.engine.run(pipeline("running", source("Read", GENERATOR, {"rate": 0})))
            os.kill(self.pid(), number)
            self.engine.process.send_signal(number)
            self.assertEqual((self.engine.ended(), self.engine.said()), (0, ""))

    def test_the_signal_of_a_closed_terminal_is_ignored_under_nohup(self):
        port, folder = free_ports(PORTS), tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        process = subprocess.Popen(["nohup", BUILD / "reprised", "--data", folder, "--port", str(port)], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.assertRegex(process.stdout.readline(), "^ready")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR1 if process.poll() else signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_a_second_signal_ends_it_at_once_with_1(self):
        self.start()
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        self.engine.process.send_signal(signal.SIGTERM)
        self.engine.process.send_signal(signal.SIGINT)
        self.assertEqual(self.engine.ended(), 1)
        self.assertFalse(running(pid))

    def test_engine_stop_ends_both_with_0(self):
        self.start()
        pid = self.pid()
        self.assertTrue(self.engine.ask("engine.stop")["ok"])
        self.assertEqual((self.engine.ended(), self.engine.said()), (0, ""))
        self.assertFalse(running(pid))

    def test_an_engine_that_a_client_had_stopped_is_not_started_again_whatever_it_ends_with(self):
        self.start("--chaos")
        pid = self.pid()
        self.engine.ask("chaos.hang", actor="notifier", ms=600000)
        self.engine.ask("engine.stop")
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.engine.ended(), 1)

    def test_an_engine_that_is_stopped_by_itself_is_no_crash(self):
        self.start()
        os.kill(self.pid(), signal.SIGTERM)
        self.assertEqual((self.engine.ended(), self.engine.said()), (0, ""))

    def test_one_that_was_started_with_sigchld_ignored_learns_of_the_end_of_an_engine(self):
        self.start(by=["env", "--ignore-signal=CHLD"])
        self.crash()
        self.assertEqual(self.engine.stop(), 0)

    def test_a_port_that_is_taken_is_no_crash(self):
        taken = zmq.Context.instance().socket(zmq.ROUTER)
        self.addCleanup(taken.close, 0)
        port, folder = taken.bind_to_random_port("tcp://127.0.0.1", 20000, 32000), tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        result = subprocess.run([BUILD / "reprised", "--data", folder, "--port", str(port)], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr.count("the engine cannot start"), 1)

    def test_a_second_engine_on_the_same_folder_ends_with_3_and_leaves_the_first_alone(self):
        self.start()
        pid = self.pid()
        second = subprocess.run([BUILD / "reprised", "--data", self.engine.data, "--port", "20000"], capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual(second.returncode, 3)
        self.assertIn(str(pid), second.stderr)
        self.assertEqual(self.pid(), pid)

    def test_an_engine_dies_with_its_guard(self):
        self.start()
        pid = self.pid()
        self.engine.kill()
        self.until(lambda: not running(pid))
        self.engine.start()
        self.assertEqual(self.engine.stop(), 0)

    def test_no_guard_is_one_process_that_nobody_restarts(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)
        self.assertEqual(self.pid(), self.engine.process.pid)
        self.assertEqual(self.engine.kill(), -signal.SIGKILL)


class Backtrace(GuardTest):
    def crashed(self, how, *flags, **more):
        """What stands in the file after an actor's thread has crashed, once the next engine serves."""
        self.start("--chaos", *flags, **more)
        self.engine.commands.send("chaos.crash", actor="limiter", how=how)
        self.assertRegex(self.engine.process.stdout.readline(), "^ready")
        return (self.engine.data / "crashes.log").read_text()

    def functions(self, text):
        """The functions' names, by addr2line."""
        frames = re.findall(r"^  #\d+ (.*/reprised)\+(0x[0-9a-f]+)$", text, re.M)
        self.assertTrue(frames, text)
        return [subprocess.run(["addr2line", "-fie", module, offset], capture_output=True, text=True).stdout for module, offset in frames]

    def test_a_crash_leaves_a_backtrace_that_addr2line_reads_on_stderr_and_in_the_data_folder(self):
        for how, name in (("segv", "SIGSEGV"), ("abort", "SIGABRT")):
            with self.subTest(how):
                text = self.crashed(how)
                self.assertIn(f"({name})", text)
                self.assertIn(", thread limiter, ", text)
                self.assertIn(text, self.engine.said())
                self.assertIn(f"the engine was ended by {name}", self.engine.said())
                functions = self.functions(text)
                self.assertIn("crash\n", functions[0])  # which of those, the compiler decides
                self.assertNotIn("on_crash\n", "".join(functions))
                self.assertIn("handle_control\n", "".join(functions))
                self.assertIn("actor_receive\n", "".join(functions))

    def test_the_file_begins_anew_when_it_is_large(self):
        self.start("--chaos")
        old = self.engine.data / "crashes.log"
        old.write_bytes(b"x" * (256 * 1024 + 1))
        self.engine.commands.send("chaos.crash", actor="limiter", how="segv")
        self.assertRegex(self.engine.process.stdout.readline(), "^ready")
        self.assertLess(old.stat().st_size, 100000)
        self.assertEqual(old.with_name("crashes.log.old").read_bytes()[:10], b"x" * 10)


class Hang(GuardTest):
    @unittest.skipIf(sanitizers(), "a library is loaded before the engine, and a sanitizer's must be the first")
    def test_engines_that_hang_are_ended_and_the_next_ones_serve(self):
        """One before it serves, in a call that never returns; one whose supervisor hangs, which it finds out by itself."""
        self.start("--chaos")
        supervised = self.engine
        supervised.ask("chaos.hang", actor="supervisor")
        held, output = self.held()
        self.assertRegex(output.readline(), "^ready")
        held.terminate()
        self.assertEqual(held.wait(PATIENCE), 0)
        self.assertRegex(held.stderr.read(), "has said nothing for 30 s and is ended\n(.*\n)*.*was ended by SIGABRT")
        self.assertRegex(supervised.process.stdout.readline(), "^ready")
        self.assertIn("the supervisor has not answered for 15 s", supervised.said())

    def held(self):
        """A guard whose first engine waits for ever in its first call of open on the data folder."""
        folder = tempfile.TemporaryDirectory(prefix="reprise-test-")
        self.addCleanup(folder.cleanup)
        disk = Disk()
        self.addCleanup(disk.folder.cleanup)
        fifo = f"{folder.name}/fifo"
        os.mkfifo(fifo)
        disk.set(("open", "*/lock", 1, 1, f"hold:{fifo}"))
        process = subprocess.Popen([BUILD / "reprised", "--data", f"{folder.name}/data", "--port", str(free_ports(PORTS))],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **disk.env})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.until(disk.log.exists)
        disk.set()
        return process, process.stdout


class Systemd(GuardTest):
    """systemd listens on a datagram socket that NOTIFY_SOCKET names."""

    def listen(self, *flags, guard=True):
        folder = tempfile.mkdtemp(prefix="reprise-test-")
        self.addCleanup(shutil.rmtree, folder)
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.notices.close)
        self.notices.settimeout(PATIENCE)
        self.notices.bind(f"{folder}/notify")
        self.engine = Engine(*flags, guard=guard, env={"NOTIFY_SOCKET": f"{folder}/notify"})
        self.addCleanup(self.engine.remove)

    def heard(self, word):
        """Everything up to the first notice that has this in it."""
        notices = []
        while not notices or word not in notices[-1]:
            notices.append(self.notices.recv(1024).decode())
        return notices

    def test_it_is_told_when_the_engine_serves_lives_and_stops(self):
        for guard in (True, False):
            with self.subTest(guard=guard):
                self.listen(guard=guard)
                self.assertNotIn("WATCHDOG=1", "".join(self.heard("READY=1")[:-1]).replace("WATCHDOG=1", "", 1))
                self.heard("WATCHDOG=1")
                self.engine.process.send_signal(signal.SIGTERM)
                self.heard("STOPPING=1")
                self.assertEqual(self.engine.ended(), 0)

    def test_it_hears_no_life_of_an_engine_that_is_held(self):
        self.listen()
        pid = self.pid()
        self.heard("WATCHDOG=1")
        os.kill(pid, signal.SIGSTOP)
        self.notices.settimeout(3)
        with self.assertRaises(TimeoutError):
            for _ in range(100):
                self.notices.recv(1024)
        os.kill(pid, signal.SIGCONT)
        self.notices.settimeout(PATIENCE)
        self.heard("WATCHDOG=1")
        self.assertEqual(self.engine.stop(), 0)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not there")
    def test_the_unit_is_one_that_systemd_takes_and_gives_the_engine_little(self):
        with tempfile.TemporaryDirectory(prefix="reprise-test-") as folder:
            unit = f"{folder}/reprised.service"
            text = (BUILD / "reprised.service").read_text()
            with open(unit, "w", encoding="utf-8") as file:
                file.write(re.sub(r"^ExecStart=\S+/reprised ", f"ExecStart={BUILD}/reprised ", text, flags=re.M))
            verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual((verified.returncode, verified.stderr), (0, ""))
            judged = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True,
                                    timeout=PATIENCE)
            self.assertEqual(judged.returncode, 0, judged.stdout)

    @unittest.skipIf(sanitizers(), "a sanitizer needs calls of its own")
    def test_what_the_unit_allows_is_enough(self):
        self.start(by=("/usr/bin/python3", ROOT / "tests" / "system" / "confined.py", BUILD / "reprised.service"))
        self.engine.ask("options.set", recordable_sources=["reprise:source:*:v1"])
        nobody = {"server": "127.0.0.1:9"}
        payloads = {"kafka": nobody | {"topics": "t"}, "mqtt": nobody | {"topics": "t"}, "nats": nobody | {"subject": "t"},
                    "redis": nobody | {"stream": "t"}, "zmq": nobody, "udp": {"server": "127.0.0.1:0"}, "generator": {"count": 100}}
        self.engine.run(pipeline("all", *(source(name, f"reprise:source:{name}:v1", given) for name, given in payloads.items())),
                        limits={"duration_ms": 500})
        job = self.engine.wait("all")
        self.assertEqual((job["stop_reason"], job["elements"]), ("duration", 100), job.get("error"))
        self.crash(signal.SIGSEGV)
        self.assertEqual(len(self.engine.elements(pipeline="all")), 100)
        self.assertEqual(self.engine.stop(), 0)
        self.assertIn("crash: signal 11", self.engine.said())

    def test_it_is_told_of_a_crash_and_that_the_next_engine_serves(self):
        self.listen()
        self.heard("READY=1")
        os.kill(self.pid(), signal.SIGSEGV)
        self.heard("STATUS=The engine was ended by SIGSEGV")
        self.heard("READY=1")


if __name__ == "__main__":
    unittest.main()
