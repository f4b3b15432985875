"""The part of google.cloud.pubsub_v1 that the worker uses, for machines that do not have the library: the same calls, and over the wire the
same service. Messages are leased for a second and the lease renewed, so that those of a worker that dies come again soon."""
import concurrent.futures
import datetime
import os
import queue
import threading
import types as modules

import grpc
from google.api_core.exceptions import AlreadyExists
from google.protobuf import duration_pb2

import pubsub_wire as wire

LEASE_S = 1


class FlowControl:
    def __init__(self, max_messages=1000):
        self.max_messages = max_messages


types = modules.SimpleNamespace(FlowControl=FlowControl)


class Message:
    def __init__(self, future, received):
        self.future, self.ack_id = future, received.ack_id
        self.data, self.attributes = received.message.data, dict(received.message.attributes)
        self.message_id, self.ordering_key = received.message.message_id, received.message.ordering_key
        stamp = received.message.publish_time
        self.publish_time = stamp.ToDatetime(datetime.timezone.utc)

    def ack(self):
        self.future.settle(self.ack_id, "Acknowledge")

    def nack(self):
        self.future.settle(self.ack_id, "ModifyAckDeadline", ack_deadline_seconds=0)


class StreamingPullFuture(concurrent.futures.Future):
    def __init__(self, client, subscription, callback, most):
        super().__init__()
        self.client, self.subscription, self.callback = client, subscription, callback
        self.leases, self.lock, self.over = set(), threading.Lock(), threading.Event()
        self.requests = queue.SimpleQueue()
        self.requests.put(wire.StreamingPullRequest(subscription=subscription, stream_ack_deadline_seconds=LEASE_S,
                                                    max_outstanding_messages=most))
        self.stream = client.call("StreamingPull")(iter(self.requests.get, None))
        for work in (self.receive, self.renew):
            threading.Thread(target=work, daemon=True).start()

    def receive(self):
        try:
            for response in self.stream:
                for received in response.received_messages:
                    with self.lock:
                        self.leases.add(received.ack_id)
                    self.callback(Message(self, received))
        except grpc.RpcError as problem:
            if not self.over.is_set():
                self.set_exception(problem)

    def renew(self):
        while not self.over.wait(LEASE_S / 4):
            with self.lock:
                held = list(self.leases)
            if held:
                self.ask("ModifyAckDeadline", ack_ids=held, ack_deadline_seconds=LEASE_S)

    def settle(self, ack_id, method, **fields):
        with self.lock:
            self.leases.discard(ack_id)
        self.ask(method, ack_ids=[ack_id], **fields)

    def ask(self, method, **fields):
        self.client.call(method)(getattr(wire, wire.METHODS[method][0])(subscription=self.subscription, **fields))

    def cancel(self):
        self.over.set()
        self.requests.put(None)
        self.stream.cancel()


class SubscriberClient:
    def __init__(self):
        self.channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])

    def call(self, method):
        make = self.channel.stream_stream if method == "StreamingPull" else self.channel.unary_unary
        request, answer = (getattr(wire, name) for name in wire.METHODS[method])
        return make(f"/{wire.SUBSCRIBER}/{method}", request.SerializeToString, answer.FromString)

    def subscribe(self, subscription, callback, flow_control):
        return StreamingPullFuture(self, subscription, callback, flow_control.max_messages)

    def create_subscription(self, request):
        ttl = duration_pb2.Duration()
        ttl.FromTimedelta(request["expiration_policy"]["ttl"])
        try:
            self.call("CreateSubscription")(wire.Subscription(name=request["name"], topic=request["topic"],
                                                              expiration_policy=wire.ExpirationPolicy(ttl=ttl)))
        except grpc.RpcError as problem:
            if problem.code() == grpc.StatusCode.ALREADY_EXISTS:
                raise AlreadyExists(problem.details()) from None
            raise

    def delete_subscription(self, request):
        self.call("DeleteSubscription")(wire.DeleteSubscriptionRequest(**request))

    def close(self):
        self.channel.close()
