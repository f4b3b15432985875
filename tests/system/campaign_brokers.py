"""The campaign in which everybody dies: the brokers that are read, the engine, and the sources in it, while elements are published all the time.

Whatever a broker has at the end, in its own order, is what the recording must have: once, and nothing else.
"""
import base64
import collections
import json
import threading
import time

from brokers import Kafka, Nats, Redis
from campaign_load import PATIENCE, Crowd, Questions, Worker, check_recording, compare, demand, elements_of, patiently
from campaigns import Actors
from engine import GENERATOR, pipeline, source

BATCH = 20


class Publisher(Worker):
    """Publishes numbered elements at one broker whenever that is up. What was under way when it died may be there or not."""

    def __init__(self, crowd, stream):
        super().__init__(crowd)
        self.stream = stream
        self.number = 0
        self.up = threading.Event()
        self.up.set()
        self.deaths = 0
        self.busy = threading.Lock()  # while it publishes, where a broker must not be cut off in the middle

    def down(self):
        self.deaths += 1
        self.up.clear()

    def turn(self):
        if not self.up.wait(0.05):
            return
        if self.number >= self.stream.most:
            self.over.wait(0.05)
            self.load.heard.put(self)
            return
        values = [b"%s %d" % (self.stream.tag.encode(), number) for number in range(self.number, self.number + BATCH)]
        self.number += BATCH
        deaths = self.deaths
        try:
            with self.busy:
                if self.up.is_set():
                    self.stream.publish(values)
        except (OSError, AssertionError, ValueError):
            if self.deaths == deaths:
                raise
            return
        self.load.heard.put(self)


class RedisStream:
    """With a log that is on the disk before it answers: with less, what it has told already may be gone after it was killed."""
    tag, urn = "Redis", "reprise:source:redis:v1"
    most = 500000  # elements of a round

    def __init__(self):
        self.broker = Redis(appendfsync="always")

    def begin(self, number):
        self.name = f"load-{number}"

    def payload(self):
        return {"server": self.broker.server, "stream": self.name}

    def publish(self, values):
        self.broker.ask_all([("XADD", self.name, "*", "e", value) for value in values])

    def content(self):
        return [fields[1] for _, fields in self.broker.ask("XRANGE", self.name, "-", "+")]

    def kill(self, publisher):
        publisher.down()
        self.broker.kill()

    def start(self):
        self.broker.start()

    def end(self):
        self.broker.ask("DEL", self.name)

    def remove(self):
        self.broker.remove()


class NatsStream(RedisStream):
    tag, urn = "Nats", "reprise:source:nats:v1"

    def __init__(self):  # pylint: disable=super-init-not-called
        self.broker = Nats()

    def begin(self, number):
        super().begin(number)
        self.broker.stream(self.name, self.name)

    def publish(self, values):
        self.broker.store([[self.name, value] for value in values])

    def content(self):
        state = self.broker.ask(f"$JS.API.STREAM.INFO.{self.name}")["state"]
        found = []
        with self.broker.connect() as client:
            for first in range(state["first_seq"], state["last_seq"] + 1, 500):
                numbers = range(first, min(first + 500, state["last_seq"] + 1))
                client.send(client.frame(f"$JS.API.STREAM.MSG.GET.{self.name}", b'{"seq": %d}' % number, None, "answers") for number in numbers)
                answers = [json.loads(client.message())["message"] for _ in numbers]
                found += [base64.b64decode(one["data"]) for one in sorted(answers, key=lambda one: one["seq"])]
        return found

    def end(self):
        self.broker.ask(f"$JS.API.STREAM.DELETE.{self.name}")


class KafkaTopic(RedisStream):
    """The cluster is in memory: it is not killed, but cut off from everybody, and keeps what it has, up to 5 MiB."""
    tag, urn = "Kafka", "reprise:source:kafka:v1"
    most = 100000

    def __init__(self):  # pylint: disable=super-init-not-called
        self.broker = Kafka()

    def begin(self, number):
        super().begin(number)
        self.broker.topic(self.name)
        self.published = []

    def payload(self):
        return {"server": self.broker.server, "topics": self.name}

    def publish(self, values):
        self.broker.produce(self.name, *(value.decode() for value in values))
        self.published += values

    def content(self):
        return self.published

    def kill(self, publisher):
        publisher.up.clear()  # it lets go, and does not come first again
        with publisher.busy:
            publisher.down()
            self.broker.down()

    def start(self):
        self.broker.up()

    def end(self):
        pass

    def remove(self):
        self.broker.close()


