'use strict'

// Publishes many ghosts on a real Synapse with the command: killed in the middle, run again, and checked. Then it and the
// pattern of the sidecar, a process per ghost and its requests, publish others in turn:
//   node benchmark/operators.js [--ghosts N] [--quick] [--folder DIR]

const { spawn } = require('node:child_process')
const { existsSync, readFileSync, writeFileSync } = require('node:fs')
const { availableParallelism, loadavg, tmpdir } = require('node:os')
const { join } = require('node:path')
const { createInterface } = require('node:readline')
const { Readable } = require('node:stream')
const { parseArgs } = require('node:util')
const { SIDECAR, contenders } = require('./contenders')
const { Synapse, TOKEN, missing } = require('./homeserver')
const { workspace } = require('./measure')

/**
 * @typedef {{ user_id: string, device_id: string, store_path: string }} Ghost
 *
 * @typedef {object} Cost of a way to publish ghosts
 * @property {number} ghosts how many
 * @property {number} seconds
 * @property {number} waiting seconds in which the homeserver had a request to answer
 * @property {number} processor seconds of the homeserver's processor
 * @property {Record<string, number>} requests how many, by method and endpoint
 */

const COMMAND = join(__dirname, '..', 'bin', 'rust-crypto-helper.js')
const DEVICE = 'GHOSTDEVICE'
const REGISTERING = 16
const ROUNDS = 4
/** How often a run tells its memory. */
const SAMPLES = 8

const { values: options } = parseArgs({
  options: {
    ghosts: { type: 'string', default: '2000' },
    quick: { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() },
  },
})
const count = options.quick ? 60 : Number(options.ghosts)
/** How many ghosts each way publishes in a round. */
const inRound = Math.ceil(Math.min(count, 400) / ROUNDS)

/** @param {string} text */
const progress = (text) => console.error(text)

/**
 * Does something for each item, for some at the same time.
 *
 * @template T
 * @param {T[]} items
 * @param {number} atOnce
 * @param {(item: T) => Promise<void>} work
 */
async function each(items, atOnce, work) {
  let next = 0
  const lane = async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}

/**
 * @param {Synapse} synapse
 * @param {string} folder
 * @param {string} prefix
 * @param {number} length how many
 * @returns {Promise<Ghost[]>}
 */
async function register(synapse, folder, prefix, length) {
  /** @type {Ghost[]} */
  const ghosts = []
  const numbers = Array.from({ length }, (_, n) => n)
  await each(numbers, REGISTERING, async (n) => {
    const user_id = await synapse.register(`_${prefix}_${n}`)
    ghosts.push({ user_id, device_id: DEVICE, store_path: join(folder, prefix, String(n)) })
  })
  return ghosts
}

/**
 * What something costs.
 *
 * @param {Synapse} synapse
 * @param {number} ghosts
 * @param {() => Promise<void>} work
 * @returns {Promise<Cost>}
 */
async function measure(synapse, ghosts, work) {
  const processor = synapse.processorTime()
  const since = Date.now() / 1000
  await work()
  const seconds = Date.now() / 1000 - since
  /** @type {Record<string, number>} */
  const requests = {}
  let [waiting, until] = [0, since]
  for (const { name, from, to } of synapse.requests(since).sort((a, b) => a.from - b.from)) {
    requests[name] = (requests[name] ?? 0) + 1
    waiting += Math.max(0, to - Math.max(from, until))
    until = Math.max(until, to)
  }
  return { ghosts, seconds, waiting, processor: synapse.processorTime() - processor, requests }
}

/**
 * @param {Cost[]} costs
 * @returns {Cost}
 */
function sum(costs) {
  /** @type {Cost} */
  const total = { ghosts: 0, seconds: 0, waiting: 0, processor: 0, requests: {} }
  for (const cost of costs) {
    total.ghosts += cost.ghosts
    total.seconds += cost.seconds
    total.waiting += cost.waiting
    total.processor += cost.processor
    for (const [name, times] of Object.entries(cost.requests)) {
      total.requests[name] = (total.requests[name] ?? 0) + times
    }
  }
  return total
}

