"""The servers outside that sources read, each started by the test that needs it, on ports of the loopback, and gone with it."""
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

from engine import BUILD, PATIENCE, free_ports


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


class Broker:
    """`command` gives the program and its arguments, `serves` whether it takes connections already."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-broker-"))
        self.process = None
        self.start(fresh=True)

    def start(self, fresh=False):
        """Started again, it has the same port; a fresh one may be somebody else's by now."""
        for _ in range(10):
            if fresh:
                self.port = free_ports(1)
            with open(self.folder / "log", "ab") as log:
                self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder)
            if self.is_up():
                return
        raise AssertionError(f"{self.command()[0]} does not serve: {(self.folder / 'log').read_text()}")

    def is_up(self):
        """False where it ended at once, as where somebody was quicker to take the port."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"{self.command()[0]} takes no connections"
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    if self.serves(connection):
                        return True
            except OSError:
                pass
            try:
                self.process.wait(0.01)
            except subprocess.TimeoutExpired:
                pass
        return False

    def serves(self, connection):
        return True

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def restart(self):
        self.kill()
        self.start()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Broker):
    """It writes each command to its log before it answers, so that no kill loses what was acknowledged."""
    program = "redis-server"

    def __init__(self, **settings):
        self.settings = settings
        super().__init__()

    def command(self):
        settings = {"bind": "127.0.0.1", "port": self.port, "appendonly": "yes", "save": "", **self.settings}
        return [self.program, *(word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value)))]

    def serves(self, connection):
        """It takes connections before it has read its log; and this may be another's port."""
        said = (self.folder / "log").read_text().splitlines()
        return any(line.startswith(f"{self.process.pid}:") and "Ready to accept connections" in line for line in said)

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def ask(self, *words):
        """One command; its answer as Python's values."""
        return self.ask_all([words])[0]

    def ask_all(self, commands):
        """Many in a pipeline."""
        said = []
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection, connection.makefile("rb") as answers:
            for first in range(0, len(commands), 1000):
                connection.sendall(b"".join(map(self.encode, commands[first:first + 1000])))
                said += [self.decode(answers) for _ in commands[first:first + 1000]]
        return said

    @staticmethod
    def encode(words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    @classmethod
    def decode(cls, answers):
        line = answers.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise AssertionError(rest.decode())
        if kind == b"+":
            return rest.decode()
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return answers.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        return [cls.decode(answers) for _ in range(int(rest))] if int(rest) >= 0 else None
