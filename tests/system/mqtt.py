"""MQTT for the tests: the real broker on a free port, which is the same after a restart; a client of a few packets; and a broker that does as a
test says."""
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from engine import PATIENCE, free_ports

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


def text(value):
    return struct.pack(">H", len(value.encode())) + value.encode()


def packet(kind, body=b"", flags=0):
    head, size = bytes([kind << 4 | flags]), len(body)
    while True:
        size, digit = divmod(size, 128)
        head += bytes([digit | (0x80 if size else 0)])
        if not size:
            return head + body


def publish_packet(topic, payload, qos=0, number=0, dup=False, retain=False, v5=False):
    body = text(topic) + (struct.pack(">H", number) if qos else b"") + (b"\0" if v5 else b"") + payload
    return packet(PUBLISH, body, dup << 3 | qos << 1 | retain)


class Wire:
    """One end of a connection: whole packets."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.file = connection.makefile("rb")

    def send(self, *packets):
        self.socket.sendall(b"".join(packets))

    def receive(self):
        """[kind, flags, body]; None: the other end has closed it."""
        head = self.file.read(1)
        if not head:
            return None
        size = shift = 0
        while True:
            digit = self.file.read(1)[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return [head[0] >> 4, head[0] & 15, self.file.read(size)]

    def expect(self, kind):
        while got := self.receive():
            if got[0] == kind:
                return got
        raise AssertionError(f"the connection ended before packet {kind} came")

    def close(self):
        self.file.close()
        self.socket.close()


class Client(Wire):
    """Speaks MQTT 3.1.1, with `tls` (a context of ssl) over that. `session`: the broker had one for this name."""

    def __init__(self, port, name="", clean=True, tls=None, user=None, password=None):
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        super().__init__(tls.wrap_socket(connection, server_hostname="127.0.0.1") if tls else connection)
        flags = (2 if clean else 0) | (0xc0 if user else 0)
        who = text(user) + text(password) if user else b""
        self.send(packet(CONNECT, text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + text(name) + who))
        answer = self.expect(CONNACK)[2]
        assert answer[1] == 0, f"the broker refuses the connection: {answer[1]}"
        self.session = bool(answer[0] & 1)
        self.last = 0

    def publish(self, topic, *payloads, qos=1, retain=False):
        """Returns when the broker has them all."""
        for first in range(0, len(payloads), 10):
            some = payloads[first:first + 10]
            numbers = [(self.last + n) % 65535 + 1 for n in range(len(some))]
            self.last = numbers[-1]
            self.send(*(publish_packet(topic, payload, min(qos, 1), number, retain=retain) for payload, number in zip(some, numbers)))
            for _ in some if qos else ():
                self.expect(PUBACK)
        self.send(packet(PINGREQ))
        self.expect(PINGRESP)

    def close(self):
        try:
            self.send(packet(DISCONNECT))
        except OSError:
            pass
        super().close()


class Mosquitto:
    """With `persistence`, its sessions outlive an ordered end, and a kill as far as they were saved."""

    def __init__(self, persistence=False, access=None, **settings):
        self.access = access or {}  # of the tests' own clients
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-mosquitto-"))
        self.settings = {"allow_anonymous": "true", "log_type": "all", "user": "root", "max_queued_messages": "0", "set_tcp_nodelay": "true",
                         "persistence": "true" if persistence else "false", "persistence_location": f"{self.folder}/", **settings}
        self.port = free_ports(1)
        self.start()

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        lines = [f"listener {self.port} 127.0.0.1", *(f"{name} {value}" for name, value in self.settings.items())]
        (self.folder / "conf").write_text("\n".join(lines) + "\n")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(["mosquitto", "-c", self.folder / "conf"], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.said()

    def said(self):
        return (self.folder / "log").read_text()

    def client(self, name="", clean=True):
        return Client(self.port, name, clean, **self.access)

    def publish(self, topic, *payloads, **how):
        client = self.client()
        client.publish(topic, *payloads, **how)
        client.close()

    def has_session(self, name):
        """Asked for, it ends with the asking."""
        client = self.client(name, clean=False)
        client.close()
        self.client(name).close()
        return client.session

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def remove(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Script:
    """A broker of one connection after another, each of which a test plays: what it is given to read waits in `next`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE)
        self.port = self.listener.getsockname()[1]
        self.wires = []

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def accept(self, session=False, v5=True, refused=0, answer=True):
        """The next connection that says more than nothing, let in; its CONNECT is in `connect`."""
        while True:
            wire = Wire(self.listener.accept()[0])
            self.wires.append(wire)
            if first := wire.receive():
                break
            wire.close()
        wire.connect = first[2]
        wire.v5 = v5
        if answer:
            wire.send(packet(CONNACK, bytes([session, refused]) + (b"\0" if v5 else b"")))
        return wire

    @staticmethod
    def subscribe(wire, granted=1):
        """Grants a SUBSCRIBE, which is given."""
        asked = wire.expect(SUBSCRIBE)[2]
        wire.send(packet(SUBACK, asked[:2] + (b"\0" if wire.v5 else b"") + bytes([granted])))

    @staticmethod
    def acknowledged(wire, count):
        """The numbers of the next messages that are."""
        return [struct.unpack(">H", wire.expect(PUBACK)[2][:2])[0] for _ in range(count)]

    def close(self):
        for wire in self.wires:
            wire.close()
        self.listener.close()


class Publisher(threading.Thread):
    """Publishes numbered messages until it is told to stop, and knows which the broker has."""

    def __init__(self, broker, topic, size=10):
        super().__init__(daemon=True)
        self.broker, self.topic, self.size = broker, topic, size
        self.had = []
        self.stopping = threading.Event()
        self.some = threading.Condition()
        self.start()

    def run(self):
        number = 0
        client = self.broker.client()
        while not self.stopping.is_set():
            payloads = [b"message %d" % n for n in range(number, number + self.size)]
            client.publish(self.topic, *payloads)
            number += self.size
            with self.some:
                self.had += payloads
                self.some.notify_all()
        client.close()

    def wait(self, more):
        """Until the broker has so many more."""
        with self.some:
            goal = len(self.had) + more
            assert self.some.wait_for(lambda: len(self.had) >= goal, PATIENCE), "the broker takes nothing"

    def stop(self):
        self.stopping.set()
        self.join(PATIENCE)
        return self.had
