'use strict'

// Looks at ghosts without changing anything: what the homeserver serves, beside what the store holds.

const { statSync } = require('node:fs')
const { problemOf, strayCipher, withWayOut } = require('./problems.js')

/**
 * @typedef {import('./ghosts.js').Entry} Entry
 * @typedef {import('./ghosts.js').Ghost} Ghost
 * @typedef {import('./problems.js').Problem} Problem
 * @typedef {import('..').StoreInfo} StoreInfo
 * @typedef {import('../dist/publisher').Checked['verdict']} Verdict
 *
 * @typedef {Extract<Verdict, { verified: false }>} Unverified
 *
 * @typedef {object} Finding
 * @property {Ghost} ghost with its IDs, if the store tells them
 * @property {Verdict} [verdict] what the homeserver serves
 * @property {StoreInfo} [store] what the store holds, if it exists and can be read
 * @property {Problem} [problem] absent: the ghost is verified, and the store holds what is served
 * @property {'created' | 'restored' | 'resumed' | 'published'} [publishing] what `publish` will report. Absent:
 *   it will fail
 *
 * @typedef {{ info?: StoreInfo, error?: Error & { code?: string } }} Inspection
 */

/**
 * @param {AsyncIterable<Entry>} entries
 * @param {import('./run.js').Run} run
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<Finding[], void, undefined>}
 */
async function* examine(entries, run, signal) {
  const { inGroups } = require('../dist/publisher/in-parallel.js')
  const { GROUP_SIZE, PATIENCE } = require('../dist/publisher/grouped-queries.js')
  for await (const group of inGroups(entries, GROUP_SIZE, PATIENCE)) {
    signal.throwIfAborted()
    const looked = await Promise.all(group.map((entry) => look(entry, run.passphrase)))
    const verdicts = await check(looked, run.publisher, signal)
    yield looked.map((one) => judge(one, verdicts.get(one), run.restores))
  }
}

/**
 * @typedef {Entry & { inspection?: Inspection }} Looked
 *
 * @param {Entry} entry
 * @param {string | undefined} passphrase
 * @returns {Promise<Looked>}
 */
async function look({ ghost, error }, passphrase) {
  if (error || ghost.storePath === undefined) return { ghost, ...(error && { error }) }
  const inspection = await inspect(ghost.storePath, passphrase)
  if (ghost.userId !== undefined) return { ghost, inspection }
  const named = identify(ghost, inspection)
  return named.error ? named : { ghost: named.ghost, inspection }
}

/**
 * @param {string} storePath
 * @param {string | undefined} passphrase
 * @returns {Promise<Inspection>}
 */
async function inspect(storePath, passphrase) {
  const { inspectStore } = require('..')
  try {
    return { info: await inspectStore(storePath, { passphrase }) }
  } catch (error) {
    return { error: /** @type {Error} */ (error) }
  }
}

/**
 * The ghost with the IDs that its store tells.
 *
 * @param {Ghost} ghost
 * @param {Inspection} inspection
 * @returns {Entry}
 */
function identify(ghost, { info, error }) {
  if (error) return { ghost, error: /** @type {import('./ghosts.js').Failure} */ (error) }
  const { user_id: userId, device_id: deviceId } = info ?? {}
  if (userId !== undefined && deviceId !== undefined) return { ghost: { ...ghost, userId, deviceId } }
  const what = `the store ${ghost.storePath} has no account, and does not tell whose it is`
  return { ghost, error: Object.assign(new Error(what), { code: 'INVALID_ARGUMENT' }) }
}

/**
 * Asks about the ghosts together. If that fails because of one of them, about each alone.
 *
 * @param {Looked[]} looked
 * @param {import('../dist/publisher').CrossSigningPublisher} publisher
 * @param {AbortSignal} signal
 * @returns {Promise<Map<Looked, Verdict | Error>>}
 */
async function check(looked, publisher, signal) {
  const named = looked.flatMap((one) => {
    const { userId, deviceId } = one.ghost
    return one.error || userId === undefined || deviceId === undefined ? [] : [{ one, userId, deviceId }]
  })
  /** @type {Map<Looked, Verdict | Error>} */
  const verdicts = new Map()
  const ask = async (/** @type {typeof named} */ ghosts) => {
    let n = 0
    for await (const { verdict } of publisher.check(ghosts, { signal })) {
      const { one } = /** @type {(typeof named)[number]} */ (ghosts[n++])
      verdicts.set(one, verdict)
    }
  }
  try {
    await ask(named)
  } catch (error) {
    if (signal.aborted || !isAboutOne(/** @type {Error} */ (error))) throw explained(error, signal)
    for (const ghost of named) {
      if (verdicts.has(ghost.one)) continue
      try {
        await ask([ghost])
      } catch (own) {
        if (signal.aborted || !isAboutOne(/** @type {Error} */ (own))) throw explained(own, signal)
        verdicts.set(ghost.one, /** @type {Error} */ (own))
      }
    }
  }
  return verdicts
}

