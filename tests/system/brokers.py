"""The servers outside that sources read, each started by the test that needs it, on ports of the loopback, and gone with it."""
import json
import subprocess

from engine import BUILD, PATIENCE


class Kafka:
    """librdkafka's mock cluster. What was told to it is in memory: `down` cuts everybody off, and keeps it."""

    def __init__(self, brokers=1):
        self.process = subprocess.Popen([BUILD / "tests" / "kafka-broker", str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.server = self.process.stdout.readline().strip()

    def do(self, what, **fields):
        self.process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        assert said == "ok", f"{what} {fields}: {said}"

    def topic(self, name, partitions=1):
        self.do("topic", topic=name, partitions=partitions)

    def produce(self, topic, *messages, partition=0):
        """Each is a text, or [value, time in ms, key, headers]."""
        listed = [message if isinstance(message, list) else [message] for message in messages]
        self.do("produce", topic=topic, partition=partition, messages=listed)

    def down(self):
        self.do("down")

    def up(self):
        self.do("up")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)
