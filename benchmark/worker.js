'use strict'

// One measurement, in a process of its own, so that memory, threads and handles are of nothing else.
// Takes a job as JSON and prints what it measured as JSON.

const { join } = require('node:path')
const { contenders, processes } = require('./contenders')
const { watch } = require('./gauges')

/**
 * @typedef {object} Job
 * @property {import('./contenders').Name} contender
 * @property {string} folder Where the stores go.
 * @property {number} count Of ghosts.
 * @property {number} inFlight Of calls.
 * @property {'create' | 'resume' | 'publish'} task What is measured: of new stores, or of stores that are made before.
 * @property {string | undefined} homeserverUrl Where to publish.
 * @property {boolean} gauges Whether to watch what the process takes.
 *
 * @typedef {object} Measurement Times are in ms.
 * @property {number} load
 * @property {number} first The first call of the process.
 * @property {number} perGhost Not a number if there are no ghosts but the first.
 * @property {Record<string, number>} rejected How many calls were, by reason.
 * @property {import('./gauges').Gauges} [peaks]
 */

/** @type {Job} */
const { contender, folder, count, inFlight, task, homeserverUrl, gauges } = JSON.parse(process.argv[2] ?? '')

/** @type {Measurement['rejected']} */
const rejected = {}

/**
 * @template T
 * @param {() => T} work
 * @returns {Promise<[time: number, value: Awaited<T>]>}
 */
async function timed(work) {
  const start = performance.now()
  const value = await work()
  return [performance.now() - start, value]
}

/** @param {import('./contenders').Bootstrap} bootstrap */
async function bootstrapAll(bootstrap) {
  let next = 0
  async function lane() {
    while (next < count) {
      const ghost = next++
      try {
        // The result is thrown away at once: memory is what the contender takes, not what it gives.
        await bootstrap(`@_ghost_${ghost}:example.org`, 'GHOSTDEVICE', join(folder, String(ghost)))
      } catch (error) {
        const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
        const reason = code ?? message
        rejected[reason] = (rejected[reason] ?? 0) + 1
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

/** @returns {import('./contenders').Bootstrap} */
function loadContender() {
  const { title, load, loadPublisher } = contenders[contender]
  if (task !== 'publish') return load()
  if (!loadPublisher || !homeserverUrl) throw new Error(`${title} does not publish`)
  return loadPublisher(homeserverUrl)
}

async function main() {
  const [load, bootstrap] = await timed(loadContender)
  // The first call starts threads and makes the tables, once per process: a figure of its own.
  const [first] = await timed(() => bootstrap('@_first:example.org', 'GHOSTDEVICE', join(folder, 'first')))

  if (task === 'resume') await bootstrapAll(bootstrap)
  const stop = gauges ? watch(processes) : undefined
  const [all] = await timed(() => bootstrapAll(bootstrap))
  const peaks = stop?.()
  console.log(JSON.stringify({ load, first, perGhost: all / count, rejected, peaks }))
}

main()
