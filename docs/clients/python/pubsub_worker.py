#!/usr/bin/env python3
"""A worker that records Google Pub/Sub.

    pubsub_worker.py [--engine tcp://127.0.0.1:5570] [--key FILE --server-key FILE] [--name NAME]

It runs what a Beam pipeline reads from Pub/Sub (`beam:transform:pubsub_read:v1`, as it stands in the pipeline), and the same source with a
map for its payload: {"topic" or "subscription", "timestamp_attribute", "id_attribute", "with_attributes"}.

- A message is acknowledged to Pub/Sub when it is recorded, and not before. What was not recorded when this worker dies comes again.
- What comes again although it is recorded is left out: the cursor has the ids of the last 2,000 messages, and for ten minutes those that the
  worker before this one had, who may have died before it acknowledged them. The id is the message's own, or what stands in its `id_attribute`.
- The event time is when the message was published, or what its `timestamp_attribute` says: milliseconds since the epoch, or RFC 3339.
- The watermark stays 10 s behind the newest event time.
- The element is the message's data; `with_attributes` makes it a serialized PubsubMessage, as Beam has it.
- A topic is read through a subscription that is made for the job and deleted when the job ends. Messages from before it are not seen.

Needs google-cloud-pubsub, pyzmq and msgpack. PUBSUB_EMULATOR_HOST leads to an emulator, as always.
"""
import collections
import datetime
import hashlib
import queue
import struct
import sys
import time

from google.api_core.exceptions import AlreadyExists
from google.cloud import pubsub_v1

from client import Refused
from worker import Batch, Reader, serve

READ = "beam:transform:pubsub_read:v1"
HELD = 1000              # messages that are not recorded yet: Pub/Sub sends no more
IDS = 2000               # ids that are remembered
INHERITED = 4000         # and of those before us, at most
INHERITED_S = 600        # for so long: no message is leased for longer
LATENESS_US = 10000000   # how far the watermark stays behind
BATCH = 500              # messages
BATCH_BYTES = 256 << 10


# ---- Beam's payload, and its messages, which are protocol buffers ----

def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """A field of text or bytes, or a message; an empty one is left out."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b""


def fields(data):
    """The fields of a message: number, and a whole number or bytes."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
        elif key & 7 == 2:
            size = number()
            if size > len(data) - at:
                raise ValueError("the payload is no PubSubReadPayload: it is cut off")
            yield key >> 3, data[at:at + size]
            at += size
        else:
            raise ValueError(f"the payload is no PubSubReadPayload: field {key >> 3} has type {key & 7}")


PAYLOAD = {1: "topic", 2: "subscription", 3: "timestamp_attribute", 4: "id_attribute", 5: "with_attributes"}


def parameters_of(payload):
    """What to read, from Beam's payload or from a map."""
    if isinstance(payload, bytes):
        found = {PAYLOAD[number]: value for number, value in fields(payload) if number in PAYLOAD}
        found = {name: value.decode() if isinstance(value, bytes) else bool(value) for name, value in found.items()}
    else:
        found = dict(payload or {})
    if bool(found.get("topic")) == bool(found.get("subscription")):
        raise ValueError(f"a topic or a subscription is needed, and not both: the payload is {found}")
    return found


