'use strict'

// Writes to standard output and standard error, and finds out whether it was written. The streams of
// `process` do not tell that a disk took only a part.

const { Buffer } = require('node:buffer')
const { writeSync } = require('node:fs')
const { setTimeout } = require('node:timers/promises')

/**
 * Prints a line. When the promise resolves, the system has all of it.
 *
 * @param {string} line
 * @param {string} advice what to do if it cannot be written
 */
async function print(line, advice = '') {
  try {
    await write(1, `${line}\n`)
  } catch (error) {
    const { message } = /** @type {Error} */ (error)
    const text = `cannot write to standard output: ${message}`
    throw Object.assign(new Error(advice ? `${text}. ${advice}` : text), { code: 'OUTPUT' })
  }
}

/**
 * Prints a line on standard error, and text after it as it is.
 *
 * @param {string} line
 * @param {string} text
 */
async function complain(line, text = '') {
  try {
    await write(2, `${visible(line)}\n${text}`)
  } catch {
    // Only the exit code is left to say it.
  }
}

/**
 * One line of a text. File names may have line breaks, escape sequences of terminals, and characters that show the
 * text in another order than it has.
 *
 * @param {string} text
 */
function visible(text) {
  return text.replace(
    /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * @param {number} handle
 * @param {string} text
 */
async function write(handle, text) {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(handle, rest))
    } catch (error) {
      // A full pipe that its owner made non-blocking.
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error
      await setTimeout(10)
    }
  }
}

module.exports = { complain, print, visible }
