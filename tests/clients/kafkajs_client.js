// kafkajs against a broker. Usage: node kafkajs_client.js HOST:PORT [BEHAVIOUR...]. Lines as in report.py.
'use strict'

const { randomBytes } = require('node:crypto')
const {
  Kafka, logLevel, AclOperationTypes, AclPermissionTypes, AclResourceTypes, AssignerProtocol, CompressionTypes,
  ConfigResourceTypes, ConfigSource, ResourcePatternTypes
} = require('kafkajs')
const {
  broker, Unsupported, sleep, name, range, ascending, need, equal, until, refused, restartBroker, run
} = require('./report.js')
const { secured, words } = require('./secure.js')
const { topics } = require('./topics.js')

const kafka = new Kafka({
  brokers: [broker],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 30 }
})
const admin = kafka.admin()

async function create (what, partitions = 1, configs = {}) {
  const topic = what.includes('!') ? what.slice(1) : name(what)
  const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
  need(await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }] }), `create ${topic}`)
  return topic
}

async function withProducer (work, settings = {}, client = kafka) {
  const producer = client.producer({ allowAutoTopicCreation: false, ...settings })
  await producer.connect()
  try {
    return await work(producer)
  } finally {
    await producer.disconnect()
  }
}

const send = (topic, messages, options = {}, settings = {}) =>
  withProducer((producer) => producer.send({ topic, messages, ...options }), settings)

const numbers = (from, to, partitions = 1) =>
  range(from, to).map((i) => ({ value: String(i), partition: i % partitions }))

/** A group member that collects what it reads. */
class Member {
  constructor (group, settings = {}, client = kafka) {
    this.seen = []
    this.lost = []
    this.held = new Set()
    this.consumer = client.consumer({
      groupId: group,
      heartbeatInterval: 300,
      sessionTimeout: 10_000,
      maxWaitTimeInMs: 200,
      metadataMaxAge: 1000,
      allowAutoTopicCreation: false,
      ...settings
    })
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      const assignment = Object.entries(payload.memberAssignment)
      this.held = new Set(assignment.flatMap(([topic, parts]) => parts.map((p) => `${topic}/${p}`)))
    })
  }

  async start (topics, { fromBeginning = true, autoCommit = true } = {}) {
    await this.consumer.connect()
    await this.consumer.subscribe({ topics, fromBeginning })
    await this.consumer.run({
      autoCommit,
      eachMessage: async ({ topic, partition, message }) => { this.seen.push({ topic, partition, ...message }) }
    })
    return this
  }

  async holds (partitions, what = 'assignment') {
    await until(() => this.held.size === partitions.length && partitions.every((p) => this.held.has(p)), what)
  }

  async sees (count) {
    await until(() => this.seen.length >= count, `${count} records`)
  }

  get values () {
    return this.seen.map((message) => message.value && message.value.toString())
  }

  stop () {
    return this.consumer.disconnect()
  }
}

async function readAll (topic, count, settings = {}) {
  const member = await new Member(name('group'), settings).start([topic])
  await member.sees(count)
  await sleep(300)
  await member.stop()
  equal(member.seen.length, count, 'number of records')
  return member
}

function compression (codec) {
  return async () => {
    if (!(codec in CODECS)) throw new Unsupported('its codec is a package of its own')
    const topic = await create(`compression-${codec}`, 2)
    const messages = range(0, 300).map((i) => ({ key: `k${i}`, value: `value ${i} `.repeat(20) }))
    await send(topic, messages, { compression: CODECS[codec] })
    const { seen } = await readAll(topic, 300)
    const found = seen.map((m) => m.key.toString() + m.value.toString()).sort()
    equal(found, messages.map((m) => m.key + m.value).sort(), 'records')
  }
}

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }

async function idempotentProduce () {
  const topic = await create('idempotent')
  await withProducer(async (producer) => {
    for (const i of range(0, 50)) await producer.send({ topic, messages: numbers(i * 20, i * 20 + 20) })
  }, { idempotent: true, maxInFlightRequests: 1 })
  equal((await readAll(topic, 1000)).values.map(Number), range(0, 1000), 'order')
}

