'use strict'

// The ways to give a ghost its identity that are measured against each other.

const { execFile } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { promisify } = require('node:util')

/**
 * @typedef {'addon' | 'binding' | 'sidecar'} Name
 *
 * @typedef {(user: string, device: string, store: string) => Promise<unknown>} Bootstrap
 *
 * @typedef {object} Contender
 * @property {string} title For the reader.
 * @property {() => Bootstrap} load
 * @property {number} [inFlight] How many of N calls the caller starts at once. Without it, all.
 * @property {() => string | undefined} [missing] Why it cannot be measured here.
 */

const SIDECAR = join(__dirname, '..', 'target', 'release', 'examples', 'sidecar')
const BINDING = '@matrix-org/matrix-sdk-crypto-nodejs'

/**
 * The IDs of the processes that a contender has running.
 *
 * @type {Set<number>}
 */
const processes = new Set()

const loadAddon = () => require('..').bootstrapCrossSigning

/** @type {Record<Name, Contender>} */
const contenders = {
  addon: {
    title: 'this package',
    load: loadAddon,
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
    load() {
      const run = promisify(execFile)
      return async (...args) => {
        const running = run(SIDECAR, args)
        const { pid } = running.child
        if (pid) processes.add(pid)
        try {
          return JSON.parse((await running).stdout)
        } finally {
          if (pid) processes.delete(pid)
        }
      }
    },
    // More processes at once only wait for each other.
    inFlight: 8,
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

module.exports = { SIDECAR, contenders, names, problem, processes }
