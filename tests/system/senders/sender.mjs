// Sends numbered messages in Node: node sender.mjs pub|push ENDPOINT COUNT. Who publishes begins when somebody subscribes. It stays until it is
// killed. Run in docs/clients/node, where its package is.
import {Push, XPublisher} from 'zeromq'

const [kind, endpoint, count] = process.argv.slice(-3)
const publishes = kind === 'pub'
const socket = publishes ? new XPublisher({sendHighWaterMark: 0}) : new Push()
await socket.bind(endpoint)
if (publishes) await socket.receive()
for (let i = 0; i < Number(count); i++) await socket.send(publishes ? ['numbers', `${i} from Node`] : `${i} from Node`)
setInterval(() => {}, 1 << 30)
