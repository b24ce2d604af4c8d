'use strict'

// Shows how far a run is: with a bar on a terminal, and elsewhere with a line every ten seconds.

const { clearInterval, setInterval } = require('node:timers')
const { complain } = require('./output.js')
const { duration, grouped } = require('./terminal.js')

/** @typedef {{ done: number, failed: number }} Counts */

const SECOND = 1000
/** The time between two lines, in seconds. */
const BETWEEN_LINES = 10
/** Over how many seconds the rate is measured. A repeated run is faster at first: its first ghosts are published already. */
const WINDOW = 10
/** The width of the text after the bar. */
const TEXT_WIDTH = 62

class Progress {
  #started = performance.now()
  #total
  /** @type {Counts} */
  #counts = { done: 0, failed: 0 }
  /** How many were done when, once a second. @type {[seconds: number, done: number][]} */
  #samples = [[0, 0]]
  #ticks = 0
  #bar
  #timer

  /**
   * @param {number | undefined} total undefined: not known
   * @param {boolean} wantsLines lines instead of a bar, also on a terminal
   */
  constructor(total, wantsLines) {
    this.#total = total
    const isTerminal = process.stderr.isTTY && process.env.TERM !== 'dumb'
    this.#bar = isTerminal && !wantsLines ? makeBar(total) : undefined
    this.#start()
    this.#timer = setInterval(() => void this.#tick(), SECOND)
    this.#timer.unref()
  }

  /** @param {Counts} counts */
  update(counts) {
    this.#counts = counts
    this.#draw()
  }

  /**
   * Says something that stays.
   *
   * @param {string} note
   */
  async say(note) {
    this.#bar?.stop()
    await complain(note)
    this.#start()
  }

  stop() {
    clearInterval(this.#timer)
    this.#draw()
    this.#bar?.stop()
  }

  get seconds() {
    return (performance.now() - this.#started) / SECOND
  }

  #start() {
    this.#bar?.start(this.#total ?? 0, this.#counts.done, { text: this.#text() })
  }

  async #tick() {
    this.#samples.push([this.seconds, this.#counts.done])
    if (this.#samples.length > WINDOW) this.#samples.shift()
    if (this.#bar) this.#draw()
    else if (++this.#ticks % BETWEEN_LINES === 0) await complain(this.#text())
  }

  #draw() {
    this.#bar?.update(this.#counts.done, { text: this.#text() })
  }

  #text() {
    const { done, failed } = this.#counts
    const total = this.#total === undefined ? '' : ` of ${grouped(this.#total)}`
    const parts = [`${grouped(done)}${total}`]
    if (failed > 0) parts.push(`${grouped(failed)} failed`)
    const [since, before] = this.#samples[0] ?? [0, 0]
    const rate = (done - before) / (this.seconds - since)
    if (rate > 0) {
      parts.push(`${rate < 10 ? rate.toFixed(1) : grouped(Math.round(rate))}/s`)
      if (this.#total !== undefined) parts.push(`${duration((this.#total - done) / rate)} left`)
    }
    return parts.join(', ')
  }
}

/** @param {number | undefined} total */
function makeBar(total) {
  const { SingleBar } = require('cli-progress')
  return new SingleBar({
    format: total === undefined ? '{text}' : '{bar} {percentage}% {text}',
    barsize: Math.max(8, Math.min(40, process.stderr.columns - TEXT_WIDTH)),
    barCompleteChar: '#',
    barIncompleteChar: '-',
  })
}

module.exports = { Progress }