def serialized(message):
    """A PubsubMessage, the same bytes for the same message."""
    micros = micros_of(message.publish_time)
    stamp = b"".join(varint(number << 3) + varint(value) for number, value in ((1, micros // 1000000), (2, micros % 1000000 * 1000)) if value)
    attributes = b"".join(field(2, field(1, name) + field(2, value)) for name, value in sorted(message.attributes.items()))
    return (field(1, message.data) + attributes + field(3, message.message_id) + field(4, stamp)
            + field(5, getattr(message, "ordering_key", "")))


# ---- times and ids ----

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def micros_of(moment):
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def event_time(message, attribute):
    if not attribute:
        return micros_of(message.publish_time)
    text = message.attributes.get(attribute)
    if text is None:
        raise ValueError(f"message {message.message_id} has no attribute `{attribute}`, which its event time stands in")
    try:
        return int(text) * 1000
    except ValueError:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        return micros_of(moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc))
    except ValueError:
        raise ValueError(f"message {message.message_id}: `{attribute}` is `{text}`, neither milliseconds nor RFC 3339") from None


def digest(text):
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


# ---- the source ----

class PubSub(Reader):
    """One subscription. The library receives on threads of its own and keeps messages leased; they wait in a queue that it bounds."""

    def __init__(self, given, cursor):
        self.wanted = parameters_of(given.get("payload"))
        self.inherited = dict.fromkeys(key for key, in struct.iter_unpack("8s", (cursor or b"")[-8 * INHERITED:]))  # recorded before us
        self.inherited_until = time.monotonic() + INHERITED_S
        self.known = collections.OrderedDict()  # recorded by us, or about to be
        self.pending = {}  # messages by id, with those of the same id: to be acknowledged when the first is recorded
        self.received = queue.SimpleQueue()
        self.watermark = None
        self.client = pubsub_v1.SubscriberClient()
        self.subscription, self.made = self.wanted.get("subscription"), False
        if not self.subscription:
            self.make(given)
        self.future = self.client.subscribe(self.subscription, callback=self.received.put,
                                            flow_control=pubsub_v1.types.FlowControl(max_messages=HELD))

    def make(self, given):
        """Whichever worker runs the source has the same subscription."""
        project = self.wanted["topic"].split("/")[1]
        name = f"reprise-{given['job']}-{digest(given['tag']).hex()}"
        self.subscription, self.made = f"projects/{project}/subscriptions/{name}", True
        try:
            day = datetime.timedelta(days=1)  # the least there is: should nobody be there to delete it
            self.client.create_subscription(request={"name": self.subscription, "topic": self.wanted["topic"],
                                                     "expiration_policy": {"ttl": day}})
        except AlreadyExists:
            pass

    def element(self, message):
        data = serialized(message) if self.wanted.get("with_attributes") else message.data
        return [event_time(message, self.wanted.get("timestamp_attribute")), data]

    def id_of(self, message):
        attribute = self.wanted.get("id_attribute")
        return digest(message.attributes.get(attribute) or message.message_id if attribute else message.message_id)

    def read(self):
        if self.future.done():
            self.future.result()  # raises why
        elements, keys, size = [], [], 0
        while len(elements) < BATCH and size < BATCH_BYTES and not self.received.empty():
            message = self.received.get()
            key = self.id_of(message)
            if key in self.pending:
                self.pending[key].append(message)
            elif key in self.known or key in self.inherited:
                message.ack()
            else:
                elements.append(self.element(message))
                keys.append(key)
                size += len(message.data)
                self.pending[key] = [message]
                self.known[key] = None
        if not elements:
            return None
        while len(self.known) > IDS:
            self.known.popitem(last=False)
        if time.monotonic() > self.inherited_until:
            self.inherited.clear()
        newest = max(time for time, _ in elements) - LATENESS_US
        self.watermark = newest if self.watermark is None else max(newest, self.watermark)
        return Recordable(Batch(elements, b"".join((*self.inherited, *self.known)), self.watermark), keys)

    def recorded(self, batch, count):
        for key in batch.keys[:count]:
            for message in self.pending.pop(key):
                message.ack()

    def close(self, over):
        while not self.received.empty():
            self.received.get().nack()
        for messages in self.pending.values():  # somebody else is to have them at once
            for message in messages:
                message.nack()
        self.future.cancel()
        if over and self.made:
            self.client.delete_subscription(request={"subscription": self.subscription})
        self.client.close()


class Recordable(Batch):
    """A batch that knows the ids of its messages."""

    def __new__(cls, batch, keys):
        self = super().__new__(cls, *batch)
        self.keys = keys
        return self


if __name__ == "__main__":
    try:
        serve({READ: PubSub}, __doc__)
    except (Refused, TimeoutError) as problem:
        sys.exit(f"pubsub_worker.py: {problem}")
