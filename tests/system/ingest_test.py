"""The ingest protocol, sentence by sentence: SENTENCES names the test that proves each. Those that nobody else proves are here."""
import pathlib
import re
import time
import unittest

import msgpack

from disk import Disk
from engine import PATIENCE, PUSH, Engine, EngineTest, Producer, Refused, pipeline, source

TESTS = pathlib.Path(__file__).resolve().parents[1]

SENTENCES = {
    # source.attach
    "It names a pipeline or a job, and a tag.": "system/protocol_test.py test_source_attach_batch_and_done",
    "Any tag of the current definition finds its stream.": "unit/recorder_join_test.c a_tag_of_the_current_definition_lets_in",
    "An unknown tag is refused with those that there are.": "unit/recorder_join_test.c an_unknown_tag_is_refused_with_those_there_are",
    "A job that does not run lets nobody in.": "unit/recorder_join_test.c a_job_that_does_not_run_is_refused",
    "A source waits until its job has a budget.": "unit/recorder_test.c a_source_is_let_in_with_the_first_budget",
    "`next_seq` and `cursor`: go on from here.": "system/protocol_test.py test_source_attach_gives_the_cursor_back",
    "Without a cursor of its own, a producer gets the newest one of its stream.":
        "unit/recorder_join_test.c the_newest_cursor_of_the_stream_is_given",
    "A producer that connects again under its name goes on where it was.":
        "system/ingest_test.py test_a_producer_that_reconnects_goes_on_where_it_was_acknowledged_or_not",
    "So it does after a crash of the engine.": "system/kill_test.py test_under_full_load",
    "A second one under the same name takes over; the first is told `superseded`.":
        "system/ingest_test.py test_the_one_who_is_superseded_is_told_what_was_taken_of_it",
    "Producers without a name are told apart.": "unit/recorder_join_test.c producers_without_a_name_are_told_apart",
    # source.batch
    "A batch is not answered at once: many are acknowledged together.":
        "unit/recorder_ingest_test.c batches_that_wait_together_are_acknowledged_at_once",
    "`source` may be left out while the connection has only one of that tag.":
        "unit/recorder_ingest_test.c a_batch_must_name_its_source_where_its_tag_does_not",
    "A number of another connection's attachment is unknown.": "unit/recorder_ingest_test.c another_connection_cannot_use_an_attachment",
    "Batches are counted from 1; one sent twice is acknowledged and not stored twice.":
        "unit/recorder_ingest_test.c a_batch_sent_twice_is_acknowledged_and_stored_once",
    "A skipped number is a `conflict` with `expected`, and uses up nothing.":
        "system/ingest_test.py test_a_skipped_number_is_refused_with_the_expected_one_and_uses_up_nothing",
    "A bad body is refused by the element; its number is used up, and the next goes on.":
        "system/ingest_test.py test_a_bad_body_is_refused_precisely_while_the_rest_goes_on",
    "A batch that a limit cuts is cut at the element.": "system/limits_test.py test_a_batch_that_straddles_the_limit_is_cut_at_the_element",
    "Small batches are joined.": "unit/reel_test.c small_batches_of_one_stream_become_one_record",
    "A stream's watermark is that of its slowest producer.": "unit/reel_test.c a_streams_watermark_is_its_producers_oldest",
    "A gap that came with a batch is in the recording before its elements, once.":
        "unit/recorder_ingest_test.c a_gap_that_came_with_a_batch_is_described_once_however_often_the_batch_comes",
    "What the engine does not know any more is `not_found` with `retry`.":
        "unit/recorder_ingest_test.c an_end_of_something_unknown_is_to_be_tried_again",
    # source.ack
    "All up to `seq` is dealt with and appended.": "unit/recorder_acks_test.c what_is_only_gathered_is_not_acknowledged",
    "With `async` it follows the append, and the disk is not asked before the end.":
        "system/ingest_test.py test_async_acknowledges_and_asks_the_disk_for_the_end_only",
    "With `interval` it follows the append, while the disk is still at work.":
        "system/ingest_test.py test_interval_acknowledges_while_the_disk_is_at_work",
    "With `sync` it follows an fdatasync that began after the append; one serves all that wait.":
        "system/ingest_test.py test_sync_acknowledges_nothing_before_it_is_on_the_disk",
    "With `sync`, to say where to go on from waits for the disk, too.":
        "system/ingest_test.py test_sync_tells_a_successor_where_to_go_on_from_once_that_is_on_the_disk",
    "After a failed fdatasync nothing is acknowledged.":
        "system/faults_test.py test_after_a_failed_fdatasync_nothing_is_acknowledged",
    # source.done, source.fail, source.stop
    "`source.done` ends a source for all its producers.": "system/ingest_test.py test_done_ends_the_source_for_all_its_producers",
    "With `sync` it is answered once that is on the disk.": "unit/recorder_acks_test.c sync_answers_an_end_once_it_is_on_the_disk",
    "`source.fail` fails the job, with the message.": "system/protocol_test.py test_source_fail",
    "When the job ends, `source.stop` says why, and what was taken of the last batch.":
        "system/crash_test.py test_a_count_is_exact_across_crashes",
    # credit and liveness
    "A sender may send while its unacknowledged bytes are below the credit: it overshoots by one message at most.":
        "system/ingest_test.py test_credit_may_be_overshot_by_one_message_of_any_size",
    "An idle source is pinged, and a silent one let go.": "system/protocol_test.py "
        "test_those_who_say_nothing_are_asked_and_then_let_go_and_those_who_answer_stay",
}


