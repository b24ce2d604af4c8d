// Promise: an OlmMachine that opens a store in this process, while a `reset` is at work on it, does not
// harm the store, and what the call says of the store is true.

import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { integrity } from './support/database'
import { itWith } from './support/needs'
import { ROOT, runScript } from './support/processes'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

/** ROUNDS=400 for the long run. */
const ROUNDS = Number(process.env.ROUNDS ?? 20)

// The host's addon has an SQLite of its own, which does not see the locks of ours.
const HOST = join(ROOT, '__test__', 'host-machine', 'target', 'debug', 'libhost_machine.so')
const missing = existsSync(HOST) ? undefined : 'the host machine is not built: npm run pretest builds it'
// On Windows they do see each other.
const itWithHost = process.platform === 'linux' ? itWith(missing) : it.skip

interface Said {
  /** The status, or the code of the rejection. */
  code: string
  master_key?: string
}

interface Found {
  error?: string
  master_key?: string
  identity_verified?: boolean
  device_cross_signed?: boolean
  /** Whether the machine had to upload its device, if it was asked. */
  has_device_to_upload?: boolean
}

interface Round {
  store: string
  /** How long after the beginning of the call the host opened the store, in milliseconds. */
  delay: number
  before: Said
  call: Said
  host: Found
  later: { call: Said; host: Found }
}

const script = (folder: string, addon: string, uploads: boolean) => `
  const { command } = require(${JSON.stringify(addon)})
  const owner = { user: '${USER_ID}', device: '${DEVICE_ID}' }

  async function ask(name, parameters) {
    const { value, error } = JSON.parse(await command(JSON.stringify({ command: name, ...parameters })))
    if (error !== undefined) throw new Error(error)
    return value
  }
  async function look(store) {
    const { machine } = await ask('open', { store, ...owner })
    try {
      const found = await ask('describe', { machine })
      if (!${uploads}) return found
      const upload = await ask('keysToUpload', { machine })
      return { ...found, has_device_to_upload: upload?.device_keys !== undefined }
    } finally {
      await ask('close', { machine })
    }
  }
  const host = (store) => look(store).catch(({ message }) => ({ error: message }))
  const call = (store, options) =>
    bootstrapCrossSigning(owner.user, owner.device, store, options).then(
      ({ status, upload_keys }) => ({ code: status, master_key: Object.values(upload_keys.master_key.keys)[0] }),
      ({ code }) => ({ code }),
    )
  async function measure() {
    const lengths = []
    for (let n = 0; n < 10; n++) {
      const started = performance.now()
      await call(${JSON.stringify(join(folder, 'measured'))}, { reset: true })
      lengths.push(performance.now() - started)
    }
    return lengths.sort((a, b) => a - b)[5]
  }

  async function main() {
    const length = await measure()
    const rounds = []
    for (let n = 0; n < ${ROUNDS}; n++) {
      const store = ${JSON.stringify(folder)} + '/' + n
      const before = await call(store)
      // The moments are spread over the whole length of a call, and a little more.
      const delay = ((n + Math.random()) / ${ROUNDS}) * length * 1.3
      const pending = call(store, { reset: true, ...(n % 2 && { busyTimeout: 0 }) })
      // A timer is not precise enough.
      for (const end = performance.now() + delay; performance.now() < end; );
      const found = await host(store)
      const said = await pending
      const later = { call: await call(store), host: await host(store) }
      rounds.push({ store, delay, before, call: said, host: found, later })
    }
    console.log(JSON.stringify({ length, rounds }))
  }
  main()
`

/** What is wrong with a store after a round. */
async function problems({ store, before, call, host, later }: Round): Promise<string[]> {
  const said = call.code === 'created' ? call : before
  const isTrusted = later.host.identity_verified && later.host.device_cross_signed
  const found = []
  if (call.code !== 'created' && call.code !== 'STORE_IN_USE') found.push(`the call said ${call.code}`)
  if (later.call.code !== 'resumed') found.push(`a later call says ${later.call.code}`)
  else if (later.call.master_key !== said.master_key) found.push('a later call finds another identity')
  if (later.host.error !== undefined) found.push(`the host cannot open it: ${later.host.error}`)
  else if (later.host.master_key !== said.master_key) found.push('the host finds another identity')
  else if (!isTrusted) found.push('the host does not trust its identity and device')
  else if (host.has_device_to_upload !== undefined && later.host.has_device_to_upload)
    found.push('what the host wrote is lost')
  const sound = await integrity(store).catch(String)
  if (sound !== 'ok') found.push(String(sound))
  return found
}

function describeRound({ before, call, host }: Round): string {
  const identity = host.master_key === before.master_key ? 'the old identity' : 'the new identity'
  return `the call said ${call.code}, the host found ${host.error ?? identity}`
}

function report(length: number, rounds: Round[]): void {
  process.stderr.write(`a call takes ${length.toFixed(1)} ms\n`)
  for (const what of new Set(rounds.map(describeRound))) {
    const delays = rounds.filter((round) => describeRound(round) === what).map(({ delay }) => delay)
    const moments = `${Math.min(...delays).toFixed(1)} to ${Math.max(...delays).toFixed(1)} ms`
    process.stderr.write(`${String(delays.length).padStart(4)}: ${what} (opened after ${moments})\n`)
  }
}

for (const uploads of [false, true]) {
  const what = `a machine opens the store${uploads ? ' and uploads its keys' : ''}`
  itWithHost(
    `${ROUNDS} resets, and in the middle of each ${what}: every store is as its call said`,
    async () => {
      const folder = temporaryFolder()
      const addon = join(folder, 'host.node')
      copyFileSync(HOST, addon)
      const { code, signal, stdout, stderr } = await runScript(script(folder, addon, uploads))
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
      const { length, rounds } = JSON.parse(stdout) as { length: number; rounds: Round[] }
      expect(rounds).toHaveLength(ROUNDS)
      if (process.env.VERBOSE) report(length, rounds)
      const harmed = []
      for (const round of rounds) {
        const found = await problems(round)
        if (found.length > 0) harmed.push(`${describeRound(round)}: ${found.join('; ')}`)
      }
      expect(harmed).toEqual([])
    },
    120_000 + ROUNDS * 1000,
  )
}
