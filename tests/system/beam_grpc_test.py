"""Apache Beam as a client: recordings over gRPC, as Beam's own TestStreamService would serve them."""
import concurrent.futures
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

import grpc

from beam_client import INFINITY, SERVICES, call, channel, expected, request
from engine import BUILD, GENERATOR, PATIENCE, PORTS, PUSH, Engine, EngineTest, Producer, batches, free_ports, pipeline, source
from security_test import Keys
from wire import text


class GrpcTest(EngineTest):
    def setUp(self):
        self.channel = channel(self.engine.beam)
        self.addCleanup(self.channel.close)

    def failed(self, status, said, *output_ids, on=None, **options):
        """The call ends with that status, and these words."""
        with self.assertRaises(grpc.RpcError) as caught:
            list(call(on or self.channel, *output_ids, **options))
        self.assertEqual(caught.exception.code().name, status, caught.exception.details())
        self.assertIn(said, caught.exception.details())
        return caught.exception

    def replays(self):
        return self.engine.ask("engine.stats")["counters"]["replays"]


class Recordings(GrpcTest):
    def test_a_recording_is_served_event_for_event_under_both_names(self):
        self.recorded("clicks", count=1000, size=50)
        for service in SERVICES:
            events = list(call(self.channel, "clicks/Read", service=service))
            self.assertEqual([(*one[:-1], "Read") if one[0] != "time" else one for one in events], expected(self.engine, pipeline="clicks"))
            self.assertEqual({one[2] for one in events if one[0] != "time"}, {"clicks/Read"})  # as it was asked for
            self.assertEqual(events[-1], ("watermark", INFINITY, "clicks/Read"))
            self.assertEqual(sum(len(one[1]) for one in events if one[0] == "elements"), 1000)

    def test_output_ids_select_tags_and_each_event_has_its_own(self):
        self.pushable("tags", "a", "b", "c", count=300)
        for tag, origin in (("a", 1000), ("b", 2000), ("c", 3000)):
            self.engine.feed("tags", tag, batches(100, 10, origin=origin))
        self.engine.wait("tags")
        for tags in (["a"], ["c", "a"], ["a", "b", "c"]):
            events = list(call(self.channel, *(f"tags/{tag}" for tag in tags)))
            seen = [(*one[:-1], one[-1].removeprefix("tags/")) if one[0] != "time" else one for one in events]
            self.assertEqual(seen, expected(self.engine, pipeline="tags", tags=tags))

    def test_none_is_the_only_output(self):
        self.recorded("single", count=10)
        events = list(call(self.channel, "single/None"))
        self.assertEqual({one[2] for one in events if one[0] != "time"}, {"single/None"})
        self.assertEqual(sum(len(one[1]) for one in events if one[0] == "elements"), 10)
        self.pushable("pair", "a", "b")
        self.failed("NOT_FOUND", "pair/None", "pair/None")

    def test_names_may_have_slashes_in_them(self):
        self.engine.run(pipeline("a/b", source("Read/it", GENERATOR, {"rate": 0}, tag="c/d")), limits={"count": 10})
        self.engine.wait("a/b")
        self.recorded("a", count=20)
        self.assertEqual(list(call(self.channel, "a/b/c/d"))[-1], ("watermark", INFINITY, "a/b/c/d"))
        self.assertEqual(list(call(self.channel, "a/Read"))[-1], ("watermark", INFINITY, "a/Read"))

    def test_large_events_are_split_below_what_clients_take(self):
        size = 100000
        self.pushable("large", count=100)
        self.engine.feed("large", "Read", [[[i + 1, bytes([i]) * size] for i in range(100)]])
        self.engine.wait("large")
        events = [one for one in call(self.channel, "large/Read") if one[0] == "elements"]
        self.assertEqual([[at, data[0]] for one in events for at, data in one[1]], [[i + 1, i] for i in range(100)])
        self.assertGreater(len(events), 2)

    def test_times_and_payloads_at_their_edges(self):
        elements = [[0, b""], [-1, b"x"], [-9223372036854775000, b""], [9223372036854774999, b"\x00" * 128], [1, b"y" * 16384]]
        self.pushable("edges", count=len(elements))
        self.engine.feed("edges", "Read", [elements])
        self.engine.wait("edges")
        events = [one for one in call(self.channel, "edges/Read") if one[0] == "elements"]
        self.assertEqual([element for one in events for element in one[1]], elements)


