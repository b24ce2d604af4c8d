'use strict'

// A disk on which each fsync takes longer. It is a library that is preloaded into the processes that are measured.

const { spawnSync } = require('node:child_process')
const { join } = require('node:path')
const measuring = require('./measure')

/**
 * Compiles the library into `folder`. Returns its path, or why there is none.
 *
 * @param {string} folder
 * @returns {{ library: string } | { reason: string }}
 */
function compile(folder) {
  if (process.platform !== 'linux') return { reason: 'fsyncs are slowed on Linux only' }
  const library = join(folder, 'slow-disk.so')
  const args = ['-shared', '-fPIC', '-O2', '-o', library, join(__dirname, 'slow-disk.c'), '-ldl']
  const { status, error, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
  if (status === 0) return { library }
  return { reason: `cc cannot compile slow-disk.c: ${error?.message ?? stderr.trim()}` }
}

/**
 * The command that starts a process with such a disk.
 *
 * @param {string} library
 * @param {number} delay in ms
 */
const through = (library, delay) => ['env', `LD_PRELOAD=${library}`, `SLOW_DISK_MS=${delay}`]

/**
 * A title for a contender with a delay.
 *
 * @param {string} name
 * @param {number} delay
 */
const slowed = (name, delay) => `${name} ${delay}`

/**
 * @typedef {object} Plan
 * @property {number[]} delays in ms
 * @property {number} sequential ghosts one after another
 * @property {number} atOnce ghosts
 * @property {number} rounds
 *
 * @typedef {object} Slow Milliseconds per ghost in each round, by contender and delay.
 * @property {import('./statistics').Round[]} sequential
 * @property {import('./statistics').Round[]} atOnce
 */

/**
 * @param {string} folder
 * @param {import('./contenders').Name[]} names
 * @param {Plan} plan
 * @param {(text: string) => void} progress
 * @returns {Promise<Slow | string>} Or why it was not measured.
 */
async function measureSlow(folder, names, plan, progress) {
  const compiled = compile(folder)
  if ('reason' in compiled) return compiled.reason
  const turns = names.flatMap((name) => plan.delays.map((delay) => ({ name, delay })))
  /** @type {Slow} */
  const results = { sequential: [], atOnce: [] }
  for (let round = 0; round < plan.rounds; round++) {
    progress(`slowed fsyncs, round ${round + 1} of ${plan.rounds}`)
    // What a contender leaves to the file system to do must not always meet the same next one.
    const first = round % turns.length
    for (const kind of /** @type {const} */ (['sequential', 'atOnce'])) {
      /** @type {import('./statistics').Round} */
      const result = {}
      for (const { name, delay } of [...turns.slice(first), ...turns.slice(0, first)]) {
        const options = { atOnce: kind === 'atOnce', through: through(compiled.library, delay) }
        const { perGhost } = await measuring.measure(name, folder, plan[kind], options)
        result[slowed(name, delay)] = perGhost
      }
      results[kind].push(result)
    }
  }
  return results
}

module.exports = { measureSlow, slowed }
