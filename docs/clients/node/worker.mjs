#!/usr/bin/env node
// A worker: runs sources that the engine has no connector for. As it stands it reads the lines of files.
//
//     node worker.mjs [--engine tcp://127.0.0.1:5570] [--name NAME]
//
// Wherever a job has a source of the URN `example:lines:v1`, with the payload {"path": …, "follow": …}, the engine has one of the workers run
// it, in this or in another language; when that one dies, another goes on from the cursor. A reader is an async generator: make one of
// your own, and you have a worker of your own.
import {open} from 'node:fs/promises'
import {setTimeout as wait} from 'node:timers/promises'
import {parseArgs} from 'node:util'
import {decode, encode} from '@msgpack/msgpack'
import {Connection} from './client.mjs'

const SILENCE_MS = 5000 // the engine says something at least every 2 s: after this it has forgotten us
const WAIT_MS = 20 // how long a source that has nothing at this moment is left alone
const CHUNK = 8192

// Yields {elements, cursor}, or nothing where there is none at this moment; its end is the source's. `cursor` is that of the last batch that
// is recorded: go on behind it. What it throws fails the job.
async function* lines({payload: {path, follow}}, cursor) {
  const file = await open(path)
  try {
    let offset = cursor ?? 0, size = CHUNK
    for (;;) {
      const {bytesRead, buffer} = await file.read(Buffer.alloc(size), 0, size, offset)
      const last = bytesRead < size && !follow // then the last line may end with the file
      const end = last ? bytesRead : buffer.lastIndexOf(10, bytesRead - 1) + 1
      if (bytesRead === 0 && last) return
      if (bytesRead === size && end === 0) { // a long line
        size *= 2
      } else if (bytesRead === 0 || end === 0) {
        yield undefined // the rest of the line is not written yet
      } else {
        const now = Date.now() * 1000, elements = []
        for (let at = 0; at < end;) {
          const next = buffer.indexOf(10, at)
          const stop = next < 0 || next >= end ? end : next
          elements.push([now, buffer.subarray(at, stop)])
          at = stop + 1
        }
        offset += end
        yield {elements, cursor: offset}
      }
    }
  } finally {
    await file.close()
  }
}

// What the worker was given, from the answer to its attach on.
class Source {
  unacked = new Map() // bytes by batch number
  bytes = 0
  over = false
  changed = () => {}

  constructor(worker, given, {source, next_seq: seq, credit}) {
    Object.assign(this, {worker, given, number: source, seq, credit})
  }

  async run(reader) {
    try {
      for await (const batch of reader) {
        if (!batch) await wait(WAIT_MS)
        while (!this.over && this.bytes >= this.credit) await this.change()
        if (this.over) return // the generator is closed
        if (batch) this.send(batch)
      }
      while (!this.over && this.unacked.size > 0) await this.change()
      const {job, tag} = this.given
      if (!this.over) this.worker.send('source.done', {id: ['done', job, tag], source: this.number, tag})
    } catch (problem) {
      if (!this.over) this.worker.fail(this.given, problem)
    }
  }

  send({elements, cursor, watermark}) {
    const about = {source: this.number, tag: this.given.tag, seq: this.seq}
    const size = this.worker.send('source.batch', {...about, cursor, watermark}, encode(elements))
    this.unacked.set(this.seq++, size)
    this.bytes += size
  }

  change() {
    return new Promise(resolve => { this.changed = resolve })
  }

  recorded(seq) {
    for (const [number, size] of this.unacked) {
      if (number > seq) break
      this.unacked.delete(number)
      this.bytes -= size
    }
    this.changed()
  }

  end() {
    this.over = true
    this.changed()
  }
}

const keyOf = ({job, tag}) => `${job} ${tag}`

class Worker {
  sources = new Map() // by job and tag
  given = new Map() // what we have asked to be let in for, by the number of that request
  asked = 0
  sending = Promise.resolve()

  constructor(endpoint, readers, name) {
    Object.assign(this, {readers, name, connection: new Connection(endpoint, SILENCE_MS)})
  }

  // One message after the other; its size is known at once.
  send(op, fields, body) {
    const frames = [encode({op, ...fields}, {ignoreUndefined: true})]
    if (body) frames.push(body)
    this.sending = this.sending.then(() => this.connection.socket.send(frames))
    return frames.reduce((size, frame) => size + frame.length, 0)
  }

  // Says what can run here, and that nothing does: what did is given out anew, to us or to others, from where it is recorded.
  ready(urns = Object.keys(this.readers), id = 'ready') {
    for (const source of this.sources.values()) source.end()
    this.sources.clear()
    this.given.clear()
    this.send('worker.ready', {id: [id], urns, worker: this.name})
  }

  async run() {
    this.ready()
    while (!this.left) {
      const frames = await this.connection.socket.receive().catch(problem => {
        if (problem.code !== 'EAGAIN') throw problem
      })
      if (frames) this.take(decode(frames[0]))
      else this.ready()
    }
    await this.sending
    this.connection.close()
  }

  take(message) {
    if (message.op === 'ping') {
      this.send('pong')
    } else if (message.op === 'source.start') {
      const {job, tag, producer} = message
      this.drop(message)
      this.given.set(++this.asked, message)
      this.send('source.attach', {id: ['attach', this.asked], job, tag, producer})
    } else if (message.op === undefined) {
      this.takeAnswer(message)
    } else if (message.source !== undefined) {
      const source = [...this.sources.values()].find(({number}) => number === message.source)
      if (source) this.takeOf(source, message) // otherwise it is about a former attachment
    } else if (message.op === 'source.stop') {
      this.drop(message)
    }
  }

  takeOf(source, message) {
    if (message.op === 'source.ack') source.recorded(message.seq)
    else if (message.op === 'source.stop') this.drop(source.given)
    else if (message.error.retry) this.ready() // the engine has lost its state
    else this.fail(source.given, new Error(message.error.message))
  }

  takeAnswer({ok, id: [what, ...about] = ['ready'], error, ...answer}) {
    const given = what === 'attach' && this.given.get(about[0]) // none: given to us again since, or to somebody else
    if (given) this.given.delete(about[0])
    if (what === 'left') this.left = true
    else if (!ok && error.retry) this.ready()
    else if (!ok && what === 'ready') throw new Error(`${error.code}: ${error.message}`)
    else if (what === 'done') this.drop({job: about[0], tag: about[1]})
    else if (given && ok) {
      const source = new Source(this, given, answer)
      this.sources.set(keyOf(given), source)
      source.run(this.readers[given.urn](given, answer.cursor))
    }
  }

  drop(about) {
    for (const [number, given] of this.given) if (keyOf(given) === keyOf(about)) this.given.delete(number)
    this.sources.get(keyOf(about))?.end()
    this.sources.delete(keyOf(about))
  }

  // The job fails, and says why.
  fail(given, problem) {
    this.send('source.fail', {id: ['fail'], job: given.job, tag: given.tag, message: problem.message})
    this.drop(given)
  }
}

const options = {engine: {type: 'string', default: 'tcp://127.0.0.1:5570'}, name: {type: 'string'}}
const {values: {engine, name}} = parseArgs({options})
try {
  const commands = new Connection(engine)
  const {endpoints} = await commands.ask('engine.info')
  commands.close()
  const worker = new Worker(endpoints.ingest, {'example:lines:v1': lines}, name)
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => worker.ready([], 'left')) // others go on at once
  await worker.run()
} catch (problem) {
  console.error(`worker.mjs: ${problem.message}`)
  process.exitCode = 1
}
