// @platformatic/kafka against a broker. Usage: node platformatic_client.js HOST:PORT [BEHAVIOUR...]. Lines as in report.py.
'use strict'

const { randomBytes } = require('node:crypto')
const {
  AclOperations, AclPermissionTypes, Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels, Producer,
  ResourcePatternTypes, ResourceTypes
} = require('@platformatic/kafka')
const {
  broker, Unsupported, sleep, name, range, ascending, need, equal, until, refused, restartBroker, run
} = require('./report.js')
const { secured, words } = require('./secure.js')
const { topics } = require('./topics.js')

const common = { clientId: 'tests', bootstrapBrokers: [broker], retries: 60, retryDelay: 100 }
const admin = new Admin(common)

async function create (what, partitions = 1, configs = {}) {
  const topic = what.includes('!') ? what.slice(1) : name(what)
  const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs: entries })
  return topic
}

async function withProducer (work, settings = {}) {
  const producer = new Producer({ ...common, ...settings })
  try {
    return await work(producer)
  } finally {
    await producer.close()
  }
}

const text = (bytes) => bytes && bytes.toString()
const bytes = (value) => (value === undefined ? undefined : Buffer.from(String(value)))
const message = (topic, value, more = {}) => ({ topic, value: bytes(value), ...more })
const numbers = (topic, from, to, partitions = 1) =>
  range(from, to).map((i) => message(topic, i, { partition: i % partitions }))
const send = (messages, settings = {}) => withProducer((producer) => producer.send({ messages }), settings)

/** A group member that collects what it reads. */
class Member {
  constructor (group, settings = {}) {
    this.seen = []
    const classic = { sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 300 }
    this.consumer = new Consumer({
      ...common,
      groupId: group,
      maxWaitTime: 200,
      isolationLevel: FetchIsolationLevels.READ_COMMITTED,
      autocommit: 100,
      ...(settings.groupProtocol === 'consumer' ? {} : classic),
      ...settings
    })
  }

  async start (topics, options = {}) {
    this.stream = await this.consumer.consume({ topics, mode: 'committed', fallbackMode: 'earliest', ...options })
    this.stream.on('data', (received) => this.seen.push(received))
    this.stream.on('error', (error) => { this.error = error })
    return this
  }

  get held () {
    if (this.error) throw this.error
    return (this.consumer.assignments ?? []).flatMap(({ topic, partitions }) => partitions.map((p) => `${topic}/${p}`)).sort()
  }

  async holds (partitions, what = 'assignment') {
    await until(() => this.held.join() === partitions.join(), what)
  }

  async sees (count) {
    await until(() => !this.failed() && this.seen.length >= count, `${count} records`)
  }

  failed () {
    if (this.error) throw this.error
    return false
  }

  get values () {
    return this.seen.map((m) => text(m.value))
  }

  async stop () {
    await this.consumer.close(true)
  }
}

async function readAll (topic, count, settings = {}) {
  const member = await new Member(name('group'), { autocommit: false, ...settings }).start([topic])
  await member.sees(count)
  await sleep(300)
  await member.stop()
  equal(member.seen.length, count, 'number of records')
  return member
}

const compression = (codec) => async () => {
  const topic = await create(`compression-${codec}`, 2)
  const messages = range(0, 300).map((i) => message(topic, `value ${i} `.repeat(20), { key: bytes(`k${i}`) }))
  await send(messages, { compression: codec })
  const { seen } = await readAll(topic, 300)
  const whole = (m) => text(m.key) + text(m.value)
  equal(seen.map(whole).sort(), messages.map(whole).sort(), 'records')
}

async function idempotentProduce () {
  const topic = await create('idempotent')
  await withProducer(async (producer) => {
    for (const i of range(0, 50)) await producer.send({ messages: numbers(topic, i * 20, i * 20 + 20) })
  }, { idempotent: true })
  equal((await readAll(topic, 1000)).values.map(Number), range(0, 1000), 'order')
}