/**
 * Runs the command with the ghosts on its standard input.
 *
 * @param {Synapse} synapse
 * @param {string} name
 * @param {Ghost[]} ghosts
 * @param {number} [killedAfter] so many results
 */
async function run(synapse, name, ghosts, killedAfter = Infinity) {
  const args = [COMMAND, name, '--homeserver', synapse.url, '--ghosts', '-', '--json']
  const env = { ...process.env, RUST_CRYPTO_HELPER_AS_TOKEN: TOKEN }
  const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise((end) => child.once('close', (code) => end(code)))
  // It may end before it has read everything.
  child.stdin.on('error', () => undefined)
  Readable.from(ghosts.map((ghost) => `${JSON.stringify(ghost)}\n`)).pipe(child.stdin)
  /** @type {Record<string, number>} */
  const statuses = {}
  let results = 0
  /** @type {number[]} */
  const memory = []
  for await (const line of createInterface({ input: child.stdout })) {
    const { status, error } = JSON.parse(line)
    const key = status ?? error.code
    statuses[key] = (statuses[key] ?? 0) + 1
    if (++results % Math.ceil(ghosts.length / SAMPLES) === 0) memory.push(memoryOf(child.pid))
    if (results === killedAfter) child.kill('SIGKILL')
  }
  return { code: await ended, statuses, memory }
}

/**
 * In MB. NaN: the process has ended.
 *
 * @param {number | undefined} pid
 */
function memoryOf(pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024)
  } catch {
    return NaN
  }
}

/**
 * A process per ghost, and the requests that publish what it prints.
 *
 * @param {Synapse} synapse
 * @param {Ghost} ghost
 */
async function publishBySidecar(synapse, { user_id, device_id, store_path }) {
  const bootstrap = contenders.sidecar.load()
  const payloads = /** @type {any} */ (await bootstrap(user_id, device_id, store_path))
  const query = { user_id, device_id }
  // The sidecar does not print them: they come from the ghost's OlmMachine. This takes a few milliseconds.
  const { upload_device_keys } = /** @type {any} */ (
    await contenders.addon.load()(user_id, device_id, store_path)
  )
  await synapse.send('PUT', `/devices/${device_id}`, {}, { user_id })
  await synapse.send('POST', '/keys/upload', upload_device_keys, query)
  await synapse.send('POST', '/keys/device_signing/upload', payloads.upload_keys, query)
  await synapse.send('POST', '/keys/signatures/upload', payloads.upload_signatures, query)
}

/**
 * @param {string} title
 * @param {Cost} cost
 */
function row(title, { ghosts, seconds, waiting, processor, requests }) {
  const sent = Object.values(requests).reduce((sum, times) => sum + times, 0)
  const cells = [
    title,
    ghosts.toLocaleString('en-US'),
    `${seconds.toFixed(1)} s`,
    `${((seconds * 1000) / ghosts).toFixed(1)} ms`,
    (sent / ghosts).toFixed(2),
    `${Math.round((waiting / seconds) * 100)} %`,
    `${Math.round((processor / seconds) * 100)} %`,
  ]
  return `| ${cells.join(' | ')} |`
}

/** @param {Cost} cost */
const listed = ({ requests }) =>
  Object.entries(requests)
    .map(([name, times]) => `${times.toLocaleString('en-US')} × \`${name}\``)
    .join(', ')

