'use strict'

// The results as Markdown, for the terminal and for results.md.

const { contenders, names } = require('./contenders')
const { KINDS, NEW, named } = require('./existing')
const { INTERVAL, RESOLUTION } = require('./gauges')
const { slowed } = require('./slow-disk')
const { median, summary } = require('./statistics')

/**
 * @typedef {import('./contenders').Name} Name
 * @typedef {import('./existing').Existing} Existing
 * @typedef {import('./gauges').Gauges} Gauges
 * @typedef {import('./statistics').Round} Round
 * @typedef {import('./worker').Measurement} Measurement
 *
 * @typedef {{ count: number, rounds: number, atOnce: boolean, task?: import('./worker').Job['task'] }} Comparison
 *
 * @typedef {object} Sizes Of the measurements.
 * @property {Comparison} sequential
 * @property {Comparison} atOnce
 * @property {Comparison} resumed
 * @property {Comparison} publishing
 * @property {Omit<import('./slow-disk').Plan, 'delays'>} slow
 * @property {Record<number, number>} growth
 * @property {number} starts
 * @property {import('./existing').Plan} existing
 * @property {number} traced
 * @property {number} limited
 *
 * @typedef {{ count: number, results: Measurement[] }} Size
 *
 * @typedef {object} Place What was measured on a file system.
 * @property {string} name
 * @property {number[]} syncTimes
 * @property {Round[]} sequential
 * @property {Round[]} atOnce
 * @property {Round[]} resumed
 * @property {Size[]} growth
 *
 * @typedef {Partial<Record<Name, string | undefined>>} Missing The reason, by contender.
 *
 * @typedef {object} Results
 * @property {boolean} quick
 * @property {number} cores
 * @property {string} node
 * @property {Sizes} sizes
 * @property {Missing} missing
 * @property {Measurement[]} starts
 * @property {Place[]} places The disk first.
 * @property {Round[]} publishing
 * @property {number[]} delays
 * @property {import('./slow-disk').Slow | string} slow Or why it was not measured.
 * @property {{ name: Name, bytes: number }[]} storeSizes
 * @property {Existing | string} existing Or why it was not measured.
 * @property {{ name: Name, gauges: Gauges }[]} peaks
 * @property {{ name: Name, first: number, further: number }[]} syncs Empty where there is no strace.
 * @property {Measurement} limited
 */

const NONE = '–'
const GAUGES = ['peak memory', 'threads', 'handles', 'delay p50', 'delay p99', 'delay max']

/** @param {number} value */
const whole = (value) => value.toLocaleString('en-US')
/** @param {number} value */
const number = (value) => value.toFixed(value < 10 ? 2 : 1)
/** @param {number} value */
const ms = (value) => `${number(value)} ms`

/**
 * What a reader calls a contender, or the SDK in memory.
 *
 * @param {Name | 'inMemory'} name
 */
const title = (name) => (name === 'inMemory' ? 'the SDK without a store' : contenders[name].title)

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
function table(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)))
  /** @param {string[]} row */
  const line = (row) => {
    const cells = row.map((cell, column) => {
      const width = widths[column] ?? 0
      return column === 0 ? cell.padEnd(width) : cell.padStart(width)
    })
    return `| ${cells.join(' | ')} |`
  }
  const rule = line(
    widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)),
  )
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/**
 * A time with its spread, and its ratio to the base.
 *
 * @param {Round[]} rounds
 * @param {string} name
 * @param {string} base
 */
function speedCells(rounds, name, base) {
  const { median, min, max, ratio } = summary(rounds, name, base)
  return [ms(median), `${number(min)} to ${number(max)}`, number(ratio)]
}

/**
 * The same with the ratio to the SDK without a store, too.
 *
 * @param {Round[]} rounds
 * @param {Name | 'inMemory'} name
 */
const comparedCells = (rounds, name) => [
  ...speedCells(rounds, name, 'sidecar'),
  number(summary(rounds, name, 'inMemory').ratio),
]

/**
 * @param {Missing} missing
 * @param {Round[]} rounds
 */
function speedTable(missing, rounds) {
  const rows = names.map((name) => {
    const reason = missing[name]
    return [title(name), ...(reason ? [reason, NONE, NONE, NONE] : comparedCells(rounds, name))]
  })
  const inMemory = [title('inMemory'), ...comparedCells(rounds, 'inMemory')]
  const head = ['', 'per ghost', 'from, to', `of ${title('sidecar')}`, `of ${title('inMemory')}`]
  return table(head, [...rows, inMemory])
}

