"""The campaigns: each does one kind of harm to an engine under load, by chance from a seed, and checks what was promised.

A campaign is done in rounds, each with a job and a recording of its own; between rounds the engine must have all of its belongings back.
"""
import collections
import os
import pathlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time

import msgpack
import zmq

from campaign_load import (PATIENCE, Belongings, Load, Questions, check_recording, compare, connect_and_leave, demand,
                           elements_of, patiently)
from engine import DOORS, GENERATOR, PUSH, Connection, Engine, Producer, pipeline, source
from proxy import Proxy

ROUND_S = 10  # a recording of that length can be held in memory and compared
HERE = pathlib.Path(__file__).parent


class Campaign:
    """What all have in common: an engine, rounds, and the tally."""
    flags = ("--chaos",)
    guard = False
    feeders = 3
    runs = True  # clients ask for runs meanwhile
    durabilities = ((), ("--durability", "sync"), ("--durability", "async"))

    def __init__(self, seed, seconds):
        self.seed, self.seconds = seed, seconds
        self.chance = random.Random(f"{seed} {type(self).__name__}")
        self.figures = collections.Counter()

    def run(self):
        self.engine = Engine(*self.flags, *self.chance.choice(self.durabilities), "--segment-bytes", "1000000", guard=self.guard)
        try:
            self.engine.ask("options.set", recording_size_limit=None, recording_duration_ms=None)
            self.belongings = Belongings(self.engine)
            self.warm_up()
            self.belongings.note()
            end, number = time.monotonic() + self.seconds, 0
            while time.monotonic() < end or not self.has_enough():
                number += 1
                left = end - time.monotonic()
                self.round(number, time.monotonic() + (min(left, ROUND_S) if left > 0 else ROUND_S))
                self.belongings.check()
            demand(self.engine.process.poll() is None, "the engine has ended")
            demand(self.engine.stop() == 0, "the engine did not stop in order")
        except Exception:
            print(self.engine.said()[-3000:], file=sys.stderr)
            raise
        finally:
            self.engine.remove()
        return self.figures

    def warm_up(self):
        """What is made once and kept is there before anything is counted."""
        load = Load(self.engine, "warm", self.seed)
        load.await_acks(10)
        load.finish()
        self.engine.ask("pipeline.forget", pipeline="warm")

    def round(self, number, end):
        self.load = Load(self.engine, "load", self.seed * 1000 + number, self.feeders, runs=self.runs)
        while time.monotonic() < end:
            self.load.await_acks(self.chance.randrange(1, 40))
            self.harm()
        self.relent()
        self.figures.update(self.load.finish())
        patiently(self.engine, "pipeline.forget", pipeline="load")

    def harm(self):
        raise NotImplementedError

    def relent(self):
        pass

    def has_enough(self):
        """Was all done that must be, even where the time is over?"""
        return True


class Actors(Campaign):
    """Actors fail, each as often as the supervisor allows before it gives the engine up, and some block for a while."""
    each, period_s = 3, 10.5  # failures of one actor in a time
    children = ("notifier", "catalog", "syncer", "recorder", "limiter", "signature_checker", "job_supervisor", "pipeline_tracker",
                "test_stream_server", "verifier", "librarian", "gateway")

    def run(self):
        self.failed = collections.defaultdict(list)
        return super().run()

    def harm(self):
        now = time.monotonic()
        able = [actor for actor in self.actors() if len([at for at in self.failed[actor] if now - at < self.period_s]) < self.each]
        if not able:
            return
        actor = self.chance.choice(able)
        if self.chance.random() < 0.2:
            patiently(self.engine, "chaos.hang", actor=actor, ms=self.chance.randrange(1, 200))
        else:
            self.failed[actor].append(now)
            patiently(self.engine, "chaos.fail", actor=actor)
        self.figures["faults"] += 1

    def actors(self):
        sources = [one["name"] for one in patiently(self.engine, "engine.actors")["actors"] if one["name"] not in self.children]
        return [*self.children, *sources]


