'use strict'

// Compares this package with the other ways to give ghosts their identity, and its calls for stores of
// every size, in one run:
//   node benchmark/index.js [--quick | --limit | --existing | --slow] [--delays MS,MS...] [--folder DIR]

const { statfsSync, writeFileSync } = require('node:fs')
const { availableParallelism, tmpdir } = require('node:os')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const { buildOlderSidecar, contenders, names: allNames, problem } = require('./contenders')
const existing = require('./existing')
const measuring = require('./measure')
const { plot } = require('./plot')
const { rewriteReadme, text: readmeText } = require('./readme')
const { existingReport, limitReport, report, slowReport } = require('./report')
const { measureSlow } = require('./slow-disk')

/**
 * @typedef {import('./contenders').Name} Name
 * @typedef {import('./report').Place} Place
 * @typedef {import('./report').Results} Results
 * @typedef {import('./report').Sizes} Sizes
 * @typedef {import('./statistics').Round} Round
 */

/** What an fsync takes longer than on this disk, in ms. */
const DELAYS = [0, 2, 10]
/** @type {Sizes} */
const FULL = {
  sequential: { count: 100, rounds: 5, atOnce: false },
  atOnce: { count: 1000, rounds: 3, atOnce: true },
  // Ghosts at once, and how often: few ghosts are over soon and say little.
  resumed: { count: 1000, rounds: 3, atOnce: true, task: 'resume' },
  publishing: { count: 300, rounds: 3, atOnce: true, task: 'publish' },
  slow: { sequential: 20, atOnce: 300, rounds: 3 },
  growth: { 0: 1, 10: 9, 100: 5, 1000: 3, 10000: 1 },
  starts: 20,
  existing: { megabytes: [0.2, 10, 100, 1000], rounds: 5, passes: 40 },
  traced: 20,
  limited: 10000,
}
/**
 * Runs everything, and says nothing about speed.
 *
 * @type {Sizes}
 */
const QUICK = {
  sequential: { count: 4, rounds: 2, atOnce: false },
  atOnce: { count: 20, rounds: 2, atOnce: true },
  resumed: { count: 20, rounds: 2, atOnce: true, task: 'resume' },
  publishing: { count: 20, rounds: 2, atOnce: true, task: 'publish' },
  slow: { sequential: 2, atOnce: 10, rounds: 2 },
  growth: { 0: 1, 10: 2, 100: 1 },
  starts: 3,
  existing: { megabytes: [0.2, 10], rounds: 2, passes: 2 },
  traced: 3,
  limited: 300,
}

const MEMORY = '/dev/shm'
/** @type {Record<number, string>} */
const FILE_SYSTEMS = {
  0xef53: 'ext4',
  0x01021994: 'tmpfs',
  0x58465342: 'XFS',
  0x9123683e: 'Btrfs',
  0x2fc12fc1: 'ZFS',
  0x794c7630: 'overlayfs',
}

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    limit: { type: 'boolean', default: false },
    existing: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
    delays: { type: 'string', default: DELAYS.join() },
    folder: { type: 'string', default: tmpdir() },
  },
})
const sizes = options.quick ? QUICK : FULL
const delays = options.delays.split(',').map(Number)
const cores = availableParallelism()

/**
 * @template T
 * @param {number} count
 * @param {(time: number) => Promise<T>} work
 */
async function times(count, work) {
  /** @type {T[]} */
  const results = []
  for (let time = 0; time < count; time++) results.push(await work(time))
  return results
}

/** @typedef {{ folder: string, name: string }} Location A folder, and the name of its file system. */

/** @returns {Location} */
function disk() {
  return { folder: measuring.workspace(options.folder), name: fileSystem(options.folder) }
}

/**
 * Memory, where the system has a file system there that is not the one measured anyway.
 *
 * @param {Location} disk
 * @returns {Location[]}
 */
function memory(disk) {
  try {
    if (disk.name === 'tmpfs' || fileSystem(MEMORY) !== 'tmpfs') return []
    return [{ folder: measuring.workspace(MEMORY), name: 'tmpfs' }]
  } catch {
    return [] // not there, or not ours to write to
  }
}

