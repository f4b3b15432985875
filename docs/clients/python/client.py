#!/usr/bin/env python3
"""Runs a pipeline whose elements are pushed, feeds it, and prints its test stream as JSON lines.

    client.py [--engine tcp://127.0.0.1:5570] [--key FILE --server-key FILE] [--push] PIPELINE COUNT

The first time it records COUNT elements; after that the recording is valid, and is only replayed. Needs pyzmq and msgpack.
"""
import argparse
import json
import os
import re
import sys
import time

import msgpack
import zmq

TIMEOUT_S = 10   # the engine says something at least every 2 s
CREDIT = 1 << 20  # bytes of events that may be under way to us
BATCH = 100


class Refused(Exception):
    """The engine's answer was an error."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.error = error


def keys_of(key, server_key):
    """What an engine with keys wants: our certificate as `reprise keygen` made it (NAME.key), and the engine's (server.pub)."""
    def read(path, name):
        with open(path) as file:
            return re.search(rf'{name} *= *"([^"]*)"', file.read())[1].encode()
    return {"curve_publickey": read(key, "public-key"), "curve_secretkey": read(key, "secret-key"),
            "curve_serverkey": read(server_key, "public-key")}


class Connection:
    """A DEALER socket to one of the engine's endpoints: sends maps, answers pings, and waits no longer than TIMEOUT_S."""

    def __init__(self, endpoint, keys=None):
        self.endpoint = endpoint
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        for name, key in (keys or {}).items():
            setattr(self.socket, name, key)
        self.socket.connect(endpoint)
        self.asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, op, body=None, **fields):
        """Sends one message, and its elements in a second frame. Returns its size: credit counts the bytes of both."""
        frames = [msgpack.packb({"op": op, **fields})]
        if body is not None:
            frames.append(body)
        self.socket.send_multipart(frames)
        return sum(map(len, frames))

    def receive(self, timeout_s=TIMEOUT_S):
        """The next message that is no ping, its elements, and its size."""
        while self.socket.poll(timeout_s * 1000):
            frames = self.socket.recv_multipart()
            message = msgpack.unpackb(frames[0])
            if message.get("op") != "ping":
                return message, msgpack.unpackb(frames[1]) if len(frames) > 1 else None, sum(map(len, frames))
            self.send("pong")
        raise TimeoutError(f"{self.endpoint} is silent")

    def ask(self, op, body=None, timeout_s=TIMEOUT_S, **fields):
        """Sends a request and returns its answer. Answers that came too late for an earlier one are passed over."""
        self.asked += 1
        self.send(op, body, id=self.asked, **fields)
        while True:
            answer, _, _ = self.receive(timeout_s)
            if "ok" in answer and answer.get("id") == self.asked:
                if not answer["ok"]:
                    raise Refused(answer["error"])
                return answer


def feed(endpoint, pipeline, tag, batches, producer="client", keys=None):
    """Records `batches`, lists of [event time in µs, bytes]. The engine knows how far a producer has come: after an interruption,
    `next_seq` tells where to go on, and a batch that arrives twice is stored once. Returns why the job took no more, or None."""
    with Connection(endpoint, keys) as ingest:
        attached, done = None, False
        while True:
            if attached is None:
                try:
                    attached = ingest.ask("source.attach", pipeline=pipeline, tag=tag, producer=producer)
                except Refused as no:
                    if done and no.error["code"] == "invalid_state":
                        return None  # it had ended before we lost the engine
                    raise
                source, seq, unacked, done = attached["source"], attached["next_seq"], {}, False  # unacked: bytes by batch number
            while seq <= len(batches) and sum(unacked.values()) < attached["credit"]:
                unacked[seq] = ingest.send("source.batch", msgpack.packb(batches[seq - 1]), source=source, tag=tag, seq=seq)
                seq += 1
            if not unacked and not done:
                ingest.send("source.done", source=source, tag=tag)
                done = True
            try:
                message, _, _ = ingest.receive()
            except TimeoutError:
                attached = None  # the engine pings whom it knows: it was restarted, and what we sent was lost on the way
                continue
            if message.get("source", source) != source:
                continue  # about an earlier attachment
            if message.get("ok"):
                return None  # the answer to source.done
            if message.get("op") == "source.ack":
                unacked = {number: size for number, size in unacked.items() if number > message["seq"]}
            elif message.get("op") == "source.stop":
                return message["reason"]
            elif message["error"].get("retry"):
                attached = None  # the engine was restarted: attach again
            else:
                raise Refused(message["error"])


