'use strict'

/** @typedef {Record<string, number>} Round What was measured in one round, by name. */

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length / 2
  const middle = sorted.slice(Math.ceil(half) - 1, Math.floor(half) + 1) // one value or two
  return middle.reduce((sum, value) => sum + value, 0) / middle.length
}

/**
 * Of one name in all rounds. Ratios are taken within a round: what slows one slows the other.
 *
 * @param {Round[]} rounds
 * @param {string} name
 * @param {string} base What it is compared with.
 */
function summary(rounds, name, base) {
  const values = rounds.map((round) => figure(round, name))
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(rounds.map((round) => figure(round, name) / figure(round, base))),
  }
}

/**
 * @param {Round} round
 * @param {string} name
 */
function figure(round, name) {
  const value = round[name]
  if (value === undefined) throw new Error(`nothing was measured of ${name}`)
  return value
}

module.exports = { median, summary }
