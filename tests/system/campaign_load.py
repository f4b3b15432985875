"""The load that an engine is under while a campaign does its harm, and what must hold afterwards.

Feeders send numbered elements, askers ask everything that may be asked, readers follow the recording as it grows; a generator inside the
engine records as well. All of them go on through whatever befalls the engine, and count what they see: each request is answered once while
the process lives, each acknowledged element is there once and in its order.
"""
import collections
import contextlib
import pathlib
import queue
import random
import threading
import time

import msgpack
import zmq

from engine import GENERATOR, PATIENCE, PUSH, Producer, Refused, pipeline, source

STEP_US = 100  # between the generator's elements
MEMORY_MARGIN = 24 << 20  # bytes: what the allocator keeps, tables that have grown
DESCRIPTORS_MARGIN = 8    # segments that are open for a moment, say
LENT = {"default-executo", "resolver-execut", "grpc_global_tim", "event_engine", "timer_manager"}  # threads of gRPC, which has more when it is busy
LENT_MARGIN = 8
FIGURES = ("faults", "requests", "answered", "retry", "refused", "acknowledged", "lost", "doubled")


class Failed(AssertionError):
    """Something that was promised did not hold."""


def demand(condition, text):
    if not condition:
        raise Failed(text)


class Worker(threading.Thread):
    """Works in turns in a thread of its own until it is told to stop; a problem is kept for the campaign."""

    def __init__(self, load):
        super().__init__(daemon=True)
        self.load = load
        self.over = threading.Event()
        self.problem = None

    def run(self):
        try:
            while not self.over.is_set():
                self.turn()
            self.finish()
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem
            self.load.heard.put(self)

    def turn(self):
        raise NotImplementedError

    def finish(self):
        pass

    def process_died(self):
        pass


class Feeder(Worker):
    """Sends batches over the ingest protocol, and attaches again wherever it has to."""

    def __init__(self, load, tag, name, size, window):
        super().__init__(load)
        self.producer = Producer(load.engine, load.name, tag, name, size=size)
        self.producer.ask_s = 1
        self.window = window
        self.lost = threading.Event()  # its engine has been killed

    def process_died(self):
        self.lost.set()

    def turn(self):
        producer = self.producer
        if self.lost.is_set():
            self.lost.clear()
            producer.attached = None
        if not producer.attached:
            producer.attach()
        while producer.sent < producer.acked + self.window:
            producer.send()
        acked = producer.acked
        producer.hear(0.05)
        if producer.acked > acked:
            self.load.heard.put(self)

    def finish(self):
        """Everything that it has sent is acknowledged, however often it has to be sent."""
        producer = self.producer
        target, producer.silence_s = producer.sent, 1
        while producer.acked < target:
            if self.lost.is_set() or not producer.attached:
                self.lost.clear()
                producer.attach()
            while producer.sent < min(target, producer.acked + self.window):
                producer.send()
            producer.hear(producer.silence_s)


