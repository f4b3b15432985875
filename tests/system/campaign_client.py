"""A client process for campaigns, which kill it: feeds or replays a pipeline, and prints a line whenever something is safe.

    campaign_client.py feed INGEST PIPELINE TAG PRODUCER     prints the number of the last batch that was acknowledged
    campaign_client.py replay TEST_STREAM RECORDING          prints how many elements it has had
"""
import sys

from engine import Producer, replay


class Endpoint:
    """As much of an engine as a producer needs."""

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def connect(self, _):
        from client import Connection  # pylint: disable=import-outside-toplevel
        return Connection(self.endpoint)


def feed(endpoint, name, tag, producer):
    feeder = Producer(Endpoint(endpoint), name, tag, producer, size=5)
    while True:
        feeder.push(feeder.acked + 1, window=20)
        print(feeder.acked, flush=True)


def follow(endpoint, recording):
    seen = 0
    for _, elements in replay(endpoint, recording=recording):
        seen += len(elements or [])
        print(seen, flush=True)


if __name__ == "__main__":
    {"feed": feed, "replay": follow}[sys.argv[1]](*sys.argv[2:])
