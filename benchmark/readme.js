'use strict'

// The figures of the README. A run of the benchmark puts them between two comments there.

const { readFileSync, writeFileSync } = require('node:fs')
const { KINDS, NEW, named } = require('./existing')
const { ms, number, table, title, whole } = require('./report')
const { slowed } = require('./slow-disk')
const { median, summary } = require('./statistics')

/**
 * @typedef {import('./report').Results} Results
 * @typedef {import('./statistics').Round} Round
 */

const BEGIN = '<!-- `npm run bench` writes what follows. -->'
const END = '<!-- Until here. -->'

/**
 * @param {string} what
 * @param {Round[]} rounds
 * @param {(name: 'addon' | 'sidecar') => string} [key] Of a contender in the rounds.
 */
function row(what, rounds, key = (name) => name) {
  const ours = summary(rounds, key('addon'), key('sidecar'))
  const theirs = summary(rounds, key('sidecar'), key('sidecar'))
  return [what, ms(ours.median), ms(theirs.median), number(ours.ratio)]
}

/** @param {Results} results */
function speedTable({ places, publishing, slow, delays, sizes }) {
  const rows = places.flatMap(({ name, sequential, atOnce, resumed }) => [
    row(`new stores on ${name}, one after another`, sequential),
    row(`new stores on ${name}, ${whole(sizes.atOnce.count)} at once`, atOnce),
    row(`existing stores on ${name}, ${whole(sizes.resumed.count)} at once`, resumed),
  ])
  const disk = places[0]?.name
  rows.push(row(`published, with stores on ${disk}, ${whole(sizes.publishing.count)} at once`, publishing))
  if (typeof slow !== 'string') {
    for (const delay of delays.filter((delay) => delay > 0)) {
      const what = `new stores on ${disk} with fsyncs of ${delay} ms more, ${whole(sizes.slow.atOnce)} at once`
      rows.push(row(what, slow.atOnce, (name) => slowed(name, delay)))
    }
  }
  return table(['', title('addon'), title('sidecar'), 'ratio'], rows)
}

/**
 * @param {Results} results
 * @returns {string[]}
 */
function existingText({ existing, sizes }) {
  if (typeof existing === 'string') return []
  const { megabytes } = sizes.existing
  const [least, most] = [Math.min(...megabytes), Math.max(...megabytes)]
  /** @param {string} name */
  const cost = (name) => number(median(existing.rounds.map((round) => round[name] ?? NaN)))
  const costs = KINDS.map((kind) => `*${kind}* ${cost(named(kind, least))} and ${cost(named(kind, most))} ms`)
  const beside = `beside ${cost(NEW)} ms for a new store in the same run`
  return [
    `A call for an existing store of ${whole(least)} MB and of ${whole(most)} MB costs: ${costs.join(', ')}, ${beside}.`,
  ]
}

/** @param {Results} results */
function text(results) {
  const { cores, places, storeSizes, syncs, limited, sizes } = results
  /** @param {string} wanted */
  const size = (wanted) => Math.round((storeSizes.find(({ name }) => name === wanted)?.bytes ?? NaN) / 1000)
  /** @param {string} wanted */
  const waits = (wanted) => Math.round(syncs.find(({ name }) => name === wanted)?.further ?? NaN)
  const sentences = [`A new store takes ${size('addon')} KB, one that the SDK makes ${size('sidecar')} KB.`]
  if (syncs.length > 0) {
    const theirs = `the SDK used the plain way ${waits('sidecar')} times`
    sentences.push(`A new store waits for the disk ${waits('addon')} times, ${theirs}.`)
  }
  const memory = places.find(({ name }) => name === 'tmpfs')
  if (memory) {
    const pure = number(summary(memory.atOnce, 'addon', 'inMemory').ratio)
    sentences.push(`On tmpfs, ghosts at once cost ${pure} times what the SDK's work costs without any store.`)
  }
  sentences.push(...existingText(results))
  if (limited.peaks) {
    const { threads, handles, memory } = limited.peaks
    const taken = `${threads} threads, ${handles} file handles and ${Math.round(memory / 1e6)} MB`
    sentences.push(`${whole(sizes.limited)} calls in flight take ${taken}, Node.js itself included.`)
  }
  return `One run on ${cores} cores, per ghost. *A process per ghost* is a program that does the same with the SDK in the plain way,
and ends: the way of the sidecar.

${speedTable(results)}

${sentences.join('\n')}`
}

/**
 * @param {string} file
 * @param {string} figures
 */
function rewriteReadme(file, figures) {
  const readme = readFileSync(file, 'utf8')
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${file} lacks the comments around the figures`)
  writeFileSync(file, `${readme.slice(0, begin)}${BEGIN}\n\n${figures}\n\n${readme.slice(end)}`)
}

module.exports = { rewriteReadme, text }