class Asker(Worker):
    """Asks by chance, several requests at a time, and sees to it that each is answered once."""

    def __init__(self, load, seed):
        super().__init__(load)
        self.chance = random.Random(seed)
        self.connection = load.engine.connect("commands")
        self.open = {}  # by id: what was asked and when
        self.counts = collections.Counter()
        self.died = threading.Event()
        self.last = 0

    def process_died(self):
        self.died.set()

    def request(self):
        name = self.load.name
        runs = [("pipeline.run", {"pipeline": name})] if self.load.runs else []
        return self.chance.choice([*runs, ("engine.info", {}), ("engine.actors", {}), ("engine.stats", {}), ("options.get", {}),
                                   ("job.describe", {"pipeline": name}), ("job.list", {}), ("pipeline.describe", {"pipeline": name}),
                                   ("job.wait", {"pipeline": name, "timeout_ms": 20}), ("recording.list", {}),
                                   ("recording.describe", {"pipeline": name}), ("source.has", {"pipeline": name}),
                                   ("recording.fetch", {"pipeline": name, "max": 10}), ("job.needed", {"pipeline": name}),
                                   ("test_stream.status", {"pipeline": name}),
                                   ("pipeline.list", {}), ("job.describe", {"pipeline": "nobody"})])

    def turn(self):
        self.forget()
        while len(self.open) < 4:
            op, fields = self.request()
            self.last += 1
            self.open[self.last] = op, time.monotonic()
            self.counts["requests"] += 1
            self.connection.send(op, id=self.last, **fields)
        self.hear(0.05)
        for number, (op, begun) in self.open.items():
            demand(time.monotonic() - begun < PATIENCE or self.died.is_set(), f"{op}, request {number}, is not answered")

    def forget(self):
        """What was under way when the process died will not be answered, by anybody."""
        if self.died.is_set():
            self.died.clear()
            self.counts["unanswered"] += len(self.open)
            self.open.clear()

    def hear(self, timeout_s):
        try:
            answer, _, _ = self.connection.receive(timeout_s)
        except TimeoutError:
            return
        number = answer["id"]
        if number not in self.open:
            demand(self.died.is_set() or self.counts["unanswered"], f"request {number} is answered twice: {answer}")
            return
        op, _ = self.open.pop(number)
        self.counts["answered"] += 1
        if not answer["ok"]:
            error = answer["error"]
            self.counts["retry" if error.get("retry") else "refused"] += 1
            expected = error.get("retry") or error["code"] in ("not_found", "unavailable", "invalid_state")
            demand(expected, f"{op}: {error}")

    def finish(self):
        deadline = time.monotonic() + PATIENCE
        while self.open:
            self.forget()
            demand(time.monotonic() < deadline, f"not answered: {self.open}")
            self.hear(0.05)
        self.connection.socket.close()


class Reader(Worker):
    """Follows the recording, from where it was whenever the replay is gone, and knows all that it was sent."""

    def __init__(self, load):
        super().__init__(load)
        self.connection = load.engine.connect("test_stream")
        self.replay = None
        self.elements = []  # (tag, bytes)
        self.ended = False
        self.opened = 0

    def process_died(self):
        self.replay = None

    def turn(self):
        self.read(0.1)

    def open(self):
        try:
            answer = self.connection.ask("replay.open", timeout_s=1, recording=self.load.recording, credit=1 << 20,
                                         **{"from": {"element": len(self.elements)}})
        except TimeoutError:
            return
        except Refused as refusal:
            demand(refusal.error.get("retry"), f"replay.open: {refusal}")
            return
        self.replay, self.opened, self.spent, self.heard = answer["replay"], self.opened + 1, 0, time.monotonic()

    def read(self, timeout_s):
        if self.replay is None:
            self.open()
            return
        try:
            event, elements, size = self.connection.receive(timeout_s)
        except TimeoutError:
            if time.monotonic() - self.heard > 1:  # a server that lost its state says nothing by itself: ask it
                self.ask_whether_it_is_there()
            return
        self.heard = time.monotonic()
        if event.get("replay") != self.replay or "event" not in event:
            if event.get("ok") is False and event["error"]["code"] == "not_found":
                self.replay = None
            return
        if elements is not None:
            demand(event["element"] <= len(self.elements), f"element {event['element']} after {len(self.elements)}")
            self.elements += [(event["tag"], element[1]) for element in elements][len(self.elements) - event["element"]:]
        self.spent += size
        if self.spent > 1 << 19:
            self.connection.send("replay.credit", replay=self.replay, bytes=self.spent)
            self.spent = 0
        if event["event"] == "end":
            demand(event["reason"] in ("end", "stopped"), f"a replay ended: {event}")
            self.ended, self.replay = event["reason"] == "end", None

    def ask_whether_it_is_there(self):
        self.connection.send("replay.resume", replay=self.replay)
        self.heard = time.monotonic()

    def finish(self):
        """Reads to the end, which comes once the job has ended."""
        deadline = time.monotonic() + PATIENCE
        while not self.ended:
            demand(time.monotonic() < deadline, f"a replay does not end; {len(self.elements)} elements were read")
            self.read(0.2)
        self.connection.socket.close()


