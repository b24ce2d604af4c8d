'use strict'

// Collects what is wrong with ghosts, grouped by problem, and prints it for people. It keeps some ghosts of each
// group, so that its size does not grow with their number.

const { visible } = require('./output.js')
const { ghosts, grouped, wrap } = require('./terminal.js')

/**
 * @typedef {import('./ghosts.js').Ghost} Ghost
 * @typedef {import('./problems.js').Problem} Problem
 *
 * @typedef {object} Advice
 * @property {string} text
 * @property {string} [command] the command that mends it
 * @property {number} [shown] the most ghosts that are named
 */

const MOST_SHOWN = 20

class Problems {
  /** @type {Map<string, { count: number, shown: { ghost: Ghost, message: string }[] }>} */
  #groups = new Map()

  /**
   * @param {Ghost} ghost
   * @param {Problem} problem
   */
  add(ghost, { code, message }) {
    const group = this.#groups.get(code) ?? { count: 0, shown: [] }
    this.#groups.set(code, group)
    group.count++
    if (group.shown.length < MOST_SHOWN) group.shown.push({ ghost, message })
  }

  /**
   * Each problem with its way out and its ghosts, the most common problem first.
   *
   * @param {import('./terminal.js').Terminal} terminal
   * @param {(code: string) => Advice} advise
   */
  text({ columns, paint }, advise) {
    const groups = [...this.#groups].sort(([, a], [, b]) => b.count - a.count)
    return groups
      .map(([code, { count, shown }]) => {
        const { text, command, shown: most = MOST_SHOWN } = advise(code)
        const named = shown.slice(0, most)
        const lines = [
          `${paint('red', visible(code))}: ${ghosts(count)}`,
          wrap(text, columns, '  '),
          ...(command === undefined ? [] : [`    ${paint('bold', visible(command))}`]),
          ...named.flatMap(({ ghost, message }) => [
            `  ${paint('yellow', visible(nameOf(ghost)))}`,
            wrap(visible(message), columns, '      '),
          ]),
        ]
        if (count > named.length) lines.push(`  and ${grouped(count - named.length)} more`)
        return lines.join('\n')
      })
      .join('\n\n')
  }
}

/** @param {Ghost} ghost */
function nameOf({ userId, deviceId, storePath, line }) {
  if (userId !== undefined) return `${userId} ${deviceId}`
  return storePath ?? `line ${line}`
}

module.exports = { Problems }
