#!/usr/bin/env node
// Runs a pipeline whose elements are pushed, feeds it, and prints its test stream as JSON lines.
//
//     node client.mjs [--engine tcp://127.0.0.1:5570] PIPELINE COUNT
//
// The first time it records COUNT elements; after that the recording is valid, and is only replayed.
// Where the engine has keys, REPRISE_KEY names the file of ours (NAME.key) and REPRISE_SERVER_KEY the engine's (server.pub).
// Numbers of 64 bits are read as doubles: times in µs stay exact until the year 2255, and the end of time prints as it is.
import {readFileSync} from 'node:fs'
import {fileURLToPath} from 'node:url'
import {parseArgs} from 'node:util'
import {Dealer} from 'zeromq'
import {decode, encode} from '@msgpack/msgpack'

const TIMEOUT_MS = 10000 // the engine says something at least every 2 s
const CREDIT = 1 << 20 // bytes of events that may be under way to us
const BATCH = 100

class Refused extends Error {
  constructor(error) {
    super(`${error.code}: ${error.message}`)
    this.error = error
  }
}

class Silent extends Error {}

function silentAsNothing(problem) {
  if (!(problem instanceof Silent)) throw problem
}

const sizeOf = frames => frames.reduce((size, frame) => size + frame.length, 0)

// What a socket to an engine with keys is told.
function keys() {
  const {REPRISE_KEY: own, REPRISE_SERVER_KEY: server} = process.env
  if (!own) return {}
  const read = (file, name) => readFileSync(file, 'utf8').match(new RegExp(`${name} *= *"([^"]*)"`))[1]
  return {curvePublicKey: read(own, 'public-key'), curveSecretKey: read(own, 'secret-key'), curveServerKey: read(server, 'public-key')}
}

// A DEALER socket to one of the engine's endpoints: sends maps, answers pings, and waits no longer than TIMEOUT_MS.
class Connection {
  asked = 0

  constructor(endpoint, receiveTimeout = TIMEOUT_MS + 1000) {
    this.endpoint = endpoint
    this.socket = new Dealer({linger: 0, receiveTimeout, ...keys()})
    this.socket.connect(endpoint)
  }

  // Sends one message, and its elements in a second frame. Returns its size: credit counts the bytes of both.
  async send(op, fields, body) {
    const frames = [encode({op, ...fields})]
    if (body) frames.push(body)
    await this.socket.send(frames)
    return sizeOf(frames)
  }

  // The next message that is no ping, its elements, and its size.
  async receive() {
    for (;;) {
      const frames = await this.socket.receive().catch(problem => {
        throw problem.code === 'EAGAIN' ? new Silent(`${this.endpoint} is silent`) : problem
      })
      const message = decode(frames[0])
      if (message.op !== 'ping') return {message, elements: frames[1] && decode(frames[1]), size: sizeOf(frames)}
      await this.send('pong')
    }
  }

  // Sends a request and returns its answer.
  async ask(op, fields, body) {
    const id = ++this.asked
    await this.send(op, {id, ...fields}, body)
    for (;;) {
      const {message: answer} = await this.receive()
      if (answer.ok === undefined || answer.id !== id) continue
      if (!answer.ok) throw new Refused(answer.error)
      return answer
    }
  }

  close() {
    this.socket.close()
  }
}