async function acks () {
  const topic = await create('acks')
  for (const level of [0, 1, -1]) await send(topic, [{ value: String(level) }], { acks: level })
  equal((await readAll(topic, 3)).values, ['0', '1', '-1'], 'records')
}

async function headersAndNulls () {
  const topic = await create('headers', 1, { 'retention.ms': '-1' })
  await send(topic, [
    { value: 'v', headers: { a: ['1', '2'], empty: '' }, timestamp: '1700000000000' },
    { key: 'k', value: null },
    { key: '', value: '' },
    { key: null, value: null }
  ])
  const { seen } = await readAll(topic, 4)
  const text = (bytes) => bytes && bytes.toString()
  equal(seen.map((m) => [text(m.key), text(m.value)]), [[null, 'v'], ['k', null], ['', ''], [null, null]], 'records')
  equal(seen[0].headers.a.map(String), ['1', '2'], 'repeated header')
  equal(String(seen[0].headers.empty), '', 'empty header')
  equal(seen[0].timestamp, '1700000000000', 'timestamp')
}

async function record1mb () {
  const topic = await create('large')
  const value = randomBytes(999_000)
  await send(topic, [{ value }])
  need((await readAll(topic, 1)).seen[0].value.equals(value), 'other bytes')
}

async function recordTooLarge () {
  const topic = await create('limited', 1, { 'max.message.bytes': '20000' })
  await withProducer(async (producer) => {
    const error = await refused(() => producer.send({ topic, messages: [{ value: randomBytes(50_000) }] }), 'the record')
    equal(error.type, 'MESSAGE_TOO_LARGE', 'error')
    await producer.send({ topic, messages: [{ value: 'small' }] })
  })
  equal((await readAll(topic, 1)).values, ['small'], 'record')
}

async function groupRebalance () {
  const [topic, group] = [await create('group', 4), name('group')]
  const all = range(0, 4).map((p) => `${topic}/${p}`)
  const first = await new Member(group).start([topic])
  await first.holds(all, 'the first member holds everything')
  await send(topic, numbers(0, 40, 4))
  await first.sees(40)
  const second = await new Member(group).start([topic])
  await until(() => first.held.size === 2 && second.held.size === 2, 'both hold two partitions')
  await send(topic, numbers(40, 80, 4))
  await until(() => first.seen.length + second.seen.length >= 80, 'both read their parts')
  await second.stop()
  await first.holds(all, 'the first member holds everything again')
  await send(topic, numbers(80, 120, 4))
  await until(() => first.seen.length + second.seen.length >= 120, 'the rest is read')
  await first.stop()
  equal(ascending([...first.values, ...second.values].map(Number)), range(0, 120), 'every record once')
}

async function groupPattern () {
  const prefix = name('pattern')
  await create(`!${prefix}-a`)
  const member = await new Member(name('group')).start([new RegExp(`^${prefix}-.*`)])
  await member.holds([`${prefix}-a/0`], 'the topic that is there')
  await member.stop()
}