async function main() {
  const problem = missing() ?? (existsSync(SIDECAR) ? undefined : 'no sidecar: npm run prebench builds it')
  if (problem) throw new Error(problem)
  const [load = 0] = loadavg()
  const folder = workspace(options.folder)
  const synapse = await Synapse.start(join(folder, 'synapse'))
  try {
    progress(`registering ${count + 2 * ROUNDS * inRound} ghosts`)
    const ghosts = await register(synapse, folder, 'a', count)
    const [ours, theirs] = [
      await register(synapse, folder, 'b', ROUNDS * inRound),
      await register(synapse, folder, 'c', ROUNDS * inRound),
    ]

    progress('publishing them, killed in the middle and run again')
    /** @type {Awaited<ReturnType<typeof run>>[]} */
    const runs = []
    const half = Math.floor(count / 2)
    const command = await measure(synapse, count, async () => {
      runs.push(await run(synapse, 'publish', ghosts, half))
      runs.push(await run(synapse, 'publish', ghosts))
    })
    const checking = await measure(synapse, count, async () => {
      runs.push(await run(synapse, 'status', ghosts))
    })
    const [killed, again, status] = /** @type {[typeof runs[0], typeof runs[0], typeof runs[0]]} */ (runs)

    progress('publishing the others in turn with the command and with a process per ghost')
    const [byCommand, bySidecar] = /** @type {[Cost[], Cost[]]} */ ([[], []])
    for (let round = 0; round < ROUNDS; round++) {
      const [from, to] = [round * inRound, (round + 1) * inRound]
      const publish = async () => void (await run(synapse, 'publish', ours.slice(from, to)))
      byCommand.push(await measure(synapse, inRound, publish))
      const inFlight = contenders.sidecar.inFlight ?? 1
      const work = () => each(theirs.slice(from, to), inFlight, (ghost) => publishBySidecar(synapse, ghost))
      bySidecar.push(await measure(synapse, inRound, work))
    }
    const verified = await run(synapse, 'status', [...ours, ...theirs])
    const [inTurn, sidecar] = [sum(byCommand), sum(bySidecar)]
    const ratio = inTurn.seconds / inTurn.ghosts / (sidecar.seconds / sidecar.ghosts)

    const report = `# Operators

Ghosts that are registered and have neither a device nor a store, on Synapse ${synapse.version} with SQLite. \
Everything runs on the same ${availableParallelism()} cores, whose load was ${load.toFixed(1)} before. \`node benchmark/operators.js\` makes this page.

- *publish, killed*: \`rust-crypto-helper publish\`, with the ghosts from a stream. It was killed after ${half.toLocaleString('en-US')} results and run again. The time is that of both runs.
- *publish* and *a process per ghost* take turns, ${ROUNDS} times with ${inRound} ghosts each.
- *a process per ghost*: the pattern of the sidecar. A program makes the keys in the plain way and ends, and four requests publish them. ${contenders.sidecar.inFlight} run at a time. Nothing is checked. The device keys come from a call of this package, because the sidecar leaves them to the ghost's \`OlmMachine\`.
- *homeserver at work*: the part of the time in which Synapse had at least one request to answer. *its processor*: the part in which it kept a processor busy. The rest is its disk, and the share of the other programs.

| | ghosts | time | per ghost | requests per ghost | homeserver at work | its processor |
|---|---|---|---|---|---|---|
${row('publish, killed', command)}
${row('`status` of all', checking)}
${row('publish', inTurn)}
${row('a process per ghost', sidecar)}

- \`publish\` takes ${ratio.toFixed(2)} of the time that a process per ghost takes.
- Requests of *publish, killed*: ${listed(command)}.
- Requests of *a process per ghost*: ${listed(sidecar)}.
- The run that was killed: ${JSON.stringify(killed.statuses)}. The second run: ${JSON.stringify(again.statuses)}, exit code ${again.code}. \`status\` then: ${JSON.stringify(status.statuses)}, exit code ${status.code}. \`status\` of the others: ${JSON.stringify(verified.statuses)}, exit code ${verified.code}.
- Memory in MB, after each ${Math.ceil(count / SAMPLES).toLocaleString('en-US')} ghosts: ${killed.memory.join(', ')} in the first run, ${again.memory.join(', ')} in the second, ${status.memory.join(', ')} in \`status\`.
`
    console.log(report)
    if (!options.quick) writeFileSync(join(__dirname, 'operators.md'), report)
    if (again.code !== 0 || status.code !== 0 || verified.code !== 0) process.exitCode = 1
  } finally {
    synapse.stop()
  }
}

void main()