class Crowd:
    """Workers at one pipeline, and what they tell."""

    def __init__(self, engine, name, runs):
        self.engine, self.name, self.runs = engine, name, runs
        self.heard = queue.Queue()
        self.workers = []

    def start(self, workers):
        self.workers = workers
        for worker in workers:
            worker.start()

    def check_workers(self):
        for worker in self.workers:
            if worker.problem:
                raise worker.problem

    def process_died(self):
        for worker in self.workers:
            worker.process_died()

    def stop(self, workers):
        for worker in workers:
            worker.over.set()
        for worker in workers:
            worker.join(2 * PATIENCE)
            self.check_workers()
            demand(not worker.is_alive(), f"{type(worker).__name__} does not come to an end")


class Questions(Crowd):
    """Clients that only ask, beside whatever else is done to an engine."""

    def __init__(self, engine, name, seed, askers=2):
        super().__init__(engine, name, runs=False)
        self.start([Asker(self, seed * 100 + number) for number in range(askers)])

    def finish(self):
        """Returns the figures, once all is answered."""
        self.stop(self.workers)
        return sum((asker.counts for asker in self.workers), collections.Counter())


class Load(Crowd):
    """All of them on one pipeline, and the tally."""

    def __init__(self, engine, name, seed, feeders=3, askers=2, readers=1, runs=True):
        super().__init__(engine, name, runs)
        sources = [source("One", PUSH, "one"), source("Many", PUSH, "many"), source("Numbers", GENERATOR, {"rate": 1000000 // STEP_US})]
        run = patiently(engine, "pipeline.run", pipeline=pipeline(name, *sources), limits={"duration_ms": None, "bytes": None})
        self.job, self.recording = run["job"], run["recording"]
        kinds = [("One", "single", 1, 8), ("Many", "batched", 10, 3), ("One", "slow", 3, 1)]
        self.feeders = [Feeder(self, *kind) for kind in kinds[:feeders]]
        self.askers = [Asker(self, seed * 100 + number) for number in range(askers)]
        self.readers = [Reader(self) for _ in range(readers)]
        self.start(self.feeders + self.askers + self.readers)

    def await_acks(self, count):
        """Waits until the feeders were told so many times that something is safe."""
        for _ in range(count):
            worker = self.heard.get(timeout=PATIENCE)
            if worker.problem:
                raise worker.problem

    def finish(self):
        """All is acknowledged, the job is ended, and what must hold is checked. Returns the figures."""
        self.stop(self.feeders + self.askers)  # a run that is asked for after the end would start another job
        patiently(self.engine, "job.cancel", job=self.job)
        state = patiently(self.engine, "job.wait", job=self.job, timeout_ms=PATIENCE * 1000 - 1000)["state"]
        demand(state == "CANCELLED", f"the job is {state}")
        self.stop(self.readers)
        for feeder in self.feeders:
            feeder.producer.close()
        return self.check()

    def check(self):
        elements = [(tag, data) for tag, _, data in elements_of(self.engine, recording=self.recording)]
        figures = collections.Counter()
        for asker in self.askers:
            figures.update(asker.counts)
        for feeder in self.feeders:
            producer = feeder.producer
            figures["acknowledged"] += producer.acked * producer.size
            lost, doubled = compare([data for tag, data in elements if data.startswith(producer.name.encode() + b" ")],
                                    [element[1] for seq in range(1, producer.acked + 1) for element in producer.body(seq)])
            figures["lost"] += lost
            figures["doubled"] += doubled
        demand(figures["lost"] == figures["doubled"] == 0, f"{figures['lost']} elements are lost, {figures['doubled']} are there twice")
        for reader in self.readers:
            demand(reader.elements == elements, f"a reader that followed saw {len(reader.elements)} elements, not these {len(elements)}")
        check_recording(self.engine, self.recording, len(elements))
        figures["elements"] = len(elements)
        return figures


def compare(found, wanted):
    """How many are lost, and how many are there that should not be; an order that is not the same is both."""
    if found == wanted:
        return 0, 0
    missing, extra = collections.Counter(wanted) - collections.Counter(found), collections.Counter(found) - collections.Counter(wanted)
    return sum(missing.values()) or 1, sum(extra.values()) or 1


def check_recording(engine, recording, count):
    """It is intact, two replays of it are the same, and the generator's elements have no hole."""
    demand(patiently(engine, "recording.verify", recording=recording)["intact"], f"{recording} is damaged")
    described = patiently(engine, "recording.describe", recording=recording)
    first, second = replay_of(engine, recording=recording), replay_of(engine, recording=recording)
    demand(first == second, f"two replays of {recording} differ")
    demand(first[-1][0]["digest"] == described["digest"], f"the replay of {recording} has another digest than it")
    demand(described["elements"] == count, f"{recording} has {described['elements']} elements, and {count} were replayed")
    times = [element[0] for event, elements in first if event.get("tag") == "Numbers" for element in elements or []]
    demand(times == list(range(times[0], times[0] + STEP_US * len(times), STEP_US)) if times else True, "the generator has a hole")


def patiently(engine, op, **fields):
    """Asks again as long as the answer is that it should; each answer is waited for."""
    return again(lambda: engine.ask(op, **fields))


def replay_of(engine, **what):
    """All events of a replay, which is opened again as long as the answer is that it should."""
    return again(lambda: engine.replay(**what))


def elements_of(engine, **what):
    return [[event["tag"], *element] for event, elements in replay_of(engine, **what) for element in elements or []]


def again(ask):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except Refused as refusal:
            if not refusal.error.get("retry") or time.monotonic() > deadline:
                raise


class Belongings:
    """What the engine's process has: it must come back to that."""

    def __init__(self, engine):
        self.engine = engine
        self.before = None

    def proc(self, *path):
        return pathlib.Path("/proc", str(self.engine.ask("engine.info")["pid"]), *path)

    def now(self):
        memory = next(int(line.split()[1]) * 1024 for line in self.proc("smaps_rollup").read_text().splitlines()
                      if line.startswith("Anonymous:"))
        threads = self.threads()
        lent = sum(threads.pop(name, 0) for name in LENT)
        return {"threads": threads, "lent": lent, "descriptors": len(list(self.proc("fd").iterdir())), "memory": memory}

    def threads(self):
        """How many there are of each name. One may end while it is looked at."""
        names = collections.Counter()
        for task in self.proc("task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                names[(task / "comm").read_text().strip()] += 1
        return names

    def note(self):
        self.before = self.now()

    def excess(self):
        now, margins = self.now(), {"lent": LENT_MARGIN, "descriptors": DESCRIPTORS_MARGIN, "memory": MEMORY_MARGIN}
        excess = {what: (self.before[what], now[what]) for what, margin in margins.items() if now[what] > self.before[what] + margin}
        more = now["threads"] - self.before["threads"]
        return {**excess, "threads": dict(more)} if more else excess

    def check(self, patience=PATIENCE):
        """Asks until they are back: the engine notices by itself who has left."""
        deadline = time.monotonic() + patience
        while excess := self.excess():
            demand(time.monotonic() < deadline, f"before and now: {excess}")
            self.engine.ask("engine.info")


QUESTIONS = {"commands": {"op": "engine.info"}, "ingest": {"op": "source.attach", "pipeline": "nobody's", "tag": "One"},
             "test_stream": {"op": "replay.open", "recording": "none"}}


def connect_and_leave(endpoint, door, chance):
    """A client that comes, says a little, and goes. Returns how many answers it waited for and got."""
    socket = zmq.Context.instance().socket(zmq.SUB if door == "notifications" else zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0 if chance.random() < 0.5 else 100)
    socket.connect(endpoint)
    waits = door != "notifications" and chance.random() < 0.3
    if door == "notifications":
        socket.setsockopt(zmq.SUBSCRIBE, b"job.")
    else:
        socket.send(msgpack.packb(QUESTIONS[door]))
    if waits:
        demand(socket.poll(PATIENCE * 1000), f"a client at the endpoint {door} gets no answer")
        answer = msgpack.unpackb(socket.recv())
        demand(answer["ok"] is (door == "commands"), f"a client at the endpoint {door} is answered {answer}")
    socket.close()
    return waits