async function commitAndResume () {
  const [topic, group] = [await create('resume'), name('group')]
  await send(topic, numbers(0, 10))
  const first = await new Member(group).start([topic], { autoCommit: false })
  await first.sees(10)
  await first.consumer.commitOffsets([{ topic, partition: 0, offset: '4', metadata: 'note' }])
  const [{ partitions: [committed] }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  equal([committed.offset, committed.metadata], ['4', 'note'], 'committed')
  await first.stop()
  const second = await new Member(group).start([topic])
  await second.sees(6)
  await sleep(300)
  await second.stop()
  equal(second.values.map(Number), range(4, 10), 'records')
}

async function offsetReset () {
  const topic = await create('reset')
  await send(topic, [{ value: 'old' }])
  equal((await readAll(topic, 1)).values, ['old'], 'earliest')
  const late = await new Member(name('group')).start([topic], { fromBeginning: false })
  await late.holds([`${topic}/0`])
  // A position is looked up with the first fetch.
  await sleep(700)
  await send(topic, [{ value: 'new' }])
  await late.sees(1)
  equal(late.values, ['new'], 'latest')
  late.consumer.seek({ topic, partition: 0, offset: '0' })
  await late.sees(3)
  equal(late.values, ['new', 'old', 'new'], 'after seek')
  late.consumer.seek({ topic, partition: 0, offset: '1000' })
  await sleep(1500)
  await send(topic, [{ value: 'newest' }])
  await until(() => late.values.includes('newest'), 'after an offset out of range')
  await late.stop()
}

async function offsetByTimestamp () {
  const topic = await create('timestamps', 1, { 'retention.ms': '-1' })
  await send(topic, range(0, 10).map((i) => ({ value: String(i), timestamp: String(1_000_000 + i * 100) })))
  const found = []
  for (const time of [0, 1_000_000, 1_000_301, 1_000_900]) {
    found.push((await admin.fetchTopicOffsetsByTimestamp(topic, time))[0].offset)
  }
  equal(found, ['0', '0', '4', '9'], 'offsets')
  const [{ low, high }] = await admin.fetchTopicOffsets(topic)
  equal([low, high], ['0', '10'], 'watermarks')
}

const transactional = (id, work, client = kafka) =>
  withProducer(work, { transactionalId: id, idempotent: true, maxInFlightRequests: 1 }, client)

async function txnCommitAbort () {
  const topic = await create('txn', 2)
  await transactional(topic, async (producer) => {
    for (const round of range(0, 6)) {
      const transaction = await producer.transaction()
      const messages = range(0, 20).map((i) => ({ key: String(i), value: String(round) }))
      await transaction.send({ topic, messages })
      await (round % 2 === 0 ? transaction.commit() : transaction.abort())
    }
    const { values } = await readAll(topic, 60)
    equal([...new Set(values)].sort(), ['0', '2', '4'], 'committed')
    await readAll(topic, 120, { readUncommitted: true })
    const open = await producer.transaction()
    await open.send({ topic, messages: [{ value: 'open' }] })
    await readAll(topic, 60)
    await open.abort()
  })
}

async function committedOffset (group, topic) {
  const [{ partitions: [{ offset }] }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  return offset
}

async function txnSendOffsets () {
  const [target, source, group] = [await create('txn-target'), await create('txn-source'), name('group')]
  await transactional(target, async (producer) => {
    for (const commit of [false, true]) {
      const transaction = await producer.transaction()
      await transaction.send({ topic: target, messages: numbers(0, 10) })
      const topics = [{ topic: source, partitions: [{ partition: 0, offset: '10' }] }]
      await transaction.sendOffsets({ consumerGroupId: group, topics })
      await (commit ? transaction.commit() : transaction.abort())
      equal(await committedOffset(group, source), commit ? '10' : '-1', 'committed')
    }
  })
  equal((await readAll(target, 10)).values.map(Number), range(0, 10), 'records')
}

async function txnFencing () {
  const topic = await create('fencing')
  await transactional(topic, async (old) => {
    const zombie = await old.transaction()
    await zombie.send({ topic, messages: [{ value: 'zombie' }] })
    await transactional(topic, async (fresh) => {
      const transaction = await fresh.transaction()
      const error = await refused(async () => {
        await zombie.send({ topic, messages: [{ value: 'zombie' }] })
        await zombie.commit()
      }, 'the former producer')
      need(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED'].includes(error.type), `error ${error}`)
      await transaction.send({ topic, messages: [{ value: 'new' }] })
      await transaction.commit()
    })
  })
  equal((await readAll(topic, 1)).values, ['new'], 'records')
}

async function adminTopics () {
  const topic = await create('admin', 3)
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [topic] })
  equal(described.partitions.length, 3, 'partitions')
  equal(await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] }), false, 'created twice')
  const checked = name('checked')
  await admin.createTopics({ validateOnly: true, waitForLeaders: false, topics: [{ topic: checked, numPartitions: 1 }] })
  need(!(await admin.listTopics()).includes(checked), 'a topic was made though only checked')
  await admin.deleteTopics({ topics: [topic] })
  await until(async () => !(await admin.listTopics()).includes(topic), 'the topic is gone')
  // The client takes this error for one that passes.
  const impatient = kafka.admin({ retry: { retries: 1 } })
  await impatient.connect()
  const error = await refused(() => impatient.deleteTopics({ topics: [topic] }), 'deleted twice')
  await impatient.disconnect()
  equal(error.cause.type, 'UNKNOWN_TOPIC_OR_PARTITION', 'error')
}

