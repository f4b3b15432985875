"""Apache Beam's side of its test streams, as far as the wire is concerned: calls of TestStreamService through grpcio, with messages read and
written by hand, so that every field that comes is seen.
"""
import grpc

from engine import PATIENCE
from wire import text

SERVICES = ("org.apache.beam.model.pipeline.v1", "org.apache.beam.model.interactive.v1")
INFINITY = 9223372036854775000


def fields(data):
    """A message as (number, value) pairs: integers, signed as int64 is, and bytes."""
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = read()
        if key & 7 == 0:
            value = read()
            yield key >> 3, value - (1 << 64) if value >> 63 else value
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size = read()
            assert at + size <= len(data)
            yield key >> 3, data[at:at + size]
            at += size


def event(data):
    """A TestStreamPayload.Event: ("watermark", to, tag), ("time", advance) or ("elements", [[timestamp, bytes], …], tag)."""
    (kind, inner), = fields(data)
    parts = list(fields(inner))
    once = dict(parts)
    if kind == 1:
        assert set(once) <= {1, 2}
        return "watermark", once.get(1, 0), once.get(2, b"").decode()
    if kind == 2:
        assert set(once) <= {1}
        return "time", once.get(1, 0)
    assert kind == 3 and set(once) <= {1, 3}
    elements = [dict(fields(value)) for key, value in parts if key == 1]
    return "elements", [[one.get(2, 0), one.get(1, b"")] for one in elements], once.get(3, b"").decode()


def request(*output_ids):
    return b"".join(text(1, one) for one in output_ids)


def channel(address, **options):
    return grpc.insecure_channel(address, options=[(f"grpc.{name}", value) for name, value in options.items()])


def call(on, *output_ids, service=SERVICES[0], timeout=PATIENCE, **options):
    """The stream of events as they come, decoded."""
    method = on.unary_stream(f"/{service}.TestStreamService/Events", request_serializer=lambda ids: request(*ids),
                             response_deserializer=event)
    return method(output_ids, timeout=timeout, **options)


def expected(engine, tags=None, **what):
    """What Beam must see of a replay: its own events, without what Beam has no word for."""
    names = {"watermark": lambda one, _: ("watermark", one["to"], one["tag"]),
             "processing_time": lambda one, _: ("time", one["advance_us"]),
             "elements": lambda one, elements: ("elements", [[at, bytes(data)] for at, data, *_ in elements], one["tag"])}
    selected = {} if tags is None else {"tags": tags}
    return [names[one["event"]](one, elements) for one, elements in engine.replay(**what, **selected) if one["event"] in names]
