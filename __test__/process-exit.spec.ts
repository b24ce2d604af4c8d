// Promise: a process or a worker thread may end in any way while calls are in flight. It ends at once and
// without a crash, and the next calls find whole stores. Workers may start and end at any time.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { integrity } from './support/database'
import { finish, printed, ROOT, runScript, startScript } from './support/processes'
import { DATABASE, DEVICE_ID, itOnLinux, temporaryFolder, USER_ID } from './support/stores'

/** WORKERS=1000 is the full size. */
const WORKERS = Number(process.env.WORKERS ?? 100)

// A process ends within a few hundredths of a second. The rest is for a busy machine.
const LATE = 5000

/** JavaScript that makes 20 calls and does not wait for them. Half of the stores exist already. */
const inFlight = (folder: string) => `
  const stores = Array.from({ length: 20 }, (_, n) => ${JSON.stringify(folder)} + '/' + n)
  for (const store of stores)
    bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', store, { reset: true }).catch((error) => console.log(error))
`

async function someStores() {
  const folder = temporaryFolder()
  for (let n = 0; n < 20; n += 2) await bootstrapCrossSigning(USER_ID, DEVICE_ID, join(folder, `${n}`))
  return folder
}

async function expectSound(folder: string) {
  for (let n = 0; n < 20; n++) {
    const store = join(folder, `${n}`)
    const { status } = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    if (n % 2 === 0) expect(status).toBe('resumed')
    expect(await integrity(store)).toBe('ok')
    expect(readdirSync(store)).toEqual([DATABASE])
  }
}

const inWorker = (script: string) => `
  const { Worker } = require('node:worker_threads')
  const worker = new Worker(${JSON.stringify(`const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)});${script}`)}, { eval: true })
`

interface End {
  how: string
  /** A script that makes calls. If it ends the process itself, it does so `after` milliseconds later. */
  script: (folder: string, after: number) => string
  signal?: NodeJS.Signals
  expected: { code: number | null; signal: NodeJS.Signals | null; stderr?: string }
}

const ENDS: End[] = [
  {
    how: 'process.exit()',
    script: (folder, after) => `${inFlight(folder)} setTimeout(() => process.exit(7), ${after})`,
    expected: { code: 7, signal: null },
  },
  {
    how: 'an uncaught exception',
    script: (folder, after) =>
      `${inFlight(folder)} setTimeout(() => { throw new Error('of the host') }, ${after})`,
    expected: { code: 1, signal: null, stderr: 'Error: of the host' },
  },
  {
    how: 'SIGTERM',
    script: (folder) => `${inFlight(folder)} setInterval(() => undefined, 1000)`,
    signal: 'SIGTERM',
    expected: { code: null, signal: 'SIGTERM' },
  },
  {
    how: 'SIGKILL',
    script: (folder) => `${inFlight(folder)} setInterval(() => undefined, 1000)`,
    signal: 'SIGKILL',
    expected: { code: null, signal: 'SIGKILL' },
  },
  {
    how: 'the end of a script that does not await its calls',
    script: (folder) => inFlight(folder),
    expected: { code: 0, signal: null },
  },
  {
    how: 'worker.terminate()',
    script: (folder, after) =>
      `${inWorker(inFlight(folder))} setTimeout(() => worker.terminate(), 30 + ${after})`,
    expected: { code: 0, signal: null },
  },
  {
    how: 'process.exit() in a worker',
    script: (folder, after) => inWorker(`${inFlight(folder)} setTimeout(() => process.exit(), ${after})`),
    expected: { code: 0, signal: null },
  },
  {
    how: 'process.exit() while a worker has calls in flight',
    script: (folder, after) =>
      `${inWorker(inFlight(folder))} setTimeout(() => process.exit(7), 30 + ${after})`,
    expected: { code: 7, signal: null },
  },
]

test.each(ENDS)('$how with 20 calls in flight leaves whole stores', async ({ script, signal, expected }) => {
  let slowest = 0
  for (let n = 0; n < 6; n++) {
    const folder = await someStores()
    // All calls take some 40 ms.
    const after = n * 6
    const child = startScript(`${script(folder, after)}; process.stdout.write('made')`)
    const finished = finish(child)
    await printed(child)
    if (signal) {
      await sleep(after)
      child.kill(signal)
    }
    const started = performance.now()
    const { stdout, stderr, ...end } = await finished
    slowest = Math.max(slowest, performance.now() - started)
    expect({ ...end, stdout }).toEqual({ code: expected.code, signal: expected.signal, stdout: 'made' })
    if (expected.stderr === undefined) expect(stderr).toBe('')
    else expect(stderr).toContain(expected.stderr)
    // The signs of a native crash.
    expect(stderr).not.toMatch(/panicked|FATAL|fatal runtime error|Segmentation|abort/i)
    await expectSound(folder)
  }
  expect(slowest).toBeLessThan(LATE)
  if (process.env.VERBOSE) process.stderr.write(`slowest end: ${slowest.toFixed()} ms\n`)
})

