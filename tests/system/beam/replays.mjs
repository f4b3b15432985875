// Pipelines and test streams through the classes that Beam itself generates: `replays.mjs graph` reads serialized pipelines, base64, as a JSON list, and
// prints each as its parts; `replays.mjs events ENDPOINT ID…` calls TestStreamService as Beam's client does, and prints the events.
import { readFileSync } from "node:fs";
import * as grpc from "@grpc/grpc-js";
import * as runner from "apache-beam/proto/beam_runner_api";
import { TestStreamServiceClient } from "apache-beam/proto/beam_runner_api.grpc-client";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const each = (map, of) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, of(value)]));

// The parts of a transform that make the graph, and the whole of it.
function transform(one) {
  const made = {
    urn: one.spec?.urn ?? "",
    name: one.uniqueName,
    inputs: one.inputs,
    outputs: one.outputs,
    subtransforms: one.subtransforms,
    environment: one.environmentId,
    whole: base64(runner.PTransform.toBinary(one)),
  };
  if (made.urn === "beam:transform:teststream:v1") {
    const payload = runner.TestStreamPayload.fromBinary(one.spec.payload);
    made.stream = { coder: payload.coderId, endpoint: payload.endpoint?.url, events: payload.events.map(plain) };
  }
  return made;
}

function graph(encoded) {
  const pipeline = runner.Pipeline.fromBinary(Buffer.from(encoded, "base64"));
  const parts = pipeline.components;
  return {
    roots: pipeline.rootTransformIds,
    requirements: pipeline.requirements,
    transforms: each(parts.transforms, transform),
    pcollections: each(parts.pcollections, (one) => base64(runner.PCollection.toBinary(one))),
    coder_of: each(parts.pcollections, (one) => one.coderId),
    coders: each(parts.coders, (one) => base64(runner.Coder.toBinary(one))),
    windowing: each(parts.windowingStrategies, (one) => base64(runner.WindowingStrategy.toBinary(one))),
    environments: each(parts.environments, (one) => base64(runner.Environment.toBinary(one))),
  };
}

function plain(event) {
  const one = event.event;
  if (one.oneofKind === "watermarkEvent") return ["watermark", String(one.watermarkEvent.newWatermark), one.watermarkEvent.tag];
  if (one.oneofKind === "processingTimeEvent") return ["time", String(one.processingTimeEvent.advanceDuration)];
  const elements = one.elementEvent.elements.map((element) => [String(element.timestamp), base64(element.encodedElement)]);
  return ["elements", elements, one.elementEvent.tag];
}

async function events(endpoint, ...outputIds) {
  const client = new TestStreamServiceClient(endpoint, grpc.credentials.createInsecure());
  const seen = [];
  for await (const event of client.events(runner.EventsRequest.create({ outputIds }))) seen.push(plain(event));
  client.close();
  return seen;
}

const [what, ...rest] = process.argv.slice(2);
const said = what === "graph" ? JSON.parse(readFileSync(0, "utf8")).map(graph) : await events(...rest);
process.stdout.write(JSON.stringify(said));