class Messages(Campaign):
    """Messages between actors are late, lost and doubled; jobs come and go meanwhile."""

    def round(self, number, end):
        self.tally = None
        meddling = dict(count=1 << 40, seed=self.chance.randrange(1 << 30), delay=self.chance.choice((0, .05, .3)), delay_ms=20,
                        drop=self.chance.choice((0, .01, .05)), duplicate=self.chance.choice((.01, .1, 1)))
        before = self.engine.ask("chaos.messages", **meddling)
        super().round(number, end)
        after = self.engine.ask("chaos.messages", count=0)
        self.figures["faults"] += sum(after[what] - before[what] for what in ("delayed", "dropped", "duplicated"))

    def harm(self):
        """A whole life of another job, quickly."""
        name = f"short-{self.chance.randrange(3)}"
        count = self.chance.randrange(1, 2000)
        run = self.ask("pipeline.run", pipeline=pipeline(name, source("Numbers", GENERATOR, {"rate": 0, "size": 50})),
                       limits={"count": count})
        job = self.ask("job.wait", job=run["job"], timeout_ms=PATIENCE * 1000 - 1000)
        demand((job["elements"], job["stop_reason"]) == (count, "count"), f"a job that was to record {count} elements: {job}")
        elements = elements_of(self.engine, recording=run["recording"])
        demand(len(elements) == count, f"{len(elements)} elements of {count}")
        self.figures["acknowledged"] += count
        self.ask("pipeline.forget", pipeline=name)

    def ask(self, op, **fields):
        self.figures["requests"] += 1
        answer = patiently(self.engine, op, **fields)
        self.figures["answered"] += 1
        return answer

    def relent(self):
        pass


class Processes(Campaign):
    """kill -9 of the engine under load, and crashes of every kind."""
    runs = False  # one that waits for the next process to come might come after the job has ended, and begin another

    def harm(self):
        if self.chance.random() < 0.7:
            self.engine.kill()
        else:
            self.engine.commands.send("chaos.crash", how=self.chance.choice(("abort", "segv", "kill")),
                                      actor=self.chance.choice(Actors.children))
            self.engine.ended()
        self.figures["faults"] += 1
        self.engine.start()
        self.load.process_died()
        demand(self.engine.ask("job.describe", job=self.load.job)["is_running"], "the job does not run after a crash")


class Guards(Processes):
    """The engine's process dies in every way while a guard stands by: nobody but the guard starts it again, and clients need not even notice."""
    flags = ("--chaos", "--crashes", "999")
    guard = True

    def harm(self):
        pid = self.engine.ask("engine.info")["pid"]
        if self.chance.random() < 0.7:
            os.kill(pid, self.chance.choice((signal.SIGKILL, signal.SIGABRT)))
        else:
            self.engine.commands.send("chaos.crash", how=self.chance.choice(("abort", "segv", "kill")),
                                      actor=self.chance.choice(Actors.children))
        self.figures["faults"] += 1
        line = self.engine.process.stdout.readline()
        demand(line.startswith("ready "), f"the guard brings no engine back: {line}")
        self.engine.commands.socket.close()  # what is asked of the one that died is lost with it
        self.engine.commands = self.engine.connect("commands")
        self.load.process_died()
        demand(self.engine.ask("engine.info")["pid"] != pid, "the engine has not died")
        demand(self.engine.ask("job.describe", job=self.load.job)["is_running"], "the job does not run after a crash")


class Disks(Campaign):
    """The disk fails: the job fails and says so, all that was acknowledged is there, and the next run goes on."""

    def warm_up(self):
        questions = Questions(self.engine, "disk", self.seed)
        self.life(fail=False)
        questions.finish()

    def round(self, number, end):
        questions = Questions(self.engine, "disk", self.seed * 1000 + number)
        while time.monotonic() < end:
            self.life(fail=True)
        self.figures.update(questions.finish())

    def life(self, fail):
        self.engine.run(pipeline("disk", source("Read", PUSH, "read"), source("Numbers", GENERATOR, {"rate": 10000})))
        recording = self.engine.ask("job.describe", pipeline="disk")["recording"]
        producers = [Producer(self.engine, "disk", "Read", name, size=size) for name, size in (("first", 1), ("second", 20))]
        for producer in producers:
            producer.push(self.chance.randrange(1, 30), window=self.chance.randrange(1, 10))
        if fail:
            self.fail(producers)
        else:
            self.engine.ask("job.cancel", pipeline="disk")
        job = self.engine.wait("disk")
        self.engine.ask("chaos.disk", writes=0, error="EIO")
        self.engine.ask("chaos.sync", syncs=0, error="EIO")
        demand(job["state"] == ("FAILED" if fail else "CANCELLED"), f"the disk failed: {fail}, and the job is {job}")
        demand(not fail or "/recordings/" in job["error"], f"the error does not name the file: {job}")
        self.check(producers, recording)
        self.engine.ask("recording.delete", recording=recording)

    def fail(self, producers):
        syncs = "async" not in self.engine.flags  # otherwise nothing is brought to the disk that could fail
        op, count = self.chance.choice((("chaos.disk", "writes"), ("chaos.sync", "syncs"))[:1 + syncs])
        times = self.chance.choice((1, 1, 2, 5, 1000))
        self.engine.ask(op, **{count: times}, error=self.chance.choice(("EDQUOT", "EIO", "ENOSPC", "EROFS")))
        self.figures["faults"] += 1
        for producer in producers:
            producer.push(1 << 40, window=self.chance.randrange(1, 10))
            demand(producer.stopped["reason"] == "error", f"{producer.stopped}")

    def check(self, producers, recording):
        """Of each producer a beginning of what it sent is there, and all that was acknowledged."""
        events = self.engine.replay(recording=recording, follow=False)
        elements = [element[1] for event, some in events for element in some or [] if event["tag"] == "Read"]
        for producer in producers:
            mine = [data for data in elements if data.startswith(producer.name.encode() + b" ")]
            wanted = [element[1] for seq in range(1, producer.sent + 1) for element in producer.body(seq)]
            lost, doubled = compare(mine, wanted[:len(mine)])
            lost += max(producer.acked * producer.size - len(mine), 0)
            demand(lost == doubled == 0, f"{lost} elements of {producer.name} are lost, {doubled} are there twice")
            self.figures["acknowledged"] += producer.acked * producer.size
            producer.close()
        demand(self.engine.ask("recording.verify", recording=recording)["intact"], f"{recording} is damaged")
        demand(self.engine.replay(recording=recording, follow=False) == events, "two replays differ")


