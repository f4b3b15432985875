"""A Pub/Sub for tests: subscriptions whose messages are sent until they are acknowledged, over gRPC as google.pubsub.v1.Subscriber."""
import collections
import concurrent.futures
import itertools
import threading
import time

import grpc

import pubsub_wire as wire


class Subscription:
    def __init__(self, topic):
        self.topic = topic
        self.waiting = collections.deque()  # messages
        self.leased = {}  # by ack id: the message, and until when it is somebody's
        self.acknowledged = []  # message ids, in their order


class PubSub:
    """`publish` gives each message to every subscription of its topic. Deadlines are what subscribers ask for, and short."""

    def __init__(self):
        self.changed = threading.Condition()
        self.subscriptions = {}
        self.numbers = itertools.count(1)
        self.delivered = collections.Counter()  # by message id
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(32))
        handlers = {}
        for name, (request, answer) in wire.METHODS.items():
            make = grpc.stream_stream_rpc_method_handler if name == "StreamingPull" else grpc.unary_unary_rpc_method_handler
            handlers[name] = make(getattr(self, name), getattr(wire, request).FromString, getattr(wire, answer).SerializeToString)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SUBSCRIBER, handlers),))
        self.endpoint = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()

    # ---- for the tests

    def subscribe(self, name, topic):
        with self.changed:
            self.subscriptions[name] = Subscription(topic)

    def publish(self, topic, data, **attributes):
        with self.changed:
            message = wire.PubsubMessage(data=data, attributes=attributes, message_id=str(next(self.numbers)))
            message.publish_time.FromNanoseconds(time.time_ns() // 1000 * 1000)
            for one in self.subscriptions.values():
                if one.topic == topic:
                    one.waiting.append(message)
            self.changed.notify_all()
            return message

    def again(self, name, message):
        """Pub/Sub may send any message again."""
        with self.changed:
            self.subscriptions[name].waiting.append(message)
            self.changed.notify_all()

    # ---- the service

    def StreamingPull(self, requests, context):
        first = next(requests)
        one = self.subscriptions[first.subscription]
        lease_s, most = first.stream_ack_deadline_seconds or 10, first.max_outstanding_messages or 1000
        threading.Thread(target=self.drain, args=(requests,), daemon=True).start()
        ours = set()
        context.add_callback(self.wake)
        while context.is_active():
            with self.changed:
                self.expire(one)
                ours &= set(one.leased)
                messages = []
                while one.waiting and len(ours) < most and len(messages) < 100:
                    message = one.waiting.popleft()
                    ack_id = f"ack-{next(self.numbers)}"
                    one.leased[ack_id] = (message, time.monotonic() + lease_s)
                    ours.add(ack_id)
                    self.delivered[message.message_id] += 1
                    messages.append(wire.ReceivedMessage(ack_id=ack_id, message=message))
                if not messages:
                    self.changed.wait(0.2)
                    continue
            yield wire.StreamingPullResponse(received_messages=messages)

    def drain(self, requests):
        try:
            collections.deque(requests, maxlen=0)
        except grpc.RpcError:
            pass  # whoever it was is gone

    def wake(self):
        with self.changed:
            self.changed.notify_all()

    def expire(self, one):
        for ack_id, (message, until) in list(one.leased.items()):
            if until < time.monotonic():
                del one.leased[ack_id]
                one.waiting.append(message)

    def Acknowledge(self, request, context):
        with self.changed:
            one = self.subscriptions[request.subscription]
            for ack_id in request.ack_ids:
                if ack_id in one.leased:
                    one.acknowledged.append(one.leased.pop(ack_id)[0].message_id)
            self.changed.notify_all()
        return wire.Empty()

    def ModifyAckDeadline(self, request, context):
        with self.changed:
            one = self.subscriptions[request.subscription]
            for ack_id in request.ack_ids:
                if ack_id in one.leased:
                    one.leased[ack_id] = (one.leased[ack_id][0], time.monotonic() + request.ack_deadline_seconds)
            self.expire(one)
            self.changed.notify_all()
        return wire.Empty()

    def CreateSubscription(self, request, context):
        with self.changed:
            if request.name in self.subscriptions:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"there is a subscription {request.name}")
            self.subscriptions[request.name] = Subscription(request.topic)
        return request

    def DeleteSubscription(self, request, context):
        with self.changed:
            if not self.subscriptions.pop(request.subscription, None):
                context.abort(grpc.StatusCode.NOT_FOUND, f"there is no subscription {request.subscription}")
        return wire.Empty()