def body(*numbers):
    return msgpack.packb([[number, b"%d" % number] for number in numbers])


class Sentences(unittest.TestCase):
    def test_each_sentence_has_a_test(self):
        for sentence, where in SENTENCES.items():
            file, name = where.split()
            self.assertRegex((TESTS / file).read_text(), rf"\b{re.escape(name)}\(", sentence)


class Ingest(EngineTest):
    def connect(self):
        connection = self.engine.connect("ingest")
        self.addCleanup(connection.socket.close)
        return connection

    def attached(self, name, producer=None, tag="Read", connection=None):
        connection = connection or self.connect()
        about = {"pipeline": name, "tag": tag, **({"producer": producer} if producer else {})}
        return connection, connection.ask("source.attach", timeout_s=PATIENCE, **about)

    def numbers(self, name):
        return [int(data) for _, _, data in self.engine.elements(pipeline=name, follow=False)]

    def test_a_producer_that_reconnects_goes_on_where_it_was_acknowledged_or_not(self):
        self.pushable("reconnects")
        connection, attached = self.attached("reconnects", "me")
        for seq in range(1, 11):
            connection.send("source.batch", body(seq), source=attached["source"], tag="Read", seq=seq, cursor=seq * 100)
        while connection.receive()[0]["seq"] < 10:
            pass
        connection.send("source.batch", body(11), source=attached["source"], tag="Read", seq=11, cursor=1100)  # its ack is not read
        connection.receive()
        connection.socket.close()
        connection, attached = self.attached("reconnects", "me")
        self.assertEqual((attached["next_seq"], attached["cursor"]), (12, 1100))
        for seq in range(9, 14):  # it may send again what it is not sure of
            connection.send("source.batch", body(seq), source=attached["source"], tag="Read", seq=seq)
        while connection.receive()[0]["seq"] < 13:
            pass
        self.assertEqual(self.numbers("reconnects"), list(range(1, 14)))

    def test_the_one_who_is_superseded_is_told_what_was_taken_of_it(self):
        self.pushable("superseded")
        first, attached = self.attached("superseded", "me")
        first.send("source.batch", body(1, 2, 3), source=attached["source"], tag="Read", seq=1)
        self.assertEqual(first.receive()[0]["op"], "source.ack")
        second, again = self.attached("superseded", "me")
        self.assertEqual(again["next_seq"], 2)
        stop = first.receive()[0]
        self.assertEqual((stop["op"], stop["reason"], stop["source"], stop["seq"], stop["accepted"]),
                         ("source.stop", "superseded", attached["source"], 1, 3))
        first.send("source.batch", body(4), source=attached["source"], tag="Read", seq=2)
        error = first.receive()[0]["error"]
        self.assertEqual((error["code"], error["retry"]), ("not_found", True))
        second.send("source.batch", body(5), source=again["source"], tag="Read", seq=2)
        self.assertEqual(second.receive()[0]["seq"], 2)
        self.assertEqual(self.numbers("superseded"), [1, 2, 3, 5])

    def test_a_skipped_number_is_refused_with_the_expected_one_and_uses_up_nothing(self):
        self.pushable("skipped")
        connection, attached = self.attached("skipped", "me")
        for seq, expected in ((2, 1), (7, 1), (1, None), (3, 2), (4, 2), (2, None), (3, None)):
            connection.send("source.batch", body(seq), source=attached["source"], tag="Read", seq=seq)
            message = connection.receive()[0]
            self.assertEqual(message["seq"], seq)
            if expected:
                error = message["error"]
                self.assertEqual((message["op"], error["code"], error["expected"]), ("source.nack", "conflict", expected))
            else:
                self.assertEqual(message["op"], "source.ack")
        self.assertEqual(self.attached("skipped", "me")[1]["next_seq"], 4)
        self.assertEqual(self.numbers("skipped"), [1, 2, 3])

    def test_a_bad_body_is_refused_precisely_while_the_rest_goes_on(self):
        self.pushable("bad")
        connection, attached = self.attached("bad", "me")
        bodies = {1: body(1), 2: msgpack.packb([[1, b"x"], [2, "text"]]), 3: body(3), 4: b"\x91", 5: None, 6: body(6)}
        for seq, data in bodies.items():
            connection.send("source.batch", data, source=attached["source"], tag="Read", seq=seq)
        nacks, acked = {}, 0
        while acked < 6:
            message = connection.receive()[0]
            if message["op"] == "source.ack":
                acked = message["seq"]
            else:
                nacks[message["seq"]] = message["error"]
        self.assertEqual({seq: error["code"] for seq, error in nacks.items()}, dict.fromkeys((2, 4, 5), "bad_request"))
        self.assertIn("element 1", nacks[2]["message"])
        self.assertEqual(nacks[5]["field"], "body")
        self.assertEqual(self.numbers("bad"), [1, 3, 6])

    def waits(self, name, *expected):
        """Asks for the job until its sources wait for just that."""
        deadline = time.monotonic() + PATIENCE
        while (waits := self.engine.ask("job.describe", pipeline=name).get("waits", [])) != list(expected):
            self.assertLess(time.monotonic(), deadline, waits)

    def test_what_a_source_waits_for_is_shown_with_its_job_until_it_does_not(self):
        self.pushable("patient", "Read")
        connection = self.connect()
        attached = connection.ask("source.attach", timeout_s=PATIENCE, pipeline="patient", tag="Read", producer="p")
        connection.send("source.waiting", source=attached["source"], tag="Read", message="a camera: nobody is there")
        self.waits("patient", "Read: a camera: nobody is there")
        connection.send("source.waiting", source=attached["source"], tag="Read")
        self.waits("patient")
        connection.send("source.waiting", tag="Read", message="another camera")
        self.waits("patient", "Read: another camera")
        connection.ask("source.attach", timeout_s=PATIENCE, pipeline="patient", tag="Read", producer="p")
        self.waits("patient")
        self.engine.ask("job.cancel", pipeline="patient")

    def test_done_ends_the_source_for_all_its_producers(self):
        self.pushable("done", "A", "B")
        ours = [self.attached("done", name, "A") for name in ("first", "second")]
        other, _ = self.attached("done", "third", "B")
        for number, (connection, attached) in enumerate(ours):
            connection.send("source.batch", body(number), source=attached["source"], tag="A", seq=1)
        (first, _), (second, attached) = ours
        self.assertEqual(first.receive()[0]["op"], "source.ack")
        self.assertEqual(second.receive()[0]["op"], "source.ack")
        first.ask("source.done", tag="A")
        stop = second.receive()[0]
        while stop["op"] == "source.ack":  # once more
            stop = second.receive()[0]
        self.assertEqual((stop["op"], stop["reason"], stop["source"], stop["seq"], stop["accepted"]),
                         ("source.stop", "sources_ended", attached["source"], 1, 1))
        with self.assertRaises(Refused) as caught:
            self.attached("done", "fourth", "A")
        self.assertEqual(caught.exception.error["code"], "invalid_state")
        self.assertTrue(self.engine.ask("job.describe", pipeline="done")["is_running"])
        other.send("source.batch", body(9), tag="B", seq=1)
        self.assertEqual(other.receive()[0]["op"], "source.ack")
        other.ask("source.done", tag="B")
        self.assertEqual(self.engine.wait("done")["stop_reason"], "sources_ended")
        self.assertEqual(sorted(self.numbers("done")), [0, 1, 9])

    def test_credit_may_be_overshot_by_one_message_of_any_size(self):
        self.pushable("credit")
        connection, attached = self.attached("credit", "me")
        self.assertGreater(attached["credit"], 0)
        large = msgpack.packb([[number, bytes(100000)] for number in range(attached["credit"] // 100000 + 20)])
        self.assertGreater(len(large), attached["credit"])
        for seq in range(1, 4):
            connection.send("source.batch", large, source=attached["source"], tag="Read", seq=seq)
            self.assertEqual(connection.receive(PATIENCE)[0]["seq"], seq)  # acknowledged: all of the credit is there again
        small, seq = body(*range(10)), 3
        unacked = {}
        while seq < 3000:
            while sum(unacked.values()) < attached["credit"] and seq < 3000:
                seq += 1
                unacked[seq] = connection.send("source.batch", small, source=attached["source"], tag="Read", seq=seq)
            acked = connection.receive(PATIENCE)[0]["seq"]
            unacked = {number: size for number, size in unacked.items() if number > acked}
        while unacked:
            acked = connection.receive(PATIENCE)[0]["seq"]
            unacked = {number: size for number, size in unacked.items() if number > acked}


class Durability(unittest.TestCase):
    """When a batch is acknowledged, shown with a disk that takes as long as the test wants."""

    def start(self, durability):
        self.disk = Disk()
        self.addCleanup(self.disk.remove)
        self.engine = Engine("--durability", durability, env=self.disk.env)
        self.addCleanup(self.engine.remove)
        self.engine.run(pipeline("durable", source("Read", PUSH)))
        self.producer = Producer(self.engine, "durable", size=1)
        self.addCleanup(self.producer.close)
        self.producer.push(1)

    def said_before_an_answer(self, producer):
        """What the engine has said on the producer's connection, up to the answer to a question that it is asked now."""
        producer.connection.send("source.attach", id="probe", pipeline="durable", tag="Read")
        said = []
        while True:
            message = producer.connection.receive(PATIENCE)[0]
            if message.get("id") == "probe":
                self.assertTrue(message["ok"])
                return said
            said.append((message["op"], message["seq"]))

    def test_async_acknowledges_and_asks_the_disk_for_the_end_only(self):
        self.start("async")
        label, = self.disk.set(("fdatasync", "*.seg", 1, 0, "watch"))
        self.producer.push(200, window=1)
        self.assertEqual(self.disk.fired(label), [])
        self.producer.done()
        self.engine.wait("durable")

    def test_interval_acknowledges_while_the_disk_is_at_work(self):
        self.start("interval")
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.producer.push(2)
            held()  # it was asked, though nobody waits for it
            self.producer.push(500, window=1)
        self.producer.done()
        self.assertEqual(self.engine.wait("durable")["elements"], 500)

    def test_sync_acknowledges_nothing_before_it_is_on_the_disk(self):
        self.start("sync")
        other = Producer(self.engine, "durable", producer="other", size=1)
        self.addCleanup(other.close)
        other.push(1)
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.producer.send()
            held()
            for _ in range(50):
                self.producer.send()  # these are appended meanwhile, and need another one
                other.send()
            for producer in (self.producer, other):
                self.assertEqual(self.said_before_an_answer(producer), [])
            elements = self.engine.elements(pipeline="durable", max_elements=103)
            for producer, batches in ((self.producer, 52), (other, 51)):  # they are there, but nobody was told so
                mine = [one for one in elements if one[2].startswith(producer.name.encode() + b" ")]
                self.assertEqual(mine, producer.expected(batches))
            label, = self.disk.add(("fdatasync", "*.seg", 1, 0, "watch"))
        self.producer.hear(PATIENCE)
        self.assertEqual(self.producer.acked, 2)  # what was appended before it began, and no more
        self.producer.hear(PATIENCE)
        self.assertEqual(self.producer.acked, 52)
        other.hear(PATIENCE)
        self.assertEqual(other.acked, 51)
        self.assertEqual(len(self.disk.fired(label)), 1)  # one for all that waited

    def test_sync_tells_a_successor_where_to_go_on_from_once_that_is_on_the_disk(self):
        self.start("sync")
        with self.disk.holding("fdatasync", "*.seg") as held:
            self.producer.send()
            held()
            successor = self.engine.connect("ingest")
            self.addCleanup(successor.socket.close)
            successor.send("source.attach", id="same", pipeline="durable", tag="Read", producer="producer")
            successor.send("source.attach", id="other", pipeline="durable", tag="Read", producer="another")
            self.assertEqual(successor.receive(PATIENCE)[0]["id"], "other")
        answer = successor.receive(PATIENCE)[0]
        self.assertEqual((answer["id"], answer["next_seq"]), ("same", 3))


if __name__ == "__main__":
    unittest.main()