class Clients(Campaign):
    """Client processes are killed in the middle of what they do, and others come in their place."""

    def spawn(self, what, *words):
        return subprocess.Popen([sys.executable, HERE / "campaign_client.py", what, self.engine.endpoints[
            "ingest" if what == "feed" else "test_stream"], *words], stdout=subprocess.PIPE, text=True)

    def round(self, number, end):
        self.engine.run(pipeline("clients", source("Read", PUSH, "read"), source("Numbers", GENERATOR, {"rate": 10000})))
        questions = Questions(self.engine, "clients", self.seed * 1000 + number)
        recording = self.engine.ask("job.describe", pipeline="clients")["recording"]
        acked = {"first": 0, "second": 0}
        while True:
            feeders = {name: self.spawn("feed", "clients", "Read", name) for name in acked}
            readers = [self.spawn("replay", recording) for _ in range(2)]
            for name, process in feeders.items():
                for _ in range(self.chance.randrange(1, 50)):
                    acked[name] = int(process.stdout.readline())
            for process in readers:
                process.stdout.readline()
            for process in self.chance.sample([*feeders.values(), *readers], 4):
                process.kill()
                self.figures["faults"] += 1
            for name, process in feeders.items():
                acked[name] = max([acked[name], *map(int, whole_lines(process.stdout.read()))])
            for process in (*feeders.values(), *readers):
                process.stdout.close()
                process.wait(PATIENCE)
            if time.monotonic() >= end:
                break
        self.figures.update(questions.finish())
        self.engine.ask("job.cancel", pipeline="clients")
        self.engine.wait("clients")
        self.check(recording, acked)
        self.engine.ask("pipeline.forget", pipeline="clients")

    def check(self, recording, acked):
        elements = elements_of(self.engine, recording=recording)
        for name, batches in acked.items():
            mine = [data for tag, _, data in elements if tag == "Read" and data.startswith(name.encode() + b" ")]
            lost, doubled = compare(mine, [b"%s %d" % (name.encode(), number) for number in range(len(mine))])
            lost += max(batches * 5 - len(mine), 0)
            demand(lost == doubled == 0, f"{lost} elements of {name} are lost, {doubled} are there twice")
            self.figures["acknowledged"] += batches * 5
        check_recording(self.engine, recording, len(elements))


def whole_lines(text):
    return text.split("\n")[:-1]


