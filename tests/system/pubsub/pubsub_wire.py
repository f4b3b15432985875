"""The messages of google.pubsub.v1 that are used here, made from a table: name, number and type of each field."""
from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, message_factory, timestamp_pb2  # noqa: F401

PACKAGE = "google.pubsub.v1"
TYPES = {"bytes": 12, "text": 9, "int": 5, "long": 3}
MESSAGES = {
    "PubsubMessage": [("data", 1, "bytes"), ("attributes", 2, "map"), ("message_id", 3, "text"),
                      ("publish_time", 4, "google.protobuf.Timestamp"), ("ordering_key", 5, "text")],
    "ReceivedMessage": [("ack_id", 1, "text"), ("message", 2, "PubsubMessage"), ("delivery_attempt", 3, "int")],
    "StreamingPullRequest": [("subscription", 1, "text"), ("ack_ids", 2, "text*"), ("modify_deadline_seconds", 3, "int*"),
                             ("modify_deadline_ack_ids", 4, "text*"), ("stream_ack_deadline_seconds", 5, "int"),
                             ("max_outstanding_messages", 7, "long")],
    "StreamingPullResponse": [("received_messages", 1, "ReceivedMessage*")],
    "AcknowledgeRequest": [("subscription", 1, "text"), ("ack_ids", 2, "text*")],
    "ModifyAckDeadlineRequest": [("subscription", 1, "text"), ("ack_deadline_seconds", 3, "int"), ("ack_ids", 4, "text*")],
    "ExpirationPolicy": [("ttl", 1, "google.protobuf.Duration")],
    "Subscription": [("name", 1, "text"), ("topic", 2, "text"), ("expiration_policy", 11, "ExpirationPolicy")],
    "DeleteSubscriptionRequest": [("subscription", 1, "text")],
}


def describe():
    file = descriptor_pb2.FileDescriptorProto(name="pubsub-of-the-tests.proto", package=PACKAGE, syntax="proto3",
                                              dependency=["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"])
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            one = message.field.add(name=field, number=number, label=3 if kind[-1] == "*" or kind == "map" else 1)
            kind = kind.rstrip("*")
            if kind == "map":
                entry = message.nested_type.add(name="AttributesEntry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, type=9, label=1)
                entry.field.add(name="value", number=2, type=9, label=1)
                one.type, one.type_name = 11, f".{PACKAGE}.{name}.AttributesEntry"
            elif kind in TYPES:
                one.type = TYPES[kind]
            else:
                one.type, one.type_name = 11, f".{kind}" if "." in kind else f".{PACKAGE}.{kind}"
    return file


pool = descriptor_pool.Default()
pool.Add(describe())
for each in MESSAGES:
    globals()[each] = message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(f"{PACKAGE}.{each}"))
Empty = empty_pb2.Empty

SUBSCRIBER = "google.pubsub.v1.Subscriber"
METHODS = {"StreamingPull": ("StreamingPullRequest", "StreamingPullResponse"), "Acknowledge": ("AcknowledgeRequest", "Empty"),
           "ModifyAckDeadline": ("ModifyAckDeadlineRequest", "Empty"), "CreateSubscription": ("Subscription", "Subscription"),
           "DeleteSubscription": ("DeleteSubscriptionRequest", "Empty")}
