'use strict'

// The ways to give a ghost its identity that are measured against each other.

const { execFile, spawnSync } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { promisify } = require('node:util')

/**
 * @typedef {'addon' | 'binding' | 'sidecar' | 'olderSidecar'} Name
 *
 * @typedef {(user: string, device: string, store: string) => Promise<unknown>} Bootstrap
 *
 * @typedef {object} Contender
 * @property {string} title For the reader.
 * @property {() => Bootstrap} load
 * @property {(homeserverUrl: string) => Bootstrap} [loadPublisher] Bootstraps and publishes.
 * @property {number} [inFlight] How many of N calls the caller starts at once. Without it, all.
 * @property {() => string | undefined} [missing] Why it cannot be measured here.
 */

const ROOT = join(__dirname, '..')
const SIDECAR = join(ROOT, 'target', 'release', 'examples', 'sidecar')
/** In the folder of a crate of its own: two versions of SQLite cannot be linked together. */
const OLDER_SDK = join(ROOT, '__test__', 'host-machine')
const OLDER_SIDECAR = join(OLDER_SDK, 'target', 'release', 'examples', 'sidecar')
const BINDING = '@matrix-org/matrix-sdk-crypto-nodejs'

/**
 * The IDs of the processes that a contender has running.
 *
 * @type {Set<number>}
 */
const processes = new Set()

const loadAddon = () => require('..').bootstrapCrossSigning

/**
 * A process per ghost.
 *
 * @param {string} program
 * @returns {Bootstrap}
 */
function loadSidecar(program) {
  const run = promisify(execFile)
  return async (...args) => {
    const running = run(program, args)
    const { pid } = running.child
    if (pid) processes.add(pid)
    try {
      return JSON.parse((await running).stdout)
    } finally {
      if (pid) processes.delete(pid)
    }
  }
}

/**
 * A process per ghost, and the requests that publish what it prints. Nothing is asked or checked.
 *
 * @param {string} program
 * @param {string} homeserverUrl
 * @returns {Bootstrap}
 */
function loadSidecarPublisher(program, homeserverUrl) {
  const bootstrap = loadSidecar(program)
  return async (user, device, store) => {
    const payloads = /** @type {any} */ (await bootstrap(user, device, store))
    /** @param {[method: string, path: string, body: object]} request */
    const send = async (...[method, path, body]) => {
      const query = new URLSearchParams({ user_id: user, device_id: device })
      const response = await fetch(`${homeserverUrl}/_matrix/client/v3/${path}?${query}`, {
        method,
        headers: { Authorization: 'Bearer benchmark', 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
      await response.text()
    }
    await send('PUT', `devices/${device}`, {})
    await send('POST', 'keys/upload', { device_keys: payloads.upload_signatures[user][device] })
    await send('POST', 'keys/device_signing/upload', payloads.upload_keys)
    await send('POST', 'keys/signatures/upload', payloads.upload_signatures)
  }
}

/** @type {Record<Name, Contender>} */
const contenders = {
  addon: {
    title: 'this package',
    load: loadAddon,
    loadPublisher(homeserverUrl) {
      const { CrossSigningPublisher } = require('../dist/publisher')
      const publisher = new CrossSigningPublisher({ homeserverUrl, asToken: 'benchmark' })
      return (user, device, store) => publisher.publish(user, device, store)
    },
  },
  binding: {
    title: 'matrix-sdk-crypto-nodejs',
    load() {
      const { DeviceId, OlmMachine, UserId } = require(BINDING)
      return async (user, device, store) => {
        const machine = await OlmMachine.initialize(new UserId(user), new DeviceId(device), store)
        await machine.bootstrapCrossSigning(false)
        machine.close()
      }
    },
    missing() {
      try {
        require(BINDING)
        return undefined
      } catch {
        return 'not installed'
      }
    },
  },
  sidecar: {
    title: 'a process per ghost',
    load: () => loadSidecar(SIDECAR),
    loadPublisher: (homeserverUrl) => loadSidecarPublisher(SIDECAR, homeserverUrl),
    // More processes at once only wait for each other.
    inFlight: 8,
  },
  olderSidecar: {
    title: 'a process per ghost, SDK 0.9',
    load: () => loadSidecar(OLDER_SIDECAR),
    loadPublisher: (homeserverUrl) => loadSidecarPublisher(OLDER_SIDECAR, homeserverUrl),
    inFlight: 8,
    missing: () => (existsSync(OLDER_SIDECAR) ? undefined : 'not built'),
  },
}

const names = /** @type {Name[]} */ (Object.keys(contenders))

/** What the benchmark lacks, and how to get it. */
function problem() {
  try {
    loadAddon()
  } catch (error) {
    return `The addon does not load (npm run build): ${error}`
  }
  return existsSync(SIDECAR) ? undefined : 'No sidecar: cargo build --release --locked --example sidecar'
}

/** Builds the sidecar of SDK 0.9. The first time takes some minutes. */
function buildOlderSidecar() {
  const args = ['build', '--release', '--locked', '--example', 'sidecar']
  // Its folder has settings of its own for cargo.
  spawnSync('cargo', args, { cwd: OLDER_SDK, stdio: 'inherit' })
}

module.exports = { SIDECAR, buildOlderSidecar, contenders, names, problem, processes }
