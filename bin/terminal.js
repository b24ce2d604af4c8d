'use strict'

// Text for people: colours and wrapped lines where there is a terminal.

const { styleText } = require('node:util')

/** @typedef {'bold' | 'green' | 'red' | 'yellow'} Style */

/**
 * @typedef {object} Terminal
 * @property {number} columns unlimited, if it is no terminal, or one that does not know its width
 * @property {(style: Style, text: string) => string} paint
 */

/**
 * @param {NodeJS.WriteStream} stream
 * @returns {Terminal}
 */
function describe(stream) {
  const isTerminal = stream.isTTY
  // Knows NO_COLOR, FORCE_COLOR and the kinds of terminals.
  const hasColours = isTerminal && stream.hasColors()
  return {
    columns: (isTerminal && stream.columns) || Infinity,
    paint: (style, text) => (hasColours ? styleText(style, text) : text),
  }
}

/**
 * Breaks text at spaces. A word that is longer than a line stays whole, so that it can be copied.
 *
 * @param {string} text
 * @param {number} columns
 * @param {string} indent of each line
 */
function wrap(text, columns, indent = '') {
  /** @type {string[]} */
  const lines = []
  let line = indent
  for (const word of text.split(' ')) {
    if (line !== indent && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = indent
    }
    line += line === indent ? word : ` ${word}`
  }
  return [...lines, line].join('\n')
}

/**
 * A number of seconds, as people say it.
 *
 * @param {number} seconds
 */
function duration(seconds) {
  if (seconds < 99.5) return `${Math.round(seconds)} s`
  return seconds < 99.5 * 60 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}

/** @param {number} number */
const grouped = (number) => number.toLocaleString('en-US')

/**
 * Ghosts, counted.
 *
 * @param {number} count
 */
const ghosts = (count) => `${grouped(count)} ${count === 1 ? 'ghost' : 'ghosts'}`

module.exports = { describe, duration, ghosts, grouped, wrap }
