"""A thousand pipelines, a hundred jobs that record, a hundred replays that follow them: what that takes, and that it is given back.

The memory is what the process has of its own (`Anonymous` in /proc): what it maps of the recordings belongs to the page cache.
"""
import contextlib
import pathlib
import time
import unittest

import msgpack

from campaign_load import LENT
from engine import FILE, GENERATOR, PATIENCE, PUSH, Engine, batches, pipeline, source

PIPELINES, JOBS, REPLAYS, LISTENERS = 1000, 100, 100, 5
LIMIT = 64 << 20    # bytes
MARGIN = 16 << 20   # bytes that the process may keep when everything is over: the catalog's cache, tables that have grown, holes
LARGE = 300 << 20   # bytes of a recording that is much larger than that
CREDIT = 256 << 10  # bytes that a replay may have under way
UNREAD = 4 << 20    # the same of one whose client does not read
KINDS = (GENERATOR, PUSH, GENERATOR, FILE, GENERATOR, PUSH, GENERATOR, FILE, GENERATOR, PUSH)  # of ten jobs


def transform(name, number):
    """A step of a pipeline that is no source: most of a definition is made of these."""
    payload = {"fn": f"org.example.pipelines.{name}Fn", "input": f"PCollection{number}", "output": f"PCollection{number + 1}",
               "coder": {"urn": "beam:coder:kv:v1", "components": ["StringUtf8Coder", "VarLongCoder"]},
               "windowing": {"size_ms": 60000, "period_ms": 10000, "allowed_lateness_ms": 0}, "parallelism": number % 8}
    return source(f"{name}/{number}", "beam:transform:pardo:v1", payload)


class Listener:
    """A client with many replays, which hears of each what it was asked to."""

    def __init__(self, engine, names, credit):
        self.connection = engine.connect("test_stream")
        self.elements = {}  # heard so far, by the pipeline
        self.replays = {}   # the pipeline of each, by its number
        self.spent = {}
        self.opening = dict(enumerate(names))
        for number, name in self.opening.items():
            self.elements[name] = 0
            self.connection.send("replay.open", id=number, pipeline=name, credit=credit)
        self.hear(lambda: not self.opening)

    def hear(self, enough):
        """Takes what comes until that is enough."""
        deadline = time.monotonic() + PATIENCE
        while not enough():
            assert time.monotonic() < deadline, f"only this was heard: {self.elements}"
            message, body, size = self.connection.receive(PATIENCE)
            if "ok" in message:
                assert message["ok"], message
                self.replays[message["replay"]] = self.opening.pop(message["id"])
                continue
            replay = message["replay"]
            if body is not None:
                self.elements[self.replays[replay]] += len(body)
            self.spent[replay] = self.spent.get(replay, 0) + size
            if self.spent[replay] >= CREDIT // 2:
                self.connection.send("replay.credit", replay=replay, bytes=self.spent.pop(replay))

    def hear_more(self, count):
        """From each of its replays so many elements more than it has."""
        wanted = {name: heard + count for name, heard in self.elements.items()}
        self.hear(lambda: all(self.elements[name] >= least for name, least in wanted.items()))

    def close(self):
        self.connection.socket.close()


class Feeder:
    """One connection that feeds many push sources."""

    def __init__(self, engine, names):
        self.connection = engine.connect("ingest")
        self.seq = {}
        self.source = {}
        for name in names:
            attached = self.connection.ask("source.attach", timeout_s=PATIENCE, pipeline=name, tag="Read", producer="feeder")
            self.source[name], self.seq[name] = attached["source"], attached["next_seq"]

    def feed(self, count):
        """A batch to each source, until all are acknowledged."""
        due = {}
        for name, number in self.source.items():
            body = msgpack.packb(batches(count, count, start=self.seq[name] * count)[0])
            self.connection.send("source.batch", body, source=number, tag="Read", seq=self.seq[name])
            due[number] = self.seq[name]
            self.seq[name] += 1
        while due:
            message, _, _ = self.connection.receive(PATIENCE)
            assert message["op"] == "source.ack", message
            if message["seq"] >= due.get(message["source"], 1 << 60):
                del due[message["source"]]

    def close(self):
        self.connection.socket.close()