class Errors(GrpcTest):
    def test_what_is_not_there_is_named(self):
        self.recorded("there", count=1)
        self.failed("NOT_FOUND", "`nowhere/Read`", "nowhere/Read")
        self.failed("NOT_FOUND", "`bare`", "bare")
        self.failed("NOT_FOUND", "there/Write", "there/Write")
        self.failed("INVALID_ARGUMENT", "`output_ids` is empty")
        self.failed("INVALID_ARGUMENT", "`output_ids[1]`: `bare` is not of pipeline `there`", "there/Read", "bare")
        self.failed("NOT_FOUND", "`there` has no tag `x` among `Read`", "there/Read", "there/x")
        self.engine.ask("pipeline.track", pipeline=pipeline("empty", source("Read", PUSH)))
        self.failed("NOT_FOUND", "empty", "empty/Read")

    def test_other_methods_are_unimplemented(self):
        for method in ("/org.apache.beam.model.pipeline.v1.TestStreamService/Other", "/x.Y/Events", "/grpc.reflection.v1.X/Y"):
            with self.assertRaises(grpc.RpcError) as caught:
                self.channel.unary_unary(method)(b"", timeout=PATIENCE)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
            self.assertIn(method, caught.exception.details())

    def test_a_request_that_is_none_is_an_invalid_argument(self):
        for data in (b"\xff", b"\x0a\x05ab", b"\x08\x01", request("a/\xff").replace(b"\xc3\xbf", b"\xff\xff")):
            with self.assertRaises(grpc.RpcError) as caught:
                list(self.channel.unary_stream(f"/{SERVICES[0]}.TestStreamService/Events")(data, timeout=PATIENCE))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT, caught.exception.details())

    def test_a_recording_that_is_dropped_ends_the_call(self):
        self.pushable("dropped")
        events = call(self.channel, "dropped/Read")
        producer = Producer(self.engine, "dropped")
        producer.push(1)
        next(events)
        self.engine.ask("pipeline.forget", pipeline="dropped")
        with self.assertRaises(grpc.RpcError) as caught:
            list(events)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.ABORTED)
        producer.close()


class Failures(GrpcTest):
    """What happens to calls when an actor fails, and when the engine stops."""

    def under_way(self, name, batches_=2):
        """A call that has got some elements and waits for more."""
        self.pushable(name)
        events, producer = call(self.channel, f"{name}/Read"), Producer(self.engine, name)
        self.addCleanup(producer.close)
        producer.push(batches_)
        return events, producer

    def until(self, events, producer, batches_):
        """The elements that come, until there are those of so many batches."""
        seen = []
        for one in events:
            seen += one[1] if one[0] == "elements" else []
            if len(seen) >= batches_ * producer.size:
                return seen
        return seen

    def test_a_gateway_that_fails_ends_its_calls_and_their_replays_and_serves_the_next(self):
        events, producer = self.under_way("failing")
        self.until(events, producer, 2)
        self.engine.ask("chaos.fail", actor="beam_gateway")
        with self.assertRaises(grpc.RpcError) as caught:
            list(events)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn("the engine's gateway failed", caught.exception.details())
        again = call(self.channel, "failing/Read")
        self.assertEqual(self.until(again, producer, 2), [one for seq in (1, 2) for one in producer.body(seq)])
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="failing")["replays"], 1)
        producer.push(3)
        self.assertEqual(self.until(again, producer, 1), producer.body(3))
        again.cancel()
        self.engine.ask("pipeline.forget", pipeline="failing")

    def test_a_test_stream_server_that_fails_is_not_noticed_by_the_caller(self):
        events, producer = self.under_way("unnoticed")
        self.until(events, producer, 2)
        self.engine.ask("chaos.fail", actor="test_stream_server")
        producer.push(5)
        self.assertEqual(self.until(events, producer, 3), [one for seq in (3, 4, 5) for one in producer.body(seq)])
        producer.done()
        self.assertEqual([one[0] for one in list(events)][-1], "watermark")
        producer.close()

    def test_an_engine_that_stops_says_so(self):
        engine = Engine()
        self.addCleanup(engine.remove)
        engine.run(pipeline("stopping", source("Read", PUSH)))
        with channel(engine.beam) as on:
            waiting = [call(on, "stopping/Read") for _ in range(3)]
            while engine.ask("test_stream.status", pipeline="stopping")["replays"] < 3:
                pass
            self.assertEqual(engine.stop(), 0)
            for one in waiting:
                with self.assertRaises(grpc.RpcError) as caught:
                    list(one)
                self.assertEqual((caught.exception.code(), caught.exception.details()),
                                 (grpc.StatusCode.UNAVAILABLE, "the engine stops"))