// Records batches, lists of [event time in µs, bytes]. The engine knows how far a producer has come: after an interruption, next_seq
// tells where to go on, and a batch that arrives twice is stored once. Returns why the job took no more, or nothing.
async function feed(ingest, pipeline, tag, batches, producer = 'client') {
  const unacked = new Map() // bytes by batch number
  const underWay = () => [...unacked.values()].reduce((a, b) => a + b, 0)
  let attached, seq, done = false
  for (;;) {
    if (!attached) {
      try {
        attached = await ingest.ask('source.attach', {pipeline, tag, producer})
      } catch (problem) {
        if (done && problem.error?.code === 'invalid_state') return // it had ended before we lost the engine
        throw problem
      }
      seq = attached.next_seq
      done = false
      unacked.clear()
    }
    const {source, credit} = attached
    while (seq <= batches.length && underWay() < credit) {
      unacked.set(seq, await ingest.send('source.batch', {source, tag, seq}, encode(batches[seq - 1])))
      seq++
    }
    if (unacked.size === 0 && !done) {
      await ingest.send('source.done', {source, tag})
      done = true
    }
    const received = await ingest.receive().catch(silentAsNothing)
    if (!received) {
      attached = undefined // the engine pings whom it knows: it was restarted, and what we sent was lost on the way
      continue
    }
    const {message} = received
    if (message.source !== undefined && message.source !== source) continue // about an earlier attachment
    if (message.ok) return // the answer to source.done
    if (message.op === 'source.ack') {
      for (const number of unacked.keys()) if (number <= message.seq) unacked.delete(number)
    } else if (message.op === 'source.stop') {
      return message.reason
    } else if (message.error.retry) {
      attached = undefined // the engine was restarted: attach again
    } else {
      throw new Refused(message.error)
    }
  }
}

// The events of a replay, each with its elements, up to and with `end`. `what` is {pipeline} or {recording}, and more if you like.
async function* replay(stream, what) {
  await stream.ask('replay.open', {credit: CREDIT, ...what})
  for (let spent = 0; ;) {
    const {message: event, elements, size} = await stream.receive()
    spent += size
    if (spent >= CREDIT / 2) {
      await stream.send('replay.credit', {replay: event.replay, bytes: spent})
      spent = 0
    }
    yield {event, elements}
    if (event.event === 'end') return
  }
}

// Elements are bytes: these are text. JSON.stringify has made its own form of a Buffer by now; `this` still holds the bytes.
function asText(key, value) {
  return this[key] instanceof Uint8Array ? Buffer.from(this[key]).toString() : value
}

async function main() {
  const options = {engine: {type: 'string', default: 'tcp://127.0.0.1:5570'}}
  const {values, positionals: [pipeline, count]} = parseArgs({options, allowPositionals: true})
  if (!(count >= 0)) {
    console.error('usage: node client.mjs [--engine ENDPOINT] PIPELINE COUNT')
    process.exit(2)
  }
  const opened = []
  const connect = endpoint => opened[opened.push(new Connection(endpoint)) - 1]
  try {
    const commands = connect(values.engine)
    const {endpoints} = await commands.ask('engine.info')
    const transforms = [{name: 'Numbers', urn: 'reprise:source:push:v1'}]
    const run = await commands.ask('pipeline.run', {pipeline: {name: pipeline, transforms}})
    console.error(`${run.recording}: ${run.reason}`)
    if (run.started || run.reason === 'job_running') {
      const now = Date.now() * 1000
      const elements = Array.from({length: Number(count)}, (_, number) => [now + number, Buffer.from(`number ${number}`)])
      const batches = []
      for (let first = 0; first < elements.length; first += BATCH) batches.push(elements.slice(first, first + BATCH))
      await feed(connect(endpoints.ingest), pipeline, 'Numbers', batches)
    }
    const wait = () => commands.ask('job.wait', {pipeline, timeout_ms: TIMEOUT_MS})
    const job = await wait().catch(silentAsNothing) ?? await wait() // the engine that was asked may be gone, and another in its place
    console.error(`${job.state}: ${job.elements} elements recorded`)
    for await (const {event, elements} of replay(connect(endpoints.test_stream), {pipeline}))
      console.log(JSON.stringify(elements ? {...event, elements} : event, asText))
  } finally {
    for (const connection of opened) connection.close()
  }
}

export {Connection, Refused, feed, replay}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch(problem => {
    console.error(`client.mjs: ${problem.message}`)
    process.exitCode = 1
  })
}