async function acks () {
  const topic = await create('acks')
  for (const level of [0, 1, -1]) await send([message(topic, level)], { acks: level })
  equal((await readAll(topic, 3)).values, ['0', '1', '-1'], 'records')
}

async function headersAndNulls () {
  const topic = await create('headers', 1, { 'retention.ms': '-1' })
  const headers = new Map([[bytes('a'), bytes('1')], [bytes('empty'), bytes('')]])
  await send([
    message(topic, 'v', { headers, timestamp: 1_700_000_000_000n }),
    message(topic, undefined, { key: bytes('k') }),
    message(topic, '', { key: bytes('') })
  ])
  const { seen } = await readAll(topic, 3)
  const pair = (m) => [text(m.key) ?? null, text(m.value) ?? null]
  equal(seen.map(pair), [[null, 'v'], ['k', null], ['', '']], 'records')
  equal([...seen[0].headers].map(([k, v]) => [text(k), text(v)]), [['a', '1'], ['empty', '']], 'headers')
  equal(seen[0].timestamp, 1_700_000_000_000n, 'timestamp')
}

async function record1mb () {
  const topic = await create('large')
  const value = randomBytes(999_000)
  await send([{ topic, value }])
  need((await readAll(topic, 1)).seen[0].value.equals(value), 'other bytes')
}

async function recordTooLarge () {
  const topic = await create('limited', 1, { 'max.message.bytes': '20000' })
  await withProducer(async (producer) => {
    const error = await refused(() => producer.send({ messages: [{ topic, value: randomBytes(50_000) }] }), 'the record')
    need(words(error).includes('MESSAGE_TOO_LARGE'), `error ${words(error)}`)
    await producer.send({ messages: [message(topic, 'small')] })
  })
  equal((await readAll(topic, 1)).values, ['small'], 'record')
}

async function rebalance (settings = {}) {
  const [topic, group] = [await create('group', 4), name('group')]
  const all = range(0, 4).map((p) => `${topic}/${p}`)
  const first = await new Member(group, settings).start([topic])
  await first.holds(all, 'the first member holds everything')
  await send(numbers(topic, 0, 40, 4))
  await first.sees(40)
  const second = await new Member(group, settings).start([topic])
  await until(() => first.held.length === 2 && second.held.length === 2, 'both hold two partitions')
  // The client delivers the answer of a fetch under way, also of partitions it has lost meanwhile.
  await sleep(500)
  await send(numbers(topic, 40, 80, 4))
  await until(() => first.seen.length + second.seen.length >= 80, 'both read their parts')
  await until(async () => (await totalCommitted(group, topic)) === 80, 'commits')
  await second.stop()
  await first.holds(all, 'the first member holds everything again')
  await send(numbers(topic, 80, 120, 4))
  await until(() => first.seen.length + second.seen.length >= 120, 'the rest is read')
  await first.stop()
  equal(ascending([...first.values, ...second.values].map(Number)), range(0, 120), 'every record once')
}

async function commitAndResume () {
  const [topic, group] = [await create('resume'), name('group')]
  await send(numbers(topic, 0, 10))
  const first = await new Member(group, { autocommit: false }).start([topic])
  await first.sees(10)
  await first.consumer.commit({ offsets: [{ topic, partition: 0, offset: 4n, leaderEpoch: 0 }] })
  const committed = await first.consumer.listCommittedOffsets({ topics: [{ topic, partitions: [0] }] })
  equal([...committed.values()], [[4n]], 'committed')
  await first.stop()
  const second = await new Member(group).start([topic])
  await second.sees(6)
  await sleep(300)
  await second.stop()
  equal(second.values.map(Number), range(4, 10), 'records')
}

