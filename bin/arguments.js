'use strict'

// Tells options from arguments by exact name, because a device ID may begin with anything.

/**
 * @typedef {object} Command
 * @property {string} name what a message calls it
 * @property {string} synopsis
 * @property {string[]} parameters the arguments, in order. The last may stand for many: `<name>...`, or `[<name>...]` for any number
 * @property {string[]} options the names of those that it takes
 * @property {(values: string[], options: Map<string, string>) => Promise<number>} run returns the exit code
 */

/** A wrong command line. The message says which argument is wrong. */
class UsageError extends Error {}

/** All options, each with the name of its value, if it takes one. */
const OPTIONS = new Map([
  ['--server-keys', 'FILE'],
  ['--empty-passphrase', undefined],
  ['--help', undefined],
  ['-h', undefined],
  ['--version', undefined],
  ['--homeserver', 'URL'],
  ['--ghosts', 'FILE'],
  ['--json', undefined],
  ['--concurrency', 'N'],
  ['--dry-run', undefined],
  ['--failed', 'FILE'],
])

/** Those that count everywhere. Each of the others is a plain word for a command that does not take it. */
const COMMON = ['--server-keys', '--empty-passphrase', '--help', '-h', '--version']

/** What is printed instead of running a command. */
const INFORMATION = ['--help', '-h', '--version']

/**
 * @param {string[]} args
 * @param {Map<string, Command>} commands by their first argument
 * @param {Command} unnamed the command without one
 */
function readCommandLine(args, commands, unnamed) {
  const common = separate(args, COMMON)
  const named = commands.get(common.words[0] ?? '')
  const command = named ?? unnamed
  const { words, plain, options } = separate(args, [...COMMON, ...command.options])

  const information = INFORMATION.find((name) => options.has(name))
  if (information) {
    // Otherwise a script whose device has this name would take the help for payloads.
    if (words.length > (named ? 1 : 0)) {
      throw new UsageError(`${information} stands alone. If it is an argument, write -- before the arguments`)
    }
    return { information, command, values: [], options }
  }
  for (const name of options.keys()) {
    if (!command.options.includes(name)) throw new UsageError(`${command.name} takes no ${name}`)
  }
  const skipped = named ? 1 : 0
  const values = words.slice(skipped)
  checkValues(values, plain.slice(skipped), command.parameters, command === unnamed)
  return { command, values, options }
}

/**
 * Separates the options from the other words, of which the plain ones stand before `--`.
 *
 * @param {string[]} args
 * @param {string[]} names those of the options
 */
function separate(args, names) {
  const end = args.includes('--') ? args.indexOf('--') : args.length
  const rest = args.slice(0, end)
  /** @type {string[]} */
  const plain = []
  /** @type {Map<string, string>} */
  const options = new Map()
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, name = word, attached] = /^(--[^=]+)=(.*)$/s.exec(word) ?? []
    if (!names.includes(name)) {
      plain.push(word)
    } else if (options.has(name)) {
      throw new UsageError(`${name} is given twice`)
    } else {
      options.set(name, optionValue(name, attached, rest, names))
    }
  }
  return { words: [...plain, ...args.slice(end + 1)], plain, options }
}

/**
 * @param {string} name
 * @param {string | undefined} attached what stands after `=`
 * @param {string[]} rest the words that follow
 * @param {string[]} names those of the options
 */
function optionValue(name, attached, rest, names) {
  const wanted = OPTIONS.get(name)
  if (wanted === undefined) {
    if (attached !== undefined) throw new UsageError(`${name} takes no value`)
    return ''
  }
  // An option that follows is not the value: the value was forgotten.
  const value = attached ?? (names.includes(rest[0] ?? '') ? undefined : rest.shift())
  if (!value) throw new UsageError(`${name} needs a ${wanted}`)
  return value
}

/**
 * @param {string[]} values
 * @param {string[]} plain those before `--`
 * @param {string[]} parameters
 * @param {boolean} unnamed whether the first could be meant as a command
 */
function checkValues(values, plain, parameters, unnamed) {
  const [first] = values
  const noUserId = parameters[0] === '<user_id>' && first !== undefined && !first.startsWith('@')
  if (noUserId && plain[0]?.startsWith('-')) throw unknownOption(first)
  const [fewest, most] = countsOf(parameters)
  // A list has no positions that tell an argument from an option that does not exist, or is misspelt.
  const option = plain
    .slice(most === Infinity ? parameters.length - 1 : most)
    .find((word) => word.startsWith('-'))
  if (option && most === Infinity) throw unknownOption(option)
  if (values.length >= fewest && values.length <= most) return
  if (noUserId) throw new UsageError(`${shown(first)} is no <user_id>${unnamed ? ' and no command' : ''}`)

  const last = values.at(-1)
  if (values.length < fewest) {
    const place = last === undefined ? '' : ` after ${parameters[values.length - 1]} ${shown(last)}`
    throw new UsageError(`${parameters[values.length]?.replace('...', '')} is missing${place}`)
  }
  if (option) throw unknownOption(option)
  const extra = values.slice(parameters.length).map(shown).join(' ')
  const suspect = plain.find((word) => word.startsWith('--'))
  throw new UsageError(
    `too many arguments: ${extra}${suspect ? `, or unknown option ${nameOf(suspect)}` : ''}`,
  )
}

/**
 * How many arguments there may be: the fewest and the most.
 *
 * @param {string[]} parameters
 * @returns {[fewest: number, most: number]}
 */
function countsOf(parameters) {
  const last = parameters.at(-1) ?? ''
  const most = /\.\.\.\]?$/.test(last) ? Infinity : parameters.length
  return [last.startsWith('[') ? parameters.length - 1 : parameters.length, most]
}

/** @param {string} word */
const shown = (word) => word || '""'

/** @param {string} word */
const unknownOption = (word) => new UsageError(`unknown option ${nameOf(word)}`)

/**
 * Without the value, which may be a secret.
 *
 * @param {string} word
 */
const nameOf = (word) => word.split('=', 1)[0]

module.exports = { UsageError, readCommandLine }
