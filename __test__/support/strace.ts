// Records with strace what a call does to the file system. The call runs in a process of its own.

import { type ChildProcess, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { finish, ROOT, start } from './processes'
import { temporaryFolder } from './stores'

/** One operation. Paths are relative to the watched folder. The folder itself is ''. */
export type Operation =
  | { kind: 'make' | 'makeFolder' | 'sync' | 'remove'; path: string }
  | { kind: 'write'; path: string; at: number; bytes: Buffer }
  | { kind: 'resize'; path: string; size: number }
  | { kind: 'rename' | 'link'; from: string; path: string }
  | { kind: 'resolved'; path: string }

export type Call = [userId: string, deviceId: string, store: string, options: BootstrapOptions]

export interface Recording {
  payloads: CrossSigningBootstrap
  operations: Operation[]
}

/** The reason why strace cannot trace on this machine, if it cannot. */
export function cannotTrace(): string | undefined {
  if (process.platform !== 'linux') return 'only Linux has strace'
  const { status, error } = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'])
  if (status === 0) return undefined
  return error ? 'there is no strace: install the package' : 'strace may not trace processes here'
}

/** Starts a call in a process that strace watches. The process prints the payloads when the call resolves. */
export function startTraced(call: Call, strace: string[]): ChildProcess {
  const script = `
    const { bootstrapCrossSigning } = require(${JSON.stringify(ROOT)})
    bootstrapCrossSigning(...${JSON.stringify(call)}).then(
      (payloads) => require('node:fs').writeSync(1, JSON.stringify(payloads)),
      ({ code, message }) => require('node:fs').writeSync(2, code + ': ' + message),
    )`
  return start('strace', ['-f', ...strace, process.execPath, '-e', script])
}

const CALLS = [
  ...['open', 'openat', 'creat', 'mkdir', 'mkdirat', 'rename', 'renameat', 'renameat2', 'link', 'linkat'],
  ...['symlink', 'symlinkat', 'unlink', 'unlinkat', 'rmdir', 'write', 'writev', 'pwrite64', 'pwritev'],
  ...['pwritev2', 'lseek', 'truncate', 'ftruncate', 'fallocate', 'fsync', 'fdatasync', 'copy_file_range'],
  ...['sendfile', 'mmap'],
].map((name) => `?${name}`) // some processors do not have all of them

/** Records a call that resolves. `inject` has options of strace that make system calls fail. */
export async function record(watched: string, call: Call, inject: string[] = []): Promise<Recording> {
  const log = join(temporaryFolder(), 'log')
  const strace = ['-o', log, '-y', '-xx', '-s', `${1 << 20}`, '-e', `trace=${CALLS.join()}`]
  const { stdout, stderr } = await finish(startTraced(call, [...strace, ...inject]))
  if (stdout === '') throw new Error(`nothing was resolved: ${stderr}`)
  const payloads = JSON.parse(stdout) as CrossSigningBootstrap
  return { payloads, operations: parse(readFileSync(log, 'latin1'), watched) }
}

const STRING = /"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?/g
const HANDLE = /^(-?\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?$/
const STANDARD_OUTPUT = 1

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll('\\x', ''), 'hex')
}

function strings(args: string): Buffer[] {
  return [...args.matchAll(STRING)].map(([, hex, more]) => {
    if (more) throw new Error('strace has cut a string')
    return bytes(hex!)
  })
}

/** Reads a log of strace. Where calls of several threads overlap, a call counts at its end. */
function parse(log: string, watched: string): Operation[] {
  const operations: Operation[] = []
  const begun = new Map<string, string>()
  const positions = new Map<number, number>()

  for (const line of log.split('\n')) {
    const [, thread, text] = /^(\d+) +(.*)$/.exec(line) ?? ['', '', '']
    const unfinished = / <unfinished \.\.\.>$/.exec(text)
    if (unfinished) begun.set(thread, text.slice(0, unfinished.index))
    const rest = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1]
    const whole = rest === undefined ? text : begun.get(thread)! + rest
    const [, name, args, result] = /^(\w+)\((.*)\) += (0x[0-9a-f]+|-?\d+)/.exec(whole) ?? []
    if (name === undefined || Number(result) < 0) continue
    operations.push(...read(name, args!, Number(result), positions, watched))
  }
  return operations
}

