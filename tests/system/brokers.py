"""The servers outside that sources read, each started by the test that needs it, on ports of the loopback, and gone with it."""
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

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


class Nats(Broker):
    """With a JetStream whose files survive a restart. `settings`: more of its configuration."""
    program = "nats-server"

    def __init__(self, settings="", jetstream=True, wrap=None):
        self.settings, self.jetstream = settings, jetstream
        self.wrap = wrap or (lambda connection: connection)  # of connections, where it asks for TLS
        self.monitor = free_ports(1)
        super().__init__()

    def command(self):
        store = f'jetstream {{ store_dir: "{self.folder}/store" }}' if self.jetstream else ""
        (self.folder / "conf").write_text(f"listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.monitor}\n{store}\n{self.settings}\n")
        return [self.program, "--config", self.folder / "conf"]

    def serves(self, connection):
        return connection.recv(5) == b"INFO "

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def connect(self, **who):
        return NatsClient(self, who)

    def ask(self, subject, body=None, **who):
        """An answer of JetStream."""
        with self.connect(**who) as client:
            return client.ask(subject, body)

    def stream(self, name, *subjects, **config):
        return self.ask(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": subjects, "storage": "file", "retention": "limits",
                                                         "num_replicas": 1, **config})

    def publish(self, messages, **who):
        """[subject, bytes] each, or with a map of headers; to subjects alone."""
        with self.connect(**who) as client:
            client.publish(messages)

    def store(self, messages, **who):
        """The same to streams: each message is stored when it returns. The number of the last."""
        with self.connect(**who) as client:
            return client.store(messages)

    def subscriptions(self):
        """The subjects that clients are subscribed to."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/connz?subs=1", timeout=PATIENCE) as answer:
            return [subject for connection in json.load(answer)["connections"] for subject in connection.get("subscriptions_list", [])]

    def consumers(self, stream):
        return self.ask(f"$JS.API.CONSUMER.NAMES.{stream}")["consumers"] or []


class NatsClient:
    def __init__(self, broker, who):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), PATIENCE)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO ")
        wrapped = broker.wrap(self.socket)
        if wrapped is not self.socket:
            self.socket, self.file = wrapped, wrapped.makefile("rb")
        options = {"verbose": False, "headers": True, "no_responders": True, **who}
        self.socket.sendall(b"CONNECT %s\r\nSUB answers 1\r\n" % json.dumps(options).encode())
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    @staticmethod
    def frame(subject, value, headers=None, reply=""):
        if headers is None:
            return f"PUB {subject} {reply} {len(value)}\r\n".encode() + value + b"\r\n"
        head = b"NATS/1.0\r\n" + b"".join(f"{name}: {text}\r\n".encode() for name, text in headers.items()) + b"\r\n"
        return f"HPUB {subject} {reply} {len(head)} {len(head) + len(value)}\r\n".encode() + head + value + b"\r\n"

    def line(self):
        line = self.file.readline()
        assert line and not line.startswith(b"-ERR"), line
        if line == b"PING\r\n":
            self.socket.sendall(b"PONG\r\n")
            return self.line()
        return line

    def message(self):
        line = self.line()
        while not line.startswith((b"MSG", b"HMSG")):
            line = self.line()
        return self.file.read(int(line.split()[-1]) + 2)[:-2]

    def flush(self):
        self.socket.sendall(b"PING\r\n")
        while self.line() != b"PONG\r\n":
            pass

    def send(self, frames):
        text = b"".join(frames)
        for first in range(0, len(text), 1 << 20):
            self.socket.sendall(text[first:first + (1 << 20)])

    def publish(self, messages):
        self.send(self.frame(*message) for message in messages)
        self.flush()

    def store(self, messages):
        last = None
        for first in range(0, len(messages), 1000):
            part = messages[first:first + 1000]
            self.send(self.frame(*message, *[None] * (3 - len(message)), "answers") for message in part)
            for _ in part:
                last = json.loads(self.message())
                assert "error" not in last, last
        return last and last["seq"]

    def ask(self, subject, body=None):
        self.socket.sendall(self.frame(subject, json.dumps(body).encode() if body is not None else b"", reply="answers"))
        answer = json.loads(self.message())
        assert "error" not in answer, answer
        return answer
