"""Replays over the wire: the same events, byte for byte, to everyone and at any time; and what a client can do to its own."""
import unittest

import msgpack
import zmq

from engine import GENERATOR, PUSH, EngineTest, Producer, Refused, batches, pipeline, source

MUCH = 1 << 40  # credit
FOREVER = 9223372036854775000


class Reader:
    """One connection to the test stream, event by event, with the bytes as they came."""

    def __init__(self, engine):
        self.connection = engine.connect("test_stream")
        self.events = []  # those that came before an answer

    def ask(self, op, **fields):
        """The answer, and the events that came before it."""
        self.connection.send(op, id=op, **fields)
        events = []
        while True:
            message = self.receive()
            if "ok" not in message:
                events.append(message)
            elif message["ok"]:
                return message, events
            else:
                raise Refused(message["error"])

    def receive(self, timeout_s=30):
        message, elements, size = self.connection.receive(timeout_s)
        return {**message, "elements_of": elements, "size": size} if "event" in message else message

    def until(self, event):
        """All events up to and with the next of that kind."""
        events = [self.receive()]
        while events[-1].get("event") != event:
            events.append(self.receive())
        return events

    def quiet(self):
        """True when nothing is under way: an answer to something else comes first."""
        self.connection.send("replay.pause", id="probe", replay=4096)
        return self.receive().get("id") == "probe"

    def close(self):
        self.connection.socket.close()


def plain(events):
    """Of events, what the recording decides."""
    return [{key: value for key, value in event.items() if key not in ("replay", "size")} for event in events]


def elements_in(events):
    return [element for event in events for element in event.get("elements_of") or []]