class Scale(unittest.TestCase):
    def setUp(self):
        self.engine = Engine()
        self.addCleanup(self.engine.remove)
        self.engine.ask("options.set", recording_duration_ms=None, recording_size_limit=None)
        self.open = []
        self.addCleanup(self.leave)
        self.before = self.memory(), self.threads(), self.descriptors()

    def leave(self):
        while self.open:
            self.open.pop().close()

    # ---- what the process has ----

    def proc(self, *path):
        return pathlib.Path("/proc", str(self.engine.process.pid), *path)

    def memory(self):
        for line in self.proc("smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("smaps_rollup has no such line")

    def threads(self):
        """Without gRPC's own, which come and go as that finds right."""
        count = 0
        for thread in self.proc("task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
                count += (thread / "comm").read_text().strip() not in LENT
        return count

    def descriptors(self):
        return len(list(self.proc("fd").iterdir()))

    def check_memory(self, when):
        memory = self.memory()
        self.assertLessEqual(memory, LIMIT, f"{when}: {memory / (1 << 20):.1f} MiB")

    def becomes(self, what, wanted):
        """Asks the engine for something until that is as wanted: it notices by itself who has left, and gives memory back."""
        deadline = time.monotonic() + PATIENCE
        while not wanted(found := what()):
            self.assertLess(time.monotonic(), deadline, f"{what.__name__}: {found}")
            self.engine.ask("engine.info")

    # ---- what it has to do ----

    def name(self, number):
        return f"pipeline-{number:04}"

    def names(self, kind):
        """Of the pipelines whose jobs run, those with that kind of source."""
        return [self.name(number) for number in range(JOBS) if KINDS[number % len(KINDS)] == kind]

    def file(self, name):
        return self.engine.folder / f"{name}.log"

    def definition(self, number):
        kind, name = KINDS[number % len(KINDS)], self.name(number)
        payload = {GENERATOR: {"rate": 20 + number % 80, "size": 100, "seed": number + 1}, PUSH: {"topic": number},
                   FILE: {"path": str(self.file(name))}}[kind]
        steps = [transform(("Parse", "Enrich", "Window", "Sum", "Write")[step % 5], step) for step in range(4 + number % 16)]
        return pipeline(name, source("Read", kind, payload), *steps)

    def ask_all(self, op, names, field="pipeline", **fields):
        """The answers to one request for each, with some of them under way at a time."""
        answers, sent = {}, 0
        with self.engine.connect("commands") as connection:
            while len(answers) < len(names):
                while sent < min(len(names), len(answers) + 50):
                    connection.send(op, id=sent, **{field: names[sent]}, **fields)
                    sent += 1
                answer, _, _ = connection.receive(PATIENCE)
                self.assertTrue(answer["ok"], answer)
                answers[answer["id"]] = answer
        return [answers[number] for number in range(len(names))]

    def write_lines(self, count):
        for name in self.names(FILE):
            with open(self.file(name), "a") as file:
                file.writelines(f"line {line} of {name}\n" for line in range(count))

    def track_and_run(self):
        tracked = self.ask_all("pipeline.track", [self.definition(number) for number in range(PIPELINES)])
        self.assertTrue(all(answer["has_sources"] for answer in tracked))
        self.write_lines(20000)  # more than what a source sends at once
        started = self.ask_all("pipeline.run", [self.name(number) for number in range(JOBS)])
        self.assertTrue(all(answer["started"] for answer in started))
        self.check_running()

    def starting(self):
        return [job["pipeline"] for job in self.engine.ask("job.list")["jobs"] if job["state"] == "STARTING"]

    def check_running(self):
        self.becomes(self.starting, lambda names: not names)  # a run is answered after a second at the latest
        jobs = self.engine.ask("job.list")["jobs"]
        self.assertEqual(sorted(job["pipeline"] for job in jobs if job["is_running"]), [self.name(number) for number in range(JOBS)])
        return {job["pipeline"]: job for job in jobs}

    def record_large(self):
        self.engine.run(pipeline("large", source("Read", GENERATOR, {"rate": 0, "size": 1000})), limits={"bytes": LARGE, "duration_ms": None})
        job = self.engine.wait("large")
        self.assertEqual(job["stop_reason"], "bytes")
        self.assertGreater(job["bytes"], LARGE - (2 << 20))

    def listen(self, names):
        """A replay of each, shared among some clients. The first of them reads nothing of what it is sent."""
        shares = [names[first::LISTENERS] for first in range(LISTENERS)]
        self.slow, *self.listeners = [Listener(self.engine, share, UNREAD if number == 0 else CREDIT) for number, share in enumerate(shares)]
        self.open += [self.slow, *self.listeners]

    def attach(self):
        self.feeder = Feeder(self.engine, self.names(PUSH))
        self.open.append(self.feeder)

    def feed(self):
        """All sources that wait for somebody get something, and all who listen hear of it."""
        self.feeder.feed(50)
        self.write_lines(50)
        for listener in self.listeners:
            listener.hear_more(20)

    def check_answers(self):
        """Whatever there is can be listed and described."""
        everything = [self.name(number) for number in range(PIPELINES)]
        listed = self.engine.ask("pipeline.list")["pipelines"]
        self.assertEqual([one["name"] for one in listed if one["name"] != "large"], everything)
        described = self.ask_all("pipeline.describe", everything)
        self.assertEqual([one["name"] for one in described], everything)
        for one, number in zip(described, range(PIPELINES)):
            self.assertEqual(len(one["runs"]), 1 if number < JOBS else 0)
            self.assertEqual("recording" in one, number < JOBS)
        recordings = [one["recording"] for one in self.engine.ask("recording.list")["recordings"] if one["pipeline"] != "large"]
        self.assertEqual(len(recordings), JOBS)
        for answer in self.ask_all("recording.describe", recordings, field="recording"):
            self.assertGreater(answer["size"], 0)
        for job in self.ask_all("job.describe", everything[:JOBS]):
            self.assertTrue(job["is_running"], job)

    def end(self):
        self.leave()
        running = [self.name(number) for number in range(JOBS)]
        self.ask_all("job.cancel", running)
        for job in self.ask_all("job.wait", running, timeout_ms=PATIENCE * 1000):
            self.assertEqual(job["stop_reason"], "user")
        self.ask_all("pipeline.forget", [one["name"] for one in self.engine.ask("pipeline.list")["pipelines"]])
        for what in ("pipeline", "job", "recording"):
            self.assertEqual(self.engine.ask(f"{what}.list")[f"{what}s"], [], what)

    def check_given_back(self):
        memory, threads, descriptors = self.before
        self.becomes(self.threads, lambda found: found == threads)
        self.becomes(self.descriptors, lambda found: found == descriptors)
        self.becomes(self.memory, lambda found: found <= memory + MARGIN)

    # ---- the tests ----

    def test_a_thousand_pipelines_a_hundred_jobs_and_a_hundred_replays_fit_and_are_given_back(self):
        self.track_and_run()
        self.check_memory("100 jobs run")
        self.record_large()
        self.check_memory("a large recording is there")
        self.attach()
        self.listen(["large", *(self.name(number) for number in range(1, REPLAYS))])
        self.assertEqual(sum(len(listener.replays) for listener in self.open if listener is not self.feeder), REPLAYS)
        for _ in range(10):
            self.feed()
            self.check_memory("100 replays follow")
        self.check_answers()
        self.check_memory("everything was described")
        self.slow.hear_more(10 * 20)  # it was passed over, not forgotten
        self.end()
        self.check_given_back()

    def test_a_hundred_sources_that_are_faster_than_the_disk_fit_as_well(self):
        names = [f"fast-{number}" for number in range(JOBS)]
        definitions = [pipeline(name, source("Read", GENERATOR, {"rate": 0, "seed": number})) for number, name in enumerate(names, 1)]
        self.ask_all("pipeline.run", definitions, limits={"bytes": 10 << 20})
        self.check_memory("all sources have begun")
        while any(job["is_running"] for job in self.engine.ask("job.list")["jobs"]):
            self.check_memory("all sources")
        self.assertEqual({job["stop_reason"] for job in self.ask_all("job.describe", names)}, {"bytes"})

    def test_after_a_crash_all_of_it_goes_on(self):
        self.track_and_run()
        self.attach()
        self.feeder.feed(50)
        self.write_lines(50)
        jobs = self.check_running()
        self.leave()
        self.engine.restart()
        self.assertEqual({name: job["job"] for name, job in self.check_running().items()}, {name: job["job"] for name, job in jobs.items()})
        self.check_answers()
        self.attach()
        self.assertEqual(set(self.feeder.seq.values()), {2})
        self.listen([self.name(number) for number in range(REPLAYS)])
        for _ in range(3):
            self.feed()
        self.check_memory("after the crash")
        for name, job in self.check_running().items():
            self.assertGreater(job["elements"], jobs[name]["elements"], name)
        self.end()
        self.check_given_back()


if __name__ == "__main__":
    unittest.main()
