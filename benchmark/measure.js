'use strict'

// Measurements in processes of their own and in folders that are gone afterwards, however this ends.

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const { dirname, join } = require('node:path')
const { SIDECAR, contenders } = require('./contenders')

/**
 * @typedef {import('./contenders').Name} Name
 * @typedef {import('./worker').Measurement} Measurement
 *
 * @typedef {object} Options
 * @property {boolean} [atOnce] Whether the calls are in flight together, or made one after the other.
 * @property {import('./worker').Job['task']} [task] By default, new stores are made.
 * @property {string | undefined} [homeserverUrl] Where to publish.
 * @property {boolean} [gauges] Whether to watch what the process takes.
 * @property {string[]} [through] The command that starts the process.
 */

/** @type {Set<number>} */
const running = new Set()
/** @type {string[]} */
const workspaces = []

process.on('exit', () => {
  running.forEach(end)
  workspaces.forEach(remove)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/**
 * A temporary folder in `parent`.
 *
 * @param {string} parent
 */
function workspace(parent) {
  const folder = fs.mkdtempSync(join(parent, 'crypto-helper-benchmark-'))
  workspaces.push(folder)
  return folder
}

/** @param {number} group Of processes. */
function end(group) {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

/** @param {string} folder */
function remove(folder) {
  // Retried: a process that was killed in a system call may finish that before it dies.
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

/**
 * Runs a command and resolves with what it prints.
 *
 * @param {string} command
 * @param {...string} args
 * @returns {Promise<string>}
 */
function execute(command, ...args) {
  return new Promise((resolve, reject) => {
    // Detached is a process group of its own, which can be ended with all that it started.
    const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
    const { pid = 0 } = child // without one, there is no process, and an error
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    child.once('spawn', () => running.add(pid))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      running.delete(pid)
      if (code === 0) resolve(output)
      else reject(new Error(`${command} ${args.join(' ').slice(0, 200)} ended with ${code ?? signal}`))
    })
  })
}

/**
 * Gives a job to a worker, which is one of the scripts here. Resolves with what it answers.
 *
 * @template Job
 * @param {string} worker
 * @param {Job} job
 * @param {string[]} [through] The command that starts the process.
 */
async function work(worker, job, through = []) {
  const [command = '', ...args] = [...through, process.execPath, join(__dirname, worker), JSON.stringify(job)]
  return JSON.parse(await execute(command, ...args))
}

/**
 * Bootstraps `count` new ghosts in `folder`.
 *
 * @param {Name} contender
 * @param {string} folder
 * @param {number} count
 * @param {Options} [options]
 */
async function measure(contender, folder, count, options) {
  const result = await run(contender, folder, count, options)
  const reasons = Object.keys(result.rejected)
  if (reasons.length > 0) throw new Error(`${contender} rejects: ${reasons.join(', ')}`)
  return result
}

/**
 * @param {Name} contender
 * @param {string} folder
 * @param {number} count
 * @param {Options} [options]
 * @returns {Promise<Measurement>}
 */
async function run(contender, folder, count, options = {}) {
  const { atOnce = false, gauges = false, task = 'create', homeserverUrl, through = [] } = options
  const { inFlight = count } = contenders[contender]
  const stores = fs.mkdtempSync(join(folder, 'stores-'))
  /** @type {import('./worker').Job} */
  const job = {
    contender,
    folder: stores,
    count,
    inFlight: atOnce ? inFlight : 1,
    task,
    homeserverUrl,
    gauges,
  }
  try {
    return await work('worker.js', job, through)
  } finally {
    remove(stores)
  }
}

/**
 * The bytes of a new store on the disk, when nobody has it open.
 *
 * @param {Name} contender
 * @param {string} folder
 */
async function storeSize(contender, folder) {
  const store = join(fs.mkdtempSync(join(folder, 'size-')), 'store')
  await contenders[contender].load()('@_ghost:example.org', 'GHOSTDEVICE', store)
  const bytes = fs.readdirSync(store).map((name) => fs.statSync(join(store, name)).size)
  remove(dirname(store))
  return bytes.reduce((sum, size) => sum + size, 0)
}

/**
 * Starts a homeserver that answers at once.
 *
 * @returns {Promise<{ url: string, stop: () => void }>}
 */
function startHomeserver() {
  return new Promise((resolve, reject) => {
    const script = join(__dirname, 'publishing-homeserver.js')
    // It ends with its standard input, so also with this process.
    const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdout.once('data', (url) => resolve({ url: String(url).trim(), stop: () => child.stdin.end() }))
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the homeserver has ended with ${code}`)))
  })
}

/**
 * Milliseconds per ghost of the SDK without a store, in as many processes as can work at once.
 *
 * @param {number} count
 * @param {number} processes
 */
async function measureInMemory(count, processes) {
  const each = Array.from({ length: processes }, () => execute(SIDECAR, '--memory', String(count)))
  return Math.max(...(await Promise.all(each)).map(Number)) / processes
}

/**
 * All in flight with no more than 256 file handles, macOS's default. Rejections are a result here.
 *
 * @param {Name} contender
 * @param {string} folder
 * @param {number} count
 */
function measureLimited(contender, folder, count) {
  const through = ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh']
  return run(contender, folder, count, { atOnce: true, gauges: true, through })
}

function canTrace() {
  return spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
}

/**
 * Does something through strace, in `folder`. Resolves with the system calls that it made, one a line.
 *
 * @param {string} folder
 * @param {string[]} calls
 * @param {(through: string[]) => Promise<unknown>} something
 */
async function trace(folder, calls, something) {
  const logs = fs.mkdtempSync(join(folder, 'strace-'))
  try {
    // A log for each thread, so that no line is broken by another thread's. A handle comes with its
    // path. What is written stays out: it may be a private key.
    const what = ['-e', `trace=${calls.map((name) => `?${name}`).join()}`]
    await something(['strace', '-ff', '-qq', '-y', '-s', '0', ...what, '-o', join(logs, 'log')])
    return fs.readdirSync(logs).flatMap((name) => fs.readFileSync(join(logs, name), 'utf8').split('\n'))
  } finally {
    remove(logs)
  }
}

const SYNCS = ['fsync', 'fdatasync']

/** @param {string[]} lines */
const countSyncs = (lines) => lines.filter((line) => SYNCS.some((name) => line.startsWith(`${name}(`))).length

/**
 * How often a contender waits for the disk: for the first ghost of a process, and for each further.
 *
 * @param {Name} contender
 * @param {string} folder
 * @param {number} count
 */
async function measureSyncs(contender, folder, count) {
  /** @param {number} ghosts */
  const syncs = async (ghosts) =>
    countSyncs(await trace(folder, SYNCS, (through) => measure(contender, folder, ghosts, { through })))
  const first = await syncs(0)
  return { first, further: ((await syncs(count)) - first) / count }
}

/**
 * Milliseconds that writing a page through to the disk takes.
 *
 * @param {string} folder
 */
function syncTimes(folder) {
  const file = fs.openSync(join(folder, 'page'), 'w')
  const page = new Uint8Array(4096)
  const times = Array.from({ length: 100 }, () => {
    const start = performance.now()
    fs.writeSync(file, page, 0, page.length, 0)
    fs.fsyncSync(file)
    return performance.now() - start
  })
  fs.closeSync(file)
  return times
}

module.exports = {
  SYNCS,
  canTrace,
  countSyncs,
  execute,
  measure,
  measureInMemory,
  measureLimited,
  measureSyncs,
  remove,
  startHomeserver,
  storeSize,
  syncTimes,
  trace,
  work,
  workspace,
}
