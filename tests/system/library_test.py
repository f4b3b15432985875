"""The C library as a user has it: installed into a folder, found by pkg-config, and driven by small programs against a real engine."""
import os
import pathlib
import re
import select
import shutil
import subprocess
import tempfile
import unittest

from engine import BUILD, PATIENCE, PUSH, ROOT, Engine, pipeline, source

HERE = pathlib.Path(__file__).parent / "library"
ORIGIN = 1700000000000000
FOLDER = None


def setUpModule():
    """Installs the library and builds the programs against it: against the shared one, and one against the static one."""
    global FOLDER
    FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="reprise-library-"))
    unittest.addModuleCleanup(shutil.rmtree, FOLDER, ignore_errors=True)
    subprocess.run(["cmake", "--install", BUILD, "--prefix", FOLDER / "usr"], check=True, stdout=subprocess.DEVNULL)
    for program in ("driver", "threads"):
        compile_program(HERE / f"{program}.c", FOLDER / program)


def flags(*words):
    found = next((FOLDER / "usr").rglob("reprise.pc")).parent
    environment = dict(os.environ, PKG_CONFIG_PATH=str(found))
    return subprocess.run(["pkg-config", *words, "reprise"], env=environment, check=True, capture_output=True, text=True).stdout.split()


def sanitizers():
    """Those that the library was built with: a program must have them, too."""
    for line in (BUILD / "CMakeCache.txt").read_text().splitlines():
        if line.startswith("REPRISE_SANITIZE:") and line.partition("=")[2]:
            return ["-fsanitize=" + line.partition("=")[2]]
    return []


def compile_program(path, program, *words):
    library = flags("--variable=libdir")[0]
    subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-g", path, "-o", program, "-pthread", *sanitizers(),
                    *(words or [*flags("--cflags", "--libs"), f"-Wl,-rpath,{library}"])], check=True)