/**
 * Whether another ghost may fare better: the homeserver has refused a user, or answered oddly about one.
 *
 * @param {Error & { code?: string, status?: number, errcode?: string }} error
 */
function isAboutOne({ name, code, status = 0, errcode }) {
  if (name !== 'MatrixRequestError') return code === 'INVALID_ARGUMENT'
  return status >= 400 && status < 500 && status !== 429 && status !== 401 && errcode !== undefined
}

/**
 * The error that ends the run, with its way out.
 *
 * @param {unknown} error
 * @param {AbortSignal} signal
 */
function explained(error, signal) {
  if (signal.aborted) return error
  const { code, message } = problemOf(/** @type {Error} */ (error))
  return Object.assign(new Error(withWayOut(code, message)), { code })
}

/**
 * @param {Looked} looked
 * @param {Verdict | Error | undefined} answer
 * @param {boolean} restores
 * @returns {Finding}
 */
function judge({ ghost, error, inspection }, answer, restores) {
  if (error) return { ghost, problem: problemOf(error) }
  if (answer === undefined || answer instanceof Error) {
    return { ghost, problem: problemOf(answer ?? new Error('the homeserver was not asked')) }
  }
  const store = inspection?.info
  const found = { ghost, verdict: answer, ...(store && { store }) }
  if (!answer.verified && isUnknown(answer)) return { ...found, problem: problemOfVerdict(answer) }
  if (inspection?.error && !isMissing(ghost, inspection.error)) {
    return { ...found, problem: problemOf(inspection.error) }
  }
  const { problem, publishing } = compare(ghost, answer, store, restores)
  // What `publish` cannot mend comes first.
  if (store?.stray_cipher && publishing) {
    return { ...found, problem: strayCipher(ghost.storePath), publishing }
  }
  return { ...found, ...(problem && { problem }), ...(publishing && { publishing }) }
}

/** @param {Unverified} verdict */
const problemOfVerdict = ({ problem: code, message }) => ({ code, message })

/**
 * Whether the homeserver has said nothing about the user.
 *
 * @param {{ problem: string }} verdict
 */
const isUnknown = ({ problem }) => problem === 'NO_ANSWER'

/**
 * Whether there is no store yet. `publish` makes it.
 *
 * @param {Ghost} ghost
 * @param {Error & { code?: string }} error
 */
function isMissing({ storePath = '' }, { code }) {
  return (
    code === 'INVALID_STORE_PATH' && (statSync(storePath, { throwIfNoEntry: false })?.isDirectory() ?? true)
  )
}

/**
 * @param {Ghost} ghost
 * @param {Verdict} verdict
 * @param {StoreInfo | undefined} store
 * @param {boolean} restores
 * @returns {Pick<Finding, 'problem' | 'publishing'>}
 */
function compare({ userId, deviceId, storePath }, verdict, store, restores) {
  const { user_id, device_id, identity = 'none', master_key } = store ?? {}
  if (user_id !== undefined && (user_id !== userId || device_id !== deviceId)) {
    const message = `the store ${storePath} belongs to ${user_id} on the device ${device_id}, and not to ${userId} on the device ${deviceId}`
    return { problem: { code: 'ACCOUNT_MISMATCH', message } }
  }
  if (verdict.verified && verdict.master_key === master_key) return { publishing: 'published' }
  if (identity === 'incomplete') {
    const message = `the store ${storePath} holds a part of an identity`
    return { problem: { code: 'IDENTITY_INCOMPLETE', message } }
  }
  // The problems come in an order: these two are found before it is known that there is an identity.
  const isServed = verdict.verified || !['NO_DEVICE', 'NO_MASTER_KEY'].includes(verdict.problem)
  const isConflict = isServed && (verdict.verified || identity === 'none')
  if (isConflict) {
    const served = verdict.verified ? `the master key ${verdict.master_key}` : 'an identity'
    const held = master_key === undefined ? 'no identity' : master_key
    const message = `the homeserver serves ${served} for ${userId}, the store ${storePath} holds ${held}`
    // A device that another store has made cannot be restored, only the identity.
    const isRestored = restores && user_id !== undefined && !verdict.verified
    const publishing = isRestored ? { publishing: /** @type {const} */ ('restored') } : {}
    return { problem: { code: 'IDENTITY_CONFLICT', message }, ...publishing }
  }
  return {
    problem: problemOfVerdict(/** @type {Unverified} */ (verdict)),
    publishing: identity === 'none' ? 'created' : 'resumed',
  }
}

module.exports = { examine, identify, inspect }
