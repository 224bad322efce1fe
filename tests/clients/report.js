// What the Node scripts share. Lines on standard output as in report.py.
'use strict'

const { randomBytes } = require('node:crypto')
const { createInterface } = require('node:readline')
const assert = require('node:assert')

const [broker, ...only] = process.argv.slice(2)
const DEADLINE_MS = 120_000
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

class Unsupported extends Error {}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))
const name = (what) => `${what}-${randomBytes(4).toString('hex')}`
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
const ascending = (numbers) => [...numbers].sort((a, b) => a - b)

function need (condition, message) {
  if (!condition) throw new Error(message)
}

function equal (actual, expected, what) {
  try {
    assert.deepStrictEqual(actual, expected)
  } catch {
    const show = (value) => JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v))?.slice(0, 500)
    throw new Error(`${what}: ${show(actual)} instead of ${show(expected)}`)
  }
}

async function until (condition, what, milliseconds = DEADLINE_MS) {
  const end = Date.now() + milliseconds
  while (!(await condition())) {
    need(Date.now() < end, `not within ${milliseconds / 1000} s: ${what}`)
    await sleep(20)
  }
}

/** The error of a call that must fail. */
async function refused (call, what) {
  try {
    await call()
  } catch (error) {
    return error
  }
  throw new Error(`not refused: ${what}`)
}

async function restartBroker () {
  process.stdout.write('RESTART\n')
  const { value } = await answers.next()
  equal(value, 'ready', 'the broker was started again')
}

function cause (error) {
  const own = (error.stack ?? '').split('\n').find((line) => line.includes(process.argv[1]))
  const line = own ? ` (line ${own.match(/:(\d+):\d+\)?$/)?.[1]})` : ''
  const inner = (error.errors ?? [error.cause]).filter(Boolean).map((e) => `: ${e.message ?? JSON.stringify(e)}`)
  return `${error.name} ${error.message}${inner.join('')}${line}`.replace(/\s+/g, ' ')
}

/** Tries behaviours in order; a client may also fail outside of any call. */
async function run (behaviours) {
  let stray = () => {}
  for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, (error) => stray(error))
  for (const [title, behaviour] of Object.entries(behaviours)) {
    if (only.length > 0 && !only.includes(title)) continue
    const started = Date.now()
    const failing = new Promise((resolve, reject) => { stray = reject })
    const late = sleep(2 * DEADLINE_MS).then(() => { throw new Error('not done within 240 s') })
    late.catch(() => {})
    failing.catch(() => {})
    try {
      await Promise.race([behaviour(), failing, late])
      process.stdout.write(`PASS ${title}\n`)
    } catch (error) {
      const word = error instanceof Unsupported ? `NONE ${title}: ${error.message}` : `FAIL ${title}: ${cause(error)}`
      process.stdout.write(`${word}\n`)
    }
    process.stderr.write(`${title}: ${Date.now() - started} ms\n`)
  }
  process.exit(0)
}

module.exports = {
  broker, DEADLINE_MS, Unsupported, sleep, name, range, ascending, need, equal, until, refused, restartBroker, run
}