async function adminConfigs () {
  const topic = await create('configs', 1, { 'cleanup.policy': 'compact' })
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
  const configs = async () => {
    const { resources: [{ configEntries }] } = await admin.describeConfigs({ resources: [resource], includeSynonyms: true })
    return Object.fromEntries(configEntries.map((entry) => [entry.configName, entry]))
  }
  const before = await configs()
  equal(before['cleanup.policy'].configValue, 'compact', 'cleanup.policy')
  equal(before['cleanup.policy'].configSource, ConfigSource.TOPIC_CONFIG, 'source')
  // AlterConfigs replaces everything.
  const change = (value) => admin.alterConfigs({
    resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value }] }]
  })
  await change('5000')
  const after = await configs()
  equal([after['retention.ms'].configValue, after['cleanup.policy'].configValue], ['5000', 'delete'], 'after a change')
  equal((await refused(() => change('x'), 'a wrong value')).type, 'INVALID_CONFIG', 'error')
}

async function adminPartitions () {
  const topic = await create('partitions')
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  await send(topic, numbers(0, 3, 3))
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [topic] })
  equal(described.partitions.length, 3, 'partitions')
  const error = await refused(() => admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }), 'fewer partitions')
  equal((error.errors?.[0] ?? error).type, 'INVALID_PARTITIONS', 'error')
}

async function adminDeleteRecords () {
  const topic = await create('trimmed')
  await send(topic, numbers(0, 10))
  // The client deletes records only of topics that it knows already.
  await admin.fetchTopicOffsets(topic)
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  equal((await admin.fetchTopicOffsets(topic))[0].low, '4', 'low watermark')
  equal((await readAll(topic, 6)).values.map(Number), range(4, 10), 'records')
}

async function adminGroups () {
  const [topic, group] = [await create('groups'), name('described')]
  const member = await new Member(group).start([topic])
  await member.holds([`${topic}/0`])
  const listed = async () => (await admin.listGroups()).groups.find((g) => g.groupId === group)
  equal((await listed()).protocolType, 'consumer', 'listed')
  const describe = async () => (await admin.describeGroups([group])).groups[0]
  const described = await describe()
  equal([described.state, described.members.length], ['Stable', 1], 'described')
  const { assignment } = AssignerProtocol.MemberAssignment.decode(described.members[0].memberAssignment)
  equal(assignment, { [topic]: [0] }, 'assignment')
  const error = await refused(() => admin.deleteGroups([group]), 'a group with members')
  equal(error.groups[0].error.type, 'NON_EMPTY_GROUP', 'error')
  await member.stop()
  equal((await describe()).state, 'Empty', 'state after the member left')
  await admin.deleteGroups([group])
  equal(await listed(), undefined, 'the group')
}

async function adminGroupOffsets () {
  const [topic, group] = [await create('group-offsets'), name('group')]
  await send(topic, numbers(0, 10))
  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '7' }] })
  equal(await committedOffset(group, topic), '7', 'offset')
  const member = await new Member(group).start([topic])
  await member.sees(3)
  await member.stop()
  equal(member.values.map(Number), range(7, 10), 'records')
}

async function adminCluster () {
  const cluster = await admin.describeCluster()
  need(cluster.clusterId && cluster.brokers.length === 1 && cluster.controller !== null, JSON.stringify(cluster))
}