async function offsetReset () {
  const topic = await create('reset')
  await send([message(topic, 'old')])
  equal((await readAll(topic, 1)).values, ['old'], 'earliest')
  const late = await new Member(name('group')).start([topic], { fallbackMode: 'latest' })
  await late.holds([`${topic}/0`])
  await sleep(500)
  await send([message(topic, 'new')])
  await late.sees(1)
  equal(late.values, ['new'], 'latest')
  await late.stop()
  const from = await new Member(name('group')).start([topic], { mode: 'manual', offsets: [{ topic, partition: 0, offset: 1n }] })
  await from.sees(1)
  await from.stop()
  equal(from.values, ['new'], 'from an offset')
}

async function offsetByTimestamp () {
  const topic = await create('timestamps', 1, { 'retention.ms': '-1' })
  await send(range(0, 10).map((i) => message(topic, i, { timestamp: BigInt(1_000_000 + i * 100) })))
  const reader = new Consumer({ ...common, groupId: name('group') })
  const found = []
  for (const timestamp of [0n, 1_000_000n, 1_000_301n, 1_000_900n, 2_000_000n]) {
    const answer = await reader.listOffsets({ topics: [topic], timestamp })
    found.push(answer.get(topic)[0])
  }
  await reader.close(true)
  equal(found, [0n, 0n, 4n, 9n, -1n], 'offsets')
}

// The client asks for the successor of producer 0 unless told that it has none, which fences it once there was another.
const FRESH = { producerId: -1n, producerEpoch: -1 }
const transactional = (id, work) => withProducer(work, { transactionalId: id, idempotent: true })

async function txnCommitAbort () {
  const topic = await create('txn', 2)
  await transactional(topic, async (producer) => {
    for (const round of range(0, 6)) {
      const transaction = await producer.beginTransaction(FRESH)
      await transaction.send({ messages: range(0, 20).map((i) => message(topic, round, { key: bytes(i) })) })
      await (round % 2 === 0 ? transaction.commit() : transaction.abort())
    }
    const { values } = await readAll(topic, 60)
    equal([...new Set(values)].sort(), ['0', '2', '4'], 'committed')
    await readAll(topic, 120, { isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED })
    const open = await producer.beginTransaction(FRESH)
    await open.send({ messages: [message(topic, 'open')] })
    await readAll(topic, 60)
    await open.abort()
  })
}

async function committedOffset (group, topic) {
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [group] })
  return topics.find((t) => t.name === topic)?.partitions[0].committedOffset
}

async function txnSendOffsets () {
  const [source, target, group] = [await create('txn-source'), await create('txn-target'), name('group')]
  await send(numbers(source, 0, 10))
  const member = await new Member(group, { autocommit: false }).start([source])
  await member.sees(10)
  await transactional(target, async (producer) => {
    for (const commit of [false, true]) {
      const transaction = await producer.beginTransaction(FRESH)
      await transaction.addConsumer(member.consumer)
      await transaction.send({ messages: member.seen.map((m) => ({ topic: target, value: m.value })) })
      await transaction.addOffset(member.seen[9])
      await (commit ? transaction.commit() : transaction.abort())
      equal(await committedOffset(group, source), commit ? 10n : undefined, 'committed')
    }
  })
  await member.stop()
  equal((await readAll(target, 10)).values.map(Number), range(0, 10), 'records')
}

async function txnFencing () {
  const topic = await create('fencing')
  await transactional(topic, async (old) => {
    const zombie = await old.beginTransaction(FRESH)
    await zombie.send({ messages: [message(topic, 'zombie')] })
    await transactional(topic, async (fresh) => {
      const transaction = await fresh.beginTransaction(FRESH)
      const error = await refused(async () => {
        await zombie.send({ messages: [message(topic, 'zombie')] })
        await zombie.commit()
      }, 'the former producer')
      need(/INVALID_PRODUCER_EPOCH|PRODUCER_FENCED/.test(words(error)), `error ${words(error)}`)
      await zombie.cancel()
      await transaction.send({ messages: [message(topic, 'new')] })
      await transaction.commit()
    })
  })
  equal((await readAll(topic, 1)).values, ['new'], 'records')
}

