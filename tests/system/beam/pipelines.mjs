// Pipelines as Apache Beam itself serializes them, in one JSON document: {name: {beam: base64, ids: {what: id}}}.
// The package has no unbounded source of its own that works without other programs; these are made of its classes, and their payloads of its
// generated messages, as its own transforms do it.
import * as beam from "apache-beam";
import { BytesCoder } from "apache-beam/coders/required_coders";
import { Pipeline } from "apache-beam/internal/pipeline";
import * as runner from "apache-beam/proto/beam_runner_api";
import { Root } from "apache-beam/pvalue";
import { impulse } from "apache-beam/transforms/internal";

const { BOUNDED, UNBOUNDED } = runner.IsBounded_Enum;

class Source extends beam.PTransformClass {
  constructor(name, urn, payload, bounded) {
    super(name);
    Object.assign(this, { urn, payload, bounded });
  }
  expandInternal(input, pipeline, proto) {
    proto.spec = runner.FunctionSpec.create({ urn: this.urn, payload: this.payload });
    return pipeline.createPCollectionInternal(new BytesCoder(), pipeline.globalWindowing, this.bounded);
  }
}

const pubsubPayload = (topic) => runner.PubSubReadPayload.toBinary(runner.PubSubReadPayload.create({ topic: `projects/p/topics/${topic}` }));
const pubsub = (name, topic) => new Source(name, "beam:transform:pubsub_read:v1", pubsubPayload(topic), UNBOUNDED);

function readOf(name, isBounded, ofOutput) {
  const source = runner.FunctionSpec.create({ urn: "my:source", payload: new Uint8Array([1, 2, 3]) });
  return new Source(name, "beam:transform:read:v1", runner.ReadPayload.toBinary(runner.ReadPayload.create({ source, isBounded })), ofOutput);
}

// A Pub/Sub read as SDKs expand it: a composite with the URN, and the real read and a decoder within it.
class CompositeRead extends beam.PTransformClass {
  constructor(name, topic) {
    super(name);
    this.topic = topic;
  }
  expandInternal(root, pipeline, proto) {
    proto.spec = runner.FunctionSpec.create({ urn: "beam:transform:pubsub_read:v1", payload: pubsubPayload(this.topic) });
    return root.apply(readOf("Native", UNBOUNDED, UNBOUNDED)).map(beam.withName("Decode", (bytes) => bytes));
  }
}

// One that whoever attaches feeds.
const pushed = (name) => new Source(name, "reprise:source:push:v1", Buffer.from(name), UNBOUNDED);

// As a read that an SDK expands: what puts out its elements stands below.
class CompositePush extends beam.PTransformClass {
  expandInternal(root, pipeline, proto) {
    proto.spec = runner.FunctionSpec.create({ urn: "reprise:source:push:v1", payload: Buffer.from(this.beamName) });
    return root.apply(impulse()).apply(readOf("Native", UNBOUNDED, UNBOUNDED));
  }
}

const noop = (name) => beam.withName(name, (element) => element);
const composite = (name, ...parts) => beam.withName(name, (root) => beam.P(parts.map((part) => root.apply(part))).apply(beam.flatten()));

const pipelines = {
  simple: (root) => root.apply(pubsub("Read", "clicks")).map(noop("Map")).map(noop("Another")),
  altered: (root) => root.apply(pubsub("Read", "other")).map(noop("Map")),
  relabelled: (root) => {
    root.apply(beam.create(["so that ids move on"]));
    root.apply(composite("Outer", composite("Inner", pubsub("ReadAgain", "clicks"))));
  },
  twice: (root) => {
    root.apply(pubsub("One", "clicks"));
    root.apply(pubsub("Two", "clicks"));
    root.apply(pubsub("Users", "users"));
  },
  topmost: (root) => root.apply(new CompositeRead("Read", "clicks")).map(noop("Map")),
  bounded: (root) => root.apply(beam.create([1, 2, 3])).map(noop("Map")),
  reads: (root) => {
    root.apply(readOf("Endless", UNBOUNDED, BOUNDED));
    root.apply(readOf("Ends", BOUNDED, UNBOUNDED));
  },
};

// Pipelines to be rewritten: sources here and there, and what is made of them.
Object.assign(pipelines, {
  lone: (root) => root.apply(pushed("Read")).map(noop("Map")).map(noop("Another")),
  expanded: (root) => root.apply(new CompositePush("Read")).map(noop("Map")),
  spread: (root) => {
    root.apply(beam.create([1, 2])).map(noop("Aside"));
    root.apply(composite("Outer", pushed("One"), composite("Inner", pushed("Two"), pushed("Three")))).map(noop("Joined"));
  },
  apart: (root) => {
    root.apply(pushed("One")).map(noop("First"));
    root.apply(pushed("Two")).map(noop("Second"));
  },
});

const made = {};
for (const [name, build] of Object.entries(pipelines)) {
  const pipeline = new Pipeline();
  build(new Root(pipeline));
  const proto = pipeline.getProto();
  const outputs = Object.fromEntries(Object.values(proto.components.transforms).map((one) => [one.uniqueName, Object.values(one.outputs)]));
  made[name] = { beam: Buffer.from(runner.Pipeline.toBinary(proto)).toString("base64"), outputs };
}
process.stdout.write(JSON.stringify(made));
