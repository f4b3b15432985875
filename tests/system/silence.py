"""A way to the engine that can fall silent: both ends stay connected, and nothing that one says reaches the other any more."""
import select
import socket
import threading


class Way:
    """A TCP proxy in front of one endpoint. `silent` connections to the engine stay open until the engine closes them."""

    def __init__(self, endpoint):
        host, port = endpoint[len("tcp://"):].split(":")
        self.engine = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.pairs = {}  # each socket's other end
        self.closed = 0  # connections that the engine closed while it was silent
        self.silent = False
        self.changed = threading.Condition()
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        inside = set()  # those that lead to the engine
        while True:
            readable, _, _ = select.select([self.listener, self.wake, *self.pairs], [], [])
            if self.wake in readable:
                break
            for one in readable:
                if one is self.listener:
                    client, engine = self.listener.accept()[0], socket.create_connection(self.engine)
                    self.pairs.update({client: engine, engine: client})
                    inside.add(engine)
                elif one in self.pairs:
                    self.pass_on(one, inside)
        for one in self.pairs:
            one.close()
        self.listener.close()

    def pass_on(self, one, inside):
        try:
            data = one.recv(65536)
        except OSError:
            data = b""
        if data:
            if not self.silent:
                self.pairs[one].sendall(data)
            return
        other = self.pairs.pop(one)
        one.close()
        if self.silent and one in inside:
            with self.changed:
                self.closed += 1
                self.changed.notify_all()
        if other and self.silent:
            self.pairs[other] = None  # it stays, so that nobody connects anew
        elif other:
            self.pairs.pop(other)
            other.close()

    def fall_silent(self):
        self.silent = True

    def await_closed(self, count, patience_s):
        """Until the engine has closed so many of its ends."""
        with self.changed:
            return self.changed.wait_for(lambda: self.closed >= count, patience_s)

    def close(self):
        self.waker.send(b"x")
        self.thread.join()
        self.wake.close()
        self.waker.close()
