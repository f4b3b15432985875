#!/usr/bin/env python3
"""A worker: runs sources that the engine has no connector for. As it stands it reads the lines of files.

    worker.py [--engine tcp://127.0.0.1:5570] [--key FILE --server-key FILE] [--name NAME]

Wherever a job has a source of the URN `example:lines:v1`, with the payload {"path": ..., "follow": ...}, the engine has one of the workers run it; when
that one dies, another goes on from the cursor, and no line is missing or there twice. Make a Reader of your own and you have a worker of
your own. Needs pyzmq and msgpack.
"""
import argparse
import collections
import os
import signal
import sys
import time

import msgpack

from client import Connection, Refused, keys_of

SILENCE_S = 5    # the engine says something at least every 2 s: after this it has forgotten us
WAIT_S = 0.02    # how long a source that has nothing at this moment is left alone
BATCHES = 8      # of one source, before the others have their turn
IN_FLIGHT = 256  # batches of a source that are not recorded yet

Batch = collections.namedtuple("Batch", "elements cursor watermark", defaults=(None, None))


class Reader:
    """One source while it runs. `given` is the engine's `source.start`: its `job`, `tag`, `urn` and `payload`. `cursor` is that of the last
    batch that is recorded, None at the beginning: go on behind it."""

    def __init__(self, given, cursor):
        pass

    def read(self):
        """A Batch of [event time in µs, bytes] or [event time in µs, bytes, attributes]; None where there is nothing at this moment.
        Raises EOFError where there never will be again. What else it raises ends the job, with that as its error. Must not block."""
        raise EOFError

    def recorded(self, batch, count):
        """So many of the batch's elements, the first ones, are recorded: all, but for the batch in which the job reached its limit."""

    def close(self, over):
        """Nobody needs it any more, or, where it is not `over`, somebody else goes on. What was not said to be recorded may be or not."""


class Lines(Reader):
    """The lines of a file, to its end, or with `follow` for ever. The cursor is the byte that the next line begins at."""

    def __init__(self, given, cursor):
        payload = given["payload"]
        self.file, self.follow = open(payload["path"], "rb"), payload.get("follow", False)
        self.file.seek(cursor or 0)

    def read(self):
        now = time.time_ns() // 1000
        lines = self.file.readlines(8192)
        if self.follow and lines and not lines[-1].endswith(b"\n"):
            self.file.seek(-len(lines.pop()), os.SEEK_CUR)  # the rest of it is not written yet
        if lines:
            return Batch([[now, line.rstrip(b"\n")] for line in lines], self.file.tell())
        if self.follow:
            return None
        raise EOFError

    def close(self, over):
        self.file.close()


class Source:
    """What the worker was given: attached or about to be."""

    def __init__(self, worker, job, tag, reader, attached):
        self.worker, self.job, self.tag, self.reader = worker, job, tag, reader
        self.number, self.credit, self.seq = attached["source"], attached["credit"], attached["next_seq"]
        self.unacked = collections.OrderedDict()  # by number: the batch, and the bytes of its message
        self.bytes = 0
        self.ended = self.done = False

    def produce(self):
        """Sends what there is, if not more than others have time for. True: there is more."""
        for _ in range(BATCHES):
            if self.ended or self.bytes >= self.credit or len(self.unacked) >= IN_FLIGHT:
                return False
            try:
                batch = self.reader.read()
            except EOFError:
                self.ended = True
                self.finish()
                return False
            if batch is None:
                return False
            more = {key: value for key, value in (("cursor", batch.cursor), ("watermark", batch.watermark)) if value is not None}
            size = self.worker.connection.send("source.batch", msgpack.packb(batch.elements), source=self.number, tag=self.tag,
                                               seq=self.seq, **more)
            self.unacked[self.seq] = (batch, size)
            self.bytes += size
            self.seq += 1
        return True

    def recorded(self, seq, accepted=None):
        """All batches up to this one are recorded; of the last one, if that is said, only so many elements."""
        while self.unacked and next(iter(self.unacked)) <= seq:
            number, (batch, size) = self.unacked.popitem(last=False)
            self.bytes -= size
            whole = accepted is None or number < seq
            self.reader.recorded(batch, len(batch.elements) if whole else accepted)
        self.finish()

    def finish(self):
        """Once everything is recorded, a source that has ended says so."""
        if self.ended and not self.unacked and not self.done:
            self.done = True
            self.worker.connection.send("source.done", id=["done", self.job, self.tag], source=self.number, tag=self.tag)