async function restartProduce () {
  const topic = await create('restart-produce', 2)
  await withProducer(async (producer) => {
    // The client answers a lost connection by sending again; one request at a time keeps the order.
    const first = producer.send({ topic, messages: numbers(0, 500, 2) })
    const restarted = restartBroker()
    await first
    await restarted
    await producer.send({ topic, messages: numbers(500, 1000, 2) })
  }, { idempotent: true, maxInFlightRequests: 1 })
  const { seen } = await readAll(topic, 1000)
  for (const partition of [0, 1]) {
    const found = seen.filter((m) => m.partition === partition).map((m) => Number(m.value))
    equal(found, range(0, 1000).filter((i) => i % 2 === partition), 'every record once and in order')
  }
}

async function restartConsume () {
  const [topic, group] = [await create('restart-consume', 2), name('group')]
  const member = await new Member(group).start([topic])
  await withProducer(async (producer) => {
    await producer.send({ topic, messages: numbers(0, 100, 2) })
    await member.sees(100)
    await until(async () => (await totalCommitted(group, topic)) === 100, 'commit')
    await restartBroker()
    await producer.send({ topic, messages: numbers(100, 200, 2) })
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

async function totalCommitted (group, topic) {
  const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
  return partitions.reduce((sum, { offset }) => sum + Math.max(Number(offset), 0), 0)
}

async function restartTransaction () {
  const [target, source, group] = [await create('restart-target'), await create('restart-source'), name('group')]
  const attempt = async (producer, start, restart) => {
    const transaction = await producer.transaction()
    try {
      await transaction.send({ topic: target, messages: numbers(start, start + 5) })
      if (restart === 'between records') await restartBroker()
      await transaction.send({ topic: target, messages: numbers(start + 5, start + 20) })
      if (restart === 'before offsets') await restartBroker()
      const topics = [{ topic: source, partitions: [{ partition: 0, offset: String(start + 20) }] }]
      await transaction.sendOffsets({ consumerGroupId: group, topics })
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
  equal(await committedOffset(group, source), '60', 'committed')
  equal((await readAll(target, 60)).values.map(Number), range(0, 60), 'records')
}

/** The client that logs in so; it gives up soon. */
const clientOf = ({ address, mechanism, user, password, tls }, retries = 1) => new Kafka({
  brokers: [address],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, maxRetryTime: 200, retries },
  reauthenticationThreshold: 4000,
  ...(mechanism ? { sasl: { mechanism: mechanism.toLowerCase(), username: user, password } } : {}),
  ...(tls ? { ssl: tls } : {})
})

const sendAs = (login, topic) =>
  withProducer((producer) => producer.send({ topic, messages: [{ value: 'secured' }] }), {}, clientOf(login))

async function consumeAs (login, topic, group) {
  const member = new Member(group, {}, clientOf(login))
  const crashed = new Promise((resolve, reject) => {
    member.consumer.on(member.consumer.events.CRASH, ({ payload }) => reject(payload.error))
  })
  crashed.catch(() => {})
  try {
    await member.start([topic])
    await Promise.race([member.sees(1), crashed])
  } finally {
    await member.stop()
  }
  return member.values
}

async function exchangeAs (login, topic, group) {
  await sendAs(login, topic)
  equal(await consumeAs(login, topic, group), ['secured'], 'records')
}

const transactAs = (login, id, topic) => transactional(id, async (producer) => {
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: 'secured' }] })
  await transaction.commit()
}, clientOf(login))

async function openAs (login, topic) {
  const producer = clientOf(login, 10).producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const send = (value) => producer.send({ topic, messages: [{ value }] })
  return { send, close: () => producer.disconnect() }
}

const rule = (topic) => ({
  resourceType: AclResourceTypes.TOPIC,
  resourceName: topic,
  resourcePatternType: ResourcePatternTypes.LITERAL,
  principal: 'User:alice',
  host: '*',
  operation: AclOperationTypes.WRITE,
  permissionType: AclPermissionTypes.ALLOW
})