class Driver:
    """A program that does what it is told, a line each."""

    def __init__(self, engine):
        self.process = subprocess.Popen([FOLDER / "driver"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        if engine:
            assert self.tell("connect", engine.endpoints["commands"]) == "0"

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def hear(self):
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the driver says nothing"
        return self.process.stdout.readline().rstrip("\n")

    def tell(self, *words):
        self.say(*words)
        return self.hear()

    def feed(self, name, tag="Read", producer="-", linger_us=0, batch_bytes=0, timeout_ms=0, batch_count=0):
        return self.tell("feed", name, tag, producer, linger_us, batch_bytes, timeout_ms, batch_count)

    def replay(self, name, first=0, most=0, rate=0, credit=0):
        return self.tell("replay", name, first, most, rate, credit)

    def remove(self):
        """Ends it; it must have nothing to complain of, nor a sanitizer."""
        self.process.stdin.close()
        try:
            status = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        assert status == 0, f"the driver ended with {status}"


class LibraryTest(unittest.TestCase):
    flags = ("--chaos",)

    def setUp(self):
        self.engine = Engine(*self.flags)
        self.addCleanup(self.engine.remove)
        self.driver = self.drive()
        self.tell = self.driver.tell

    def drive(self, engine=None):
        driver = Driver(engine or self.engine)
        self.addCleanup(driver.remove)
        return driver

    def pushable(self, name, *tags, **limits):
        sources = [source(tag, PUSH, {"tag": tag}) for tag in tags or ("Read",)]
        return self.engine.run(pipeline(name, *sources), **({"limits": limits} if limits else {}))

    def fed(self, name, **options):
        self.pushable(name)
        self.assertEqual(self.driver.feed(name, **options), "0")

    def counts(self):
        """Pushed, recorded, why it stopped."""
        _, pushed, recorded, stopped = self.tell("counts").split()
        return int(pushed), int(recorded), stopped

    def numbered(self, name, count):
        """The recording has exactly the first `count` numbered elements; its digest."""
        self.assertEqual(self.driver.replay(name), "0")
        result, elements, wrong, reason, digest = self.tell("read", 0, 0).split()
        self.assertEqual((result, elements, wrong, reason), ("1", str(count), "0", "end"))
        return digest


class Feeding(LibraryTest):
    def test_a_million_elements_pushed_one_by_one_are_read_back_the_same(self):
        self.fed("million")
        self.assertEqual(self.tell("push", 1000000), "0")
        self.assertEqual(self.tell("done", 20000), "0")
        self.assertEqual(self.counts(), (1000000, 1000000, "sources_ended"))
        self.assertEqual(self.tell("wait", "million", 5000), "0 DONE sources_ended 1 1000000")
        digest = self.numbered("million", 1000000)
        self.assertEqual(digest, self.engine.ask("recording.describe", pipeline="million")["digest"])
        printed = subprocess.run([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], "replay", "million", "--digest"],
                                 capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(printed.stdout.strip(), digest)

    def test_a_lone_element_is_sent_without_a_flush(self):
        self.fed("lone")
        for number in range(5):
            self.assertEqual(self.tell("push", 1), "0")
            events = self.engine.replay(pipeline="lone", max_elements=number + 1)
            self.assertEqual(events[-1][0]["elements"], number + 1)

    def test_every_element_waits_for_no_more_than_the_linger_even_one_behind_another(self):
        self.fed("behind", linger_us=200)
        with self.engine.connect("test_stream") as stream:
            stream.ask("replay.open", pipeline="behind", credit=1 << 30)
            for number in range(200):
                self.assertEqual(self.tell("push", 1 + number % 3), "0")
            seen = 0
            while seen < sum(1 + number % 3 for number in range(200)):
                event, _, _ = stream.receive(PATIENCE)
                seen += event.get("count", 0)

    def test_a_limit_that_is_reached_while_pushing_is_told_and_the_count_is_exact(self):
        self.pushable("limited", count=1234)
        self.assertEqual(self.driver.feed("limited", batch_bytes=1000), "0")
        result = self.tell("push", 10000000)
        self.assertEqual(result, "1")
        pushed, recorded, stopped = self.counts()
        self.assertEqual((recorded, stopped), (1234, "count"))
        self.assertGreaterEqual(pushed, 1234)
        for words in (("push", 1), ("flush", 1000), ("done", 1000), ("watermark", 1), ("cursor", 1)):
            self.assertEqual(self.tell(*words), "1", words)
        self.assertEqual(self.counts(), (pushed, 1234, "count"))
        self.numbered("limited", 1234)

    def test_elements_of_any_size_arrive_whole_and_one_that_is_too_large_is_refused(self):
        self.fed("sizes", batch_bytes=4096)
        sizes = (0, 1, 255, 256, 4000, 4096, 65535, 65536, 3000000, 16000000, 5)
        for size in sizes:
            self.assertEqual(self.tell("push", 1, size) if size else self.tell("text", ""), "0", size)
        self.assertRegex(self.tell("push", 1, 16 * 1024 * 1024), "^-1 too_large: an element of 16777216 bytes")
        self.assertEqual(self.tell("done", 20000), "0")
        self.assertEqual([len(element[2]) for element in self.engine.elements(pipeline="sizes")], list(sizes))

    def test_attributes_go_with_their_element(self):
        self.fed("attributes")
        self.assertEqual(self.tell("with", "payload", "key", "bytes", "topic", "text"), "0")
        self.assertEqual(self.tell("done", 5000), "0")
        self.assertEqual(self.engine.elements(pipeline="attributes"), [["Read", ORIGIN, b"payload", {"key": b"bytes", "topic": "text"}]])
        self.driver.replay("attributes")
        while not (said := self.tell("next", 5000)).startswith("1 element"):
            self.assertTrue(said.startswith("1 "), said)
        self.assertEqual(said, "1 element Read 0 0 payload key=bytes topic=text(text)")

    def test_an_element_of_now_has_the_time_of_the_clock_and_never_goes_back(self):
        self.fed("now")
        before = self.engine.ask("recording.describe", pipeline="now")["start"]
        for number in range(500):
            self.assertEqual(self.tell("text", number), "0")
        self.assertEqual(self.tell("done", 5000), "0")
        self.engine.wait("now")
        described = self.engine.ask("recording.describe", pipeline="now")
        times = [element[1] for element in self.engine.elements(pipeline="now")]
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(before, times[0])
        self.assertLessEqual(times[-1], described["end"])

    def test_a_watermark_goes_with_the_elements_before_it_or_alone(self):
        self.fed("watermarks")
        self.tell("push", 3)
        self.tell("watermark", 2)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.tell("watermark", 7)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.tell("push", 2)
        self.assertEqual(self.tell("done", 5000), "0")
        kinds = [(event["event"], event.get("to", 0) - ORIGIN if "to" in event else event.get("count"))
                 for event, _ in self.engine.replay(pipeline="watermarks") if event["event"] in ("elements", "watermark")]
        self.assertEqual(kinds[:-1], [("elements", 3), ("watermark", 2), ("watermark", 7), ("elements", 2)])

    def test_a_batch_has_no_more_elements_than_allowed(self):
        self.pushable("counted")
        self.assertEqual(self.driver.feed("counted", linger_us=3600 * 1000000, batch_count=10), "0")
        before = self.engine.counter("batches")
        self.tell("push", 1005)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.assertEqual(self.engine.counter("batches") - before, 101)

    def test_a_program_that_waits_for_something_else_sees_that_the_feed_is_over(self):
        self.fed("watched")
        self.assertEqual(self.tell("over", 0), "0")
        self.driver.say("over", 20000)
        self.engine.ask("job.cancel", pipeline="watched")
        self.assertEqual(self.driver.hear(), "1")
        self.assertEqual(self.counts(), (0, 0, "user"))

    def test_a_flush_of_no_time_sends_and_does_not_wait(self):
        self.fed("impatient", linger_us=3600 * 1000000)
        self.tell("push", 5)
        self.assertRegex(self.tell("flush", 0), r"^-1 timeout \(retry\): ")
        self.assertEqual(self.tell("flush", 5000), "0")
        self.assertEqual(self.counts(), (5, 5, "-"))

    def test_two_threads_feed_while_a_third_reads(self):
        self.pushable("threads", "Left", "Right")
        result = subprocess.run([FOLDER / "threads", self.engine.endpoints["commands"], "threads", "300000"], capture_output=True,
                                text=True, timeout=2 * PATIENCE)
        self.assertEqual((result.returncode, result.stdout), (0, "300000 300000 end\n"), result.stderr)

    def test_a_second_feed_of_the_same_producer_takes_over_and_goes_on(self):
        self.fed("shared", producer="one")
        self.tell("push", 10)
        self.assertEqual(self.tell("flush", 5000), "0")
        second = self.drive()
        self.assertEqual(second.feed("shared", producer="one"), "0")
        # The word of it goes another way than the second's answer, and may come later.
        self.assertEqual(self.tell("over", 20000), "1")
        self.assertEqual(self.tell("flush", 5000), "1")
        self.assertEqual(self.counts(), (10, 10, "superseded"))
        second.tell("push", 5)
        self.assertEqual(second.tell("done", 5000), "0")
        self.assertEqual(self.engine.ask("recording.describe", pipeline="shared")["elements"], 15)


class Cursors(LibraryTest):
    def test_a_cursor_is_given_back_to_whoever_goes_on(self):
        self.fed("resumed", producer="reader")
        self.assertEqual(self.tell("given"), "0 0 -1")
        self.tell("push", 10)
        self.tell("cursor", 42)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.tell("close")
        self.assertEqual(self.driver.feed("resumed", producer="reader"), "0")
        self.assertEqual(self.tell("given"), "0 1 42")

    def test_what_is_recorded_never_goes_beyond_the_cursor(self):
        self.fed("exact", producer="reader", batch_bytes=300, linger_us=100)
        for cursor in range(100):
            self.tell("push", 7)
            self.tell("cursor", cursor)
        self.tell("push", 3)
        # Three elements have no cursor after them. Whatever has come, the cursor that a new feed gets tells exactly what.
        other = self.drive()
        self.assertEqual(other.feed("exact", producer="reader"), "0")
        _, _, cursor = other.tell("given").split()
        recorded = self.engine.ask("recording.describe", pipeline="exact")["elements"]
        self.assertEqual(recorded, 7 * (int(cursor) + 1))

    def test_a_flush_sends_what_has_no_cursor_yet(self):
        self.fed("flushed", producer="reader")
        self.tell("push", 4)
        self.tell("cursor", 1)
        self.tell("push", 3)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.assertEqual(self.counts(), (7, 7, "-"))
        records = [record for record in self.engine.ask("recording.describe", pipeline="flushed")["tags"]]
        self.assertEqual(records[0]["elements"], 7)

    def test_what_is_no_cursor_is_refused(self):
        self.fed("cursorless")
        self.assertRegex(self.tell("cursor", 193), "^-1 usage: the cursor is no msgpack value")


class Breaking(LibraryTest):
    def test_nothing_is_lost_or_doubled_when_the_engine_is_killed_while_it_is_fed(self):
        for producer in ("-", "named"):
            with self.subTest(producer=producer):
                name = f"killed{producer}"
                driver = self.drive()
                self.pushable(name)
                self.assertEqual(driver.feed(name, producer=producer, batch_bytes=2000), "0")
                total = 0
                for _ in range(4):
                    driver.say("push", 200000)
                    total += 200000
                    self.engine.replay(pipeline=name, max_elements=total - 150000)
                    self.engine.restart()
                    self.assertEqual(driver.hear(), "0")
                self.assertEqual(driver.tell("done", 20000), "0")
                self.assertEqual(driver.tell("counts"), f"0 {total} {total} sources_ended")
                self.assertEqual(driver.replay(name), "0")
                self.assertRegex(driver.tell("read", 0, 0), f"^1 {total} 0 end ")

    def test_a_recorder_that_fails_is_no_trouble(self):
        self.fed("recorder", batch_bytes=2000)
        for _ in range(3):
            self.driver.say("push", 100000)
            self.engine.ask("chaos.fail", actor="recorder")
            self.assertEqual(self.driver.hear(), "0")
            self.assertEqual(self.tell("flush", 20000), "0")
        self.assertEqual(self.tell("done", 20000), "0")
        self.numbered("recorder", 300000)

    def test_the_end_of_a_source_is_told_even_if_the_engine_dies_over_it(self):
        self.fed("ending")
        self.tell("push", 1000)
        self.assertEqual(self.tell("flush", 5000), "0")
        self.engine.kill()
        self.driver.say("done", 20000)
        self.engine.start()
        self.assertEqual(self.driver.hear(), "0")
        self.numbered("ending", 1000)

    def test_a_feed_whose_engine_stays_away_fails_in_time_and_stays_failed(self):
        self.fed("away", timeout_ms=300)
        self.tell("push", 10)
        self.engine.kill()
        self.assertRegex(self.tell("flush", 20000), r"^-1 unreachable \(retry\): the engine at tcp://\S+ did not let `Read` in in time")
        self.assertRegex(self.tell("push", 1), "^-1 unreachable")
        self.assertRegex(self.tell("done", 1000), "^-1 unreachable")

    def test_a_replay_whose_engine_dies_says_where_to_go_on(self):
        self.fed("torn")
        self.tell("push", 50000)
        self.assertEqual(self.tell("flush", 10000), "0")
        self.assertEqual(self.driver.replay("torn"), "0")
        self.assertRegex(self.tell("read", 0, 50000), "^1 50000 0 - -")
        self.driver.say("next", 20000)
        self.engine.kill()
        while (said := self.driver.hear()).startswith("1 watermark"):
            self.driver.say("next", 20000)
        self.assertRegex(said, r"^-1 unreachable \(retry\): the engine at \S+ is gone: this replay of \S+ has come to element 50000")
        self.assertRegex(self.tell("next", 0), "^-1 unreachable")
        self.assertEqual(self.tell("position"), "0 50000")
        self.engine.start()
        self.tell("push", 10)
        self.assertEqual(self.tell("done", 20000), "0")
        self.assertEqual(self.driver.replay("torn", 50000), "0")
        self.assertRegex(self.tell("read", 50000, 0), "^1 10 0 end -")

    def test_what_came_before_the_end_of_the_engine_is_still_read(self):
        self.fed("before", linger_us=3600 * 1000000)
        self.tell("push", 1000)
        self.tell("watermark", 5)
        self.assertEqual(self.tell("flush", 10000), "0")
        self.assertEqual(self.driver.replay("before"), "0")
        self.assertRegex(self.tell("read", 0, 1), "^1 1 0 - -")
        self.assertEqual(self.tell("pause"), "0")  # now all that was sent is here
        self.engine.kill()
        self.assertRegex(self.tell("read", 1, 999), "^1 999 0 - -")
        self.assertEqual(self.tell("next", 0), f"1 watermark Read {ORIGIN + 5}")
        self.assertRegex(self.tell("next", 20000), "^-1 unreachable")

    def test_a_test_stream_server_that_fails_is_told_with_the_next_credit(self):
        self.fed("server")
        self.tell("push", 200000)
        self.assertEqual(self.tell("flush", 10000), "0")
        self.assertEqual(self.driver.replay("server", credit=100000), "0")
        self.assertRegex(self.tell("read", 0, 10), "^1 10 0 - -")
        self.engine.ask("chaos.fail", actor="test_stream_server")
        self.assertRegex(self.tell("read", 10, 0), r"^-1 not_found \(retry\): the engine at \S+ does not know this replay")
        _, position = self.tell("position").split()
        self.assertGreater(int(position), 10)


class Refusing(LibraryTest):
    def test_what_is_not_there_is_named(self):
        self.pushable("there")
        self.assertRegex(self.driver.feed("nowhere"), r"^-1 invalid_state \(retry\): .*`nowhere`")
        self.assertRegex(self.driver.feed("there", tag="Wrong"), "^-1 not_found: .*no tag `Wrong`; it records `Read`")
        self.assertRegex(self.driver.replay("nowhere"), "^-1 not_found: .*`nowhere`")
        self.assertRegex(self.tell("ask", "op", "pipeline.describe", "pipeline", "nowhere"), "^-1 not_found: .*`nowhere`")
        self.assertRegex(self.tell("ask", "op", "pipeline.explode"), "^-1 unknown_op: .*`pipeline.explode`")
        self.assertRegex(self.tell("ask", "pipeline", "x"), "^-1 usage: the request must be a map with the text `op`")
        self.assertRegex(self.tell("ask", "op", "engine.info", "id", "x"), "^-1 usage: the request must not have an `id`")
        self.assertRegex(self.tell("ask", "op", "engine.info"), r"^0 \d+$")

    def test_wrong_options_are_named(self):
        self.assertRegex(self.driver.feed("there", linger_us=-1), "^-1 usage: `linger_us` is -1")
        self.assertRegex(self.driver.feed("there", batch_bytes=1 << 30), "^-1 usage: `batch_bytes` is 1073741824")
        self.assertRegex(self.driver.replay("there", rate=-1), "^-1 usage: `rate` is -1")
        other = Driver(None)
        self.addCleanup(other.remove)
        self.assertRegex(other.tell("connect", "carrier-pigeon"), "^-1 usage: cannot connect to `carrier-pigeon`")

    def test_an_engine_that_is_not_there_is_unreachable_in_time(self):
        self.engine.kill()
        self.assertRegex(self.driver.feed("any", timeout_ms=200), r"^-1 unreachable \(retry\): no engine answers at tcp://")
        self.engine.start()
        self.pushable("any")
        self.assertEqual(self.driver.feed("any"), "0")

    def test_every_wait_ends_when_it_is_interrupted(self):
        self.fed("interrupted")
        self.assertEqual(self.tell("interrupt"), "0")
        self.assertEqual(self.driver.replay("interrupted")[:14], "-1 interrupted")
        self.assertRegex(self.tell("wait", "interrupted", 20000), r"^-1 interrupted \(retry\)")
        other = self.drive()
        other.tell("interrupt")
        self.assertRegex(other.feed("interrupted"), "^-1 interrupted")


class Reading(LibraryTest):
    COUNT = 200000  # more than one event, however they are joined

    def setUp(self):
        super().setUp()
        self.fed("read")
        self.tell("push", self.COUNT)
        self.assertEqual(self.tell("done", 10000), "0")

    def element(self):
        """The next element of the replay, in the driver's words; what else comes is left out."""
        while not (said := self.tell("next", 5000)).startswith(("1 element", "1 end", "0", "-1")):
            pass
        return said

    def position(self):
        return int(self.tell("position").split()[1])

    def test_events_of_every_kind_come_in_their_order(self):
        self.assertEqual(self.driver.replay("read", self.COUNT - 10), "0")
        kinds = []
        while not kinds or kinds[-1] != "end":
            kinds.append(self.tell("next", 5000).split()[1])
        self.assertEqual(kinds[-12:], ["element"] * 10 + ["watermark", "end"])
        self.assertIn("processing_time", kinds)
        self.assertEqual(self.tell("next", 0), "1 end end 10 -")
        self.assertEqual(self.tell("next", 0), "1 end end 10 -")

    def test_a_slow_reader_gets_all_through_a_small_credit(self):
        self.assertEqual(self.driver.replay("read", credit=1), "0")
        self.assertRegex(self.tell("read", 0, 0), f"^1 {self.COUNT} 0 end [0-9a-f]{{32}}$")

    def test_a_part_is_read_from_an_element_on(self):
        self.assertEqual(self.driver.replay("read", 990, 5), "0")
        self.assertRegex(self.tell("read", 990, 0), "^1 5 0 limit")

    def test_a_paused_replay_is_stepped_and_resumed_and_loses_nothing(self):
        self.assertEqual(self.driver.replay("read", credit=1), "0")
        self.assertEqual(self.element(), "1 element Read 0 0 element 0")
        self.assertEqual(self.tell("pause"), "0")
        self.assertRegex(self.tell("read", 1, self.position() + 1), "^1 2 0 - -")
        while self.tell("next", 300) != "0":
            pass
        paused = self.position()
        self.assertLess(paused, self.COUNT)
        self.assertEqual(self.tell("step", 1), "0")
        self.assertTrue(self.tell("next", 5000).startswith("1 "))
        while self.tell("next", 300) != "0":
            pass
        stepped = self.position()
        self.assertLess(stepped, self.COUNT)
        self.assertEqual(self.tell("resume"), "0")
        self.assertRegex(self.tell("read", stepped, 0), f"^1 {self.COUNT - stepped} 0 end [0-9a-f]{{32}}$")

    def test_events_that_come_before_an_answer_are_read_after_it(self):
        self.assertEqual(self.driver.replay("read"), "0")
        self.assertRegex(self.tell("read", 0, 10), "^1 10 0 - -")
        self.assertEqual(self.tell("rate", 0), "0")
        self.assertRegex(self.tell("read", 10, 0), f"^1 {self.COUNT - 10} 0 end [0-9a-f]{{32}}$")

    def test_after_a_seek_the_next_element_is_the_one_sought(self):
        self.assertEqual(self.driver.replay("read", credit=1000000), "0")
        self.assertEqual(self.element(), "1 element Read 0 0 element 0")
        self.assertEqual(self.tell("seek", 150000), "0")
        self.assertEqual(self.element(), "1 element Read 150000 150000 element 150000")
        self.assertEqual(self.tell("seek", 3), "0")
        self.assertEqual(self.element(), "1 element Read 3 3 element 3")
        self.assertRegex(self.tell("read", 4, 0), f"^1 {self.COUNT - 4} 0 end -$")

    def test_a_replay_that_was_sent_to_its_end_takes_no_commands_and_is_read_to_it(self):
        self.assertEqual(self.driver.replay("read", credit=1 << 30), "0")
        self.assertEqual(self.element(), "1 element Read 0 0 element 0")
        self.engine.replay(pipeline="read")  # the same engine has sent all of it to another, so to this one, too
        self.assertRegex(self.tell("seek", 3), "^-1 invalid_state: this replay of .* has been sent to its end")
        self.assertRegex(self.tell("read", 1, 0), f"^1 {self.COUNT - 1} 0 end [0-9a-f]{{32}}$")
        self.assertRegex(self.tell("pause"), "^-1 invalid_state: this replay of .* has been sent to its end")

    def test_a_step_of_a_replay_that_is_not_paused_is_refused_and_the_replay_goes_on(self):
        self.assertEqual(self.driver.replay("read", credit=2000), "0")
        self.assertRegex(self.tell("step", 1), "^-1 invalid_state: .*not paused")
        self.assertRegex(self.tell("read", 0, 0), f"^1 {self.COUNT} 0 end")


class Example(LibraryTest):
    def run_it(self, *words):
        return subprocess.run([FOLDER / "library", "--engine", self.engine.endpoints["commands"], *words], capture_output=True, text=True,
                              timeout=PATIENCE)

    def test_the_example_of_the_docs_records_and_then_only_replays(self):
        compile_program(ROOT / "docs" / "clients" / "c" / "library.c", FOLDER / "library")
        first, second = self.run_it("example", "2345"), self.run_it("example", "1")
        self.assertEqual((first.returncode, second.returncode), (0, 0), first.stderr + second.stderr)
        self.assertEqual(first.stdout.splitlines(), [f"Numbers {number}: number {number}" for number in range(2345)])
        self.assertEqual(second.stdout, first.stdout)
        self.assertIn("DONE: 2345 elements recorded", first.stderr)
        self.assertIn("recording_valid", second.stderr)
        digest = self.engine.ask("recording.describe", pipeline="example")["digest"]
        self.assertIn(f"end: 2345 elements, digest {digest}", second.stderr)
        wrong = self.run_it("", "1")
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertRegex(wrong.stderr, "^library: cannot run: bad_request: ")


class Installed(unittest.TestCase):
    def test_only_the_interface_can_be_seen(self):
        for name, words in (("libreprise.so", ["-D"]), ("libreprise.a", [])):
            listed = subprocess.run(["nm", *words, "--defined-only", "--extern-only", next((FOLDER / "usr").rglob(name))],
                                    check=True, capture_output=True, text=True).stdout
            names = [line.split()[-1] for line in listed.splitlines() if " T " in line or " D " in line or " B " in line]
            self.assertEqual([name for name in names if not name.startswith("reprise_")], [], name)
            self.assertIn("reprise_push", names)

    def test_every_function_of_the_header_is_there_and_the_static_library_links(self):
        header = next((FOLDER / "usr").rglob("reprise.h")).read_text()
        declared = re.findall(r"REPRISE_API [^(;]*?(reprise_\w+)\(", header)
        self.assertGreater(len(declared), 25)
        program = FOLDER / "all.c"
        program.write_text('#include <reprise.h>\n#include <stdio.h>\ntypedef void any(void);\nint main(void) {\n    any *all[] = {'
                           + ", ".join(f"(any *){name}" for name in declared)
                           + '};\n    printf("%zu %s\\n", sizeof all / sizeof *all, reprise_version());\n    return 0;\n}\n')
        static = next((FOLDER / "usr").rglob("libreprise.a"))
        include = f"-I{next((FOLDER / 'usr').rglob('reprise.h')).parent}"
        for name, words in (("shared", ()), ("static", (include, static, "-lzmq", "-lmsgpackc"))):
            compile_program(program, FOLDER / name, *words)
            said = subprocess.run([FOLDER / name], check=True, capture_output=True, text=True).stdout.split()
            self.assertEqual(said, [str(len(declared)), flags("--modversion")[0]])


if __name__ == "__main__":
    unittest.main()
