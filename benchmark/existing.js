'use strict'

// What a call costs for a store that exists already, by the store's size, beside that for a new one.

const { spawnSync } = require('node:child_process')
const { mkdirSync, mkdtempSync, realpathSync } = require('node:fs')
const { join } = require('node:path')
const { DEVICE, USER, served } = require('./ghost')
const { SYNCS, canTrace, countSyncs, execute, remove, trace, work } = require('./measure')
const { median } = require('./statistics')

/**
 * @typedef {import('./existing-worker').Case} Case
 * @typedef {import('./existing-worker').Kind} Kind
 * @typedef {import('./existing-worker').Times} Times
 *
 * @typedef {object} Plan
 * @property {number[]} megabytes
 * @property {number} rounds
 * @property {number} passes How often each case is called in a round.
 *
 * @typedef {object} Traced
 * @property {number} bytes Written into the store's folder.
 * @property {number} syncs
 *
 * @typedef {object} Existing
 * @property {import('./statistics').Round[]} rounds The median call in ms, by the case's name.
 * @property {Record<string, Traced>} traced One call, by the case's name. Empty where there is no strace.
 */

const NEW = 'a new store'
/** @type {Exclude<Kind, 'new'>[]} */
const KINDS = ['resumed', 'published', 'reset']
const DATABASE = 'matrix-sdk-crypto.sqlite3'
const WRITES = ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'copy_file_range', 'sendfile']

/**
 * The name of a case.
 *
 * @param {Kind} kind
 * @param {number} megabytes
 */
const named = (kind, megabytes) => `${kind}, ${megabytes.toLocaleString('en-US')} MB`

/** Why this cannot be measured here. */
function missing() {
  return spawnSync('python3', ['-c', 'import sqlite3']).status === 0 ? undefined : 'no Python with SQLite'
}

/**
 * @param {string} place
 * @param {Plan} plan
 * @param {(text: string) => void} progress
 * @returns {Promise<Existing>}
 */
async function measureExisting(place, { megabytes, rounds, passes }, progress) {
  const folder = realpathSync(mkdtempSync(join(place, 'existing-')))
  try {
    const cases = await makeCases(folder, megabytes, progress)
    /** @type {Existing} */
    const result = { rounds: [], traced: {} }
    for (let round = 1; round <= rounds; round++) {
      progress(`calls for existing stores, round ${round} of ${rounds}`)
      /** @type {Times} */
      const times = await work('existing-worker.js', await makeJob(cases, passes, true))
      const medians = Object.entries(times).map(([name, all]) => [name, median(all)])
      result.rounds.push(Object.fromEntries(medians))
    }
    if (canTrace()) {
      progress('counting what calls for existing stores write')
      for (const one of cases) result.traced[one.name] = await traceCall(folder, one)
    }
    return result
  } finally {
    remove(folder)
  }
}

/**
 * The new store, and all that is done with an existing one of each size.
 *
 * @param {string} folder
 * @param {number[]} megabytes
 * @param {(text: string) => void} progress
 */
async function makeCases(folder, megabytes, progress) {
  const fresh = join(folder, 'new')
  mkdirSync(fresh)
  /** @type {Case[]} */
  const cases = [{ name: NEW, kind: 'new', folder: fresh }]
  for (const size of megabytes) {
    progress(`making a store of ${size} MB`)
    const store = join(folder, String(size))
    await bootstrap(store)
    await execute('python3', join(__dirname, 'grow.py'), join(store, DATABASE), String(size * 1e6))
    cases.push(...KINDS.map((kind) => ({ name: named(kind, size), kind, folder: store })))
  }
  return cases
}

/** @param {string} store */
const bootstrap = (store) => require('..').bootstrapCrossSigning(USER, DEVICE, store)

/**
 * @param {Case[]} cases
 * @param {number} passes
 * @param {boolean} warmUp
 * @returns {Promise<import('./existing-worker').Job>}
 */
async function makeJob(cases, passes, warmUp) {
  /** @type {import('./existing-worker').Job['published']} */
  const published = {}
  for (const { kind, folder } of cases) {
    if (kind === 'published') published[folder] = served(await bootstrap(folder))
  }
  return { cases, passes, warmUp, published }
}

/**
 * @param {string} folder For the log.
 * @param {Case} one
 * @returns {Promise<Traced>}
 */
async function traceCall(folder, one) {
  const job = await makeJob([one], 1, false)
  const lines = await trace(folder, [...WRITES, ...SYNCS], (through) =>
    work('existing-worker.js', job, through),
  )
  const written = lines
    .filter((line) => line.includes(`<${one.folder}/`) && WRITES.some((name) => line.startsWith(`${name}(`)))
    .map((line) => Number(/ = (\d+)$/.exec(line)?.[1] ?? 0))
  return { bytes: written.reduce((sum, bytes) => sum + bytes, 0), syncs: countSyncs(lines) }
}

module.exports = { KINDS, NEW, measureExisting, missing, named }