function read(
  name: string,
  args: string,
  result: number,
  positions: Map<number, number>,
  watched: string,
): Operation[] {
  const list = args.split(', ')
  const inside = (path: string) => {
    const found = relative(watched, path)
    return found.startsWith('..') || isAbsolute(found) ? undefined : found
  }
  const named = list.flatMap((arg, n) => {
    if (!arg.startsWith('"')) return []
    const folder = HANDLE.exec(list[n - 1] ?? '')?.[2]
    const path = strings(arg)[0]!.toString()
    return inside(folder === undefined ? path : resolve(bytes(folder).toString(), path)) ?? []
  })
  const [, handle, opened, deleted] = HANDLE.exec(list[name === 'mmap' ? 4 : 0]!) ?? []
  const file = opened === undefined || deleted ? undefined : inside(bytes(opened).toString())
  const descriptor = Number(handle)
  const refuse = (): never => {
    throw new Error(`the model of the disk does not know ${name}(${args.slice(0, 300)})`)
  }

  switch (name) {
    case 'open':
    case 'openat':
    case 'creat': {
      const [path] = named
      if (path === undefined) return []
      if (args.includes('O_APPEND')) return refuse()
      positions.set(result, 0)
      const made = name === 'creat' || args.includes('O_CREAT')
      const emptied = name === 'creat' || args.includes('O_TRUNC')
      return [
        ...(made ? [{ kind: 'make', path } as const] : []),
        ...(emptied ? [{ kind: 'resize', path, size: 0 } as const] : []),
      ]
    }
    case 'write':
    case 'writev': {
      if (descriptor === STANDARD_OUTPUT) return [{ kind: 'resolved', path: '' }]
      if (file === undefined) return []
      const at = positions.get(descriptor) ?? refuse()
      positions.set(descriptor, at + result)
      return [{ kind: 'write', path: file, at, bytes: Buffer.concat(strings(args)).subarray(0, result) }]
    }
    case 'pwrite64':
    case 'pwritev': {
      if (file === undefined) return []
      const written = Buffer.concat(strings(args)).subarray(0, result)
      return [{ kind: 'write', path: file, at: Number(list.at(-1)), bytes: written }]
    }
    case 'lseek':
      positions.set(descriptor, result)
      return []
    case 'ftruncate':
      return file === undefined ? [] : [{ kind: 'resize', path: file, size: Number(list[1]) }]
    case 'truncate':
      return named.map((path) => ({ kind: 'resize', path, size: Number(list[1]) }))
    case 'fsync':
    case 'fdatasync':
      return file === undefined ? [] : [{ kind: 'sync', path: file }]
    case 'mkdir':
    case 'mkdirat':
      return named.map((path) => ({ kind: 'makeFolder', path }))
    case 'unlink':
    case 'unlinkat':
    case 'rmdir':
      return named.map((path) => ({ kind: 'remove', path }))
    case 'rename':
    case 'renameat':
    case 'renameat2':
    case 'link':
    case 'linkat': {
      const [from, path] = named
      if (from === undefined && path === undefined) return []
      if (from === undefined || path === undefined || args.includes('RENAME_EXCHANGE')) return refuse()
      return [{ kind: name.startsWith('link') ? 'link' : 'rename', from, path }]
    }
    case 'mmap': {
      const writes = args.includes('PROT_WRITE') && args.includes('MAP_SHARED')
      // After a crash SQLite makes the index of its log again, whatever is in it.
      return writes && file !== undefined && !file.endsWith('-shm') ? refuse() : []
    }
    default:
      return named.length > 0 || list.some((arg) => isInside(arg)) ? refuse() : []
  }

  function isInside(arg: string): boolean {
    const path = HANDLE.exec(arg)?.[2]
    return path !== undefined && inside(bytes(path).toString()) !== undefined
  }
}
