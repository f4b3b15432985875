"""Redis as a source: what has positions arrives once, whoever is killed; what has none, or is gone, shows its gap."""
import json
import pathlib
import signal
import time
import unittest

from brokers import Redis
from disk import Disk
from engine import PATIENCE, Engine, pipeline, source

URN = "reprise:source:redis:v1"
LIMITS = {"duration_ms": 3600000}


class RedisTest(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.redis = Redis(**self.settings)
        self.addCleanup(self.redis.remove)
        self.engine = Engine()
        self.addCleanup(self.engine.remove)

    def run_source(self, name="redis", limits=None, **payload):
        definition = pipeline(name, source("Read", URN, {"server": self.redis.server, **payload}))
        return self.engine.run(definition, limits=limits or LIMITS)["recording"]

    def add(self, texts, stream="clicks", ids=None):
        """Entries with one field, in one pipeline; their ids."""
        return self.redis.ask_all([["XADD", stream, ids[number] if ids else "*", "e", text] for number, text in enumerate(texts)])

    def wait_for(self, count, name="redis"):
        """Until so many are recorded. A job that has ended is as far as it gets."""
        job = {}

        def has():
            job.clear()
            job.update(self.engine.ask("job.describe", pipeline=name))
            return job["elements"] >= count or not job["is_running"]
        self.until(has, lambda: f"{count} elements are not recorded: {job}")
        self.assertGreaterEqual(job["elements"], count, job)

    def end(self, name="redis"):
        """Ends the job; its gaps."""
        self.engine.ask("job.cancel", pipeline=name)
        job = self.engine.wait(name)
        self.assertTrue(self.engine.ask("recording.verify", recording=job["recording"])["intact"])
        return self.engine.ask("recording.describe", recording=job["recording"])["gaps"]

    def texts(self, name="redis"):
        return [body.decode() for _, _, body, *_ in self.engine.elements(pipeline=name)]

    def own_gaps(self, gaps):
        return [gap for gap in gaps if "tag" in gap]

    def until(self, condition, what):
        """Asks again and again."""
        deadline = time.monotonic() + PATIENCE
        while not (result := condition()):
            assert time.monotonic() < deadline, what() if callable(what) else what
        return result

    def waits(self, text, name="redis"):
        """Until the job says so."""
        said = []

        def says():
            said[:] = self.engine.ask("job.describe", pipeline=name).get("waits", [])
            return any(text in one for one in said)
        self.until(says, lambda: f"it does not say {text}: {said}")
        return said

    def failure(self, name="redis"):
        job = self.engine.wait(name)
        self.assertEqual(job["state"], "FAILED", job)
        return job["error"]

    def clients(self):
        """The engine's connections to the server."""
        return [line for line in self.redis.ask("CLIENT", "LIST").decode().splitlines() if "name=reprise " in line]

    def subscribed(self, channel="news", count=1):
        self.until(lambda: self.redis.ask("PUBSUB", "NUMSUB", channel)[1] == count, f"nobody subscribes to {channel}")


class Streams(RedisTest):
    def test_entries_that_were_there_and_those_that_come_are_recorded_once_and_in_order(self):
        texts = [f"click {number}" for number in range(3000)]
        self.add(texts[:2000])
        self.run_source(stream="clicks")
        self.add(texts[2000:])
        self.wait_for(len(texts))
        self.assertEqual(self.end(), [])
        self.assertEqual(self.texts(), texts)

    def test_the_event_time_is_that_of_the_id_and_so_is_the_watermark(self):
        self.add(["one", "two"], ids=["1700000000000-0", "1700000000123-7"])
        self.run_source(stream="clicks", limits={"count": 2})
        self.engine.wait("redis")
        self.assertEqual([time for _, time, _ in self.engine.elements(pipeline="redis")], [1700000000000000, 1700000000123000])
        marks = [event["to"] for event, _ in self.engine.replay(pipeline="redis") if event["event"] == "watermark"]
        self.assertEqual(marks[0], 1700000000123000)

    def test_nothing_is_missing_or_twice_when_the_engine_and_the_server_are_killed(self):
        texts = [f"click {number}" for number in range(20000)]
        self.run_source(stream="clicks")
        for part in range(4):
            self.add(texts[part * 5000:(part + 1) * 5000])
            self.wait_for(part * 5000 + 1000)
            self.engine.restart() if part % 2 == 0 else self.redis.restart()
        self.wait_for(len(texts))
        gaps = self.end()
        self.assertEqual(self.texts(), texts)
        self.assertEqual(self.own_gaps(gaps), [])

    def test_what_is_added_while_the_engine_is_away_is_recorded_afterwards(self):
        self.add(["one"])
        self.run_source(stream="clicks")
        self.wait_for(1)
        self.engine.kill()
        self.add(["two", "three"])
        self.engine.start()
        self.wait_for(3)
        self.assertEqual(self.own_gaps(self.end()), [])
        self.assertEqual(self.texts(), ["one", "two", "three"])

    def test_from_the_end_nothing_old_is_recorded_and_nothing_new_is_lost_with_the_engine(self):
        self.add(["old"])
        self.run_source(stream="clicks", **{"from": "end"})
        self.until(lambda: any("cmd=xread" in line for line in self.clients()), "nobody reads")
        self.engine.kill()
        self.add(["new"])
        self.engine.start()
        self.wait_for(1)
        self.assertEqual(self.own_gaps(self.end()), [])
        self.assertEqual(self.texts(), ["new"])

    def test_reading_begins_behind_an_id_or_at_a_time(self):
        self.add(["one", "two", "three"], ids=["1700000000000-0", "1700000000000-1", "1700000001000-0"])
        for begin, texts in (("1700000000000-0", ["two", "three"]), ("1700000001000", ["three"]), ("2023-11-14T22:13:21Z", ["three"]),
                             ("2023-11-14T22:13:20Z", ["one", "two", "three"])):
            with self.subTest(begin):
                name = f"from {begin}"
                self.run_source(name, stream="clicks", until="end", **{"from": begin})
                self.assertEqual(self.engine.wait(name)["state"], "DONE")
                self.assertEqual(self.texts(name), texts)

    def test_until_the_end_it_is_done_with_what_was_there(self):
        texts = [f"click {number}" for number in range(1000)]
        self.add(texts)
        self.run_source(stream="clicks,none", until="end")
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        self.assertEqual(self.texts(), texts)

    def test_several_streams_are_each_in_order_and_named(self):
        for number in range(100):
            self.add([f"a {number}"], "a")
            self.add([f"b {number}"], "b")
        self.run_source(stream="a,b")
        self.wait_for(200)
        self.engine.restart()
        self.add(["a last"], "a")
        self.wait_for(201)
        self.assertEqual(self.own_gaps(self.end()), [])
        elements = [element for _, elements in self.engine.replay(pipeline="redis") for element in elements or []]
        for name in "ab":
            own = [body.decode() for _, body, attributes in elements if attributes["stream"] == name]
            self.assertEqual(own, [f"{name} {number}" for number in range(100)] + (["a last"] if name == "a" else []))

    def test_the_watermark_of_several_streams_is_that_of_the_slowest(self):
        self.add(["a"], "a", ids=["9000-0"])
        self.add(["b"], "b", ids=["5000-0"])
        self.run_source(stream="a,b", until="end")
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        marks = [event["to"] for event, _ in self.engine.replay(pipeline="redis") if event["event"] == "watermark"]
        self.assertEqual(marks[:-1], [5000000])

    def test_a_stream_in_which_nothing_comes_is_not_waited_for_with_idle_ms(self):
        self.add(["a"], "a")
        self.run_source(stream="a,b", idle_ms=50)
        self.wait_for(1)

        def marked():
            tags = self.engine.ask("recording.describe", pipeline="redis")["tags"]
            return any("watermark" in tag for tag in tags)
        self.until(marked, "there is no watermark")
        self.end()

    def test_an_entry_of_several_fields_is_a_json_object_unless_one_is_named(self):
        entry = {"user": 'a "b" \\ \n\x01', "ts": "1700000000123", "läuft": "ja"}
        self.redis.ask("XADD", "clicks", "*", *(word for pair in entry.items() for word in pair))
        self.run_source("all", stream="clicks", until="end", key="/user")
        self.run_source("one", stream="clicks", until="end", field="ts")
        for name in ("all", "one"):
            self.assertEqual(self.engine.wait(name)["state"], "DONE")
        ((_, _, whole),) = self.engine.elements(pipeline="one")
        self.assertEqual(whole, b"1700000000123")
        ((body, attributes),) = [element[1:] for _, elements in self.engine.replay(pipeline="all") for element in elements or []]
        self.assertEqual(json.loads(body), entry)
        self.assertEqual(attributes, {"key": entry["user"]})

    def test_an_entry_without_the_field_fails_the_job_or_is_left_out(self):
        self.redis.ask("XADD", "clicks", "1-0", "e", "one")
        self.redis.ask("XADD", "clicks", "2-0", "other", "two")
        self.redis.ask("XADD", "clicks", "3-0", "e", "three")
        self.run_source("fails", stream="clicks", field="e")
        self.assertIn("`clicks`, entry 2-0: there is no field `e`", self.failure("fails"))
        self.assertEqual(self.texts("fails"), ["one"])
        self.run_source("skips", stream="clicks", field="e", on_error="skip", until="end")
        self.assertEqual(self.engine.wait("skips")["state"], "DONE")
        self.assertEqual(self.texts("skips"), ["one", "three"])

    def test_the_event_time_is_read_from_the_element(self):
        self.add(['{"at": 1700000000.5, "user": 7}'])
        self.run_source(stream="clicks", until="end", event_time="/at", event_time_unit="s", key="/user")
        self.engine.wait("redis")
        (element,) = [element for _, elements in self.engine.replay(pipeline="redis") for element in elements or []]
        self.assertEqual((element[0], element[2]), (1700000000500000, {"key": "7"}))

    def test_large_elements_are_whole(self):
        bodies = [bytes([65 + number]) * (3 << 20) for number in range(6)]
        self.add(bodies)
        self.run_source(stream="clicks", until="end", limits={"bytes": None, "duration_ms": 60000})
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        self.assertEqual([body for _, _, body in self.engine.elements(pipeline="redis")], bodies)

    def test_nothing_stays_on_the_server(self):
        self.add(["one"])
        self.run_source(stream="clicks")
        self.wait_for(1)
        self.assertEqual(len(self.clients()), 1)
        self.end()
        self.until(lambda: not self.clients(), "its connection is still there")
        self.assertEqual(self.redis.ask("XINFO", "GROUPS", "clicks"), [])
        self.assertEqual(self.redis.ask("KEYS", "*"), [b"clicks"])


class Losses(RedisTest):
    """Entries that nobody can read any more."""

    def gap_comes(self):
        """Until the recording has one."""
        return self.until(lambda: self.own_gaps(self.engine.ask("recording.describe", pipeline="redis").get("gaps", [])), "no gap")

    def gap(self):
        (gap,) = self.own_gaps(self.end())
        return gap

    def test_entries_that_were_trimmed_while_nobody_read_are_a_gap_with_their_number(self):
        self.add(["one"], ids=["1000-0"])
        self.run_source(stream="clicks")
        self.wait_for(1)
        self.engine.kill()
        self.add(["two", "three", "four", "five"], ids=["2000-0", "3000-0", "4000-0", "5000-0"])
        self.redis.ask("XTRIM", "clicks", "MAXLEN", 1)
        self.engine.start()
        self.wait_for(2)
        gap = self.gap()
        self.assertEqual(self.texts(), ["one", "five"])
        self.assertEqual(gap["what"], "`clicks`: 3 entries after 1000-0 were trimmed or deleted before they were read")
        self.assertEqual((gap["lost_us"], gap["element"]), (4000000, 1))

    def test_a_trim_of_what_was_read_is_no_gap(self):
        for number in range(50):
            self.redis.ask("XADD", "clicks", "MAXLEN", 1, "*", "e", number)
            if number == 0:
                self.run_source(stream="clicks")
            self.wait_for(number + 1)
        self.assertEqual(self.end(), [])

    def test_entries_that_were_deleted_in_the_middle_are_a_gap(self):
        self.add(["one"])
        self.run_source(stream="clicks")
        self.wait_for(1)
        self.engine.kill()
        _, second, _ = self.add(["two", "three", "four"])
        self.redis.ask("XDEL", "clicks", second)
        self.engine.start()
        self.wait_for(3)
        gap = self.gap_comes()
        self.assertEqual(self.texts_so_far(3), ["one", "two", "four"])
        self.assertIn("an entry up to", gap[0]["what"])
        self.assertEqual(len(self.own_gaps(self.end())), 1)

    def texts_so_far(self, count):
        return [body.decode() for _, _, body in self.engine.elements(pipeline="redis", max_elements=count)]

    def test_a_stream_that_is_gone_is_a_gap_and_what_comes_later_is_recorded(self):
        self.add(["one"], ids=["1000-0"])
        self.run_source(stream="clicks")
        self.wait_for(1)
        self.redis.ask("DEL", "clicks")
        self.gap_comes()
        self.add(["two"], ids=["5-0"])
        self.wait_for(2)
        self.assertEqual(self.gap()["what"], "`clicks`: the stream is gone, which was read up to 1000-0")
        self.assertEqual(self.texts(), ["one", "two"])

    def test_a_server_that_comes_back_with_an_older_state_is_a_gap_and_nothing_is_twice(self):
        self.add(["one", "two"], ids=["1000-0", "2000-0"])
        self.redis.ask("CONFIG", "SET", "appendonly", "no")
        self.redis.ask("SAVE")
        self.run_source(stream="clicks")
        self.add(["three"], ids=["3000-0"])
        self.wait_for(3)
        self.redis.settings["appendonly"] = "no"
        self.redis.restart()
        self.gap_comes()
        self.add(["four"], ids=["2500-0"])
        self.wait_for(4)
        gap = self.gap()
        self.assertIn("the server has lost entries", gap["what"])
        self.assertEqual(self.texts(), ["one", "two", "three", "four"])


class Channels(RedisTest):
    def publish(self, *texts, channel="news"):
        self.redis.ask_all([["PUBLISH", channel, text] for text in texts])

    def test_messages_are_recorded_in_order_with_the_time_of_their_arrival(self):
        before = time.time_ns() // 1000
        self.run_source(channel="news")
        self.subscribed()
        texts = [f"message {number}" for number in range(5000)]
        self.publish(*texts)
        self.wait_for(len(texts))
        self.assertEqual(self.end(), [])
        self.assertEqual(self.texts(), texts)
        for _, at, _ in self.engine.elements(pipeline="redis"):
            self.assertTrue(before <= at <= time.time_ns() // 1000)

    def test_a_pattern_names_the_channel_of_each(self):
        self.run_source(pattern="news.*,weather")
        self.until(lambda: self.redis.ask("PUBSUB", "NUMPAT") == 2, "nobody subscribes")
        self.publish("a", channel="news.de")
        self.publish("b", channel="weather")
        self.publish("c", channel="sport")
        self.publish("d", channel="news.fr")
        self.wait_for(3)
        self.end()
        elements = [element[1:] for _, elements in self.engine.replay(pipeline="redis") for element in elements or []]
        self.assertEqual(elements, [[b"a", {"channel": "news.de"}], [b"b", {"channel": "weather"}], [b"d", {"channel": "news.fr"}]])

    def test_a_restart_of_the_server_is_a_gap_with_its_length(self):
        self.run_source(channel="news")
        self.subscribed()
        self.publish("one")
        self.wait_for(1)
        self.redis.kill()
        self.waits("Connection refused")
        self.redis.start()
        self.subscribed()
        self.publish("two")
        self.wait_for(2)
        (gap,) = self.end()
        self.assertEqual(self.texts(), ["one", "two"])
        self.assertIn("`news`: nobody listened: ", gap["what"])
        self.assertEqual(gap["element"], 1)
        self.assertGreater(gap["lost_us"], 0)

    def test_a_restart_of_the_engine_is_a_gap_even_where_nothing_was_said_yet(self):
        self.run_source(channel="news")
        self.subscribed()
        recording = self.engine.ask("job.describe", pipeline="redis")["recording"]
        self.until(lambda: any(record["meta"] for record in self.engine.records(recording)), "its place is not kept")
        self.engine.kill()
        self.publish("lost")
        self.engine.start()
        self.subscribed()
        self.publish("one")
        self.wait_for(1)
        (gap,) = self.own_gaps(self.end())
        self.assertIn("the recording was interrupted", gap["what"])
        self.assertEqual(self.texts(), ["one"])

    def test_a_client_that_the_server_drops_is_a_gap(self):
        self.run_source(channel="news")
        self.subscribed()
        self.publish("one")
        self.wait_for(1)
        self.redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        self.subscribed()
        self.publish("two")
        self.wait_for(2)
        self.assertEqual(len(self.end()), 1)
        self.assertEqual(self.texts(), ["one", "two"])


class Waiting(RedisTest):
    def test_a_server_that_is_not_there_is_waited_for(self):
        self.redis.kill()
        self.run_source(stream="clicks")
        self.waits(f"Read: {self.redis.server}: Connection refused")
        self.redis.start()
        self.add(["one"])
        self.wait_for(1)
        self.assertNotIn("waits", self.engine.ask("job.describe", pipeline="redis"))
        self.assertEqual(self.end(), [])

    def test_a_server_that_stops_to_answer_is_said_and_nothing_is_lost(self):
        """A channel is not left for that: what was said meanwhile comes later."""
        self.run_source("streams", stream="clicks")
        self.run_source("channels", channel="news")
        self.subscribed()
        self.add(["one"])
        self.redis.ask("PUBLISH", "news", "one")
        for name in ("streams", "channels"):
            self.wait_for(1, name)
        self.redis.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.redis.process.send_signal, signal.SIGCONT)
        for name in ("streams", "channels"):
            self.waits(f"{self.redis.server}: it does not answer", name)
        self.redis.process.send_signal(signal.SIGCONT)
        self.add(["two"])
        self.redis.ask("PUBLISH", "news", "two")
        for name in ("streams", "channels"):
            self.wait_for(2, name)
            self.until(lambda name=name: "waits" not in self.engine.ask("job.describe", pipeline=name), "it still waits")
            self.assertEqual(self.end(name), [])
            self.assertEqual(self.texts(name), ["one", "two"])

    def test_what_will_not_heal_fails_the_job_and_says_what_it_is(self):
        self.redis.ask("SET", "text", "a")
        secret = pathlib.Path(self.engine.folder) / "secret"
        secret.write_text("wrong\n")
        for name, payload, said in (
                ("type", {"stream": "clicks,text"}, "`stream` text: WRONGTYPE"),
                ("db", {"stream": "clicks", "db": 99}, "`db` 99: ERR DB index is out of range"),
                ("password", {"stream": "clicks", "password_file": str(secret)}, "`password_file`: ERR AUTH"),
                ("name", {"stream": "clicks", "username": "bob", "password_file": str(secret)}, "`password_file`: WRONGPASS"),
                ("tls", {"stream": "clicks", "tls": True}, "`tls` must be false"),
                ("none", {}, "one of `stream`, `channel` and `pattern` must be given, not 0"),
                ("begin", {"stream": "clicks", "from": "yesterday"}, "`from` must be `start`, `end`, an id")):
            with self.subTest(name):
                self.run_source(name, **payload)
                self.assertIn(said, self.failure(name))

    def test_a_server_that_is_none_is_said(self):
        """It answers, but not as Redis does."""
        self.engine.run(pipeline("redis", source("Read", URN, {"server": self.engine.beam, "stream": "clicks"})), limits=LIMITS)
        self.waits(self.engine.beam)


class Passwords(RedisTest):
    settings = {"requirepass": "sesame"}

    def setUp(self):
        super().setUp()
        self.secret = pathlib.Path(self.engine.folder) / "secret"

    def start(self, secret, **payload):
        self.secret.write_text(secret)
        self.run_source(stream="clicks", password_file=str(self.secret), **payload)

    def ask(self, *words):
        return self.redis.ask_all([["AUTH", "sesame"], words])[1]

    def test_a_password_opens_the_server(self):
        self.ask("XADD", "clicks", "*", "e", "one")
        self.start("sesame\n", until="end")
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        self.assertEqual(self.texts(), ["one"])

    def test_a_user_who_may_only_read_is_enough(self):
        self.ask("XADD", "clicks", "*", "e", "one")
        self.ask("ACL", "SETUSER", "bob", "on", ">secret", "~clicks", "+xread", "+xinfo|stream", "+multi", "+exec")
        self.start("secret", username="bob", until="end")
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        self.assertEqual(self.texts(), ["one"])

    def test_without_one_the_job_fails_with_what_the_server_says(self):
        self.run_source(stream="clicks")
        self.assertIn("NOAUTH", self.failure())


class Pressure(RedisTest):
    """A disk that holds up what was written: the recorder gives no more credit."""
    settings = {"appendonly": "no", "client_output_buffer_limit": "pubsub 48mb 0 0"}
    size = 16 * 1024
    total = 160 << 20
    bound = 100 << 20  # what the engine may take meanwhile: 64 MiB that are not synced, what is on its way, and the protocol

    def setUp(self):
        self.disk = Disk()
        self.addCleanup(self.disk.remove)
        self.redis = Redis(**self.settings)
        self.addCleanup(self.redis.remove)
        self.engine = Engine(env=self.disk.env)
        self.addCleanup(self.engine.remove)

    def bodies(self):
        return [b"%d " % number + b"x" * self.size for number in range(self.total // self.size)]

    def sent(self):
        """Bytes that left the server, once that is no more with each question but the answer to the question."""
        def sample():
            return int(self.redis.ask("INFO", "stats").decode().split("total_net_output_bytes:")[1].split()[0])
        last, steps = sample(), []

        def settled():
            nonlocal last
            now = sample()
            steps.append(now - last)
            last = now
            return len(steps) > 100 and max(steps[-100:]) < 16384
        self.until(settled, lambda: f"it goes on reading: {steps[-10:]}")
        return last

    def anonymous(self):
        """Memory of the engine that is not of its mapped files."""
        status = pathlib.Path(f"/proc/{self.engine.process.pid}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0]) * 1024

    def test_a_stream_is_left_on_the_server_and_recorded_later(self):
        bodies = self.bodies()
        self.add(bodies)
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.run_source(stream="clicks", until="end")
            held()
            self.assertLess(self.sent(), self.bound)
            self.assertLess(self.anonymous(), self.bound)
        self.assertEqual(self.engine.wait("redis")["state"], "DONE")
        self.assertTrue([body for _, _, body in self.engine.elements(pipeline="redis")] == bodies, "other elements were recorded")

    def test_a_channel_is_cut_off_by_the_server_and_that_is_a_gap(self):
        bodies = self.bodies()
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.run_source(channel="news")
            self.subscribed()
            self.redis.ask_all([["PUBLISH", "news", body] for body in bodies])
            held()
            self.subscribed(count=0)
            self.assertLess(self.anonymous(), self.bound)
        self.subscribed()
        self.redis.ask("PUBLISH", "news", len(bodies))
        self.until(lambda: self.last() == len(bodies), "the last is not recorded")
        gaps = {gap["element"] for gap in self.end() if "`news`: nobody listened" in gap["what"]}
        numbers = [int(body.split(b" ")[0]) for _, _, body in self.engine.elements(pipeline="redis")]
        jumps = {at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1] + 1}
        self.assertTrue(jumps)
        self.assertEqual(jumps - gaps, set())

    def last(self):
        """The number of the last element so far."""
        count = self.engine.ask("job.describe", pipeline="redis")["elements"]
        ((_, _, body),) = self.engine.elements(pipeline="redis", max_elements=1, **{"from": {"element": count - 1}})
        return int(body.split(b" ")[0])


if __name__ == "__main__":
    unittest.main()
