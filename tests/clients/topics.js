// What the Node scripts try with topics of all kinds, in terms of what both clients can do. See topics.py.
'use strict'

const { ascending, equal, name, need, range, until } = require('./report.js')

/** Long enough ago that no test began then. Units: ms. */
const LONG_AGO = 1_600_000_000_000
const PARTITIONS = 1_000

/**
 * create(what, partitions, configs): makes a topic;
 * write(topic, records): sends records { partition, key, value, timestamp? }; value may be null;
 * read(topic, enough): gives the records from the beginning once enough(records) holds, { key, value, timestamp };
 * codecs: what the client can read.
 */
function topics ({ create, write, read, codecs = ['gzip', 'snappy', 'lz4', 'zstd'] }) {
  const count = (number) => (records) => records.length >= number
  return {
    'log-append-time': async () => {
      const topic = await create('appended', 1, { 'message.timestamp.type': 'LogAppendTime' })
      await write(topic, [{ partition: 0, key: 'k', value: 'v', timestamp: LONG_AGO - 1 }])
      const [{ key, value, timestamp }] = await read(topic, count(1))
      equal([key, value], ['k', 'v'], 'record')
      need(timestamp > LONG_AGO, `timestamp ${timestamp}`)
    },
    recompression: async () => {
      for (const codec of [...codecs, 'uncompressed']) {
        const topic = await create('recompressed', 1, { 'compression.type': codec })
        const records = range(0, 300).map((i) => ({ key: `k${i}`, value: `value ${i} `.repeat(20) }))
        await write(topic, records.map((record) => ({ partition: 0, ...record })))
        const found = await read(topic, count(300))
        equal(found.map(({ key, value }) => ({ key, value })), records, `${codec}: records`)
      }
    },
    compaction: () => compaction(create, write, read),
    'many-partitions': async () => {
      const topic = await create('wide', PARTITIONS)
      await write(topic, range(0, PARTITIONS).map((i) => ({ partition: i, key: 'k', value: String(i) })))
      const found = await read(topic, count(PARTITIONS))
      equal(ascending(found.map(({ value }) => Number(value))), range(0, PARTITIONS), 'records')
    }
  }
}

async function compaction (create, write, read) {
  const topic = await create('compacted', 1, {
    'cleanup.policy': 'compact', 'segment.ms': '100', 'min.cleanable.dirty.ratio': '0.01', 'delete.retention.ms': '0'
  })
  for (const round of range(0, 5)) {
    await write(topic, range(0, 20).map((i) => ({ partition: 0, key: `k${i}`, value: String(round) })))
  }
  await write(topic, [{ partition: 0, key: 'k0', value: null }])
  const expected = range(1, 20).map((i) => `k${i}=4`)
  await until(async () => {
    // The segment that is written to is left alone, so something has to begin another one.
    const last = name('last')
    await write(topic, [{ partition: 0, key: 'last', value: last }])
    const found = await read(topic, (records) => records.at(-1)?.value === last)
    const kept = found.filter(({ key }) => key !== 'last').map(({ key, value }) => `${key}=${value}`)
    return kept.join() === expected.join()
  }, 'one record of each key but the deleted one')
}

module.exports = { topics, PARTITIONS }
