"""The same source described in any language is the same source: msgpack libraries differ in the order of keys, in how wide they write a
number, a length or a text, and in whether a whole number is a float. None of that is in a signature; text and bytes, though, differ."""
import json
import os
import random
import shutil
import struct
import subprocess
import unittest

import msgpack

from engine import GENERATOR, PATIENCE, PUSH, ROOT, source
from parity_test import ParityTest

SEED = int(os.environ.get("REPRISE_SEED") or random.randrange(1 << 32))
NODE = ROOT / "docs" / "clients" / "node"
PAYLOAD = {"topic": "clicks", "partitions": [0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991],
           "below": [-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649], "rate": 2.5, "whole": 4.0, "on": True,
           "off": False, "none": None, "key": b"\x00\xff", "empty": ["", b"", [], {}],
           "nested": {"z": {"b": 1, "a": [{"y": 2, "x": 1}]}, "é": "ü" * 40}}

# Node's msgpack library, told to write the same source in the ways that it knows.
NODE_WRITES = """
import { encode } from "@msgpack/msgpack";
const list = Uint8Array.from([0, 255]);
const ways = [{}, { forceIntegerToFloat: true }, { sortKeys: true }, { useBigInt64: true }, { forceFloat32: true },
              { forceIntegerToFloat: true, forceFloat32: true }];
const one = { topic: "clicks", size: 3, rate: 2.5, key: list, deep: { b: [1, 2, 65536], a: null, on: true, é: "ü".repeat(40) } };
const other = { deep: { é: "ü".repeat(40), on: true, a: null, b: [1, 2, 65536] }, key: list, rate: 2.5, size: 3, topic: "clicks" };
const big = { ...one, size: 3n, deep: { ...one.deep, b: [1n, 2n, 65536n] } };
const texts = [];
for (const way of ways)
    for (const payload of way.useBigInt64 ? [one, other, big] : [one, other])
        texts.push(Buffer.from(encode(payload, way)).toString("hex"));
console.log(JSON.stringify(texts));
"""


class Wide:
    """Packs a value in one of the many ways that the format allows, at random."""

    def __init__(self, chance):
        self.chance = chance

    def head(self, size, *forms):
        """One of the forms of a header that has room for the size: (the largest size, how it is written)."""
        return self.chance.choice([write for most, write in forms if size <= most])(size)

    def whole(self, value):
        signed = [(1 << 7, 0xd0, ">b"), (1 << 15, 0xd1, ">h"), (1 << 31, 0xd2, ">i"), (1 << 63, 0xd3, ">q")]
        unsigned = [(1 << 8, 0xcc, ">B"), (1 << 16, 0xcd, ">H"), (1 << 32, 0xce, ">I"), (1 << 64, 0xcf, ">Q")]
        ways = [bytes([code]) + struct.pack(form, value) for end, code, form in signed if -end <= value < end]
        ways += [bytes([code]) + struct.pack(form, value) for end, code, form in unsigned if 0 <= value < end]
        ways += [struct.pack(">b", value)] if -32 <= value < 128 else []
        ways += [b"\xcb" + struct.pack(">d", value)] if abs(value) < 1 << 53 else []
        ways += [b"\xca" + struct.pack(">f", value)] if abs(value) < 1 << 24 else []
        return self.chance.choice(ways)

    def real(self, value):
        if value == int(value) and abs(value) < 1 << 53:
            return self.whole(int(value))
        ways = [b"\xcb" + struct.pack(">d", value)]
        fits = abs(value) < 1e38 and struct.unpack(">f", struct.pack(">f", value))[0] == value
        ways += [b"\xca" + struct.pack(">f", value)] if fits else []
        return self.chance.choice(ways)

    def text(self, value):
        data = value.encode()
        return self.head(len(data), (31, lambda n: bytes([0xa0 | n])), (255, lambda n: struct.pack(">BB", 0xd9, n)),
                         (65535, lambda n: struct.pack(">BH", 0xda, n)), (1 << 31, lambda n: struct.pack(">BI", 0xdb, n))) + data

    def data(self, value):
        return self.head(len(value), (255, lambda n: struct.pack(">BB", 0xc4, n)), (65535, lambda n: struct.pack(">BH", 0xc5, n)),
                         (1 << 31, lambda n: struct.pack(">BI", 0xc6, n))) + value

    def items(self, value):
        return self.head(len(value), (15, lambda n: bytes([0x90 | n])), (65535, lambda n: struct.pack(">BH", 0xdc, n)),
                         (1 << 31, lambda n: struct.pack(">BI", 0xdd, n))) + b"".join(map(self.pack, value))

    def pairs(self, value):
        pairs = [self.pack(key) + self.pack(one) for key, one in self.chance.sample(list(value.items()), len(value))]
        return self.head(len(value), (15, lambda n: bytes([0x80 | n])), (65535, lambda n: struct.pack(">BH", 0xde, n)),
                         (1 << 31, lambda n: struct.pack(">BI", 0xdf, n))) + b"".join(pairs)

    def pack(self, value):
        ways = {bool: lambda flag: b"\xc3" if flag else b"\xc2", type(None): lambda _: b"\xc0", int: self.whole, float: self.real,
                str: self.text, bytes: self.data, list: self.items, dict: self.pairs}
        return ways[type(value)](value)


def canonical(value):
    """The form that the protocol describes, made independently of the engine."""
    if isinstance(value, dict):
        pairs = sorted((canonical(key), canonical(one)) for key, one in value.items())
        return msgpack.Packer().pack_map_header(len(pairs)) + b"".join(key + one for key, one in pairs)
    if isinstance(value, list):
        return msgpack.Packer().pack_array_header(len(value)) + b"".join(map(canonical, value))
    if isinstance(value, float) and value == int(value) and abs(value) < 1 << 63:
        return msgpack.packb(int(value))
    return msgpack.packb(value)


