// Files of Beam's StreamingCache through the classes that Beam itself generates: `events.mjs read FILE` prints the tag and the events in one, as JSON;
// `events.mjs write TAG` makes one, of events in JSON on standard input. The two messages of the interactive package are not among the classes:
// each is one field around what they have.
import { readFileSync } from "node:fs";
import * as runner from "apache-beam/proto/beam_runner_api";
import { BinaryReader, BinaryWriter, WireType } from "@protobuf-ts/runtime";

const Event = runner.TestStreamPayload_Event;

// Python's urllib.parse.quote, and a 3 before the bytes as FastPrimitivesCoder writes them.
const quote = (bytes) =>
  [3, ...bytes].map((b) => (/[A-Za-z0-9_.\-~/]/.test(String.fromCharCode(b)) ? String.fromCharCode(b) : `%${b.toString(16).toUpperCase().padStart(2, "0")}`)).join("");

function unquote(line) {
  const bytes = Buffer.from(line.replace(/%([0-9A-F]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16))), "latin1");
  if (bytes[0] !== 3) throw new Error(`${line} is not bytes of FastPrimitivesCoder`);
  return bytes.subarray(1);
}

// The fields of a message that nobody here knows: {number: bytes}, those with a length only.
function fields(bytes) {
  const reader = new BinaryReader(bytes);
  const found = {};
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) found[number] = reader.bytes();
    else reader.skip(type);
  }
  return found;
}

const plain = (event) => {
  switch (event.event.oneofKind) {
    case "watermarkEvent":
      return { watermark: Number(event.event.watermarkEvent.newWatermark / 1000n) };
    case "processingTimeEvent":
      return { advance: Number(event.event.processingTimeEvent.advanceDuration) };
    case "elementEvent":
      return {
        elements: event.event.elementEvent.elements.map((one) => [Number(one.timestamp), Buffer.from(one.encodedElement).toString("base64")]),
      };
    default:
      return {};
  }
};

function read(path) {
  const [header, ...records] = readFileSync(path, "latin1").split("\n").slice(0, -1).map(unquote);
  const events = records.map((bytes) => fields(bytes)[1]).filter((bytes) => bytes !== undefined);
  return { tag: Buffer.from(fields(header)[1]).toString(), events: events.map((bytes) => plain(Event.fromBinary(bytes))) };
}

function event(one) {
  if (one.watermark !== undefined)
    return Event.create({ event: { oneofKind: "watermarkEvent", watermarkEvent: { newWatermark: BigInt(one.watermark), tag: "" } } });
  if (one.advance !== undefined)
    return Event.create({ event: { oneofKind: "processingTimeEvent", processingTimeEvent: { advanceDuration: BigInt(one.advance) } } });
  const elements = one.elements.map(([timestamp, data]) => ({ timestamp: BigInt(timestamp), encodedElement: Buffer.from(data, "base64") }));
  return Event.create({ event: { oneofKind: "elementEvent", elementEvent: { elements, tag: "" } } });
}

const within = (bytes) => new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(bytes).finish();

function write(tag) {
  const events = JSON.parse(readFileSync(0, "utf8"));
  const lines = [within(Buffer.from(tag)), ...events.map((one) => within(Event.toBinary(event(one))))];
  process.stdout.write(lines.map((bytes) => `${quote(bytes)}\n`).join(""));
}

const [what, name] = process.argv.slice(2);
if (what === "read") console.log(JSON.stringify(read(name)));
else write(name);