/** @param {Results} results */
function publishingTable({ missing, publishing }) {
  const rows = names
    .filter((name) => contenders[name].loadPublisher)
    .map((name) => {
      const reason = missing[name]
      return [title(name), ...(reason ? [reason, NONE, NONE] : speedCells(publishing, name, 'sidecar'))]
    })
  return table(['', 'per ghost', 'from, to', `of ${title('sidecar')}`], rows)
}

/**
 * @param {Results['slow']} slow
 * @param {{ missing: Missing, sizes: Sizes, delays: number[] }} settings
 */
function slowReport(slow, { missing, sizes, delays }) {
  if (typeof slow === 'string') return `Not measured: ${slow}.\n`
  /** @param {Round[]} rounds */
  const slowTable = (rounds) => {
    const rows = names.map((name) => {
      if (missing[name]) return [title(name), missing[name] ?? '', ...delays.slice(1).map(() => NONE), NONE]
      const cells = delays.map((delay) => summary(rounds, slowed(name, delay), slowed('sidecar', delay)))
      const last = cells.at(-1)?.ratio ?? NaN
      return [title(name), ...cells.map(({ median }) => ms(median)), number(last)]
    })
    const last = delays.at(-1)
    return table(
      ['', ...delays.map((delay) => `+ ${delay} ms`), `of ${title('sidecar')}, + ${last} ms`],
      rows,
    )
  }
  const { sequential, atOnce, rounds } = sizes.slow
  return `Each fsync takes so many milliseconds longer. Those of several threads and processes take them at the same time. All
contenders and all delays take turns in ${rounds} rounds. New stores, milliseconds per ghost.

### One after another: ${whole(sequential)} ghosts

${slowTable(slow.sequential)}

### At once: ${whole(atOnce)} ghosts

${slowTable(slow.atOnce)}
`
}

/** @param {Results['storeSizes']} sizes */
function storeSizesTable(sizes) {
  return table(
    ['', 'bytes of a new store', '10,000 of them'],
    sizes.map(({ name, bytes }) => [title(name), whole(bytes), `${(bytes / 100).toFixed(0)} MB`]),
  )
}

/** @param {Gauges | undefined} gauges */
function gaugeCells(gauges) {
  const { memory, threads, handles, p50, p99, max } = gauges ?? NO_GAUGES
  // No memory where there is no /proc; no delay where there was nothing to wait for.
  const taken = memory
    ? [`${Math.round(memory / 1e6)} MB`, whole(threads), whole(handles)]
    : [NONE, NONE, NONE]
  return [...taken, ...[p50, p99, max].map((delay) => (max ? ms(delay) : NONE))]
}

const NO_GAUGES = { memory: 0, threads: 0, handles: 0, p50: 0, p99: 0, max: 0 }

/** @param {Results['peaks']} peaks */
function peaksTable(peaks) {
  return table(
    ['', ...GAUGES],
    peaks.map(({ name, gauges }) => [title(name), ...gaugeCells(gauges)]),
  )
}

/**
 * The highest value of each gauge in several runs.
 *
 * @param {Measurement[]} runs
 * @returns {Gauges}
 */
function highest(runs) {
  /** @param {keyof Gauges} gauge */
  const most = (gauge) => Math.max(...runs.map(({ peaks }) => (peaks ?? NO_GAUGES)[gauge]))
  return {
    memory: most('memory'),
    threads: most('threads'),
    handles: most('handles'),
    p50: most('p50'),
    p99: most('p99'),
    max: most('max'),
  }
}

/** @param {Size[]} growth */
function growthTable(growth) {
  const costs = growth.map(({ count, results }) => ({
    count,
    cost: median(results.map(({ perGhost }) => perGhost)),
    peaks: highest(results),
  }))
  const hundred = costs.find(({ count }) => count === 100)?.cost ?? NaN
  const rows = costs.map(({ count, cost, peaks }) => {
    const cells = count === 0 ? [NONE, NONE] : [ms(cost), number(cost / hundred)]
    return [whole(count), ...cells, ...gaugeCells(peaks)]
  })
  return table(['ghosts at once', 'per ghost', 'of that at 100', ...GAUGES], rows)
}

/** @param {Results['syncs']} syncs */
function syncsTable(syncs) {
  if (syncs.length === 0) return 'Not counted: no strace.'
  return table(
    ['', 'first ghost of a process', 'each further ghost'],
    syncs.map(({ name, first, further }) => [title(name), whole(first), number(further)]),
  )
}

/**
 * @param {Results['existing']} existing
 * @param {Sizes} sizes
 */
