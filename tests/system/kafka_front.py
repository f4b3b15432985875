"""What stands in front of a cluster of Kafka's, as a machine in a network would: it terminates TLS, asks for a password, sees which requests are made, and
can be cut. The cluster behind it says in its metadata where its broker listens; here the answer says the front's port instead.

Kafka's frames are a length of 4 bytes and the rest; a request begins with the number of its API, a version, and a number that its answer repeats.
"""
import contextlib
import socket
import struct
import threading

FETCH, METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 1, 3, 17, 18, 36


def read(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_frame(connection):
    return read(connection, struct.unpack(">i", read(connection, 4))[0])


def write_frame(connection, body):
    connection.sendall(struct.pack(">i", len(body)) + body)


def text(value):
    return struct.pack(">h", len(value)) + value


def fetched_nothing(answer):
    """An answer of FETCH, version 11, with one partition of one topic, as of a broker that has not heard of any message yet."""
    at = 4 + 4 + 2 + 4
    assert struct.unpack_from(">i", answer, at) == (1,)
    at += 4
    at += 2 + struct.unpack_from(">h", answer, at)[0]
    assert struct.unpack_from(">i", answer, at) == (1,)
    marks = at + 4 + 4 + 2  # the high watermark and the last stable offset
    rest = marks + 16
    records = rest + 8 + 4 + 4  # behind the first offset, no transactions and the replica to be preferred
    return answer[:marks] + struct.pack(">qq", 0, 0) + answer[rest:records] + struct.pack(">i", 0)


class Front:
    """`tls`: an ssl.SSLContext. `users`: passwords by name. `ignorant`: the next messages are kept back, once."""

    def __init__(self, server, tls=None, users=None):
        host, port = server.split(":")
        self.target = (host, int(port))
        self.tls, self.users = tls, users
        self.apis = set()  # of all requests
        self.lock = threading.Lock()
        self.connections = []
        self.closed = self.ignorant = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.server = f"127.0.0.1:{self.port}"
        self.start(self.accept)

    @staticmethod
    def start(run, *given):
        threading.Thread(target=run, args=given, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while not self.closed:
                self.start(self.serve, self.listener.accept()[0])

    def serve(self, near):
        far = socket.create_connection(self.target)
        with self.lock:
            self.connections += [near, far]
        try:
            if self.tls:
                near = self.tls.wrap_socket(near, server_side=True)
                with self.lock:
                    self.connections.append(near)
            asked = {}  # the API of each request that is under way
            if self.users is None or self.authenticate(near, far):
                self.start(self.pass_answers, far, near, asked)
                self.pass_requests(near, far, asked)
        except (OSError, EOFError):
            pass
        self.end(near, far)

    @staticmethod
    def end(*connections):
        for one in connections:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def pass_requests(self, near, far, asked):
        while True:
            body = read_frame(near)
            api, _, number = struct.unpack_from(">hhi", body)
            asked[number] = api
            self.apis.add(api)
            write_frame(far, body)

    def pass_answers(self, far, near, asked):
        with contextlib.suppress(OSError, EOFError):
            while True:
                body = read_frame(far)
                api = asked.pop(struct.unpack_from(">i", body)[0], None)
                if api == FETCH and self.ignorant:
                    body = fetched_nothing(body)
                    self.ignorant = False
                if api == METADATA:
                    address = text(self.target[0].encode())
                    body = body.replace(address + struct.pack(">i", self.target[1]), address + struct.pack(">i", self.port))
                write_frame(near, body)
        self.end(near, far)

    def authenticate(self, near, far):
        """Until the client has shown who it is: whether it may go on."""
        while True:
            body = read_frame(near)
            api, version, number = struct.unpack_from(">hhi", body)
            head = body[4:8]
            if api == API_VERSIONS and version == 0:
                write_frame(far, body)
                answer = read_frame(far)
                error, count = struct.unpack_from(">hi", answer, 4)
                more = b"".join(struct.pack(">hhh", api, 0, most) for api, most in ((SASL_HANDSHAKE, 1), (SASL_AUTHENTICATE, 0)))
                write_frame(near, answer[:4] + struct.pack(">hi", error, count + 2) + answer[10:10 + 6 * count] + more + answer[10 + 6 * count:])
            elif api == API_VERSIONS:  # of this version nothing is known; the client asks again
                write_frame(near, head + struct.pack(">hi", 35, 0))
            elif api == SASL_HANDSHAKE:
                write_frame(near, head + struct.pack(">hi", 0, 1) + text(b"PLAIN"))
            elif api == SASL_AUTHENTICATE:
                size = struct.unpack_from(">h", body, 8)[0]
                _, user, password = body[10 + size + 4:].split(b"\0")
                if self.users.get(user.decode()) == password.decode():
                    write_frame(near, head + struct.pack(">hh", 0, -1) + struct.pack(">i", 0))
                    return True
                write_frame(near, head + struct.pack(">h", 58) + text(b"nobody has that password") + struct.pack(">i", 0))

    def cut(self):
        """Every connection ends at once, whatever is under way."""
        with self.lock:
            self.end(*self.connections)
            self.connections.clear()

    def close(self):
        self.closed = True
        self.end(self.listener)
        self.cut()