class Health(GrpcTest):
    def ask(self, method, service, answers="unary_unary"):
        return getattr(self.channel, answers)(f"/grpc.health.v1.Health/{method}")(text(1, service) if service else b"", timeout=PATIENCE)

    def test_each_service_is_served_and_no_other(self):
        for service in ("", *(f"{one}.TestStreamService" for one in SERVICES)):
            self.assertEqual(self.ask("Check", service), b"\x08\x01")
        with self.assertRaises(grpc.RpcError) as caught:
            self.ask("Check", "other")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertIn("`other`", caught.exception.details())

    def test_a_watch_says_how_it_is_and_stays(self):
        for service, status in ((f"{SERVICES[0]}.TestStreamService", b"\x08\x01"), ("other", b"\x08\x03")):
            watch = self.ask("Watch", service, "unary_stream")
            self.assertEqual(next(watch), status)
            self.assertTrue(watch.is_active())
            watch.cancel()


class Tls(unittest.TestCase):
    """gRPC over TLS, with and without certificates of callers."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="reprise-tls-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        for signer in ("ca", "other"):
            cls.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        f"/CN={signer}", "-keyout", f"{signer}.key", "-out", f"{signer}.pem")
        (cls.folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        for name, signer in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
            cls.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout",
                        f"{name}.key", "-out", f"{name}.csr")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days",
                        "2", "-extfile", "names", "-out", f"{name}.pem")

    @classmethod
    def openssl(cls, *words):
        subprocess.run(["openssl", *words], cwd=cls.folder, check=True, capture_output=True)

    def read(self, name):
        return (self.folder / name).read_bytes()

    def engine(self, *flags):
        engine = Engine("--beam-tls-cert", self.folder / "server.pem", "--beam-tls-key", self.folder / "server.key", *flags)
        self.addCleanup(engine.remove)
        return engine

    def credentials(self, name=None):
        pair = (self.read(f"{name}.key"), self.read(f"{name}.pem")) if name else (None, None)
        return grpc.ssl_channel_credentials(self.read("ca.pem"), *pair)

    def secure(self, address, name=None):
        return grpc.secure_channel(address, self.credentials(name), options=[("grpc.use_local_subchannel_pool", 1)])

    def record(self, engine):
        engine.run(pipeline("clicks", source("Read", GENERATOR, {"rate": 0})), limits={"count": 100})
        engine.wait("clicks")

    def assert_nothing(self, on):
        with on, self.assertRaises(grpc.RpcError) as caught:
            list(call(on, "clicks/Read"))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_without_a_signer_anybody_is_served_over_tls_and_nobody_without(self):
        engine = self.engine()
        self.record(engine)
        with self.secure(engine.beam) as on:
            self.assertEqual(len(list(call(on, "clicks/Read"))), len(expected(engine, pipeline="clicks")))
        self.assert_nothing(channel(engine.beam))

    def test_with_a_signer_only_its_certificates_are_let_in(self):
        engine = self.engine("--beam-tls-ca", self.folder / "ca.pem")
        self.record(engine)
        with self.secure(engine.beam, "client") as on:
            self.assertEqual(len(list(call(on, "clicks/Read"))), len(expected(engine, pipeline="clicks")))
        self.assert_nothing(self.secure(engine.beam, "stranger"))
        self.assert_nothing(self.secure(engine.beam))
        self.assert_nothing(channel(engine.beam))

    def test_an_engine_with_keys_serves_nobody_without_a_certificate(self):
        keys = Keys()
        self.addCleanup(shutil.rmtree, keys.folder, True)
        port = free_ports(1)
        engine = Engine("--beam-tls-cert", self.folder / "server.pem", "--beam-tls-key", self.folder / "server.key", "--beam-tls-ca",
                        self.folder / "ca.pem", "--beam-ports", f"{port}-{port}", "--keys", str(keys.engine), keys=keys.of("admin"))
        self.addCleanup(engine.remove)
        self.record(engine)
        for address, output_id in (engine.beam, "clicks/Read"), (f"127.0.0.1:{port}", "Read"):
            with self.subTest(address=address):
                with self.secure(address, "client") as on:
                    self.assertEqual(len(list(call(on, output_id))), len(expected(engine, pipeline="clicks")))
                self.assert_nothing(channel(address))
                self.assert_nothing(self.secure(address))
                self.assert_nothing(self.secure(address, "stranger"))

    def test_files_that_are_none_are_named(self):
        for cert, key, said in (("nowhere.pem", "server.key", "nowhere.pem: No such file"), ("names", "server.key", "names"),
                                ("server.pem", "client.key", "client.key")):
            result = subprocess.run([BUILD / "reprised", "--no-guard", "--data", self.folder / "data", "--port", str(free_ports(PORTS)),
                                     "--beam-tls-cert", self.folder / cert, "--beam-tls-key", self.folder / key],
                                    capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr)


class Ports(unittest.TestCase):
    """Each pipeline has a port of its own, while there are any."""

    def setUp(self):
        self.first = free_ports(2)
        self.engine = Engine("--chaos", "--beam-ports", f"{self.first}-{self.first + 1}")
        self.addCleanup(self.engine.remove)

    def run_one(self, name, *tags, count=10):
        sources = [source(tag, GENERATOR, {"rate": 0, "seed": number}) for number, tag in enumerate(tags)]
        answer = self.engine.run(pipeline(name, *sources), limits={"count": count})
        self.engine.wait(name)
        return answer["beam_endpoint"]

    def events(self, address, *output_ids):
        with channel(address) as on:
            return list(call(on, *output_ids))

    def seen(self, address, *output_ids):
        return {one[-1] for one in self.events(address, *output_ids) if one[0] != "time"}

    def failed(self, status, said, address, *output_ids):
        with self.assertRaises(grpc.RpcError) as caught:
            self.events(address, *output_ids)
        self.assertEqual(caught.exception.code().name, status, caught.exception.details())
        self.assertIn(said, caught.exception.details())

    def test_an_id_is_a_tag_and_none_the_only_one(self):
        single, pair = self.run_one("single", "out"), self.run_one("pair", "a", "b")
        self.assertEqual({single, pair}, {f"127.0.0.1:{self.first + n}" for n in range(2)})
        self.assertEqual(self.engine.ask("pipeline.describe", pipeline="pair")["beam_endpoint"], pair)
        self.assertEqual(self.events(single, "out"), expected(self.engine, pipeline="single"))
        self.assertEqual(self.seen(single, "None"), {"None"})
        self.assertEqual(self.events(pair), expected(self.engine, pipeline="pair"))
        self.assertEqual(self.events(pair, "b"), expected(self.engine, pipeline="pair", tags=["b"]))
        self.assertEqual(self.seen(self.engine.beam, "pair/a"), {"pair/a"})
        self.failed("NOT_FOUND", "pipeline `pair` has no tag `None` among `a`, `b`", pair, "None")

    def test_without_a_port_left_it_is_the_port_of_all_until_one_is_free(self):
        ports = [self.run_one(name, "out") for name in ("one", "two", "three")]
        self.assertEqual(ports[2], self.engine.beam)
        self.assertEqual(self.seen(ports[2], "three/out"), {"three/out"})
        self.engine.ask("pipeline.forget", pipeline="one")
        self.failed("UNAVAILABLE", "", ports[0], "out")
        self.assertEqual(self.run_one("three", "out"), ports[0])
        self.assertEqual(self.seen(ports[0], "out"), {"out"})
        self.assertEqual(self.run_one("two", "out"), ports[1])

    def test_ports_are_the_same_after_a_failure_and_after_a_start(self):
        ports = {name: self.run_one(name, "out") for name in ("one", "two")}
        def fail():
            self.engine.ask("chaos.fail", actor="beam_gateway")
            while self.engine.counter("actor_restarts") == 0:
                pass  # each answer takes its time

        for again in (fail, self.engine.restart):
            again()
            for name, port in ports.items():
                self.assertEqual(self.events_when_served(port), expected(self.engine, pipeline=name))
                self.assertEqual(self.engine.ask("pipeline.describe", pipeline=name)["beam_endpoint"], port)

    def events_when_served(self, port):
        with channel(port) as on:
            method = call(on, "out", wait_for_ready=True)
            return list(method)

    def test_a_port_that_somebody_has_is_passed_over(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.first))
            taken.listen()
            self.assertEqual(self.run_one("one", "out"), f"127.0.0.1:{self.first + 1}")


class Callers(GrpcTest):
    def test_a_hundred_callers_at_once_get_the_same(self):
        self.recorded("shared", count=5000, size=100)
        whole = [(*one[:-1], "shared/Read") if one[0] != "time" else one for one in expected(self.engine, pipeline="shared")]
        channels = [channel(self.engine.beam, use_local_subchannel_pool=1) for _ in range(100)]
        with concurrent.futures.ThreadPoolExecutor(100) as threads:
            for events in threads.map(lambda one: list(call(one, "shared/Read")), channels):
                self.assertEqual(events, whole)
        for one in channels:
            one.close()

    def test_a_growing_recording_is_followed_until_its_job_ends(self):
        self.pushable("growing")
        events = call(self.channel, "growing/Read")
        producer = Producer(self.engine, "growing")
        for count in (1, 2, 5):
            producer.push(count)
        seen = []
        for one in events:
            seen += one[1] if one[0] == "elements" else []
            if len(seen) == 50:
                break
        self.assertEqual(seen, [element for seq in range(1, 6) for element in producer.body(seq)])
        producer.done()
        self.assertEqual(list(events)[-1], ("watermark", INFINITY, "growing/Read"))
        producer.close()

    def test_a_caller_that_goes_away_frees_its_replay(self):
        self.pushable("left")
        one = call(self.channel, "left/Read")
        producer = Producer(self.engine, "left")
        producer.push(1)
        next(one)
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="left")["replays"], 1)
        one.cancel()
        self.until(lambda: self.engine.ask("test_stream.status", pipeline="left")["replays"] == 0)
        self.engine.ask("pipeline.forget", pipeline="left")
        producer.close()

    def test_a_caller_that_is_killed_in_mid_stream_frees_its_replay(self):
        self.pushable("killed")
        producer = Producer(self.engine, "killed")
        producer.push(1)
        words = ("import sys; sys.path.insert(0, sys.argv[1]); from beam_client import call, channel\n"
                 "for one in call(channel(sys.argv[2]), 'killed/Read'): print(one[0], flush=True)")
        caller = subprocess.Popen(["/usr/bin/python3", "-c", words, str(pathlib.Path(__file__).parent), self.engine.beam],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(caller.stdout.close)
        while caller.stdout.readline() != "elements\n":
            self.assertIsNone(caller.poll())
        self.assertEqual(self.engine.ask("test_stream.status", pipeline="killed")["replays"], 1)
        caller.kill()
        caller.wait(PATIENCE)
        self.until(lambda: self.engine.ask("test_stream.status", pipeline="killed")["replays"] == 0)
        self.assertEqual(next(call(self.channel, "killed/Read"))[0], "time")
        self.engine.ask("pipeline.forget", pipeline="killed")
        producer.close()

    def test_a_connection_that_says_nothing_is_closed_and_one_that_says_nonsense_too(self):
        host, port = self.engine.beam.split(":")
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64):
            with socket.create_connection((host, int(port)), PATIENCE) as one:
                one.sendall(said)
                try:
                    while one.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        self.failed("NOT_FOUND", "`nowhere/Read`", "nowhere/Read")  # others are served

    def until(self, what):
        """Asks the engine again and again, which answers each time."""
        for _ in range(10000):
            if what():
                return
        self.fail("it does not happen")

    def test_a_deadline_ends_the_call_and_its_replay(self):
        self.pushable("late")
        with self.assertRaises(grpc.RpcError) as caught:
            list(call(self.channel, "late/Read", timeout=0.3))
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.until(lambda: self.engine.ask("test_stream.status", pipeline="late")["replays"] == 0)
        self.engine.ask("pipeline.forget", pipeline="late")

    def test_a_slow_caller_holds_back_its_own_replay_alone(self):
        self.recorded("much", count=100000, size=1000)  # 100 MB
        slow = call(channel(self.engine.beam, use_local_subchannel_pool=1), "much/Read")
        next(slow)
        sent = self.engine.counter("bytes_replayed")
        quick = sum(len(one[1]) for one in call(self.channel, "much/Read") if one[0] == "elements")
        self.assertEqual(quick, 100000)
        self.assertLess(self.engine.counter("bytes_replayed") - sent, 120 << 20)
        slow.cancel()


if __name__ == "__main__":
    unittest.main()