class Replays(EngineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine.run(pipeline("mixed", source("A", PUSH, "a"), source("B", PUSH, "b")))
        with cls.engine.connect("ingest") as ingest:
            attached = {tag: ingest.ask("source.attach", pipeline="mixed", tag=tag) for tag in "AB"}
            for seq in range(1, 11):
                for tag in "AB":
                    origin = 1700000000000000 + seq * 1000
                    ingest.send("source.batch",
                                msgpack.packb([[origin + n, f"{tag} {seq} {n}".encode(), {"key": b"\x00v"}] for n in range(5)]),
                                source=attached[tag]["source"], tag=tag, seq=seq, watermark=origin, cursor=[seq, tag])
                    while ingest.receive()[0].get("seq") != seq:  # acknowledged one by one: so each is a record of its own
                        pass
            for tag in "AB":
                ingest.ask("source.done", source=attached[tag]["source"], tag=tag)
        cls.job = cls.engine.wait("mixed")
        cls.recording = cls.job["recording"]

    def reader(self):
        reader = Reader(self.engine)
        self.addCleanup(reader.close)
        return reader

    def whole(self, **what):
        reader = self.reader()
        answer, _ = reader.ask("replay.open", credit=MUCH, **{"recording": self.recording, **what})
        return answer, reader.until("end")

    def raw(self, recording):
        """The frames of a replay as they come."""
        with self.engine.connect("test_stream") as stream:
            stream.ask("replay.open", recording=recording, credit=MUCH)
            frames = []
            while not frames or msgpack.unpackb(frames[-1][0])["event"] != "end":
                frames.append(stream.socket.recv_multipart())
            return frames

    def test_a_replay_shows_what_was_recorded_in_its_order(self):
        answer, events = self.whole()
        self.assertEqual((answer["ok"], answer["recording"], sorted(answer["tags"])), (True, self.recording, ["A", "B"]))
        self.assertIsInstance(answer["replay"], int)
        expected = [[1700000000000000 + seq * 1000 + n, f"{tag} {seq} {n}".encode(), {"key": b"\x00v"}]
                    for seq in range(1, 11) for tag in "AB" for n in range(5)]
        self.assertEqual(elements_in(events), expected)
        at = 0
        for event in events:
            self.assertEqual(event["replay"], answer["replay"])
            if event["event"] == "elements":
                self.assertEqual((event["element"], event["count"]), (at, len(event["elements_of"])))
                at += event["count"]
        self.assertEqual({key for event in events for key in event} - {"elements_of", "size"},
                         {"event", "replay", "tag", "count", "element", "to", "advance_us", "reason", "elements", "digest"})
        last = {event["tag"]: event["to"] for event in events if event["event"] == "watermark"}
        self.assertEqual(last, {"A": FOREVER, "B": FOREVER})
        self.assertEqual([event["to"] for event in events if event.get("tag") == "A" and "to" in event][:10],
                         [1700000000000000 + seq * 1000 for seq in range(1, 11)])
        end = events[-1]
        self.assertEqual((end["reason"], end["elements"]), ("end", 100))
        self.assertRegex(end["digest"], "^[0-9a-f]{32}$")
        self.assertEqual(end["digest"], self.engine.ask("recording.describe", recording=self.recording)["digest"])

    def test_the_clock_is_that_of_the_recording(self):
        _, events = self.whole()
        advances = [event["advance_us"] for event in events if event["event"] == "processing_time"]
        self.assertGreater(min(advances), 0)
        times = [record["at"] for record in self.engine.records(self.recording) if record["kind"] == 1]
        self.assertLessEqual(times[-1] - self.job["started_at"], sum(advances))
        self.assertLess(sum(advances), self.job["elapsed_ms"] * 1000 + 2000)

    def test_all_clients_see_the_same_bytes_also_after_a_restart(self):
        frames = self.raw(self.recording)
        self.assertEqual([self.raw(self.recording) for _ in range(3)], [frames] * 3)
        self.engine.restart()
        self.assertEqual(self.raw(self.recording), frames)

    def test_several_replays_on_one_connection_are_told_apart(self):
        reader = self.reader()
        numbers = [reader.ask("replay.open", recording=self.recording, credit=0)[0]["replay"] for _ in range(3)]
        self.assertEqual(len(set(numbers)), 3)
        for number in numbers:
            reader.connection.send("replay.credit", replay=number, bytes=MUCH)
        events = [event for _ in numbers for event in reader.until("end")]
        each = [plain([event for event in events if event["replay"] == number]) for number in numbers]
        self.assertEqual(each[0], each[1])
        self.assertEqual(each[0], each[2])
        self.assertEqual(each[0][-1]["elements"], 100)

    def test_some_tags_have_their_own_events_and_digest(self):
        _, events = self.whole(tags=["B"])
        self.assertEqual({event["tag"] for event in events if "tag" in event}, {"B"})
        self.assertEqual(events[-1]["elements"], 50)
        _, again = self.whole(tags=["B"])
        self.assertEqual(plain(again), plain(events))
        everything = self.whole()[1]
        self.assertNotEqual(events[-1]["digest"], everything[-1]["digest"])
        later = [event for event in everything if event.get("tag") == "B" or event["event"] == "processing_time"]
        self.assertEqual(sum(event.get("advance_us", 0) for event in events),
                         sum(event.get("advance_us", 0) for event in later))
        self.assertEqual([event["element"] for event in events if event["event"] == "elements"],
                         [event["element"] for event in later if event["event"] == "elements"])

    def test_nothing_is_sent_without_credit_and_no_more_than_one_event_beyond_it(self):
        reader = self.reader()
        number = reader.ask("replay.open", recording=self.recording, credit=0)[0]["replay"]
        self.assertTrue(reader.quiet())
        owed = 1
        for _ in range(20):
            reader.connection.send("replay.credit", replay=number, bytes=owed)
            owed = reader.receive()["size"]  # it had a credit of 1, and has overdrawn it by the rest
            self.assertTrue(reader.quiet())
        reader.connection.send("replay.credit", replay=number, bytes=MUCH)
        self.assertEqual(reader.until("end")[-1]["elements"], 100)

    def test_credit_counts_the_bytes_of_all_frames(self):
        reader = self.reader()
        sizes = [event["size"] for event in self.whole()[1]]
        number = reader.ask("replay.open", recording=self.recording, credit=sum(sizes[:10]))[0]["replay"]
        for _ in range(10):
            reader.receive()
        self.assertTrue(reader.quiet())
        reader.connection.send("replay.credit", replay=number, bytes=sizes[10] + 1)
        reader.receive()
        reader.receive()  # the one that overshoots
        self.assertTrue(reader.quiet())

    def test_a_part_is_replayed_from_an_element_or_a_time_and_up_to_a_limit(self):
        expected = elements_in(self.whole()[1])
        for first in (0, 1, 4, 5, 37, 99):
            _, events = self.whole(**{"from": {"element": first}})
            self.assertEqual(elements_in(events), expected[first:], first)
            self.assertEqual(next(event["element"] for event in events if event["event"] == "elements"), first)
        _, events = self.whole(**{"from": {"element": 37}, "max_elements": 8})
        self.assertEqual(elements_in(events), expected[37:45])
        self.assertEqual((events[-1]["reason"], events[-1]["elements"]), ("limit", 8))
        for count in (1, 5, 99):
            _, events = self.whole(max_elements=count)
            self.assertEqual((elements_in(events), events[-1]["reason"]), (expected[:count], "limit"))
        _, events = self.whole(max_elements=1000)
        self.assertEqual(events[-1]["reason"], "end")
        _, events = self.whole(**{"from": {"element": 100}})
        self.assertEqual((elements_in(events), events[-1]["reason"]), ([], "end"))
        _, events = self.whole(**{"from": {"offset_ms": 3600000}})
        self.assertEqual((elements_in(events), events[-1]["reason"]), ([], "end"))
        _, events = self.whole(**{"from": {"offset_ms": 0}})
        self.assertEqual(elements_in(events), expected)

    def test_a_replay_ends_after_some_of_the_recordings_time(self):
        recording = self.paced("long", 2000)
        _, whole = self.whole(recording=recording)
        _, events = self.whole(recording=recording, max_duration_ms=100)
        self.assertEqual(events[-1]["reason"], "limit")
        self.assertLessEqual(sum(event.get("advance_us", 0) for event in events), 100000)
        self.assertGreater(sum(event.get("advance_us", 0) for event in events), 50000)
        some, everything = elements_in(events), elements_in(whole)
        self.assertEqual(some, everything[:len(some)])
        self.assertLess(len(some), len(everything) // 2)

    def test_a_paused_replay_says_nothing_steps_when_told_and_goes_on(self):
        expected = plain(self.whole()[1])
        reader = self.reader()
        number = reader.ask("replay.open", recording=self.recording, credit=0)[0]["replay"]
        reader.ask("replay.pause", replay=number)
        reader.connection.send("replay.credit", replay=number, bytes=MUCH)
        self.assertTrue(reader.quiet())
        seen = []
        for steps in (1, 3):
            _, before = reader.ask("replay.step", replay=number, events=steps)
            self.assertEqual(before, [])
            seen += [reader.receive() for _ in range(steps)]
            self.assertTrue(reader.quiet())
        _, before = reader.ask("replay.resume", replay=number)
        self.assertEqual(before, [])
        seen += reader.until("end")
        self.assertEqual(plain(seen), expected)

    def test_a_pause_stands_between_the_events_before_and_after_it(self):
        recording = self.paced("walked", 1000)
        reader = self.reader()
        number = reader.ask("replay.open", recording=recording, credit=MUCH, rate=1)[0]["replay"]
        seen = reader.until("elements")
        for _ in range(3):
            _, before = reader.ask("replay.pause", replay=number)
            self.assertTrue(reader.quiet())
            reader.ask("replay.resume", replay=number)
            seen += before + reader.until("elements")
        self.assertEqual(plain(seen + reader.until("end")), plain(self.whole(recording=recording)[1]))

    def paced(self, name, rate):
        """A recording of 300 ms."""
        recording = self.engine.run(pipeline(name, source("Read", GENERATOR, {"rate": rate})), limits={"duration_ms": 300})["recording"]
        self.engine.wait(name)
        return recording

    def test_a_seek_goes_on_elsewhere_with_each_tags_watermark_and_has_no_digest(self):
        expected = elements_in(self.whole()[1])
        reader = self.reader()
        number = reader.ask("replay.open", recording=self.recording, credit=0)[0]["replay"]
        reader.ask("replay.seek", replay=number, element=52)
        reader.connection.send("replay.credit", replay=number, bytes=MUCH)
        events = reader.until("end")
        self.assertEqual(elements_in(events), expected[52:])
        self.assertEqual({event["tag"]: event["to"] for event in events[:2]}, {"A": 1700000000005000, "B": 1700000000005000})
        self.assertNotIn("digest", events[-1])

    def test_a_seek_back_shows_it_again(self):
        expected = elements_in(self.whole()[1])
        reader = self.reader()
        number = reader.ask("replay.open", recording=self.recording, credit=1500)[0]["replay"]
        while len(elements_in(reader.until("elements"))) == 0:
            pass
        _, before = reader.ask("replay.seek", replay=number, element=0)
        self.assertNotIn("end", [event["event"] for event in before])
        reader.connection.send("replay.credit", replay=number, bytes=MUCH)
        events = reader.until("end")
        self.assertEqual(elements_in(events), expected)
        self.assertNotIn("digest", events[-1])

    def test_a_seek_by_time_comes_to_the_same_place(self):
        recording = self.paced("timed", 1000)
        _, whole = self.whole(recording=recording)
        clock, late = 0, []
        for event in whole:
            clock += event.get("advance_us", 0)
            late += event["elements_of"] if event["event"] == "elements" and clock >= 150000 else []
        _, events = self.whole(**{"recording": recording, "from": {"offset_ms": 150}})
        self.assertEqual(elements_in(events), late)
        self.assertGreater(len(late), 10)

    def test_the_pace_is_that_of_the_recording_or_a_multiple(self):
        recording = self.paced("paced", 500)
        whole = self.whole(recording=recording)[1]
        for rate, least, most in ((1, 0.2, 2.0), (4, 0.05, 0.9)):
            with self.subTest(rate=rate):
                started = self.now_ms()
                _, events = self.whole(recording=recording, rate=rate)
                took = (self.now_ms() - started) / 1000
                self.assertEqual(plain(events), plain(whole))
                self.assertGreater(took, least)
                self.assertLess(took, most)

    def now_ms(self):
        return self.engine.ask("engine.info")["uptime_ms"]

    def test_a_rate_can_change_in_mid_replay(self):
        recording = self.paced("slow", 1000)
        reader = self.reader()
        number = reader.ask("replay.open", recording=recording, credit=MUCH, rate=0.001)[0]["replay"]
        _, seen = reader.ask("replay.rate", replay=number, rate=0)
        self.assertLess(len(elements_in(seen)), 100)
        seen += reader.until("end")
        self.assertEqual(plain(seen), plain(self.whole(recording=recording)[1]))

    def test_a_replay_that_is_closed_ends_before_the_answer_and_is_unknown_then(self):
        reader = self.reader()
        number = reader.ask("replay.open", recording=self.recording, credit=0)[0]["replay"]
        _, before = reader.ask("replay.close", replay=number)
        self.assertEqual([(event["event"], event["reason"], event["elements"]) for event in before], [("end", "closed", 0)])
        for op, fields in (("replay.close", {}), ("replay.pause", {}), ("replay.resume", {}), ("replay.step", {"events": 1}),
                           ("replay.seek", {"element": 0}), ("replay.rate", {"rate": 1})):
            with self.assertRaises(Refused) as caught:
                reader.ask(op, replay=number, **fields)
            self.assertEqual((caught.exception.error["code"], caught.exception.error["retry"]), ("not_found", True), op)

    def test_a_replay_follows_a_recording_that_grows_and_ends_with_its_job(self):
        self.pushable("live")
        producer = Producer(self.engine, "live")
        self.addCleanup(producer.close)
        reader = self.reader()
        reader.ask("replay.open", pipeline="live", credit=MUCH)
        seen = []
        for batch in range(1, 6):
            producer.push(batch)
            while len(elements_in(seen)) < 10 * batch:
                seen.append(reader.receive())
        self.assertTrue(reader.quiet())
        producer.done()
        seen += reader.until("end")
        self.assertEqual(seen[-1]["reason"], "end")
        self.assertEqual(plain(seen), plain(self.whole(recording=self.engine.wait("live")["recording"])[1]))

    def test_a_replay_that_does_not_follow_ends_where_the_recording_is_now(self):
        self.pushable("growing")
        producer = Producer(self.engine, "growing")
        self.addCleanup(producer.close)
        producer.push(3)
        reader = self.reader()
        reader.ask("replay.open", pipeline="growing", credit=MUCH, follow=False)
        events = reader.until("end")
        self.assertEqual([["Read", *element] for element in elements_in(events)], producer.expected(3))

    def test_a_hole_in_the_recording_is_shown_where_it_is(self):
        self.pushable("holed")
        producer = Producer(self.engine, "holed")
        self.addCleanup(producer.close)
        producer.push(2)
        self.engine.restart()
        producer.attached = None
        producer.push(4)
        producer.done()
        recording = self.engine.wait("holed")["recording"]
        events = self.whole(recording=recording)[1]
        gaps = [number for number, event in enumerate(events) if event["event"] == "gap"]
        self.assertEqual([["Read", *one] for one in elements_in(events[:gaps[0]])], producer.expected(2))
        self.assertEqual([["Read", *one] for one in elements_in(events)], producer.expected(4))
        gap = events[gaps[0]]
        self.assertLessEqual({"event", "replay", "what", "lost_us"}, set(gap))
        self.assertGreater(gap["lost_us"], 0)
        described = self.engine.ask("recording.describe", recording=recording)["gaps"]
        self.assertEqual([(one["what"], one["element"]) for one in described], [(gap["what"], 20)])

    def test_a_replay_can_be_opened_before_there_is_anything_to_replay(self):
        self.pushable("early")
        reader = self.reader()
        reader.ask("replay.open", pipeline="early", credit=MUCH)
        self.assertEqual(self.engine.feed("early", "Read", batches(30, 10)), None)
        self.assertEqual(len(elements_in(reader.until("end"))), 30)

    def test_a_stop_of_the_test_stream_ends_its_replays(self):
        self.pushable("stopped")
        reader = self.reader()
        reader.ask("replay.open", pipeline="stopped", credit=MUCH)
        self.assertTrue(self.engine.ask("test_stream.stop", pipeline="stopped")["stopped"])
        self.assertEqual(reader.until("end")[-1]["reason"], "stopped")
        self.assertFalse(self.engine.ask("test_stream.stop", pipeline="stopped")["stopped"])
        reader.ask("replay.open", pipeline="stopped", credit=MUCH)
        self.assertTrue(self.engine.ask("test_stream.status", pipeline="stopped")["running"])

    def test_a_change_of_sources_ends_the_replays_of_what_it_invalidates(self):
        recording = self.recorded("changed", 1000)["recording"]
        reader = self.reader()
        reader.ask("replay.open", pipeline="changed", credit=1)
        reader.receive()
        self.engine.run(pipeline("changed", source("Read", GENERATOR, {"seed": 99})), limits={"count": 10})
        self.assertEqual(reader.until("end")[-1]["reason"], "invalidated")
        with self.assertRaises(Refused) as caught:
            reader.ask("replay.open", recording=recording, credit=1)
        self.assertEqual(caught.exception.error["code"], "not_found")

    def test_what_cannot_be_opened_is_refused_with_a_reason(self):
        self.engine.ask("pipeline.track", pipeline=pipeline("unrecorded", source("Read", PUSH)))
        for code, fields in (("not_found", {"pipeline": "nobody"}), ("not_found", {"recording": "nothing"}),
                             ("not_found", {"pipeline": "unrecorded"}),
                             ("bad_request", {}), ("bad_request", {"recording": self.recording, "rate": -1}),
                             ("bad_request", {"recording": self.recording, "tags": "A"}),
                             ("not_found", {"recording": self.recording, "tags": ["C"]}),
                             ("bad_request", {"recording": self.recording, "max_elements": 0})):
            with self.subTest(fields=fields), self.assertRaises(Refused) as caught:
                self.reader().ask("replay.open", credit=1, **fields)
            self.assertEqual(caught.exception.error["code"], code)
        with self.assertRaises(Refused) as caught:
            self.reader().ask("replay.open", recording=self.recording)
        self.assertEqual(caught.exception.error["field"], "credit")

    def test_a_client_is_asked_for_a_sign_of_life(self):
        self.pushable("silent")
        stream = zmq.Context.instance().socket(zmq.DEALER)
        self.addCleanup(stream.close, 0)
        stream.connect(self.engine.endpoints["test_stream"])
        stream.send(msgpack.packb({"op": "replay.open", "pipeline": "silent", "credit": MUCH}))
        messages = []
        while {"op": "ping"} not in messages:
            self.assertTrue(stream.poll(10000), messages)
            messages.append(msgpack.unpackb(stream.recv_multipart()[0]))


if __name__ == "__main__":
    unittest.main()
