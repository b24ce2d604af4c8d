'use strict'

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2
}

/** Of one contender in all rounds. Ratios are taken within a round: what slows one slows the other. */
function summary(rounds, name) {
  const values = rounds.map((round) => round[name])
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    ratio: median(rounds.map((round) => round[name] / round.sidecar)),
  }
}

/** The highest value of each gauge in several runs. */
function highest(runs) {
  const gauges = Object.keys(runs[0])
  return Object.fromEntries(gauges.map((gauge) => [gauge, Math.max(...runs.map((run) => run[gauge]))]))
}

module.exports = { highest, median, summary }
