// As frames.c. Its text is given to `node -e`, so that it finds the packages of docs/clients/node.
import {Dealer} from 'zeromq'

const [endpoint, request] = process.argv.slice(1)
const socket = new Dealer({linger: 0, receiveTimeout: 30000})
const lines = []
socket.connect(endpoint)
await socket.send(Buffer.from(request, 'hex'))
for await (const frames of socket) {
  if (frames[0].includes('\xa2op\xa4ping', 0, 'latin1')) {
    await socket.send(Buffer.from('\x81\xa2op\xa4pong', 'latin1'))
    continue
  }
  lines.push(...frames.map(frame => frame.toString('hex')))
  if (frames[0].includes('\xa5event\xa3end', 0, 'latin1')) break
}
process.stdout.write(lines.join('\n') + '\n', () => process.exit(0))