test('the main thread and five workers bootstrap own and common stores in parallel', async () => {
  const folder = temporaryFolder()
  const calls = (who: string) => `
    Promise.all(Array.from({ length: 20 }, async (_, n) => {
      const name = n % 2 ? 'common-' + n : '${who}-' + n
      const { upload_keys } = await bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', ${JSON.stringify(folder)} + '/' + name)
      return [name, JSON.stringify(upload_keys)]
    }))`
  const script = `
    const { Worker } = require('node:worker_threads')
    const prelude = ${JSON.stringify(`const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)});`)}
    const workers = Array.from({ length: 5 }, (_, n) => new Promise((resolve, reject) => {
      const script = ${JSON.stringify(calls('worker-WHO'))}.replace('WHO', n) + '.then((done) => require("node:worker_threads").parentPort.postMessage(done))'
      new Worker(prelude + script, { eval: true }).on('message', resolve).on('error', reject)
    }))
    Promise.all([${calls('main')}, ...workers]).then((all) => console.log(JSON.stringify(all.flat())))
  `
  const { code, stdout, stderr } = await runScript(script)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const made = JSON.parse(stdout) as [string, string][]
  expect(made).toHaveLength(6 * 20)
  // Each store has one identity, whichever thread asked.
  expect(new Set(made.map(String)).size).toBe(6 * 10 + 10)
})

itOnLinux(
  `${WORKERS} workers start, make calls and are terminated at random moments: no crash, no thread or handle too many`,
  async () => {
    const script = `
      const { readdirSync } = require('node:fs')
      const { setTimeout: sleep } = require('node:timers/promises')
      const { Worker } = require('node:worker_threads')
      const folder = ${JSON.stringify(temporaryFolder())}
      const calls = \`
        const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)})
        const { workerData, parentPort } = require('node:worker_threads')
        const call = (n) => bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', workerData + n)
        Promise.all(Array.from({ length: 10 }, (_, n) => call(n))).then(() => parentPort.postMessage('done'))
      \`
      const ends = { finished: 0, early: 0, busy: 0 }
      async function comeAndGo(n) {
        // The workers share stores. So their calls meet each other, and they need little disk.
        const worker = new Worker(calls, { eval: true, workerData: folder + '/' + (n % 20) + '-' })
        let [online, done] = [false, false]
        worker.on('online', () => { online = true }).on('message', () => { done = true })
        await sleep(Math.random() * 400)
        ends[done ? 'finished' : online ? 'busy' : 'early']++
        await worker.terminate()
      }
      async function several(count) {
        let next = 0
        const lane = async () => { while (next < count) await comeAndGo(next++) }
        await Promise.all([lane(), lane(), lane(), lane()])
        // Calls for one store queue up. When one more call has ended on each store, all calls have ended.
        const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)})
        for (let n = 0; n < 200; n++) {
          const store = folder + '/' + (n % 20) + '-' + Math.floor(n / 20)
          await bootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', store, { busyTimeout: 60000 })
        }
      }
      const use = () => ({
        threads: readdirSync('/proc/self/task').length,
        handles: readdirSync('/proc/self/fd').length,
      })
      async function main() {
        await several(20)
        const before = use()
        await several(${WORKERS})
        // A thread that has ended may still be listed for a moment.
        for (let n = 0; n < 100 && use().threads > before.threads; n++) await sleep(100)
        console.log(JSON.stringify({ before, after: use(), ends }))
      }
      main()
    `
    const { code, signal, stdout, stderr } = await runScript(script)
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
    interface Use {
      threads: number
      handles: number
    }
    const { before, after, ends } = JSON.parse(stdout) as {
      before: Use
      after: Use
      ends: Record<string, number>
    }
    if (process.env.VERBOSE) process.stderr.write(stdout)
    expect(after.threads).toBeLessThanOrEqual(before.threads)
    expect(after.handles).toBe(before.handles)
    // If all workers ended in the same state, the test would prove nothing.
    for (const count of Object.values(ends)) expect(count).toBeGreaterThan(0)
  },
  120_000 + WORKERS * 500,
)
