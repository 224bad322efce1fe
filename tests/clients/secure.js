// Who a script can be at a secured broker, and what the Node scripts try as such. See secure.py.
'use strict'

const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const { equal, name, need, range, sleep } = require('./report.js')

/** Within which a client has to tell that it is refused. */
const REFUSED_WITHIN_MS = 20_000

function variable (title) {
  need(process.env[title], `the variable ${title} is not set`)
  return process.env[title]
}

const pem = (file) => readFileSync(join(variable('WEIR_CERTIFICATES'), file), 'utf8')
const sasl = (mechanism) =>
  ({ address: variable('WEIR_SASL_PLAINTEXT'), mechanism, user: 'alice', password: 'alice, secret' })
const saslSsl = (mechanism = 'SCRAM-SHA-512') =>
  ({ ...sasl(mechanism), address: variable('WEIR_SASL_SSL'), tls: { ca: pem('ca.pem') } })
const certified = () =>
  ({ address: variable('WEIR_SSL'), tls: { ca: pem('ca.pem'), cert: pem('client.pem'), key: pem('client.key') } })

/** A counter of the broker, summed over its labels. */
async function metric (title) {
  const page = await (await fetch(`${variable('WEIR_HTTP')}/metrics`)).text()
  const lines = page.split('\n').filter((line) => line.startsWith(title))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** Every message of an error and of what caused it. */
function words (error) {
  if (error === null || typeof error !== 'object') return String(error)
  const causes = [...(error.errors ?? []), error.cause].filter(Boolean).map(words)
  return [error.name, error.type, error.code, error.apiId, error.message, ...causes].filter(Boolean).join(' ')
}

/** An attempt has to be refused soon, with an error that says why. */
async function refusal (attempt, pattern, what) {
  const started = Date.now()
  try {
    await attempt()
  } catch (error) {
    need(pattern.test(words(error)), `${what}: other error ${words(error)}`)
    const took = Date.now() - started
    need(took < REFUSED_WITHIN_MS, `${what}: told after ${took} ms`)
    return
  }
  throw new Error(`${what}: not refused`)
}

const WRONG_PASSWORD = /authentication|user name or password is wrong/i
const UNTRUSTED = /certificate/i
const TOPIC = /topic.?authorization/i
const DENIED = { group: /group.?authorization/i, transaction: /transactional.?id.?authorization/i }

/**
 * The behaviours, made of what a client can do; see class Secured of secure.py. `denied`: what the client says when a
 * group or transactional id is refused.
 */
function secured ({ create, exchange, send, consume, transact, open, acls, denied = DENIED }) {
  const exchanged = async (login) => exchange(login, await create('open-secure'), name('open-secure'))
  return {
    'sasl-plain': () => exchanged(sasl('PLAIN')),
    'sasl-scram-256': () => exchanged(sasl('SCRAM-SHA-256')),
    'sasl-scram-512': () => exchanged(sasl('SCRAM-SHA-512')),
    'sasl-wrong-password': async () => {
      const topic = await create('open-password')
      for (const login of [sasl('PLAIN'), sasl('SCRAM-SHA-256'), saslSsl('SCRAM-SHA-512')]) {
        const wrong = { ...login, password: 'wrong' }
        await refusal(() => send(wrong, topic), WRONG_PASSWORD, `${login.mechanism} with a wrong password`)
      }
      const stranger = { ...sasl('SCRAM-SHA-256'), user: 'nobody' }
      await refusal(() => send(stranger, topic), WRONG_PASSWORD, 'an unknown user')
    },
    'sasl-reauthentication': () => reauthentication(create, open),
    'tls-sasl': () => exchanged(saslSsl()),
    'tls-host-name': async () => {
      const login = saslSsl()
      const elsewhere = { ...login, address: login.address.replace('127.0.0.1', 'localhost') }
      const topic = await create('open-name')
      await refusal(() => send(elsewhere, topic), /altnames/i, 'a certificate of another name')
    },
    'tls-untrusted': async () => {
      const topic = await create('open-untrusted')
      const login = { ...saslSsl(), tls: { ca: pem('other-ca.pem') } }
      await refusal(() => send(login, topic), UNTRUSTED, 'a certificate of a foreign authority')
    },
    'tls-client-certificate': async () => {
      await exchanged(certified())
      // Without a certificate the client would be nobody, who may do everything here.
      const topic = await create('closed-certificate')
      await refusal(() => send(certified(), topic), TOPIC, "what the certificate's owner may not do")
    },
    'acl-produce': async () => {
      const topic = await create('closed-topic')
      await refusal(() => send(sasl('PLAIN'), topic), TOPIC, 'writing to a topic of others')
    },
    'acl-group': async () => {
      const [topic, login] = [await create('open-topic'), sasl('PLAIN')]
      await send(login, topic)
      const group = name('closed-group')
      await refusal(() => consume(login, topic, group), denied.group, 'joining a group of others')
      const closed = await create('closed-topic')
      await refusal(() => consume(login, closed, name('open-group')), TOPIC, 'reading a topic of others')
    },
    'acl-transaction': async () => {
      const [topic, login] = [await create('open-topic'), sasl('PLAIN')]
      await transact(login, name('open-id'), topic)
      const closed = () => transact(login, name('closed-id'), topic)
      await refusal(closed, denied.transaction, 'using a transactional id of others')
    },
    'admin-acls': async () => {
      const [topic, login] = [await create('closed-acls'), sasl('PLAIN')]
      await refusal(() => send(login, topic), TOPIC, 'writing without permission')
      await acls.grant(topic)
      await send(login, topic)
      equal((await acls.listed(topic)).length, 1, 'rules of the topic')
      await acls.revoke(topic)
      equal((await acls.listed(topic)).length, 0, 'rules of the topic after the deletion')
      await refusal(() => send(login, topic), TOPIC, 'writing after the deletion')
    },
    'quota-throttling': async () => {
      const bob = { ...sasl('PLAIN'), user: 'bob', password: 'bob-secret' }
      const { send, close } = await open(bob, await create('open-throttled'))
      const before = await metric('weir_kafka_requests_throttled_total')
      const started = Date.now()
      for (const _ of range(0, 3)) await send('x'.repeat(50_000))
      // The broker reads nothing more until the rate is kept: 20,000 bytes are there at once.
      need(Date.now() - started > 1_000, 'the client was not held up')
      need(await metric('weir_kafka_requests_throttled_total') > before, 'the broker has throttled nobody')
      await close()
    }
  }
}

/** A connection is used beyond the lifetime of a proof, and goes on: no other is opened meanwhile. */
async function reauthentication (create, open) {
  const { send, close } = await open(sasl('SCRAM-SHA-256'), await create('open-session'))
  await send('first')
  const counted = () => Promise.all([
    metric('weir_kafka_connections_accepted_total'), metric('weir_kafka_requests_total{api="SaslAuthenticate"}')
  ])
  const seen = []
  // On a busy machine a client may come too late, once.
  for (const _ of range(0, 3)) {
    const [connections, proofs] = await counted()
    let [more, renewed] = [0, 0]
    const end = Date.now() + 15_000
    while (Date.now() < end && more === 0 && renewed < 2) {
      await send('again')
      await sleep(100)
      const [connectionsNow, proofsNow] = await counted()
      more = connectionsNow - connections
      renewed = proofsNow - proofs
    }
    seen.push([more, renewed])
    if (more === 0 && renewed >= 2) return close()
  }
  throw new Error(`connections and proofs more than before: ${JSON.stringify(seen)}`)
}

module.exports = { secured, metric, words }