function existingReport(existing, { existing: { megabytes, rounds, passes } }) {
  if (typeof existing === 'string') return `Not measured: ${existing}.\n`
  const cases = [NEW, ...KINDS.flatMap((kind) => megabytes.map((size) => named(kind, size)))]
  const rows = cases.map((name) => {
    const traced = existing.traced[name]
    const written = traced ? [whole(traced.bytes), whole(traced.syncs)] : [NONE, NONE]
    return [name, ...speedCells(existing.rounds, name, NEW), ...written]
  })
  return `Calls for stores of every size and for new stores take turns, one after another. Each is made ${whole(passes)} times in
a round, and there are ${rounds} rounds. A round's time is its median call. A store is as large as its room keys make it,
and its pages are in the system's cache.

- *resumed*: the store holds the identity and the signed device. The call has nothing to write.
- *published*: the same with \`serverKeys\`, by which the homeserver serves everything.
- *reset*: the call writes a new identity.

What is written and how often the call waits for the disk is counted in one more call of each.

${table(['', 'per call', 'from, to', 'of a new store', 'bytes written', 'fsyncs'], rows)}
`
}

/**
 * @param {Measurement} measurement
 * @param {Sizes} sizes
 */
function limitReport({ perGhost, rejected, peaks }, { limited }) {
  const reasons = Object.entries(rejected).map(([reason, count]) => `${whole(count)} rejected with ${reason}`)
  const row = [ms(perGhost), ...gaugeCells(peaks)]
  return `${whole(limited)} calls in flight, no more than 256 file handles: ${reasons.join(', ') || 'all resolve'}.

${table(['per ghost', ...GAUGES], [row])}
`
}

/**
 * @param {Results} results
 * @param {Place} place
 */
function placeReport({ sizes, missing }, { name, syncTimes, sequential, atOnce, resumed, growth }) {
  return `## On ${name}

An fsync of one page takes ${ms(median(syncTimes))}.

### One after another: ${whole(sizes.sequential.count)} ghosts, ${sizes.sequential.rounds} rounds

${speedTable(missing, sequential)}

### At once: ${whole(sizes.atOnce.count)} ghosts, ${sizes.atOnce.rounds} rounds

${speedTable(missing, atOnce)}

### Existing stores that hold an identity, at once: ${whole(sizes.resumed.count)} ghosts, ${sizes.resumed.rounds} rounds

${speedTable(missing, resumed)}

### How the cost of a ghost grows with their number: ${title('addon')}

${growthTable(growth)}
`
}

/** @param {Results} results */
function report(results) {
  const { quick, cores, node, sizes, starts, places, existing, peaks, syncs, limited } = results
  const { inFlight } = contenders.sidecar
  /** @param {'load' | 'first'} figure */
  const start = (figure) => ms(median(starts.map((one) => one[figure])))
  const disk = places[0]?.name
  return `# Results

${quick ? '**A quick run shows that the benchmark runs. Its figures mean nothing.**\n\n' : ''}On ${cores} cores with Node.js ${node}, \`node benchmark/index.js\`. Stores are not encrypted. Every ghost gets a new one,
but where a heading says *existing*.

- Contenders take turns in rounds, each in a new process. A time is the median of the rounds, with the fastest and the
  slowest; a ratio is the median of the rounds' own ratios. The first call of a process is not counted.
- *${title('addon')}*: one call per ghost. At once, all calls are in flight together.
- *${title('sidecar')}*: a program that does the same with the SDK in the plain way, and ends. At once, ${inFlight}
  run at a time. What these processes take is added to what their caller takes.
- *${title('olderSidecar')}*: the same program with the SDK of the binding 0.3 to 0.5.
- *${title('inMemory')}*: an \`OlmMachine\` in memory for each ghost, on one core, and at once on all of them.
- Memory, threads and handles are peaks, those of Node.js included, looked at every ${INTERVAL} ms. Delays are the event loop's,
  measured by a timer of ${RESOLUTION} ms, which is part of them.

To load this package takes ${start('load')}, its first call ${start('first')}: medians of ${sizes.starts} processes.

${places.map((place) => placeReport(results, place)).join('\n')}
## Published, on ${disk}: ${whole(sizes.publishing.count)} ghosts at once, ${sizes.publishing.rounds} rounds

The homeserver is a process that answers at once. *${title('addon')}*: \`publisher.publish\`, which asks the homeserver before and
after. *${title('sidecar')}*: four requests for each ghost, which ask and check nothing.

${publishingTable(results)}

## On a slow disk

${slowReport(results.slow, results)}
## The size of a store

${storeSizesTable(results.storeSizes)}

## An existing store, by its size, on ${disk}

${existingReport(existing, sizes)}
## What they take: ${whole(sizes.atOnce.count)} ghosts at once on ${disk}

${peaksTable(peaks)}

## fsyncs per ghost

${syncsTable(syncs)}

## Under a limit, on ${disk}

${limitReport(limited, sizes)}`
}

module.exports = { existingReport, limitReport, ms, number, report, slowReport, table, title, whole }