async function adminTopics () {
  const topic = await create('admin', 3)
  const { topics } = await admin.metadata({ topics: [topic] })
  equal(topics.get(topic).partitionsCount, 3, 'partitions')
  const twice = await refused(() => admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 }), 'created twice')
  need(words(twice).includes('TOPIC_ALREADY_EXISTS'), words(twice))
  await admin.deleteTopics({ topics: [topic] })
  need(!(await admin.listTopics()).includes(topic), 'the topic is still there')
  // The client takes this error for one that passes.
  const impatient = new Admin({ ...common, retries: 0 })
  const error = await refused(() => impatient.deleteTopics({ topics: [topic] }), 'deleted twice')
  await impatient.close()
  need(words(error).includes('UNKNOWN_TOPIC_OR_PARTITION'), words(error))
}

async function adminConfigs () {
  const topic = await create('configs', 1, { 'cleanup.policy': 'compact' })
  const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic }
  const configs = async () => {
    const [{ configs: entries }] = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: null }] })
    return Object.fromEntries(entries.map((entry) => [entry.name, entry.value]))
  }
  equal((await configs())['cleanup.policy'], 'compact', 'cleanup.policy')
  const change = (...entries) => admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: entries }] })
  await change({ name: 'retention.ms', configOperation: 0, value: '5000' },
    { name: 'cleanup.policy', configOperation: 2, value: 'delete' })
  const after = await configs()
  equal([after['retention.ms'], after['cleanup.policy']], ['5000', 'compact,delete'], 'after a change')
  const error = await refused(() => change({ name: 'retention.ms', configOperation: 0, value: 'x' }), 'a wrong value')
  need(words(error).includes('INVALID_CONFIG'), words(error))
}

async function adminPartitions () {
  const topic = await create('partitions')
  const { brokers } = await admin.metadata({ topics: [topic] })
  const assignments = [...brokers.keys(), ...brokers.keys()].map((id) => ({ brokerIds: [id] }))
  await admin.createPartitions({ topics: [{ name: topic, count: 3, assignments }] })
  await send(numbers(topic, 0, 3, 3))
  const fewer = () => admin.createPartitions({ topics: [{ name: topic, count: 2, assignments }] })
  const error = await refused(fewer, 'fewer partitions')
  need(words(error).includes('INVALID_PARTITIONS'), words(error))
}

async function adminDeleteRecords () {
  const topic = await create('trimmed')
  await send(numbers(topic, 0, 10))
  const [{ partitions }] = await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 4n }] }] })
  equal(partitions[0].lowWatermark, 4n, 'low watermark')
  equal((await readAll(topic, 6)).values.map(Number), range(4, 10), 'records')
}

async function adminGroups () {
  const [topic, group] = [await create('groups'), name('described')]
  const member = await new Member(group).start([topic])
  await member.holds([`${topic}/0`])
  equal((await admin.listGroups()).get(group).state, 'STABLE', 'listed state')
  const describe = async () => (await admin.describeGroups({ groups: [group] })).get(group)
  const described = await describe()
  equal([described.state, described.members.size], ['STABLE', 1], 'described')
  const [{ assignments }] = described.members.values()
  equal(assignments.get(topic).partitions, [0], 'assignment')
  const error = await refused(() => admin.deleteGroups({ groups: [group] }), 'a group with members')
  need(words(error).includes('NON_EMPTY_GROUP'), words(error))
  await member.stop()
  equal((await describe()).state, 'EMPTY', 'state after the member left')
  await admin.deleteGroups({ groups: [group] })
  equal((await admin.listGroups()).has(group), false, 'the group is there')
}