/** @param {string} folder */
function fileSystem(folder) {
  const { type } = statfsSync(folder)
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`
}

/**
 * Milliseconds per ghost in each round, by contender.
 *
 * @param {Location} location
 * @param {Name[]} names
 * @param {import('./report').Comparison} comparison
 */
function compare(location, names, { count, rounds, atOnce, task = 'create' }) {
  return times(rounds, async (round) => {
    const together = atOnce ? 'at once' : 'one by one'
    progress(`${location.name}: ${task} ${count} ghosts ${together}, round ${round + 1} of ${rounds}`)
    /** @type {Round} */
    const result = { inMemory: await measuring.measureInMemory(count, atOnce ? cores : 1) }
    // What a contender leaves to the file system to do must not always meet the same next one.
    const first = round % names.length
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      // A homeserver for each: none has the ghosts of another.
      const homeserver = task === 'publish' ? await measuring.startHomeserver() : undefined
      const homeserverUrl = homeserver?.url
      const { perGhost } = await measuring.measure(name, location.folder, count, {
        atOnce,
        task,
        homeserverUrl,
      })
      homeserver?.stop()
      result[name] = perGhost
    }
    return result
  })
}

/** @param {Location} location */
async function measureGrowth({ folder, name }) {
  const growth = []
  for (const [ghosts, runs] of Object.entries(sizes.growth)) {
    const count = Number(ghosts)
    progress(`${name}: this package, ${count} ghosts at once`)
    const options = { atOnce: true, gauges: true }
    const results = await times(runs, () => measuring.measure('addon', folder, count, options))
    growth.push({ count, results })
  }
  return growth
}

/**
 * @param {Location} location
 * @param {Name[]} names
 * @returns {Promise<Place>}
 */
async function measurePlace(location, names) {
  return {
    name: location.name,
    syncTimes: measuring.syncTimes(location.folder),
    sequential: await compare(location, names, sizes.sequential),
    atOnce: await compare(location, names, sizes.atOnce),
    resumed: await compare(location, names, sizes.resumed),
    growth: await measureGrowth(location),
  }
}

/** Why contenders cannot be measured here. */
function findMissing() {
  // In a quick run there is no time to build another SDK.
  if (!options.quick) buildOlderSidecar()
  /** @type {Results['missing']} */
  const missing = {}
  for (const name of allNames) missing[name] = contenders[name].missing?.()
  return { missing, names: allNames.filter((name) => !missing[name]) }
}

/**
 * @param {Location} location
 * @param {Name[]} names
 */
function measureSlowDisk({ folder, name }, names) {
  return measureSlow(folder, names, { ...sizes.slow, delays }, (text) => progress(`${name}: ${text}`))
}

/** @returns {Promise<Results>} */
async function measureAll() {
  const { missing, names } = findMissing()
  const main = disk()
  const locations = [main, ...memory(main)]

  progress('starting')
  const starts = await times(sizes.starts, () => measuring.measure('addon', main.folder, 0))
  const places = []
  for (const location of locations) places.push(await measurePlace(location, names))

  const publishing = await compare(
    main,
    names.filter((name) => contenders[name].loadPublisher),
    sizes.publishing,
  )
  const slow = await measureSlowDisk(main, names)
  /** @type {Results['storeSizes']} */
  const storeSizes = []
  for (const name of names) {
    storeSizes.push({ name, bytes: await measuring.storeSize(name, main.folder) })
  }
  const existing = await measureExisting(main)

  /** @type {Results['peaks']} */
  const peaks = []
  for (const name of names) {
    progress(`${main.name}: what ${contenders[name].title} takes`)
    const options = { atOnce: true, gauges: true }
    const { peaks: gauges } = await measuring.measure(name, main.folder, sizes.atOnce.count, options)
    if (gauges) peaks.push({ name, gauges })
  }

  /** @type {Results['syncs']} */
  const syncs = []
  if (measuring.canTrace()) {
    progress('counting fsyncs')
    for (const name of names) {
      syncs.push({ name, ...(await measuring.measureSyncs(name, main.folder, sizes.traced)) })
    }
  }
  const limited = await measureLimited(main)
  return {
    quick: options.quick,
    cores,
    node: process.versions.node,
    sizes,
    missing,
    starts,
    places,
    publishing,
    delays,
    slow,
    storeSizes,
    existing,
    peaks,
    syncs,
    limited,
  }
}

/** @param {Location} location */
async function measureExisting({ folder, name }) {
  const reason = existing.missing()
  if (reason) return reason
  return existing.measureExisting(folder, sizes.existing, (text) => progress(`${name}: ${text}`))
}

/** @param {Location} location */
function measureLimited({ folder, name }) {
  progress(`${name}: ${sizes.limited} ghosts at once with 256 file handles`)
  return measuring.measureLimited('addon', folder, sizes.limited)
}

/** @param {string} text */
function progress(text) {
  console.error(`... ${text}`)
}

/** @param {import('./worker').Measurement} measurement */
function demandAllResolved({ rejected }) {
  if (Object.keys(rejected).length > 0) process.exitCode = 1
}

async function main() {
  const reason = problem()
  if (reason) throw new Error(reason)

  if (options.limit) {
    const limited = await measureLimited(disk())
    console.log(limitReport(limited, sizes))
    return demandAllResolved(limited)
  }
  if (options.existing) {
    return console.log(existingReport(await measureExisting(disk()), sizes))
  }

  if (options.slow) {
    const { missing, names } = findMissing()
    const main = disk()
    return console.log(slowReport(await measureSlowDisk(main, names), { missing, sizes, delays }))
  }

  const results = await measureAll()
  const text = report(results)
  const picture = plot(results)
  const figures = readmeText(results)
  if (!options.quick) {
    writeFileSync(join(__dirname, 'results.md'), text)
    writeFileSync(join(__dirname, 'results.svg'), picture)
    rewriteReadme(join(__dirname, '..', 'README.md'), figures)
  }
  console.log(`${text}\n## For the README\n\n${figures}`)
  demandAllResolved(results.limited)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
