'use strict'

// Compares this package with the other ways to give ghosts their identity, in one run:
//   node benchmark/index.js [--quick | --limit] [--folder DIR]

const { statfsSync, writeFileSync } = require('node:fs')
const { availableParallelism, tmpdir } = require('node:os')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const { contenders, problem } = require('./contenders')
const measuring = require('./measure')
const { plot } = require('./plot')
const { limitReport, report } = require('./report')

const FULL = {
  sequential: { count: 100, rounds: 5, atOnce: false },
  atOnce: { count: 1000, rounds: 3, atOnce: true },
  // Ghosts at once, and how often: few ghosts are over soon and say little.
  growth: { 0: 1, 10: 9, 100: 5, 1000: 3, 10000: 1 },
  starts: 20,
  traced: 20,
  limited: 10000,
}
// Runs everything, and says nothing about speed.
const QUICK = {
  sequential: { count: 4, rounds: 2, atOnce: false },
  atOnce: { count: 20, rounds: 2, atOnce: true },
  growth: { 0: 1, 10: 2, 100: 1 },
  starts: 3,
  traced: 3,
  limited: 300,
}

const MEMORY = '/dev/shm'
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
    folder: { type: 'string', default: tmpdir() },
  },
})
const sizes = options.quick ? QUICK : FULL
const cores = availableParallelism()

async function times(count, work) {
  const results = []
  for (let time = 0; time < count; time++) results.push(await work(time))
  return results
}

/** The disk, and memory where the system has a file system there. */
function places() {
  const disk = { folder: measuring.workspace(options.folder), name: fileSystem(options.folder) }
  try {
    if (disk.name === 'tmpfs' || fileSystem(MEMORY) !== 'tmpfs') return [disk]
    return [disk, { folder: measuring.workspace(MEMORY), name: 'tmpfs' }]
  } catch {
    return [disk] // not there, or not ours to write to
  }
}

function fileSystem(folder) {
  const { type } = statfsSync(folder)
  return FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`
}

/** Milliseconds per ghost in each round, by contender. */
function compare(place, names, { count, rounds, atOnce }) {
  return times(rounds, async (round) => {
    progress(
      `${place.name}: ${count} ghosts ${atOnce ? 'at once' : 'one by one'}, round ${round + 1} of ${rounds}`,
    )
    const result = { floor: await measuring.measureFloor(count, atOnce ? cores : 1) }
    // What a contender leaves to the file system to do must not always meet the same next one.
    const first = round % names.length
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      const { perGhost } = await measuring.measure(name, place.folder, count, { atOnce })
      result[name] = perGhost
    }
    return result
  })
}

async function measureGrowth(place) {
  const growth = []
  for (const [count, runs] of Object.entries(sizes.growth)) {
    progress(`${place.name}: this package, ${count} ghosts at once`)
    const options = { atOnce: true, gauges: true }
    const results = await times(runs, () => measuring.measure('addon', place.folder, Number(count), options))
    growth.push({ count: Number(count), results })
  }
  return growth
}

async function measureAll() {
  const missing = {}
  for (const [name, contender] of Object.entries(contenders)) missing[name] = contender.missing?.()
  const names = Object.keys(contenders).filter((name) => !missing[name])
  const results = {
    quick: options.quick,
    cores,
    node: process.versions.node,
    sizes,
    missing,
    places: places(),
  }
  const [disk] = results.places

  progress('starting')
  results.starts = await times(sizes.starts, () => measuring.measure('addon', disk.folder, 0))

  for (const place of results.places) {
    place.syncTimes = measuring.syncTimes(place.folder)
    place.sequential = await compare(place, names, sizes.sequential)
    place.atOnce = await compare(place, names, sizes.atOnce)
    place.growth = await measureGrowth(place)
  }

  results.peaks = {}
  for (const name of names) {
    progress(`${disk.name}: what ${contenders[name].title} takes`)
    const options = { atOnce: true, gauges: true }
    const { peaks } = await measuring.measure(name, disk.folder, sizes.atOnce.count, options)
    results.peaks[name] = peaks
  }

  if (measuring.canTrace()) {
    progress('counting fsyncs')
    results.syncs = {}
    for (const name of names) {
      results.syncs[name] = await measuring.countSyncs(name, disk.folder, sizes.traced)
    }
  }
  results.limited = await measureLimited(disk)
  return results
}

function measureLimited(place) {
  progress(`${place.name}: ${sizes.limited} ghosts at once with 256 file handles`)
  return measuring.measureLimited('addon', place.folder, sizes.limited)
}

function progress(text) {
  console.error(`... ${text}`)
}

function demandAllResolved({ rejected }) {
  if (Object.keys(rejected).length > 0) process.exitCode = 1
}

async function main() {
  const reason = problem()
  if (reason) throw new Error(reason)

  if (options.limit) {
    const [disk] = places()
    const limited = await measureLimited(disk)
    console.log(limitReport(limited, sizes))
    return demandAllResolved(limited)
  }

  const results = await measureAll()
  const text = report(results)
  const picture = plot(results)
  if (!options.quick) {
    writeFileSync(join(__dirname, 'results.md'), text)
    writeFileSync(join(__dirname, 'results.svg'), picture)
  }
  console.log(text)
  demandAllResolved(results.limited)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