def replay(endpoint, keys=None, **what):
    """The events of a replay, each with its elements, up to and with `end`. `what` is `pipeline` or `recording`, and more if you like."""
    with Connection(endpoint, keys) as stream:
        stream.ask("replay.open", credit=CREDIT, **what)
        spent = 0
        while True:
            event, elements, size = stream.receive()
            if event.get("ok") is False:
                raise Refused(event["error"])  # the engine does not know the replay any more: it was restarted, or we were silent too long
            spent += size
            if spent >= CREDIT // 2:
                stream.send("replay.credit", replay=event["replay"], bytes=spent)
                spent = 0
            yield event, elements
            if event["event"] == "end":
                return


def wait(commands, pipeline):
    """The pipeline's job once it has ended, or as it is after TIMEOUT_S."""
    for last in False, True:
        try:
            return commands.ask("job.wait", pipeline=pipeline, timeout_ms=TIMEOUT_S * 1000, timeout_s=TIMEOUT_S + 1)
        except TimeoutError:
            if last:
                raise  # else the engine that was asked is gone, and another may have taken its place


def text_of(value):
    return value.decode(errors="replace")  # elements are bytes: these are text


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--engine", default="tcp://127.0.0.1:5570", help="the commands endpoint")
    arguments.add_argument("--key", default=os.environ.get("REPRISE_KEY"), help="our key, where the engine has keys")
    arguments.add_argument("--server-key", default=os.environ.get("REPRISE_SERVER_KEY"), help="the file of the engine's")
    arguments.add_argument("--push", action="store_true", help="feed by `push` requests in place of the ingest protocol")
    arguments.add_argument("pipeline")
    arguments.add_argument("count", type=int)
    given = arguments.parse_args()
    definition = {"name": given.pipeline, "transforms": [{"name": "Numbers", "urn": "reprise:source:push:v1"}]}
    keys = keys_of(given.key, given.server_key) if given.key else None
    with Connection(given.engine, keys) as commands:
        endpoints = commands.ask("engine.info")["endpoints"]
        run = commands.ask("pipeline.run", pipeline=definition)
        print(f"{run['recording']}: {run['reason']}", file=sys.stderr)
        if run["started"] or run["reason"] == "job_running":
            now = time.time_ns() // 1000
            elements = [[now + number, b"number %d" % number] for number in range(given.count)]
            batches = [elements[first:first + BATCH] for first in range(0, given.count, BATCH)] or [[]]
            if given.push:
                for number, batch in enumerate(batches, 1):
                    commands.ask("push", msgpack.packb(batch), pipeline=given.pipeline, tag="Numbers", done=number == len(batches))
            else:
                feed(endpoints["ingest"], given.pipeline, "Numbers", batches, keys=keys)
        job = wait(commands, given.pipeline)
        print(f"{job['state']}: {job['elements']} elements recorded", file=sys.stderr)
    for event, elements in replay(endpoints["test_stream"], keys, pipeline=given.pipeline):
        print(json.dumps(event if elements is None else {**event, "elements": elements}, default=text_of, separators=(",", ":")))


if __name__ == "__main__":
    try:
        main()
    except (Refused, TimeoutError) as problem:
        sys.exit(f"client.py: {problem}")