class Brokers(Actors):
    """Brokers, the engine's process and its sources die, alone and together, while everything is published and recorded."""
    kinds = (RedisStream, NatsStream, KafkaTopic)

    def run(self):
        self.streams = []
        try:
            for kind in self.kinds:
                self.streams.append(kind())
            return super().run()
        finally:
            for stream in self.streams:
                stream.remove()

    def warm_up(self):
        self.begin("warm")
        self.hear(10)
        self.finish()

    def round(self, number, end):
        self.begin(number)
        while time.monotonic() < end:
            self.hear(self.chance.randrange(1, 40))
            self.harm()
        self.finish()

    # ---- what is done

    def begin(self, number):
        for stream in self.streams:
            stream.begin(number)
        sources = [source(stream.tag, stream.urn, stream.payload()) for stream in self.streams]
        run = patiently(self.engine, "pipeline.run", pipeline=pipeline("brokers", *sources, source("Numbers", GENERATOR, {"rate": 10000})),
                        limits={"duration_ms": None, "bytes": None})
        self.recording = run["recording"]
        self.crowd = Crowd(self.engine, "brokers", runs=False)
        self.crowd.start([Publisher(self.crowd, stream) for stream in self.streams])
        self.questions = Questions(self.engine, "brokers", self.chance.randrange(1 << 30))

    def hear(self, count):
        """Waits until so many batches were published."""
        for _ in range(count):
            worker = self.crowd.heard.get(timeout=PATIENCE)
            if worker.problem:
                raise worker.problem

    def harm(self):
        broker, other = (self.chance.random() < chance for chance in (0.6, 0.6))
        publisher = self.chance.choice(self.crowd.workers)
        if broker:
            publisher.stream.kill(publisher)
            self.figures["faults"] += 1
        if other or not broker:
            self.chance.choice((self.kill_engine, self.fail_source))()
        if broker:
            if len(self.crowd.workers) > 1:
                self.hear(self.chance.randrange(1, 10))  # of the others, while it is away
            publisher.stream.start()
            publisher.up.set()

    def kill_engine(self):
        self.engine.kill()
        self.figures["faults"] += 1
        self.engine.start()
        self.failed.clear()  # its supervisor counts anew
        self.questions.process_died()
        demand(patiently(self.engine, "job.describe", pipeline="brokers")["is_running"], "the job does not run after a crash")

    def fail_source(self):
        super().harm()

    def actors(self):
        return [one["name"] for one in patiently(self.engine, "engine.actors")["actors"] if one["name"] not in self.children]

    # ---- what must hold

    def finish(self):
        self.crowd.stop(self.crowd.workers)
        self.figures.update(self.questions.finish())
        wanted = {stream.tag: stream.content() for stream in self.streams}
        self.await_recorded({tag: len(values) for tag, values in wanted.items()})
        patiently(self.engine, "job.cancel", pipeline="brokers")
        job = patiently(self.engine, "job.wait", pipeline="brokers", timeout_ms=PATIENCE * 1000 - 1000)
        demand(job["state"] == "CANCELLED", f"the job is {job}")
        elements = elements_of(self.engine, recording=self.recording)
        found = collections.defaultdict(list)
        for tag, _, data in elements:
            found[tag].append(data)
        for tag, values in wanted.items():
            lost, doubled = compare(found[tag], values)
            demand(lost == doubled == 0, f"{tag}: of {len(values)} elements {lost} are lost, {doubled} are there twice")
            self.figures["acknowledged"] += len(values)
        check_recording(self.engine, self.recording, len(elements))
        patiently(self.engine, "pipeline.forget", pipeline="brokers")
        for stream in self.streams:
            stream.end()

    def await_recorded(self, wanted):
        deadline = time.monotonic() + PATIENCE
        while True:
            tags = {one["tag"]: one["elements"] for one in patiently(self.engine, "recording.describe", recording=self.recording)["tags"]}
            missing = {tag: (tags.get(tag), count) for tag, count in wanted.items() if (tags.get(tag) or 0) < count}
            if not missing:
                return
            waits = patiently(self.engine, "job.describe", pipeline="brokers")
            demand(time.monotonic() < deadline, f"not all is recorded: {missing}; the job: {waits}")