async function adminGroupOffsets () {
  const [topic, group] = [await create('group-offsets'), name('group')]
  await send(numbers(topic, 0, 10))
  const topics = [{ name: topic, partitionOffsets: [{ partition: 0, offset: 7n }] }]
  await admin.alterConsumerGroupOffsets({ groupId: group, topics })
  equal(await committedOffset(group, topic), 7n, 'offset')
  const member = await new Member(group).start([topic])
  await member.sees(3)
  await member.stop()
  equal(member.values.map(Number), range(7, 10), 'records')
  await admin.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionIndexes: [0] }] })
  equal(await committedOffset(group, topic), undefined, 'offset after it was deleted')
}

async function adminListOffsets () {
  const topic = await create('listed', 1, { 'retention.ms': '-1' })
  await send(range(0, 5).map((i) => message(topic, i, { timestamp: BigInt(1000 + i) })))
  const found = []
  for (const timestamp of [-2n, -1n, -3n, 1002n]) {
    const [{ partitions }] = await admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }] })
    found.push(partitions[0].offset)
  }
  equal(found, [0n, 5n, 4n, 2n], 'earliest, latest, max timestamp, by timestamp')
}

async function adminCluster () {
  const topic = await create('cluster')
  const cluster = await admin.metadata({ topics: [topic] })
  need(cluster.id && cluster.brokers.size === 1, 'one broker and an id')
  const [{ results }] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0] }] })
  need(results.length === 1, 'one log directory')
}

async function restartProduce () {
  const topic = await create('restart-produce', 2)
  await withProducer(async (producer) => {
    const first = producer.send({ messages: numbers(topic, 0, 500, 2) })
    const restarted = restartBroker()
    await first
    await restarted
    await producer.send({ messages: numbers(topic, 500, 1000, 2) })
  }, { idempotent: true })
  const { seen } = await readAll(topic, 1000)
  for (const partition of [0, 1]) {
    const found = seen.filter((m) => m.partition === partition).map((m) => Number(m.value))
    equal(found, range(0, 1000).filter((i) => i % 2 === partition), 'every record once and in order')
  }
}

async function totalCommitted (group, topic) {
  const [{ topics }] = await admin.listConsumerGroupOffsets({ groups: [group] })
  const partitions = topics.find((t) => t.name === topic)?.partitions ?? []
  return partitions.reduce((sum, { committedOffset }) => sum + Math.max(Number(committedOffset), 0), 0)
}

async function restartConsume () {
  const [topic, group] = [await create('restart-consume', 2), name('group')]
  const member = await new Member(group).start([topic])
  await withProducer(async (producer) => {
    await producer.send({ messages: numbers(topic, 0, 100, 2) })
    await member.sees(100)
    await until(async () => (await totalCommitted(group, topic)) === 100, 'commit')
    await restartBroker()
    await producer.send({ messages: numbers(topic, 100, 200, 2) })
  })
  await member.sees(200)
  await until(async () => (await totalCommitted(group, topic)) === 200, 'commit')
  await member.stop()
  equal(ascending(member.values.map(Number)), range(0, 200), 'every record once')
  const after = await new Member(group).start([topic])
  await after.holds([`${topic}/0`, `${topic}/1`])
  await sleep(500)
  await after.stop()
  equal(after.values, [], 'records after the committed offsets')
}

async function restartTransaction () {
  const [source, target, group] = [await create('restart-source'), await create('restart-target'), name('group')]
  await send(numbers(source, 0, 60))
  const member = await new Member(group, { autocommit: false }).start([source])
  await member.sees(60)
  const attempt = async (producer, start, restart) => {
    const transaction = await producer.beginTransaction(FRESH)
    try {
      await transaction.addConsumer(member.consumer)
      await transaction.send({ messages: numbers(target, start, start + 5) })
      if (restart === 'between records') await restartBroker()
      await transaction.send({ messages: numbers(target, start + 5, start + 20) })
      if (restart === 'before offsets') await restartBroker()
      await transaction.addOffset(member.seen[start + 19])
      if (restart === 'before commit') await restartBroker()
      await transaction.commit()
    } catch (error) {
      await transaction.abort()
      throw error
    }
  }
  await transactional(target, async (producer) => {
    for (const [at, restart] of ['between records', 'before offsets', 'before commit'].entries()) {
      try {
        await attempt(producer, at * 20, restart)
      } catch {
        await attempt(producer, at * 20, 'none')
      }
    }
  })
  equal(await committedOffset(group, source), 60n, 'committed')
  await member.stop()
  equal((await readAll(target, 60)).values.map(Number), range(0, 60), 'records')
}

