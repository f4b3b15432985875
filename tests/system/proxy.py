"""A wire that can be cut without anybody being told: a TCP proxy in a thread of its own. Once it is silent it passes nothing on and closes
nothing, as if the machine behind it had lost its power. It may come back."""
import selectors
import socket
import threading
import time


class Proxy:
    FROM_TARGET, TO_TARGET = range(2)

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.ear, self.mouth = socket.socketpair()
        self.selector.register(self.ear, selectors.EVENT_READ)
        self.others = {}  # the other end of each socket
        self.inside = set()  # those that lead to the target
        self.losing = None   # what they say, or what the others say, is lost: self.FROM_TARGET or self.TO_TARGET
        self.has_lost = threading.Event()
        self.resume()

    def resume(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.ear:
                    self.ear.recv(1)
                    return
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.pass_on(key.fileobj)

    def accept(self):
        near, _ = self.listener.accept()
        far = socket.create_connection(self.target)
        self.inside.add(far)
        for one, other in ((near, far), (far, near)):
            self.others[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def pass_on(self, one):
        other = self.others.get(one)
        if other is None:
            return
        try:
            data = one.recv(1 << 16)
            if data and self.losing == (self.FROM_TARGET if one in self.inside else self.TO_TARGET):
                self.has_lost.set()
                return
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        for end in (one, other):
            self.selector.unregister(end)
            self.inside.discard(end)
            del self.others[end]
            end.close()

    def stop(self):
        if self.thread.is_alive():
            self.mouth.send(b"x")
            self.thread.join()

    def silence(self):
        """From now on nothing passes, and all connections stay open."""
        self.stop()

    def cut(self):
        """All connections are closed; others may come."""
        self.stop()
        for end in list(self.others):
            self.selector.unregister(end)
            end.close()
        self.others.clear()
        self.inside.clear()
        self.resume()

    def is_given_up(self, patience_s):
        """Does the target close its ends of the silent connections, within that time? What it had said before is lost."""
        deadline = time.monotonic() + patience_s
        for end in self.inside:
            said = b"something"
            while said:
                end.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    said = end.recv(1 << 16)
                except ConnectionError:
                    said = b""
                except TimeoutError:
                    return False
            end.settimeout(None)
        return True

    def close(self):
        self.stop()
        for end in (*self.others, self.listener, self.ear, self.mouth):
            end.close()
        self.selector.close()
