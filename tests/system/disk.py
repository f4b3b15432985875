"""A disk that fails when a test says so: the rules of faults/faults.c, which stands between the engine and its files.

A rule is (CALL, GLOB, FIRST, TIMES, ACTION): what happens to the calls of that name on files that match, from the FIRSTth from now on,
TIMES times (0: always). The name of each call is that of the system call, without its variants: open write read mmap fsync fdatasync
ftruncate fallocate rename unlink mkdir.
"""
import contextlib
import itertools
import os
import pathlib
import queue
import tempfile
import threading

from engine import BUILD, PATIENCE

LIBRARY = BUILD / "tests" / "libreprise-faults.so"


class Disk:
    def __init__(self):
        assert LIBRARY.exists(), f"{LIBRARY} is not built"
        self.folder = tempfile.TemporaryDirectory(prefix="reprise-disk-")
        self.rules = pathlib.Path(self.folder.name) / "rules"
        self.log = pathlib.Path(self.folder.name) / "rules.log"
        self.labels = (f"r{number}" for number in itertools.count())
        self.current = {}
        self.env = {"LD_PRELOAD": str(LIBRARY), "REPRISE_FAULTS": str(self.rules)}
        self.set()

    def set(self, *rules):
        """From now on these rules hold, and no others. Returns their labels."""
        self.current = {}
        return self.add(*rules)

    def add(self, *rules):
        """Of several rules for one call, the first one acts."""
        fresh = {next(self.labels): rule for rule in rules}
        self.current.update(fresh)
        self.write()
        return list(fresh)

    def write(self):
        fresh = self.rules.with_suffix(".new")
        fresh.write_text("".join(f"{label} {' '.join(map(str, rule))}\n" for label, rule in self.current.items()))
        fresh.replace(self.rules)

    def fired(self, label=None):
        """What was done: (label, call, bytes, path), in its order."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        words = [line.split(" ", 3) for line in lines]
        return [(name, call, int(size), path) for name, call, size, path in words if label in (None, name)]

    @contextlib.contextmanager
    def holding(self, call, glob, first=1):
        """Within, the next such call does not return. The value is a function that waits until the call has been made."""
        fifo = pathlib.Path(self.folder.name) / f"fifo-{next(self.labels)}"
        os.mkfifo(fifo)
        label, = self.add((call, glob, first, 1, f"hold:{fifo}"))
        opened = queue.Queue()
        threading.Thread(target=lambda: opened.put(open(fifo, "wb")), daemon=True).start()
        held = []

        def wait():
            if not held:
                held.append(opened.get(timeout=PATIENCE))
        try:
            yield wait
        finally:
            self.current.pop(label, None)
            self.write()
            if not held:  # it never came, or came unseen: neither may wait for the other
                reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
                fifo.unlink()
                held.append(opened.get(timeout=PATIENCE))
                os.close(reading)
            held[0].close()

    def remove(self):
        self.folder.cleanup()