class Silence:
    """A producer with a stake in the recording, a replay that is owed elements, a question and a subscription: all cut off at once."""

    def __init__(self, engine, recording, name):
        self.since = time.monotonic()
        self.wires = {door: Proxy(engine.port + number) for number, door in enumerate(DOORS)}
        self.commands, self.ingest, self.stream = (Connection(self.wires[door].endpoint) for door in ("commands", "ingest", "test_stream"))
        self.news = zmq.Context.instance().socket(zmq.SUB)
        self.news.setsockopt(zmq.LINGER, 0)
        self.news.setsockopt(zmq.SUBSCRIBE, b"")
        self.news.connect(self.wires["notifications"].endpoint)
        self.source = self.ingest.ask("source.attach", pipeline="load", tag="One", producer=name)["source"]
        self.replay = self.stream.ask("replay.open", recording=recording, credit=1 << 20)["replay"]
        self.await_news()
        for wire in self.wires.values():
            wire.silence()
        self.commands.send("job.wait", pipeline="load", timeout_ms=1000)

    def await_news(self):
        """Of what is done meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not self.news.poll(20):
            demand(time.monotonic() < deadline, "a subscriber hears no news")
            self.commands.ask("pipeline.track", pipeline=pipeline("news"))
            self.commands.ask("pipeline.forget", pipeline="news")

    def come_back(self):
        """By now it has been cut off everywhere. It is told that nobody knows it any more; what it says first may be lost with the connection."""
        for door, wire in self.wires.items():
            demand(wire.is_given_up(PATIENCE), f"the engine keeps the silent connection at its endpoint {door}")
            wire.resume()
        self.answer(self.commands, lambda: self.commands.send("engine.info"), "ok")
        while self.news.poll(0):
            self.news.recv_multipart()
        self.await_news()
        body = msgpack.packb([[1, b"too late"]])
        self.is_not_known(self.ingest, lambda: self.ingest.send("source.batch", body, source=self.source, tag="One", seq=1))
        self.is_not_known(self.stream, lambda: self.stream.send("replay.resume", replay=self.replay))

    def is_not_known(self, connection, say):
        error = self.answer(connection, say, "error")["error"]
        demand(error["code"] == "not_found" and error.get("retry"), f"one that was silent is told: {error}")

    def answer(self, connection, say, wanted):
        """Says it until that is heard, each time through another connection if need be."""
        deadline = time.monotonic() + PATIENCE
        while True:
            demand(time.monotonic() < deadline, f"{connection.endpoint}: no {wanted} after the silence")
            say()
            try:
                message = {}
                while wanted not in message:
                    message, _, _ = connection.receive(1)
                return message
            except TimeoutError:
                pass

    def close(self):
        for socket_ in (self.ingest.socket, self.stream.socket, self.commands.socket, self.news):
            socket_.close()
        for wire in self.wires.values():
            wire.close()


class Silences(Campaign):
    """Connections that go silent and stay open, on every endpoint: what they held is let go, and nobody else notices."""
    timeout_s = 2
    flags = ("--chaos", "--heartbeat-ms", str(2 * timeout_s * 1000))
    feeders = 1

    def round(self, number, end):
        self.silences = []
        self.engine.ask("options.set", worker_timeout_ms=self.timeout_s * 1000, replay_timeout_ms=self.timeout_s * 1000)
        super().round(number, end)

    def harm(self):
        if len(self.silences) < min(5, self.seconds):  # coming back takes each of them a while
            self.silences.append(Silence(self.engine, self.load.recording, f"silent-{len(self.silences)}"))
            self.figures["faults"] += len(DOORS)

    def relent(self):
        """The load goes on until the last has been silent for long enough. What is read afterwards, to be checked, is a megabyte at a time with the
        pings behind it: on a busy machine that takes longer than those time-outs are, and who is let go for it hears nothing more."""
        while time.monotonic() - self.silences[-1].since < self.timeout_s + 1.5:
            self.load.await_acks(10)
        for silence in self.silences:
            silence.come_back()
        for silence in self.silences:
            silence.close()
        self.engine.ask("options.set", worker_timeout_ms=10000, replay_timeout_ms=600000)


class Connections(Campaign):
    """Clients come and go, thousands on each endpoint: some say something, some nothing, some nonsense."""
    batch = 50
    each, from_s = 10000, 60  # so many on each endpoint, in a campaign of that many seconds at least

    def harm(self):
        door = min(DOORS, key=lambda one: (self.figures[one], self.chance.random()))
        for _ in range(self.batch):
            if self.chance.random() < 0.5:
                answered = connect_and_leave(self.engine.endpoints[door], door, self.chance)
                self.figures.update(requests=answered, answered=answered)
            else:
                knock(self.engine.port + DOORS.index(door), self.chance)
            self.figures.update(("faults", door))

    def has_enough(self):
        return self.seconds < self.from_s or min(self.figures[door] for door in DOORS) >= self.each


def knock(port, chance):
    """A TCP connection that is closed at some point of its handshake, in order or not."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as one:
        if chance.random() < 0.3:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48)
        one.sendall(chance.choice((b"", b"GET / HTTP/1.1\r\n\r\n", greeting[:chance.randrange(1, 64)], greeting)))
