'use strict'

// Calls for existing stores, and for new ones beside them, in a process of its own. Takes a job as JSON
// and prints the times of each case as JSON, in ms.

const { join } = require('node:path')
const { bootstrapCrossSigning } = require('..')
const { DEVICE, USER, served } = require('./ghost')

/**
 * @typedef {'new' | 'resumed' | 'published' | 'reset'} Kind
 *
 * @typedef {object} Case
 * @property {string} name
 * @property {Kind} kind
 * @property {string} folder The store, or where new stores go.
 *
 * @typedef {object} Job
 * @property {Case[]} cases
 * @property {number} passes How often each case is called.
 * @property {boolean} warmUp Whether there is one more pass before, which does not count.
 * @property {Record<string, import('..').KeysQueryAnswer>} published What a homeserver serves, by store.
 *
 * @typedef {Record<string, number[]>} Times By the case's name.
 */

/** @type {Job} */
const { cases, passes, warmUp, published } = JSON.parse(process.argv[2] ?? '')

let made = 0

/**
 * The arguments that differ from case to case, and the status that the call must end with: else it
 * would not be what is measured.
 *
 * @param {Case} one
 * @returns {[store: string, options: import('..').BootstrapOptions, status: string]}
 */
function call({ kind, folder }) {
  switch (kind) {
    case 'new':
      return [join(folder, `${process.pid}-${made++}`), {}, 'created']
    case 'resumed':
      return [folder, {}, 'resumed']
    case 'published':
      return [folder, { serverKeys: published[folder] ?? {} }, 'published']
    case 'reset':
      return [folder, { reset: true }, 'created']
  }
}

/** @param {Case} one */
async function timed(one) {
  const [store, options, expected] = call(one)
  const start = performance.now()
  const payloads = await bootstrapCrossSigning(USER, DEVICE, store, options)
  const time = performance.now() - start
  if (payloads.status !== expected) throw new Error(`${one.name} is ${payloads.status}, not ${expected}`)
  published[one.folder] = served(payloads)
  return time
}

async function main() {
  /** @type {Times} */
  const times = Object.fromEntries(cases.map(({ name }) => [name, []]))
  for (let pass = warmUp ? -1 : 0; pass < passes; pass++) {
    // What a case leaves to the file system to do must not always meet the same next one.
    const first = Math.max(pass, 0) % cases.length
    for (const one of [...cases.slice(first), ...cases.slice(0, first)]) {
      const time = await timed(one)
      if (pass >= 0) times[one.name]?.push(time)
    }
  }
  console.log(JSON.stringify(times))
}

main()
