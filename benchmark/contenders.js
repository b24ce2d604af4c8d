'use strict'

// The ways to give a ghost its identity that are measured against each other.

const { execFile } = require('node:child_process')
const { existsSync, readFileSync } = require('node:fs')
const { join } = require('node:path')
const { promisify } = require('node:util')

const SIDECAR = join(__dirname, '..', 'target', 'release', 'examples', 'sidecar')
const BINDING = '@matrix-org/matrix-sdk-crypto-nodejs'
const WITHOUT_TEMPLATE = 'RUST_CRYPTO_HELPER_NO_TEMPLATE'

/** The IDs of the processes that a contender has running. */
const processes = new Set()

const loadAddon = () => require('..').bootstrapCrossSigning

/**
 * By name: `title` for the reader; `load`, which returns a function of user, device and store path;
 * `inFlight`, how many of N calls the caller starts at once (all, if it is not there); `env`, what the
 * process needs; `missing`, why it cannot be measured here.
 */
const contenders = {
  addon: {
    title: 'this package',
    load: loadAddon,
  },
  withoutTemplate: {
    title: 'this package, no template',
    load: loadAddon,
    env: { [WITHOUT_TEMPLATE]: '1' },
    // A build that does not look at the variable would be measured as a second `addon`.
    missing() {
      const [binary] = Object.keys(require.cache).filter((path) => path.endsWith('.node'))
      return binary && readFileSync(binary).includes(WITHOUT_TEMPLATE) ? undefined : 'not in this build'
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
        processes.add(pid)
        try {
          return JSON.parse((await running).stdout)
        } finally {
          processes.delete(pid)
        }
      }
    },
    // More processes at once only wait for each other.
    inFlight: 8,
  },
}

/** What the benchmark lacks, and how to get it. */
function problem() {
  try {
    loadAddon()
  } catch (error) {
    return `The addon does not load (npm run build): ${error.message}`
  }
  return existsSync(SIDECAR) ? undefined : 'No sidecar: cargo build --release --locked --example sidecar'
}

module.exports = { SIDECAR, contenders, problem, processes }
