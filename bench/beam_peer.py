#!/usr/bin/env python3
"""A server in Python's grpcio, as Apache Beam's own TestStreamService is, with all events ready in memory: what a recording over gRPC is measured
beside. Reads them from a file, each after its size in 4 bytes, and prints its address. It has the last processor to itself, as far as that goes.
"""
import concurrent.futures
import os
import struct
import sys

import grpc


def events_of(path):
    with open(path, "rb") as file:
        data, at, events = file.read(), 0, []
    while at < len(data):
        size, = struct.unpack_from("=I", data, at)
        events.append(data[at + 4:at + 4 + size])
        at += 4 + size
    return events


def main():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    events = events_of(sys.argv[1])
    handler = grpc.unary_stream_rpc_method_handler(lambda request, context: iter(events))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(10))
    for package in ("pipeline", "interactive"):
        service = f"org.apache.beam.model.{package}.v1.TestStreamService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Events": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