/** The settings of a client that logs in so; it gives up soon. */
const settingsOf = ({ address, mechanism, user, password, tls }) => ({
  bootstrapBrokers: [address],
  retries: 1,
  ...(mechanism ? { sasl: { mechanism, username: user, password } } : {}),
  ...(tls ? { tls } : {})
})

const sendAs = (login, topic) => send([message(topic, 'secured')], settingsOf(login))

async function consumeAs (login, topic, group) {
  const member = new Member(group, settingsOf(login))
  try {
    await member.start([topic])
    await member.sees(1)
  } finally {
    await member.stop()
  }
  return member.values
}

async function exchangeAs (login, topic, group) {
  await sendAs(login, topic)
  equal(await consumeAs(login, topic, group), ['secured'], 'records')
}

// The client sends AddPartitionsToTxn in version 5, which Kafka keeps for brokers: it needs a right of theirs, which
// alice has not.
const inTransactions = (login) => ({ ...login, user: 'admin', password: 'admin-secret' })

const transactAs = (login, id, topic) => withProducer(async (producer) => {
  const transaction = await producer.beginTransaction(FRESH)
  await transaction.send({ messages: [message(topic, 'secured')] })
  await transaction.commit()
}, { transactionalId: id, idempotent: true, ...settingsOf(id.startsWith('open-') ? inTransactions(login) : login) })

async function openAs (login, topic) {
  const producer = new Producer({ ...common, ...settingsOf(login) })
  return { send: (value) => producer.send({ messages: [message(topic, value)] }), close: () => producer.close() }
}

const rule = (topic) => ({
  resourceType: ResourceTypes.TOPIC,
  resourceName: topic,
  resourcePatternType: ResourcePatternTypes.LITERAL,
  principal: 'User:alice',
  host: '*',
  operation: AclOperations.WRITE,
  permissionType: AclPermissionTypes.ALLOW
})

const acls = {
  grant: (topic) => admin.createAcls({ creations: [rule(topic)] }),
  listed: async (topic) => (await admin.describeAcls({ filter: rule(topic) })).flatMap((r) => r.acls),
  revoke: async (topic) => equal((await admin.deleteAcls({ filters: [rule(topic)] })).length, 1, 'deleted rules')
}

async function adminQuotas () {
  const user = name('user')
  const entities = [{ entityType: 'user', entityName: user }]
  const alter = (op) => admin.alterClientQuotas({ entries: [{ entities, ops: [op] }] })
  const described = async () => {
    const entries = await admin.describeClientQuotas({ components: [{ entityType: 'user', matchType: 0, match: user }] })
    return entries.flatMap((entry) => entry.values)
  }
  await alter({ key: 'consumer_byte_rate', value: 30_000, remove: false })
  equal(await described(), [{ key: 'consumer_byte_rate', value: 30_000 }], 'quotas')
  await alter({ key: 'consumer_byte_rate', remove: true })
  equal(await described(), [], 'quotas after the removal')
}

async function adminLogDirs () {
  const topic = await create('stored')
  await send([{ topic, value: randomBytes(10_000) }])
  const [{ results }] = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0] }] })
  const found = results.flatMap((folder) => folder.topics).filter((t) => t.name === topic)
  equal(found.length, 1, 'folders with the partition')
  need(Number(found[0].partitions[0].partitionSize) > 10_000, 'size')
}

const write = (topic, records) => send(records.map(({ partition, key, value, timestamp }) => message(topic, value, {
  partition, key: bytes(key), value: value === null ? undefined : bytes(value), ...(timestamp ? { timestamp: BigInt(timestamp) } : {})
})))

