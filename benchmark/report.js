'use strict'

// The results as Markdown, for the terminal and for results.md.

const { contenders } = require('./contenders')
const { INTERVAL, RESOLUTION } = require('./gauges')
const { highest, median, summary } = require('./statistics')

const NONE = '–'
const GAUGES = ['peak memory', 'threads', 'handles', 'delay p50', 'delay p99', 'delay max']

const whole = (value) => value.toLocaleString('en-US')
const number = (value) => value.toFixed(value < 10 ? 2 : 1)
const ms = (value) => `${number(value)} ms`
const title = (name) => contenders[name]?.title ?? 'the SDK without a store'

function table(head, rows) {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column].length)))
  const line = (row) => {
    const [first, ...others] = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    )
    return `| ${[first, ...others].join(' | ')} |`
  }
  const rule = line(
    widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)),
  )
  return [line(head), rule, ...rows.map(line)].join('\n')
}

function speedTable(missing, rounds) {
  const rows = [...Object.keys(missing), 'floor'].map((name) => {
    if (missing[name]) return [title(name), missing[name], NONE, NONE]
    const { median, min, max, ratio } = summary(rounds, name)
    return [title(name), ms(median), `${number(min)} to ${number(max)}`, number(ratio)]
  })
  return table(['', 'per ghost', 'from, to', 'of a process per ghost'], rows)
}

function gaugeCells({ memory, threads, handles, p50, p99, max }) {
  // No memory where there is no /proc; no delay where there was nothing to wait for.
  const taken = memory
    ? [`${Math.round(memory / 1e6)} MB`, whole(threads), whole(handles)]
    : [NONE, NONE, NONE]
  return [...taken, ...[p50, p99, max].map((delay) => (max ? ms(delay) : NONE))]
}

function peaksTable(peaks) {
  return table(
    ['', ...GAUGES],
    Object.entries(peaks).map(([name, gauges]) => [title(name), ...gaugeCells(gauges)]),
  )
}

function growthTable(growth) {
  const cost = ({ results }) => median(results.map(({ perGhost }) => perGhost))
  const hundred = cost(growth.find(({ count }) => count === 100))
  const rows = growth.map((size) => {
    const peaks = highest(size.results.map(({ peaks }) => peaks))
    const costs = size.count === 0 ? [NONE, NONE] : [ms(cost(size)), number(cost(size) / hundred)]
    return [whole(size.count), ...costs, ...gaugeCells(peaks)]
  })
  return table(['ghosts at once', 'per ghost', 'of that at 100', ...GAUGES], rows)
}

function syncsTable(syncs) {
  const rows = Object.entries(syncs).map(([name, { first, further }]) => [
    title(name),
    whole(first),
    number(further),
  ])
  return table(['', 'first ghost of a process', 'each further ghost'], rows)
}

function limitReport({ perGhost, rejected, peaks }, { limited }) {
  const reasons = Object.entries(rejected).map(([reason, count]) => `${whole(count)} rejected with ${reason}`)
  const row = [ms(perGhost), ...gaugeCells(peaks)]
  return `${whole(limited)} calls in flight, no more than 256 file handles: ${reasons.join(', ') || 'all resolve'}.

${table(['per ghost', ...GAUGES], [row])}
`
}

function placeReport({ sizes, missing }, { name, syncTimes, sequential, atOnce, growth }) {
  return `## On ${name}

An fsync of one page takes ${ms(median(syncTimes))}.

### One after another: ${whole(sizes.sequential.count)} ghosts, ${sizes.sequential.rounds} rounds

${speedTable(missing, sequential)}

### At once: ${whole(sizes.atOnce.count)} ghosts, ${sizes.atOnce.rounds} rounds

${speedTable(missing, atOnce)}

### How the cost of a ghost grows with their number: ${title('addon')}

${growthTable(growth)}
`
}

function report(results) {
  const { quick, cores, node, sizes, starts, places, peaks, syncs, limited } = results
  const { inFlight } = contenders.sidecar
  const start = (figure) => ms(median(starts.map((one) => one[figure])))
  return `# Results

${quick ? '**A quick run shows that the benchmark runs. Its figures mean nothing.**\n\n' : ''}On ${cores} cores with Node.js ${node}, \`node benchmark/index.js\`. Every ghost gets a new, unencrypted store.

- Contenders take turns in rounds, each in a new process. A time is the median of the rounds, with the fastest and the
  slowest; a ratio is the median of the rounds' own ratios. The first call of a process is not counted.
- *${title('addon')}*: one call per ghost. At once, all calls are in flight together.
- *${title('sidecar')}*: a program that does the same with the SDK in the plain way, and ends. At once, ${inFlight}
  run at a time. What these processes take is added to what their caller takes.
- *${title('floor')}*: the cryptography alone, on one core, and at once on all of them.
- Memory, threads and handles are peaks, those of Node.js included, looked at every ${INTERVAL} ms. Delays are the event loop's,
  measured by a timer of ${RESOLUTION} ms, which is part of them.

To load this package takes ${start('load')}, its first call ${start('first')}: medians of ${sizes.starts} processes.

${places.map((place) => placeReport(results, place)).join('\n')}
## What they take: ${whole(sizes.atOnce.count)} ghosts at once on ${places[0].name}

${peaksTable(peaks)}

## fsyncs per ghost

${syncs ? syncsTable(syncs) : 'Not counted: no strace.'}

## Under a limit, on ${places[0].name}

${limitReport(limited, sizes)}`
}

module.exports = { limitReport, report, title }