const acls = {
  grant: (topic) => admin.createAcls({ acl: [rule(topic)] }),
  listed: async (topic) => (await admin.describeAcls(rule(topic))).resources.flatMap((r) => r.acls),
  revoke: async (topic) => {
    const { filterResponses: [{ matchingAcls }] } = await admin.deleteAcls({ filters: [rule(topic)] })
    equal(matchingAcls.length, 1, 'deleted rules')
  }
}

async function adminReassignments () {
  const topic = await create('reassigned')
  const { brokers: [{ nodeId }] } = await admin.describeCluster()
  const assign = (node) => admin.alterPartitionReassignments({
    topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [node] }] }]
  })
  await assign(nodeId)
  equal((await admin.listPartitionReassignments({})).topics, [], 'reassignments under way')
  const error = await refused(() => assign(nodeId + 1), 'a broker that is not there')
  need(words(error).includes('INVALID_REPLICA_ASSIGNMENT'), words(error))
}

// The client asks all brokers for a coordinator and forgets why none has answered.
const NO_COORDINATOR = /GroupCoordinatorNotFound/
const denied = { group: NO_COORDINATOR, transaction: NO_COORDINATOR }

const write = (topic, records) => send(topic, records.map(({ timestamp, ...record }) =>
  timestamp === undefined ? record : { ...record, timestamp: String(timestamp) }))

async function read (topic, enough) {
  const member = await new Member(name('group')).start([topic])
  const text = (data) => data && data.toString()
  const records = () => member.seen.map(({ key, value, timestamp }) =>
    ({ key: text(key), value: text(value), timestamp: Number(timestamp) }))
  await until(() => enough(records()), `records of ${topic}`)
  await member.stop()
  return records()
}

async function unknownTopic () {
  const topic = name('unknown')
  const impatient = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING, retry: { retries: 2 } })
  const error = await refused(
    () => withProducer((producer) => producer.send({ topic, messages: [{ value: 'x' }] }), {}, impatient), 'the record'
  )
  need(words(error).includes('UNKNOWN_TOPIC_OR_PARTITION'), words(error))
  need(!(await admin.listTopics()).includes(topic), 'the topic was made')
}

async function topicMadeAnew () {
  const topic = await create('anew')
  const member = await new Member(name('group')).start([topic])
  await withProducer(async (producer) => {
    await producer.send({ topic, messages: numbers(0, 10) })
    await member.sees(10)
    await admin.deleteTopics({ topics: [topic] })
    await create(`!${topic}`)
    // Where a member begins in the new topic is its own affair; it goes on.
    await until(async () => {
      await producer.send({ topic, messages: numbers(10, 11) })
      return member.seen.length > 10
    }, 'records of the new topic')
  })
  await member.stop()
}

const none = (reason) => async () => { throw new Unsupported(reason) }

admin.connect().then(() => run({
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
  ...topics({ create, write, read, codecs: ['gzip'] }),
  'group-rebalance': groupRebalance,
  'group-cooperative': none('no cooperative rebalancing'),
  'group-static': none('no static membership'),
  'group-static-fencing': none('no static membership'),
  'group-slow-member': none('no max.poll.interval.ms'),
  'group-pattern': groupPattern,
  'consumer-protocol': none('no group.protocol=consumer'),
  'consumer-protocol-assignors': none('no group.protocol=consumer'),
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
  'admin-list-offsets': none('no ListOffsets but by timestamp; see offset-by-timestamp'),
  'admin-cluster': adminCluster,
  'admin-transactions': none('no DescribeTransactions, DescribeProducers or ListTransactions'),
  'admin-scram-users': none('no SCRAM users'),
  'admin-quotas': none('no quotas'),
  'admin-elections': none('no elections'),
  'admin-reassignments': adminReassignments,
  'admin-log-dirs': none('no log directories'),
  'admin-config-resources': none('no ListConfigResources'),
  ...secured({
    create, exchange: exchangeAs, send: sendAs, consume: consumeAs, transact: transactAs, open: openAs, acls, denied
  }),
  'restart-produce': restartProduce,
  'restart-consume': restartConsume,
  'restart-transaction': restartTransaction
}))