async function read (topic, enough) {
  const member = await new Member(name('group'), { autocommit: false }).start([topic])
  const records = () => member.seen.map(({ key, value, timestamp }) =>
    ({ key: text(key), value: text(value), timestamp: Number(timestamp) }))
  await until(() => !member.failed() && enough(records()), `records of ${topic}`)
  await member.stop()
  return records()
}

async function unknownTopic () {
  const topic = name('unknown')
  const error = await refused(() => send([message(topic, 'x')], { retries: 1 }), 'the record')
  need(/unknown.topic/i.test(words(error)), words(error))
  need(!(await admin.listTopics()).includes(topic), 'the topic was made')
}

async function topicMadeAnew () {
  const topic = await create('anew')
  const member = await new Member(name('group'), { metadataMaxAge: 500 }).start([topic])
  await withProducer(async (producer) => {
    await producer.send({ messages: numbers(topic, 0, 10) })
    await member.sees(10)
    await admin.deleteTopics({ topics: [topic] })
    await create(`!${topic}`)
    // Where a member begins in the new topic is its own affair; it goes on.
    await until(async () => {
      await producer.send({ messages: numbers(topic, 10, 11) })
      return !member.failed() && member.seen.length > 10
    }, 'records of the new topic')
  }, { metadataMaxAge: 500 })
  await member.stop()
}

const none = (reason) => async () => { throw new Unsupported(reason) }

run({
  'compression-none': compression('none'),
  'compression-gzip': compression('gzip'),
  'compression-snappy': compression('snappy'),
  'compression-lz4': compression('lz4'),
  'compression-zstd': compression('zstd'),
  'idempotent-produce': idempotentProduce,
  acks,
  'headers-and-nulls': headersAndNulls,
  'record-1mb': record1mb,
  'record-too-large': recordTooLarge,
  'unknown-topic': unknownTopic,
  'topic-made-anew': topicMadeAnew,
  ...topics({ create, write, read }),
  'group-rebalance': () => rebalance(),
  'group-cooperative': none('no cooperative rebalancing'),
  'group-static': none('static members cannot stop without leaving'),
  'group-static-fencing': none('static members cannot stop without leaving'),
  'group-slow-member': none('no max.poll.interval.ms'),
  'group-pattern': none('no subscription to patterns'),
  'consumer-protocol': () => rebalance({ groupProtocol: 'consumer' }),
  'consumer-protocol-assignors': none('no choice of an assignor'),
  'commit-and-resume': commitAndResume,
  'offset-reset': offsetReset,
  'offset-by-timestamp': offsetByTimestamp,
  'offset-truncated': none('positions have no leader epoch'),
  'txn-commit-abort': txnCommitAbort,
  'txn-send-offsets': txnSendOffsets,
  'txn-fencing': txnFencing,
  'admin-topics': adminTopics,
  'admin-configs': adminConfigs,
  'admin-partitions': adminPartitions,
  'admin-delete-records': adminDeleteRecords,
  'admin-groups': adminGroups,
  'admin-group-offsets': adminGroupOffsets,
  'admin-list-offsets': adminListOffsets,
  'admin-cluster': adminCluster,
  'admin-transactions': none('no DescribeTransactions, DescribeProducers or ListTransactions'),
  'admin-scram-users': none('no SCRAM users'),
  'admin-quotas': adminQuotas,
  'admin-elections': none('no elections'),
  'admin-reassignments': none('no reassignments'),
  'admin-log-dirs': adminLogDirs,
  'admin-config-resources': none('no ListConfigResources'),
  ...secured({ create, exchange: exchangeAs, send: sendAs, consume: consumeAs, transact: transactAs, open: openAs, acls }),
  'restart-produce': restartProduce,
  'restart-consume': restartConsume,
  'restart-transaction': restartTransaction
})
