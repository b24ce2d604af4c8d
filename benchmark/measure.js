'use strict'

// Measurements in processes of their own and in folders that are gone afterwards, however this ends.

const { spawn, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const { join } = require('node:path')
const { SIDECAR, contenders } = require('./contenders')

const running = new Set()
const workspaces = []

process.on('exit', () => {
  running.forEach(end)
  workspaces.forEach(remove)
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/** A temporary folder in `parent`. */
function workspace(parent) {
  const folder = fs.mkdtempSync(join(parent, 'crypto-helper-benchmark-'))
  workspaces.push(folder)
  return folder
}

function end(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has just ended by itself.
  }
}

function remove(folder) {
  // Retried: a process that was killed in a system call may finish that before it dies.
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}

function execute([command, ...args], env) {
  return new Promise((resolve, reject) => {
    // Detached is a process group of its own, which can be ended with all that it started.
    const child = spawn(command, args, {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    child.once('spawn', () => running.add(child))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      running.delete(child)
      if (code === 0) resolve(output)
      else reject(new Error(`${args.at(-1)} ended with ${code ?? signal}`))
    })
  })
}

/** Bootstraps `count` new ghosts in `folder`, all in flight at once or one after the other. */
async function measure(contender, folder, count, options) {
  const result = await run(contender, folder, count, options)
  const reasons = Object.keys(result.rejected)
  if (reasons.length > 0) throw new Error(`${contender} rejects: ${reasons.join(', ')}`)
  return result
}

async function run(contender, folder, count, { atOnce = false, gauges = false, through = [] } = {}) {
  const { env, inFlight = count } = contenders[contender]
  const stores = fs.mkdtempSync(join(folder, 'stores-'))
  const job = { contender, folder: stores, count, inFlight: atOnce ? inFlight : 1, gauges }
  try {
    const worker = [process.execPath, join(__dirname, 'worker.js'), JSON.stringify(job)]
    return JSON.parse(await execute([...through, ...worker], env))
  } finally {
    remove(stores)
  }
}

/** Milliseconds per ghost of the SDK without a store, in as many processes as can work at once. */
async function measureFloor(count, processes) {
  const each = Array.from({ length: processes }, () => execute([SIDECAR, '--memory', String(count)]))
  return Math.max(...(await Promise.all(each)).map(Number)) / processes
}

/** All in flight with no more than 256 file handles, macOS's default. Rejections are a result here. */
function measureLimited(contender, folder, count) {
  const through = ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh']
  return run(contender, folder, count, { atOnce: true, gauges: true, through })
}

function canTrace() {
  return spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0
}

/** How often a contender waits for the disk: for the first ghost of a process, and for each further. */
async function countSyncs(contender, folder, count) {
  const log = join(folder, 'strace.log')
  const through = ['strace', '-f', '-qq', '-e', 'trace=fsync,fdatasync', '-o', log]
  const syncs = async (ghosts) => {
    await measure(contender, folder, ghosts, { through })
    return fs.readFileSync(log, 'utf8').match(/\b(fsync|fdatasync)\(/g)?.length ?? 0
  }
  const first = await syncs(0)
  return { first, further: ((await syncs(count)) - first) / count }
}

/** Milliseconds that writing a page through to the disk takes. */
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

module.exports = { canTrace, countSyncs, measure, measureFloor, measureLimited, syncTimes, workspace }