class Worker:
    """Runs sources: `readers` has for each URN what makes a Reader. One thread, however many sources."""

    def __init__(self, endpoint, readers, name=None, keys=None):
        self.connection = Connection(endpoint, keys)
        self.readers, self.name = readers, name
        self.sources = {}  # by job and tag
        self.given = {}    # what we have asked to be let in for, by the number of that request
        self.asked = 0
        self.over = False  # leave before the next step
        self.ready()

    def ready(self, urns=None):
        """Says what can run here, and that nothing does: what did is given out anew, to us or to others, from where it is recorded."""
        for source in self.sources.values():
            source.reader.close(over=False)
        self.sources.clear()
        self.given.clear()
        more = {"worker": self.name} if self.name else {}
        self.connection.send("worker.ready", id=["ready"], urns=list(self.readers) if urns is None else urns, **more)
        self.heard = time.monotonic()

    def leave(self):
        """Others go on at once; from one that just disappears they take over once that is noticed."""
        self.ready([])
        while time.monotonic() - self.heard < SILENCE_S and self.connection.receive()[0].get("id") != ["ready"]:
            pass
        self.connection.socket.close()

    def stop(self, *_):
        """May be called at any moment, by a signal too: one that interrupted a step could cut a message in two."""
        self.over = True

    def run(self):
        while not self.over:
            self.step()
        self.leave()

    def step(self, wait_s=WAIT_S):
        """Takes what the engine says, and lets each source send."""
        if time.monotonic() - self.heard > SILENCE_S:
            self.ready()
        busy = False
        for source in list(self.sources.values()):
            try:
                busy = source.produce() or busy
            except Exception as problem:
                self.fail(source.job, source.tag, problem)
        timeout_s = 0 if busy else wait_s
        while self.connection.socket.poll(timeout_s * 1000):
            message = msgpack.unpackb(self.connection.socket.recv_multipart()[0], strict_map_key=False)
            self.heard = time.monotonic()
            timeout_s = 0
            if "op" in message:
                self.take(message)
            else:
                self.take_answer(message)

    def take(self, message):
        op, about = message["op"], (message.get("job"), message.get("tag"))
        if op == "ping":
            self.connection.send("pong")
        elif op == "source.start":
            self.drop(about)
            self.asked += 1
            self.given[self.asked] = message
            self.connection.send("source.attach", id=["attach", self.asked], job=message["job"], tag=message["tag"],
                                 producer=message["producer"])
        elif "source" in message:
            source = next((one for one in self.sources.values() if one.number == message["source"]), None)
            if source:  # otherwise it is about a former attachment
                self.take_of(source, message)
        elif op == "source.stop":
            self.drop(about, over=message["reason"] != "superseded")

    def take_of(self, source, message):
        if message["op"] == "source.ack":
            source.recorded(message["seq"])
        elif message["op"] == "source.nack" and message["error"].get("retry"):
            self.ready()  # the engine has lost its state
        elif message["op"] == "source.nack":
            self.fail(source.job, source.tag, message["error"]["message"])
        elif message["op"] == "source.stop":
            if "seq" in message:
                source.recorded(message["seq"], message["accepted"])
            self.drop((source.job, source.tag), over=message["reason"] != "superseded")

    def take_answer(self, message):
        what, *about = message.get("id") or ["ready"]
        given = self.given.pop(about[0], None) if what == "attach" else None  # None: given to us again since, or to somebody else
        if not message["ok"] and message["error"].get("retry"):
            self.ready()
        elif not message["ok"] and what == "ready":
            raise Refused(message["error"])
        elif what == "done":
            self.drop(tuple(about), over=True)
        elif given and message["ok"]:
            job, tag = given["job"], given["tag"]
            try:
                reader = self.readers[given["urn"]](given, message.get("cursor"))
                self.sources[job, tag] = Source(self, job, tag, reader, message)
            except Exception as problem:
                self.fail(job, tag, problem)

    def drop(self, about, over=False):
        self.given = {number: given for number, given in self.given.items() if (given["job"], given["tag"]) != about}
        source = self.sources.pop(about, None)
        if source:
            source.reader.close(over)

    def fail(self, job, tag, problem):
        """The job fails, and says why."""
        self.connection.send("source.fail", id=["fail", job, tag], job=job, tag=tag, message=str(problem) or type(problem).__name__)
        self.drop((job, tag), over=True)


def serve(readers, doc):
    """The command line of a worker: runs until it is interrupted or terminated, and then leaves."""
    arguments = argparse.ArgumentParser(description=doc.splitlines()[0])
    arguments.add_argument("--engine", default="tcp://127.0.0.1:5570", help="the commands endpoint")
    arguments.add_argument("--key", default=os.environ.get("REPRISE_KEY"), help="our key, where the engine has keys")
    arguments.add_argument("--server-key", default=os.environ.get("REPRISE_SERVER_KEY"), help="the file of the engine's")
    arguments.add_argument("--name", help="what this worker is called in lists")
    given = arguments.parse_args()
    keys = keys_of(given.key, given.server_key) if given.key else None
    with Connection(given.engine, keys) as commands:
        endpoint = commands.ask("engine.info")["endpoints"]["ingest"]
    worker = Worker(endpoint, readers, given.name, keys)
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, worker.stop)
    worker.run()


if __name__ == "__main__":
    try:
        serve({"example:lines:v1": Lines}, __doc__)
    except (Refused, TimeoutError) as problem:
        sys.exit(f"worker.py: {problem}")