def signature_of(value):
    return f"{PUSH}|{value.hex()}" if isinstance(value, bytes) else f"{PUSH}|msgpack:{canonical(value).hex()}"


class Signatures(ParityTest):
    def asked(self, request):
        """The answer to a request that is sent as these bytes."""
        self.engine.commands.socket.send(request)
        return self.engine.commands.receive(PATIENCE)[0]

    def raw(self, payload):
        """The answer to a request whose payload is these bytes."""
        mark = msgpack.packb("the payload")
        request = msgpack.packb({"op": "source.signature", "pipeline": self.of(source("Read", PUSH, "the payload"))})
        return self.asked(request.replace(mark, payload))

    def signed(self, payload):
        answer = self.raw(payload)
        self.assertTrue(answer["ok"], answer)
        return answer["signature"]

    def test_every_way_to_write_a_payload_is_one_signature(self):
        chance = random.Random(SEED)
        for _ in range(300):
            packed = Wide(chance).pack(PAYLOAD)
            self.assertEqual(self.signed(packed), [signature_of(PAYLOAD)], f"seed {SEED}: {packed.hex()}")

    def test_payloads_of_every_kind_have_the_form_that_the_protocol_describes(self):
        chance = random.Random(SEED)
        for value in (True, False, 0, -1, 1 << 63, (1 << 64) - 1, -(1 << 63), 0.5, -0.0, 1e300, "", "text", b"", b"\x00", [], {}, [[]],
                      {"": None}, {1: 2, "1": 3, b"1": 4, -1: 5, True: 6}):
            with self.subTest(value=value, seed=SEED):
                self.assertEqual(self.signed(Wide(chance).pack(value)), [signature_of(value)])

    def test_a_payload_of_nil_is_no_payload(self):
        self.assertEqual(self.signed(b"\xc0"), [f"{PUSH}|"])
        self.assertEqual(self.signature(source("Read", PUSH)), [f"{PUSH}|"])

    def test_a_float_that_is_a_whole_number_is_that_number_and_others_are_not(self):
        for one, other, same in ((4, 4.0, True), (0, -0.0, True), (-(1 << 63), -float(1 << 63), True), (1 << 63, float(1 << 63), False),
                                 (2, 2.5, False), (1, True, False), (0, False, False), (0, None, False)):
            with self.subTest(one=one, other=other):
                signatures = [self.signed(msgpack.packb(["x", value])) for value in (one, other)]
                (self.assertEqual if same else self.assertNotEqual)(*signatures)

    def test_text_and_bytes_are_different_sources(self):
        for one, other in (("abc", b"abc"), ({"k": "v"}, {"k": b"v"}), ({"k": 1}, {b"k": 1}), (["\x00"], [b"\x00"])):
            with self.subTest(one=one):
                self.assertNotEqual(self.signed(msgpack.packb(one)), self.signed(msgpack.packb(other)))

    def test_the_order_of_a_list_counts_and_that_of_a_map_does_not(self):
        self.assertEqual(self.signed(msgpack.packb({"a": 1, "b": 2})), self.signed(msgpack.packb({"b": 2, "a": 1})))
        self.assertNotEqual(self.signed(msgpack.packb([1, 2])), self.signed(msgpack.packb([2, 1])))

    def test_a_key_that_is_there_twice_is_refused_however_it_is_written(self):
        for packed in ("82a16101a16102", "82a16101d9016102", "820101cc0102", "8201c0cb3ff0000000000000c0", "81a16b82c40161c0c5000161c0"):
            with self.subTest(packed=packed):
                answer = self.raw(bytes.fromhex(packed))
                self.assertEqual((answer["ok"], answer["error"]["code"], answer["error"]["field"]),
                                 (False, "bad_request", "pipeline.transforms[0].payload"))
                self.assertIn("twice", answer["error"]["message"])

    def test_a_run_recorded_from_one_encoding_is_valid_for_all_others(self):
        chance = random.Random(SEED)
        payload = {"rate": 0, "count": 20, "size": 10, "seed": 5, "origin_us": 1700000000000000}
        self.run_to_end(source("Read", GENERATOR, payload))
        for _ in range(20):
            transform = {"name": "Read", "urn": GENERATOR, "payload": payload}
            request = Wide(chance).pack({"op": "pipeline.run", "pipeline": {"name": self.name, "transforms": [transform]}})
            answer = self.asked(request)
            self.assertEqual((answer["ok"], answer.get("reason")), (True, "recording_valid"), f"seed {SEED}: {request.hex()}")

    def test_what_node_writes_is_the_same_source_as_what_python_writes(self):
        self.assertTrue(shutil.which("node") and (NODE / "node_modules").is_dir(), "`npm ci` in docs/clients/node was not done")
        said = subprocess.run(["node", "--input-type=module", "-e", NODE_WRITES], cwd=NODE, capture_output=True, text=True,
                              timeout=PATIENCE)
        self.assertEqual(said.returncode, 0, said.stderr)
        packed = {bytes.fromhex(text) for text in json.loads(said.stdout)}
        self.assertGreater(len(packed), 6, "the library wrote it in several ways")
        value = {"topic": "clicks", "size": 3, "rate": 2.5, "key": b"\x00\xff",
                 "deep": {"a": None, "on": True, "b": [1, 2, 65536], "é": "ü" * 40}}
        for one in packed:
            self.assertEqual(self.signed(one), [signature_of(value)], one.hex())

if __name__ == "__main__":
    unittest.main()
