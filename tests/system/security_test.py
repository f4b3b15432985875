"""An engine with keys: who has none of them gets nothing from it, on any endpoint, and who has one may do what it says and no more."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack
import zmq
from zmq.utils.monitor import recv_monitor_message

from engine import BUILD, DOORS, FILE, GENERATOR, PATIENCE, PUSH, ROOT, Connection, Engine, EngineTest, Refused, pipeline, sanitizers, source

QUIET_MS = 300  # in which an answer would have come many times over
SHAKEN = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | \
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
PERMISSIONS = ("read", "write", "admin")


class Keys:
    """A folder of keys as `reprise keygen` makes them, and the clients' own ones next to it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-keys-"))
        self.engine = self.folder / "engine"
        self.clients = self.engine / "clients"
        self.clients.mkdir(parents=True)
        self.server = self.write(self.engine / "server.key")
        for permission in PERMISSIONS:
            self.add(permission, permission)

    def write(self, path, **metadata):
        """A certificate with its secret at `path`, and the public one; both keys."""
        public, secret = (key.decode() for key in zmq.curve_keypair())
        for file, more in ((path, f'    secret-key = "{secret}"\n'), (path.with_suffix(".pub"), "")):
            file.write_text("metadata\n" + "".join(f'    {name} = "{value}"\n' for name, value in metadata.items())
                            + f'curve\n    public-key = "{public}"\n' + more)
            file.chmod(0o600)
        return public.encode(), secret.encode()

    def add(self, name, permission):
        """A client's keys, which the engine is given. What a socket has to be told."""
        self.write(self.folder / f"{name}.key", permission=permission)
        shutil.copy(self.folder / f"{name}.pub", self.clients / f"{name}.pub")
        return self.of(name)

    def of(self, name):
        text = (self.folder / f"{name}.key").read_text().split('"')
        return self.pair(text[-4].encode(), text[-2].encode())

    def pair(self, public, secret):
        return {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": self.server[0]}

    def remove(self, name):
        (self.clients / f"{name}.pub").unlink()


class KeyedTest(EngineTest):
    """An engine with keys, and who comes to it."""
    ipc = False

    @classmethod
    def setUpClass(cls):
        cls.keys = Keys()
        cls.addClassCleanup(shutil.rmtree, cls.keys.folder, True)
        cls.engine = Engine("--chaos", "--keys", str(cls.keys.engine), keys=cls.keys.of("admin"), ipc=cls.ipc)
        cls.addClassCleanup(cls.engine.remove)

    def connect(self, door, keys, kind=zmq.DEALER, identity=None):
        """A socket whose connections can be watched."""
        one = zmq.Context.instance().socket(kind)
        one.setsockopt(zmq.LINGER, 0)
        one.setsockopt(zmq.SNDTIMEO, 0)  # who is turned away has nobody to send to
        for name, key in (keys or {}).items():
            setattr(one, name, key)
        if identity:
            one.setsockopt(zmq.IDENTITY, identity)
        if kind == zmq.SUB:
            one.setsockopt(zmq.SUBSCRIBE, b"")
        monitor = one.get_monitor_socket(SHAKEN)
        one.connect(self.engine.endpoints[door])
        self.addCleanup(self.leave, one)
        return one, monitor

    def leave(self, one):
        if not one.closed:
            monitor = one.get_monitor_socket()
            one.disable_monitor()
            monitor.close()
            one.close()

    def by(self, name, door="commands"):
        one = Connection(self.engine.endpoints[door], self.keys.of(name))
        one.socket.setsockopt(zmq.SNDTIMEO, PATIENCE * 1000)
        self.addCleanup(one.socket.close)
        return one

    def denied(self, connection, op, **fields):
        with self.assertRaises(Refused) as caught:
            connection.ask(op, **fields)
        self.assertEqual(caught.exception.error["code"], "unauthorized", caught.exception)
        return caught.exception.error["message"]

    def say(self, one, message):
        """Sends, if there is anybody to send to."""
        try:
            one.send(msgpack.packb(message))
        except zmq.Again:
            pass

    def news(self):
        """Makes the engine publish something."""
        self.engine.ask("pipeline.track", pipeline=pipeline("news"))
        self.engine.ask("pipeline.forget", pipeline="news")

    def assert_gets_nothing(self, prepare):
        """Of each endpoint, for a socket that `prepare` makes ready: the handshake fails, and neither a request nor a wait brings anything."""
        witness, _ = self.subscriber("read")  # hears what is published while others knock
        for door in DOORS:
            kind = zmq.SUB if door == "notifications" else zmq.DEALER
            before = self.engine.counter("handshake_failures")
            with self.subTest(door=door):
                one, monitor = self.connect(door, None, kind) if prepare is None else prepare(door, kind)
                if kind == zmq.DEALER:
                    for op in ("engine.info", "replay.open", "source.attach", "engine.stop"):
                        self.say(one, {"op": op, "pipeline": "secret", "tag": "Read", "credit": 1000})
                self.assertTrue(monitor.poll(PATIENCE * 1000), "no handshake was tried")
                self.assertNotEqual(recv_monitor_message(monitor)["event"], zmq.EVENT_HANDSHAKE_SUCCEEDED)
                self.news()
                self.assertTrue(witness.poll(PATIENCE * 1000), "nothing was published")
                while witness.poll(0):
                    witness.recv_multipart()
                self.assertFalse(one.poll(QUIET_MS), "the engine said something")
                self.leave(one)
                self.failed_since(before)

    def failed_since(self, before):
        deadline = time.monotonic() + PATIENCE
        while self.engine.counter("handshake_failures") <= before:
            self.assertLess(time.monotonic(), deadline, "the failure was not counted")

    def subscriber(self, name):
        one, monitor = self.connect("notifications", self.keys.of(name), zmq.SUB)
        deadline = time.monotonic() + PATIENCE
        while not one.poll(20):
            self.assertLess(time.monotonic(), deadline, "no notification arrives")
            self.news()
        while one.poll(20):
            one.recv_multipart()
        return one, monitor


class SecurityTest(KeyedTest):
    # ---- who has no key ----

    def test_a_client_without_a_key_gets_nothing(self):
        self.assert_gets_nothing(None)

    def test_a_client_with_a_key_of_its_own_making_gets_nothing(self):
        self.assert_gets_nothing(lambda door, kind: self.connect(door, self.keys.pair(*zmq.curve_keypair()), kind))

    def test_the_engines_own_key_is_no_clients(self):
        self.assert_gets_nothing(lambda door, kind: self.connect(door, self.keys.pair(*self.keys.server), kind))

    def test_a_client_that_takes_another_for_the_engine_gets_nothing(self):
        wrong = {**self.keys.of("admin"), "curve_serverkey": zmq.curve_keypair()[0]}
        self.assert_gets_nothing(lambda door, kind: self.connect(door, wrong, kind))

    def test_a_public_key_without_its_secret_is_worth_nothing(self):
        stolen = {**self.keys.of("admin"), "curve_secretkey": zmq.curve_keypair()[1]}
        self.assert_gets_nothing(lambda door, kind: self.connect(door, stolen, kind))

    def test_a_password_is_no_key(self):
        def plain(door, kind):
            one = zmq.Context.instance().socket(kind)
            one.setsockopt(zmq.LINGER, 0)
            one.setsockopt(zmq.SNDTIMEO, 0)
            one.plain_username, one.plain_password = b"admin", b"admin"
            if kind == zmq.SUB:
                one.setsockopt(zmq.SUBSCRIBE, b"")
            monitor = one.get_monitor_socket(SHAKEN)
            one.connect(self.engine.endpoints[door])
            return one, monitor
        self.assert_gets_nothing(plain)

    def test_what_is_not_zeromq_or_an_old_one_gets_no_more_than_a_greeting(self):
        info = msgpack.packb({"op": "engine.info"})
        old = bytes([1, 0]) + bytes([len(info) + 1, 0]) + info  # ZMTP 1: an anonymous peer, and one frame
        greeting3 = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
        sent = []
        for door in DOORS:
            for said in (b"GET / HTTP/1.1\r\n\r\n", old, b"\xff" + bytes(8) + b"\x7f\x01\x05" + old, greeting3 + old, bytes(300)):
                sent.append((door, said, socket.create_connection(("127.0.0.1", self.port_of(door)), PATIENCE)))
                sent[-1][2].sendall(said)
        self.news()
        for door, said, raw in sent:
            with raw:
                with self.subTest(door=door, said=said[:20]):
                    got = b""
                    try:
                        while part := raw.recv(4096):  # until the engine hangs up
                            got += part
                    except ConnectionResetError:
                        pass
                    self.assertLessEqual(len(got), 64)
                    self.assertEqual(got, (b"\xff" + bytes(7) + b"\x01\x7f\x03")[:len(got)] + got[11:])
                    self.assertNotIn(b"ok", got)

    def port_of(self, door):
        return int(self.engine.endpoints[door].rsplit(":", 1)[1])

    # ---- what a key allows ----

    def test_a_key_may_do_what_its_permission_says_and_the_refusal_names_it(self):
        read, write = self.by("read"), self.by("write")
        self.assertTrue(read.ask("engine.info")["ok"])
        self.assertEqual(self.denied(read, "pipeline.track", pipeline=pipeline("theirs")),
                         "`pipeline.track` needs a key with the permission write, and `read` has read")
        self.assertTrue(write.ask("pipeline.track", pipeline=pipeline("theirs"))["ok"])
        self.assertEqual(self.denied(write, "options.set", enable_recording_replay=True),
                         "`options.set` needs a key with the permission admin, and `write` has write")
        self.denied(write, "pipeline.forget", pipeline="theirs")
        self.denied(write, "engine.stop")
        self.denied(write, "chaos.fail", actor="notifier")
        self.assertTrue(self.engine.ask("pipeline.forget", pipeline="theirs")["ok"])

    def test_every_op_is_refused_to_keys_that_allow_less(self):
        protocol = self.engine.ask("engine.protocol")["ops"]
        asked = 0
        for op in protocol:
            if op["from"] != "client" or op["kind"] != "request":
                continue
            for name in PERMISSIONS[:PERMISSIONS.index(op["permission"])]:
                with self.by(name, op["endpoint"]) as connection, self.subTest(op=op["op"], key=name):
                    self.assertIn(f"`{op['op']}`", self.denied(connection, op["op"]))
                    asked += 1
        self.assertGreater(asked, 30)

    def test_reading_with_a_definition_in_place_of_a_name_would_store_it_and_needs_write(self):
        read = self.by("read")
        message = self.denied(read, "job.describe", pipeline=pipeline("smuggled"))
        self.assertEqual(message, "`job.describe` with a definition needs a key with the permission write, and `read` has read")
        self.denied(read, "source.has", pipeline=pipeline("smuggled"))
        self.assertNotIn("smuggled", [one["name"] for one in self.engine.ask("pipeline.list")["pipelines"]])

    def test_a_key_that_may_write_cannot_have_the_engines_own_key_recorded(self):
        write, link = self.by("write"), self.keys.folder / "innocent"
        link.symlink_to(self.keys.engine / "server.key")
        for number, path in enumerate((self.keys.engine / "server.key", link)):
            write.ask("pipeline.run", pipeline=pipeline(f"thief{number}", source("Read", FILE, {"path": str(path), "follow": False})))
            job = write.ask("job.wait", pipeline=f"thief{number}", timeout_ms=PATIENCE * 1000, timeout_s=PATIENCE)
            self.assertEqual((job["state"], job["elements"]), ("FAILED", 0))
            self.assertIn("the engine's own key", job["error"])

    def test_a_key_that_may_write_records_and_one_that_may_read_replays(self):
        with self.by("write") as commands:
            commands.ask("pipeline.run", pipeline=pipeline("shared", source("Read", PUSH)), limits={"count": 100})
        with self.by("read", "ingest") as ingest:
            self.denied(ingest, "source.attach", pipeline="shared", tag="Read")
            ingest.send("source.batch", msgpack.packb([[1, b"forged"]]), source=1, tag="Read", seq=1)
            self.assertEqual(ingest.receive()[0]["error"]["code"], "unauthorized")
        with self.by("write", "ingest") as ingest:
            attached = ingest.ask("source.attach", pipeline="shared", tag="Read")
            ingest.send("source.batch", msgpack.packb([[n, b"e"] for n in range(100)]), source=attached["source"], tag="Read", seq=1)
        self.assertEqual(self.engine.wait("shared")["elements"], 100)
        with self.by("read") as commands:
            self.assertEqual(len(commands.ask("recording.fetch", pipeline="shared", max=100)["elements"]), 100)
        with self.by("read", "test_stream") as stream:
            stream.ask("replay.open", pipeline="shared", credit=1 << 20)
            self.assertEqual(stream.receive()[0]["replay"], 1)

    # ---- keys that come and go ----

    def test_a_key_that_is_added_is_good_at_once_and_one_removed_is_not_even_where_it_is_connected(self):
        self.recorded("removed", 10)
        self.keys.add("guest", "write")
        guest = self.by("guest")
        self.assertTrue(guest.ask("engine.info")["ok"])
        stream = self.by("guest", "test_stream")
        stream.ask("replay.open", pipeline="removed", rate=1, credit=1)
        news, monitor = self.subscriber("guest")
        connected = guest.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        streamed = stream.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.keys.remove("guest")
        for watched in (connected, streamed):
            self.assertTrue(watched.poll(PATIENCE * 1000), "the connection stands")
        self.assertTrue(monitor.poll(PATIENCE * 1000))
        while (event := recv_monitor_message(monitor)["event"]) == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            pass
        self.assertEqual(event, zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        for one in (guest.socket, stream.socket, news):
            while one.poll(0):
                one.recv_multipart()  # what had come before
        self.say(guest.socket, {"op": "engine.info"})
        self.say(stream.socket, {"op": "replay.credit", "replay": 1, "bytes": 1 << 20})
        self.news()
        for one in (guest.socket, stream.socket, news):
            self.assertFalse(one.poll(QUIET_MS))
        self.assertEqual(self.engine.ask("engine.info")["ok"], True, "others stay")
        for one in (guest.socket, stream.socket):
            one.disable_monitor()

    def test_a_key_that_is_given_another_permission_has_it_at_once(self):
        self.keys.add("moved", "read")
        one = self.by("moved")
        self.denied(one, "pipeline.track", pipeline=pipeline("moved"))
        path = self.keys.clients / "moved.pub"
        path.write_text(path.read_text().replace('"read"', '"write"'))
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.assertTrue(one.ask("pipeline.track", timeout_s=1, pipeline=pipeline("moved"))["ok"])
                break
            except (Refused, TimeoutError):
                self.assertLess(time.monotonic(), deadline)

    def test_files_that_are_no_certificates_are_left_out_and_said(self):
        said = len(self.engine.said())
        for name, text in (("empty.pub", ""), ("noise.pub", "\0\1\2 not ZPL = = ="), ("odd.pub", 'metadata\n    permission = "all"\ncurve\n'
                           '    public-key = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"\n')):
            (self.keys.clients / name).write_text(text)
        (self.keys.clients / "loop.pub").symlink_to("loop.pub")
        deadline = time.monotonic() + PATIENCE
        while "loop.pub" not in self.engine.said()[said:] and "empty.pub" not in self.engine.said()[said:]:
            self.assertLess(time.monotonic(), deadline)
            self.assertTrue(self.engine.ask("engine.info")["ok"])
        for name in ("empty", "noise", "odd", "loop"):
            self.keys.remove(name)
        self.assertTrue(self.by("read").ask("engine.info")["ok"])

    # ---- routing ids ----

    def waiting(self, name, identity):
        """A connection that waits for the job of a pipeline, and has been heard."""
        self.engine.run(pipeline(name, source("Read", PUSH)))
        one, _ = self.connect("commands", self.keys.of("admin"), identity=identity)
        one.setsockopt(zmq.SNDTIMEO, PATIENCE * 1000)
        one.send(msgpack.packb({"op": "job.wait", "pipeline": name, "timeout_ms": 20000, "id": "theirs"}))
        one.send(msgpack.packb({"op": "engine.info", "id": 1}))
        self.assertTrue(one.poll(PATIENCE * 1000))
        one.recv()
        return one

    def test_who_claims_anothers_routing_id_neither_gets_its_answers_nor_speaks_for_it(self):
        victim = self.waiting("waited", b"victim")
        thief, monitor = self.connect("commands", self.keys.of("read"), identity=b"victim")
        self.assertTrue(monitor.poll(PATIENCE * 1000))
        self.say(thief, {"op": "engine.info", "id": 2})
        self.engine.ask("job.cancel", pipeline="waited")
        self.assertTrue(victim.poll(PATIENCE * 1000))
        self.assertEqual(msgpack.unpackb(victim.recv())["id"], "theirs")
        self.assertFalse(thief.poll(QUIET_MS))

    def test_who_takes_a_routing_id_over_once_it_is_free_gets_nothing_of_what_went_before(self):
        victim = self.waiting("left", b"heir")
        self.leave(victim)
        thief, _ = self.connect("commands", self.keys.of("read"), identity=b"heir")
        deadline = time.monotonic() + PATIENCE
        self.say(thief, {"op": "engine.info", "id": 3})
        while not thief.poll(1000):  # who came before the engine had seen that the other one left is never heard on that connection
            self.assertLess(time.monotonic(), deadline)
            self.leave(thief)
            thief, _ = self.connect("commands", self.keys.of("read"), identity=b"heir")
            self.say(thief, {"op": "engine.info", "id": 3})
        self.engine.ask("job.cancel", pipeline="left")
        while thief.poll(QUIET_MS):
            self.assertEqual(msgpack.unpackb(thief.recv())["id"], 3)

    # ---- clients ----

    def run_cli(self, *words, env=None):
        return subprocess.run([BUILD / "reprise", "--engine", self.engine.endpoints["commands"], *map(str, words)], capture_output=True,
                              text=True, timeout=PATIENCE, env={**os.environ, **(env or {})})

    def environment(self, name):
        return {"REPRISE_KEY": str(self.keys.folder / f"{name}.key"), "REPRISE_SERVER_KEY": str(self.keys.engine / "server.pub")}

    def test_the_command_line_takes_keys_by_flags_and_from_the_environment(self):
        server = self.keys.server[0].decode()
        given = self.run_cli("--key", self.keys.folder / "read.key", "--server-key", server, "status", "--json")
        self.assertEqual(given.returncode, 0, given.stderr)
        self.assertEqual(self.run_cli("jobs", env=self.environment("read")).returncode, 0)
        refused = self.run_cli("stop", env=self.environment("write"))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("needs a key with the permission admin, and `write` has write", refused.stderr)
        without = self.run_cli("--timeout", "1s", "status")
        self.assertEqual(without.returncode, 3)
        self.assertIn("--key", without.stderr)
        self.keys.write(self.keys.folder / "stranger.key")
        stranger = self.run_cli("--timeout", "1s", "status", env=self.environment("stranger"))
        self.assertEqual(stranger.returncode, 3)
        self.assertIn("does not know this key", stranger.stderr)
        half = self.run_cli("--key", self.keys.folder / "read.key", "status", env={"REPRISE_SERVER_KEY": ""})
        self.assertEqual(half.returncode, 2)
        self.assertIn("--server-key", half.stderr)

    def test_replays_and_pushes_of_the_command_line_go_through_the_library_with_the_same_key(self):
        self.recorded("by hand", 20)
        shown = self.run_cli("replay", "by hand", env=self.environment("read"))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual(len([line for line in shown.stdout.splitlines() if "Read" in line]) >= 20, True, shown.stdout)

    def linked(self):
        program = self.keys.folder / "library"
        subprocess.run(["cc", *sanitizers(), ROOT / "docs" / "clients" / "c" / "library.c", "-o", program, f"-I{ROOT}/bin/library", f"-L{BUILD}", "-lreprise",
                        f"-Wl,-rpath,{BUILD}"], check=True, timeout=PATIENCE)
        return program

    def test_the_example_clients_take_keys(self):
        clients = ROOT / "docs" / "clients"
        for language, command in {"python": [sys.executable, clients / "python" / "client.py"],
                                  "node": ["node", clients / "node" / "client.mjs"],
                                  "c": [BUILD / "tests" / "client-c"], "library": [self.linked()]}.items():
            with self.subTest(language=language):
                ran = subprocess.run([*command, "--engine", self.engine.endpoints["commands"], f"keyed {language}", "300"],
                                     capture_output=True, text=True, timeout=PATIENCE,
                                     env={**os.environ, **self.environment("write")})
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertIn("DONE: 300 elements recorded", ran.stderr)


class IpcTest(KeyedTest):
    """Endpoints that are files: whoever may open the file still needs a key."""
    ipc = True

    def test_who_has_no_key_or_an_unknown_one_gets_nothing(self):
        self.assert_gets_nothing(None)
        self.assert_gets_nothing(lambda door, kind: self.connect(door, self.keys.pair(*zmq.curve_keypair()), kind))

    def test_who_has_one_records_replays_and_subscribes(self):
        news, _ = self.subscriber("read")
        with self.by("write") as commands:
            commands.ask("pipeline.run", pipeline=pipeline("local", source("Read", PUSH)), limits={"count": 100})
        self.engine.feed("local", "Read", [[[n, b"e"] for n in range(100)]])
        self.assertEqual(self.engine.wait("local")["elements"], 100)
        self.assertEqual(len(self.engine.elements(pipeline="local")), 100)
        self.assertTrue(news.poll(PATIENCE * 1000))
        with self.by("read") as commands:
            self.denied(commands, "pipeline.track", pipeline=pipeline("theirs"))

    def test_a_key_that_is_removed_is_cut_off(self):
        self.keys.add("passer", "read")
        one = self.by("passer")
        self.assertTrue(one.ask("engine.info")["ok"])
        gone = one.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.keys.remove("passer")
        self.assertTrue(gone.poll(PATIENCE * 1000), "the connection stands")
        one.socket.disable_monitor()

    def test_who_was_turned_away_is_named_by_its_user_and_process(self):
        self.connect("commands", self.keys.pair(*zmq.curve_keypair()))
        deadline = time.monotonic() + PATIENCE
        while "not in" not in self.engine.said():
            self.assertLess(time.monotonic(), deadline)
        self.assertIn(f"the process {os.getpid()} of the user {os.getuid()}", self.engine.said())


class NamesTest(EngineTest):
    """Names that clients give are never names of files."""
    NAMES = ("../../x", "..", ".", "/etc/x", "/", "x/../../y", "~", "$HOME", "-rf", "CON", "a\\b", "%2e%2e%2f", "x" * 255, "é" * 127, "x\n", "x\0y",
             "x" * 70000, "")

    def files(self):
        """Everything near the engine, but its recordings by the ids that it gave them."""
        known = {recording["recording"] for recording in self.engine.ask("recording.list")["recordings"]}
        found = [str(path.relative_to(self.engine.folder)) for path in self.engine.folder.rglob("*")]
        return sorted(name for name in found if not any(f"recordings/{one}" in name for one in known))

    def test_no_name_leads_out_of_its_place(self):
        self.recorded("honest", 10)
        before = self.files()
        outside = {name: os.path.lexists(name) for name in ("/etc/x", str(self.engine.folder.parent / "x"), "/x")}
        for name in self.NAMES:
            for op in ("pipeline.track", "pipeline.run"):
                self.tried(op, pipeline=pipeline(name, source(name, GENERATOR, {"rate": 0, "size": 1}, tag=name)), **(
                    {"limits": {"count": 1}} if op == "pipeline.run" else {}))
            self.tried("job.wait", pipeline=name, timeout_ms=5000)
            for op in ("recording.describe", "recording.verify", "recording.delete", "recording.keep", "recording.fetch"):
                self.tried(op, recording=name, **({"kept": True} if op == "recording.keep" else {}))
            self.tried("recording.export", recording=name, format="json")
            self.tried("recording.export", pipeline="honest", format="json", tag=name)
            self.tried("recording.import", **{"import": name, "data": b"x"})
            self.tried("recording.import", pipeline=name, format="beam", tag=name, data=b"x", done=True)
            self.tried("pipeline.forget", pipeline=name)
        self.assertEqual(self.engine.wait("honest")["elements"], 10)
        self.assertEqual(self.files(), before)
        for name, there in outside.items():
            self.assertEqual(os.path.lexists(name), there, name)

    def tried(self, op, **fields):
        """It may be done or refused, but not fail."""
        try:
            self.engine.ask(op, **fields)
        except Refused as refusal:
            self.assertNotIn(refusal.error["code"], ("internal", "unavailable"), f"{op} {fields}: {refusal}")


class KeygenTest(unittest.TestCase):
    """Keys are made by the command line, and taken by the engine."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="reprise-keygen-"))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def keygen(self, *words):
        return subprocess.run([BUILD / "reprise", "keygen", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)

    def test_a_key_is_nobody_elses_to_read_and_is_not_overwritten_unless_that_is_said(self):
        made = self.keygen(self.folder / "alice", "--permission", "write")
        self.assertEqual(made.returncode, 0, made.stderr)
        secret, public = self.folder / "alice.key", self.folder / "alice.pub"
        self.assertEqual([file.stat().st_mode & 0o777 for file in (secret, public)], [0o600, 0o600])
        self.assertIn(made.stdout.strip(), public.read_text())
        self.assertIn(made.stdout.strip(), secret.read_text())
        self.assertIn("secret-key", secret.read_text())
        self.assertNotIn("secret-key", public.read_text())
        self.assertIn('permission = "write"', public.read_text())
        before = secret.read_text()
        for missing in ((), ("alice.pub",), ("alice.key",)):
            for name in missing:
                (self.folder / name).rename(self.folder / "aside")
            again = self.keygen(self.folder / "alice")
            self.assertEqual(again.returncode, 1, again.stdout)
            self.assertIn("--force", again.stderr)
            for name in missing:
                (self.folder / "aside").rename(self.folder / name)
        self.assertEqual(secret.read_text(), before)
        forced = self.keygen(self.folder / "alice", "--force", "--json")
        self.assertEqual(json.loads(forced.stdout)["key"], str(secret))
        self.assertNotEqual(secret.read_text(), before)
        self.assertEqual(self.keygen(self.folder / "bob", "--permission", "all").returncode, 2)
        self.assertEqual(self.keygen(self.folder / "none" / "bob").returncode, 1)

    def test_an_engine_and_a_client_with_keys_that_were_made_understand_each_other(self):
        self.assertEqual(self.keygen(self.folder / "server").returncode, 0)
        (self.folder / "clients").mkdir()
        self.assertEqual(self.keygen(self.folder / "alice", "--permission", "admin").returncode, 0)
        shutil.copy(self.folder / "alice.pub", self.folder / "clients")
        text = {name: (self.folder / name).read_text().split('"') for name in ("alice.key", "server.pub")}
        keys = {"curve_publickey": text["alice.key"][3].encode(), "curve_secretkey": text["alice.key"][5].encode(),
                "curve_serverkey": text["server.pub"][3].encode()}
        engine = Engine("--keys", str(self.folder), keys=keys)
        self.addCleanup(engine.remove)
        self.assertTrue(engine.ask("options.set", enable_recording_replay=True)["ok"])
        self.assertEqual(engine.stop(), 0)

    def test_an_endpoint_that_others_can_reach_needs_keys_unless_that_is_waived(self):
        def check(*flags):
            return subprocess.run([BUILD / "reprised", "--check-config", "--commands", "tcp://0.0.0.0:5570", *flags], capture_output=True,
                                  text=True, timeout=PATIENCE)
        refused = check()
        self.assertEqual(refused.returncode, 2)
        self.assertIn("give --keys, or say --insecure", refused.stderr)
        self.assertEqual(check("--insecure").returncode, 0)
        guarded = check("--keys", str(self.folder))
        self.assertEqual(guarded.returncode, 0, guarded.stderr)
        self.assertIn(f'keys = "{self.folder}"', guarded.stdout)
        self.assertNotIn("insecure", guarded.stdout)

    def test_an_engine_does_not_start_with_keys_that_are_none_or_open_to_others(self):
        def start():
            return subprocess.run([BUILD / "reprised", "--data", self.folder / "data", "--keys", self.folder], capture_output=True, text=True,
                                  timeout=PATIENCE)
        missing = start()
        self.assertEqual(missing.returncode, 2)
        self.assertIn("reprise keygen", missing.stderr)
        self.keygen(self.folder / "server")
        (self.folder / "server.key").chmod(0o640)
        self.assertEqual(start().returncode, 2)
        self.assertIn("must be 600", start().stderr)
        (self.folder / "server.key").chmod(0o600)
        (self.folder / "server.key").write_text("nonsense")
        self.assertEqual(start().returncode, 2)


if __name__ == "__main__":
    unittest.main()
