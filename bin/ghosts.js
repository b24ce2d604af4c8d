'use strict'

// The ghosts that a run is about, from JSON Lines and from the command line. A ghost is read when it is
// wanted, because a file may have millions of them.

const { constants, createReadStream, openSync, statSync } = require('node:fs')
const { Socket } = require('node:net')

/**
 * A line without `user_id` and `device_id` has a store that tells whose it is.
 *
 * @typedef {object} Ghost
 * @property {string} [userId]
 * @property {string} [deviceId]
 * @property {string} [storePath] absent: the line is not a ghost
 * @property {number} [line] the number of the line, if it is not a ghost
 *
 * @typedef {Error & { code: string }} Failure
 *
 * @typedef {object} Entry
 * @property {Ghost} ghost
 * @property {Failure} [error] why it is not a ghost
 */

const STANDARD_INPUT = '-'
/** Of characters. A file that has no line breaks is not read into memory. */
const LONGEST_LINE = 1_000_000

/**
 * @param {string | undefined} file JSON Lines, or `-` for standard input
 * @param {string[]} storePaths
 * @param {AbortSignal} signal ends the wait for standard input or another pipe. A file is read to its end
 * @returns {AsyncGenerator<Entry, void, undefined>}
 */
async function* readGhosts(file, storePaths, signal) {
  for (const storePath of storePaths) yield { ghost: { storePath } }
  if (file === undefined) return
  let number = 0
  for await (const line of readLines(file, signal)) {
    number++
    if (line?.trim() !== '') yield readLine(line, file, number)
  }
}

/**
 * How many ghosts there are, where this can be known before they are read.
 *
 * @param {string | undefined} file
 * @param {string[]} storePaths
 */
async function countGhosts(file, storePaths) {
  let count = storePaths.length
  if (file === undefined) return count
  // What is read from a pipe is gone.
  if (file === STANDARD_INPUT || !isRegularFile(file)) return undefined
  for await (const line of readLines(file)) if (line?.trim() !== '') count++
  return count
}

/** @param {string} file */
const isRegularFile = (file) => kindOf(file)?.isFile() ?? true

/**
 * What a file is. Undefined: to open it will say why.
 *
 * @param {string} file
 */
function kindOf(file) {
  try {
    return statSync(file)
  } catch {
    return undefined
  }
}

/**
 * Opens a list. What waits for a pipe can be stopped, if the stream is not one of files: a thread that waits for a
 * pipe keeps the process alive.
 *
 * @param {string} file
 * @param {boolean} isPipe
 * @returns {import('node:stream').Readable}
 */
function openList(file, isPipe) {
  if (file === STANDARD_INPUT) return process.stdin
  if (!isPipe) return createReadStream(file)
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  return new Socket({ fd, readable: true, writable: false })
}

/**
 * The lines of a file. A line that is too long is undefined.
 *
 * @param {string} file
 * @param {AbortSignal} [signal]
 */
async function* readLines(file, signal) {
  const isPipe = file === STANDARD_INPUT || kindOf(file)?.isFIFO() === true
  let isFirst = true
  let rest = ''
  let isTooLong = false
  try {
    const stream = openList(file, isPipe)
    if (isPipe) signal?.addEventListener('abort', () => void stream.destroy())
    for await (const chunk of stream.setEncoding('utf8')) {
      const lines = (rest + (isFirst ? chunk.replace(/^\uFEFF/, '') : chunk)).split('\n')
      isFirst = false
      rest = lines.pop() ?? ''
      for (const line of lines) {
        yield isTooLong || line.length > LONGEST_LINE ? undefined : line
        isTooLong = false
      }
      isTooLong ||= rest.length > LONGEST_LINE
      if (isTooLong) rest = ''
    }
  } catch (error) {
    if (isPipe && signal?.aborted) return
    throw invalid(`--ghosts ${file}: ${/** @type {Error} */ (error).message}`)
  }
  if (isTooLong) yield undefined
  else if (rest !== '') yield rest
}

/**
 * @param {string | undefined} text
 * @param {string} file
 * @param {number} line
 * @returns {Entry}
 */
function readLine(text, file, line) {
  const problem = (/** @type {string} */ what) => {
    return { ghost: { line }, error: invalid(`line ${line} of ${file}: ${what}`) }
  }
  if (text === undefined) return problem(`it has more than ${LONGEST_LINE} characters`)
  // The decoder puts it where bytes are no UTF-8. The store would be another folder, and made new.
  if (text.includes('\uFFFD')) return problem('it is not UTF-8')
  /** @type {unknown} */
  let value
  try {
    value = JSON.parse(text)
  } catch {
    return problem('it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return problem('it is not a JSON object')
  }
  const { user_id, device_id, store_path } = /** @type {Record<string, unknown>} */ (value)
  if (typeof store_path !== 'string' || store_path === '') return problem('it has no store_path')
  // No path has such characters. The system would take another one, or none.
  if (/[\p{Surrogate}\0]/u.test(store_path)) return problem('its store_path is no path')
  if (user_id === undefined && device_id === undefined) return { ghost: { storePath: store_path } }
  if (typeof user_id !== 'string') return problem('it has no user_id')
  if (typeof device_id !== 'string') return problem('it has no device_id')
  return withCheckedIds({ userId: user_id, deviceId: device_id, storePath: store_path })
}

/**
 * @param {Ghost & { userId: string, deviceId: string }} ghost
 * @returns {Entry}
 */
function withCheckedIds(ghost) {
  const { verifyPublished } = require('..')
  try {
    verifyPublished(ghost.userId, ghost.deviceId, { device_keys: { [ghost.userId]: {} } })
    return { ghost }
  } catch (error) {
    return { ghost, error: /** @type {Failure} */ (error) }
  }
}

/** @param {string} message */
const invalid = (message) => Object.assign(new Error(message), { code: 'INVALID_ARGUMENT' })

/**
 * A ghost as it stands in a line.
 *
 * @param {Ghost} ghost
 */
function writeGhost({ userId, deviceId, storePath, line }) {
  return { user_id: userId, device_id: deviceId, store_path: storePath, line }
}

module.exports = { STANDARD_INPUT, countGhosts, invalid, readGhosts, writeGhost }
