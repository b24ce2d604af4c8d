'use strict'

// A table that is printed while its rows come. It is never in memory as a whole.

const Table = require('cli-table3')
const widthOf = require('string-width')

const GAP = '  '
const NARROWEST = 8

/** As people see them: one may be many characters of a string. */
const CHARACTERS = new Intl.Segmenter()
const NO_BORDERS = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
  ].map((name) => [name, '']),
)

/** @typedef {import('./terminal.js').Style | undefined} CellStyle */

class Rows {
  #head
  #terminal
  #widths
  #isFirst = true

  /**
   * @param {string[]} head
   * @param {import('./terminal.js').Terminal} terminal
   */
  constructor(head, terminal) {
    this.#head = head
    this.#terminal = terminal
    this.#widths = head.map((cell) => widthOf(cell))
  }

  /**
   * Some rows as text, after the head if they are the first ones. Columns are as wide as their widest cell so
   * far, where the terminal has room for it. A cell that is longer goes on in the next line.
   *
   * @param {string[][]} rows
   * @param {(cell: string, column: number) => CellStyle} style
   */
  text(rows, style) {
    this.#widths = this.#widths.map((width, n) =>
      Math.max(width, ...rows.map((row) => widthOf(row[n] ?? ''))),
    )
    const widths = this.#fit()
    const table = new Table({
      chars: { ...NO_BORDERS, middle: GAP },
      style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
      colWidths: widths,
    })
    if (this.#isFirst) table.push(this.#head.map((cell, n) => this.#lines(cell, widths[n], 'bold')))
    this.#isFirst = false
    table.push(...rows.map((row) => row.map((cell, n) => this.#lines(cell, widths[n], style(cell, n)))))
    return table.toString().replace(/ +$/gm, '')
  }

  /**
   * The table would count the characters of a colour when it breaks a cell into lines.
   *
   * @param {string} cell
   * @param {number | undefined} width
   * @param {CellStyle} style
   */
  #lines(cell, width = Infinity, style) {
    const lines = []
    let line = ''
    let room = width
    for (const { segment } of CHARACTERS.segment(cell)) {
      const needed = widthOf(segment)
      if (line !== '' && needed > room) {
        lines.push(line)
        line = ''
        room = width
      }
      line += segment
      room -= needed
    }
    if (line !== '') lines.push(line)
    return lines.map((line) => (style ? this.#terminal.paint(style, line) : line)).join('\n')
  }

  #fit() {
    const widths = [...this.#widths]
    const room = this.#terminal.columns - GAP.length * (widths.length - 1)
    const total = () => widths.reduce((sum, width) => sum + width, 0)
    while (total() > room && Math.max(...widths) > NARROWEST) {
      const widest = widths.indexOf(Math.max(...widths))
      widths[widest] = Math.max(...widths) - 1
    }
    return widths
  }
}

module.exports = { Rows }
