'use strict'

// A check is a line of the report: what was looked at, how long that took, and what was seen.

const counts = { PASS: 0, FAIL: 0 }

/** @type {string[]} */
const secrets = []

/** Keeps a text out of the report, such as the address of a registry, which may have a password in it. */
function hide(/** @type {string} */ text) {
  secrets.push(text)
}

/**
 * @param {string} name
 * @param {() => unknown} test What it returns is printed as a detail. It fails by an exception.
 */
async function check(name, test) {
  const before = performance.now()
  /** @type {keyof typeof counts} */
  let result = 'PASS'
  let detail
  try {
    detail = await test()
  } catch (error) {
    result = 'FAIL'
    const { message, stdout, stderr } = /** @type {import('node:child_process').ExecFileException} */ (error)
    detail = [message, stdout, stderr].filter(Boolean).join('\n')
  }
  counts[result] += 1
  const seconds = ((performance.now() - before) / 1000).toFixed(1).padStart(6)
  const line = `${result} ${seconds} s  ${name}${detail ? `: ${detail}` : ''}`
  console.log(secrets.reduce((text, secret) => text.replaceAll(secret, '<hidden>'), line))
}

/**
 * @param {unknown} actual
 * @param {unknown} expected
 */
function expectEqual(actual, expected) {
  const [found, wanted] = [actual, expected].map((value) => JSON.stringify(value))
  if (found !== wanted) throw new Error(`${found} instead of ${wanted}`)
}

/** Prints how many checks passed. Returns whether all did. */
function summarize() {
  console.log(`${counts.PASS} passed, ${counts.FAIL} failed`)
  return counts.FAIL === 0
}

module.exports = { check, expectEqual, hide, summarize }
