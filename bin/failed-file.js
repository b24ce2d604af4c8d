'use strict'

// The file of the ghosts that are not published. It is a list of ghosts again.

const { closeSync, fstatSync, openSync, statSync, writeFileSync } = require('node:fs')
const { UsageError } = require('./arguments.js')
const { STANDARD_INPUT, invalid, writeGhost } = require('./ghosts.js')

class FailedFile {
  #path
  #handle
  count = 0

  /**
   * @param {string} path
   * @param {string | undefined} ghosts the list that is read at the same time, or `-`
   */
  constructor(path, ghosts) {
    if (ghosts !== undefined && isSame(path, ghosts)) {
      throw new UsageError('--failed and --ghosts are the same file')
    }
    this.#path = path
    this.#handle = this.#try(() => openSync(path, 'w'))
  }

  /**
   * A line that is no ghost is left out: it would fail again.
   *
   * @param {import('./ghosts.js').Ghost} ghost
   */
  add(ghost) {
    if (ghost.storePath === undefined) return
    // Unlike `writeSync`, it goes on when the disk has taken a part.
    this.#try(() => writeFileSync(this.#handle, `${JSON.stringify(writeGhost(ghost))}\n`))
    this.count++
  }

  close() {
    closeSync(this.#handle)
  }

  /**
   * @template T
   * @param {() => T} work
   */
  #try(work) {
    try {
      return work()
    } catch (error) {
      throw invalid(`--failed ${this.#path}: ${/** @type {Error} */ (error).message}`)
    }
  }
}

/**
 * @param {string} failed
 * @param {string} ghosts
 */
function isSame(failed, ghosts) {
  const one = statSync(failed, { throwIfNoEntry: false })
  // A device, such as a terminal or /dev/null, may be both.
  if (!one?.isFile()) return false
  const other = ghosts === STANDARD_INPUT ? fstatSync(0) : statSync(ghosts, { throwIfNoEntry: false })
  return other !== undefined && one.dev === other.dev && one.ino === other.ino
}

module.exports = { FailedFile }
