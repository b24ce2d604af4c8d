'use strict'

// Publishes the ghosts of a run, or says what would be done, and hands on what became of each.

const { examine, identify, inspect } = require('./examination.js')
const { readGhosts } = require('./ghosts.js')
const { problemOf } = require('./problems.js')
const { untilAborted } = require('./run.js')

/**
 * @typedef {import('./examination.js').Finding} Finding
 * @typedef {import('./ghosts.js').Entry} Entry
 * @typedef {import('./ghosts.js').Ghost} Ghost
 * @typedef {import('./run.js').Run} Run
 *
 * @typedef {object} Result what became of a ghost
 * @property {Ghost} ghost
 * @property {string} [status] as `bootstrapCrossSigning` reports it
 * @property {object} [details] for programs
 * @property {import('./problems.js').Problem} [problem] why it is not published
 * @property {boolean} [isLeft] its turn did not come before the run was stopped
 *
 * @typedef {(result: Result) => Promise<void>} Record
 */

/**
 * How long to wait for a store that is in use, in milliseconds. A program that only looks at the store is done by then.
 * To wait longer for a running bridge is no use: it keeps its stores open, perhaps thousands of them.
 */
const STORE_WAIT = 1000

/**
 * Looks only. Nothing is changed, neither in stores nor on the homeserver.
 *
 * @param {Run} run
 * @param {Record} record
 * @param {AbortSignal} signal
 */
async function rehearse(run, record, signal) {
  const entries = readGhosts(run.file, run.storePaths, signal)
  await untilAborted(signal, async () => {
    for await (const findings of examine(entries, run, signal)) {
      for (const { ghost, publishing: status, problem } of findings) {
        await record(
          status ? { ghost, status, details: { dry_run: true } } : { ghost, ...withProblem(problem) },
        )
      }
    }
  })
}

/**
 * @param {Run} run
 * @param {Record} record
 * @param {object} options
 * @param {number | undefined} options.concurrency
 * @param {AbortSignal} options.signal
 * @param {boolean} options.wantsRest whether ghosts whose turn does not come are handed on, too
 */
async function perform(run, record, { concurrency, signal, wantsRest }) {
  const entries = identifyAll(readGhosts(run.file, run.storePaths, signal), run.passphrase, signal)
  /** Ghosts that were taken from the list and have no result yet. @type {Set<Ghost>} */
  const taken = new Set()
  const next = async () => {
    for (;;) {
      const { value: entry, done } = await entries.next()
      if (done || !entry) return { value: undefined, done: /** @type {const} */ (true) }
      const { ghost, error } = entry
      if (!error) {
        const own = /** @type {import('../dist/publisher').Ghost} */ ({
          ...ghost,
          passphrase: run.passphrase,
        })
        taken.add(own)
        return { value: own, done: /** @type {const} */ (false) }
      }
      await record({ ghost, problem: problemOf(error) })
    }
  }
  // Without `return`, the list stays open: after Ctrl-C the rest of it is read.
  const source = { [Symbol.asyncIterator]: () => ({ next }) }
  await untilAborted(signal, async () => {
    const options = { concurrency, busyTimeout: STORE_WAIT, signal }
    for await (const outcome of run.publisher.publishAll(source, options)) {
      taken.delete(outcome.ghost)
      await record(resultOf(outcome))
    }
  })
  if (!signal.aborted || !wantsRest) return
  for await (const { ghost } of entries) await record({ ghost, isLeft: true })
  for (const ghost of taken) await record({ ghost, isLeft: true })
}

/**
 * Finds out whose the stores are of which only the path is known.
 *
 * @param {AsyncIterable<Entry>} entries
 * @param {string | undefined} passphrase
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Entry, void, undefined>}
 */
async function* identifyAll(entries, passphrase, signal) {
  const { inGroups } = require('../dist/publisher/in-parallel.js')
  const { GROUP_SIZE, PATIENCE } = require('../dist/publisher/grouped-queries.js')
  for await (const group of inGroups(entries, GROUP_SIZE, PATIENCE)) {
    const identified = group.map(async (entry) => {
      const { ghost, error } = entry
      if (error || ghost.storePath === undefined || ghost.userId !== undefined || signal.aborted) return entry
      return identify(ghost, await inspect(ghost.storePath, passphrase))
    })
    yield* await Promise.all(identified)
  }
}

/**
 * @param {import('../dist/publisher').Outcome} outcome
 * @returns {Result}
 */
function resultOf(outcome) {
  if ('error' in outcome) return { ghost: outcome.ghost, problem: problemOf(outcome.error) }
  const { status, upload_keys, warnings = [] } = outcome.published
  const [master_key] = Object.values(upload_keys.master_key.keys)
  return {
    ghost: outcome.ghost,
    status,
    details: { master_key, ...(warnings.length > 0 && { warnings }) },
  }
}

/** @param {Finding['problem']} problem */
const withProblem = (problem) => (problem ? { problem } : {})

module.exports = { perform, rehearse }
