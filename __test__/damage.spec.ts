// Promise: a damaged store never costs an identity. A call either refuses and leaves the store as it was, or
// it returns what it returns for the undamaged store.
//
// DAMAGE=all changes every byte. FLIPS=8000 and CHANGES=5000 set the numbers of flipped bits and changed
// values. VERBOSE=1 prints how often each outcome came.

import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { change, query } from './support/database'
import { changeOne, putTogether, takeApart } from './support/messagepack'
import { type Page, walk } from './support/pages'
import { generator, pick } from './support/random'
import { bootstrap, outcome, place, type SdkStore, sdkStore, wrongSignatures } from './support/sdk-stores'
import { onlyKey } from './support/signatures'
import { DATABASE } from './support/stores'
import { SEED } from './support/seed'

const REFUSALS = [
  'STORE_CORRUPT',
  'STORE_VERSION',
  'STORE_PASSPHRASE',
  'ACCOUNT_MISMATCH',
  'IDENTITY_INCOMPLETE',
]
// The columns that hold the values of the SDK.
const COLUMNS = { kv: 'value', identity: 'data', device: 'data' } as const
const TABLES = Object.keys(COLUMNS) as (keyof typeof COLUMNS)[]

const PLAIN = ['sdk-0.9-plain', 'sdk-0.18-plain']
const ENCRYPTED = ['sdk-0.9-encrypted', 'sdk-0.18-encrypted']

const AT_ONCE = 16
const ROWS = 20
const LATE = 60_000
// Changing every byte of an encrypted store takes many minutes.
const TIMEOUT = 3_600_000

/** One way to damage a store. */
interface Damage {
  what: string
  inflict: (folder: string) => void | Promise<void>
}

let random: () => number
const counts: Record<string, Record<string, number>> = {}

beforeEach(() => {
  // A test that runs alone makes the same damage again. Different stores get different damage.
  random = generator(SEED + expect.getState().currentTestName!.length)
})

test.each([...PLAIN, ...ENCRYPTED])('%s: the walk through b-trees finds every page once', async (name) => {
  const pages = (await allTrees(name)).map(([, { number }]) => number).sort((a, b) => a - b)
  const [count] = await query(place(sdkStore(name)), 'PRAGMA page_count')
  expect(pages).toEqual(Array.from({ length: count![0] as number }, (_, n) => n + 1))
})

test.each([...PLAIN, ...ENCRYPTED])(
  '%s: a changed byte in the tables or indexes that a call reads never costs the identity',
  async (name) => {
    const all = process.env.DAMAGE === 'all'
    const trees = await treesWhere(name, `tbl_name IN (${TABLES.map((table) => `'${table}'`).join()})`)
    const bytes = trees.flatMap(([tree, page]) =>
      offsets(all ? [[page.start, page.end]] : page.used).map((at) => ({ tree, page, at })),
    )
    expect(bytes.length).toBeGreaterThan(1000)
    const share = (ENCRYPTED.includes(name) ? 200 : 1000) / bytes.length
    const places = all ? bytes : bytes.filter(() => random() < share)
    const damages = places.map(({ tree, page, at }): Damage => {
      const mask = random() < 0.5 ? 0xff : 1 + Math.floor(random() * 255)
      return byteChanged(`${tree}, page ${page.number}`, at, page.start, mask)
    })
    await expectSafe(name, 'a byte', damages)
  },
  TIMEOUT,
)

test.each(PLAIN)(
  '%s: a flipped bit anywhere in the database never costs the identity',
  async (name) => {
    const trees = await allTrees(name)
    const places = trees.flatMap(([tree, page]) => offsets(page.used).map((at) => ({ tree, page, at })))
    const flips = Number(process.env.FLIPS ?? 600) / PLAIN.length
    const damages = Array.from({ length: flips }, (): Damage => {
      const { tree, page, at } = pick(random, places)
      return byteChanged(`${tree}, page ${page.number}`, at, page.start, 1 << Math.floor(random() * 8))
    })
    await expectSafe(name, 'a bit', damages)
  },
  TIMEOUT,
)

test.each(PLAIN)(
  '%s: a changed value in a row never costs the identity',
  async (name) => {
    const folder = place(sdkStore(name))
    const rows = []
    for (const table of TABLES) {
      const found = await query(folder, `SELECT rowid, ${COLUMNS[table]} FROM ${table}`)
      rows.push(...found.map(([row, value]) => ({ table, row, value: Buffer.from(value as Uint8Array) })))
    }
    expect(rows.length).toBeGreaterThan(TABLES.length)

    const changes = Number(process.env.CHANGES ?? 600) / PLAIN.length
    const damages: Damage[] = []
    while (damages.length < changes) {
      const { table, row, value } = pick(random, rows)
      const whole = takeApart(value)
      expect(putTogether(whole)).toEqual(value)
      const { part, what } = changeOne(whole, random)
      const bytes = putTogether(part)
      if (bytes.equals(value)) continue
      const sql = `UPDATE ${table} SET ${COLUMNS[table]} = ? WHERE rowid = ${String(row)}`
      damages.push({
        what: `${table} ${String(row)}${what}`,
        inflict: (store) => change(store, sql, bytes),
      })
    }
    await expectSafe(name, 'a value', damages)
  },
  TIMEOUT,
)

afterAll(() => {
  if (!process.env.VERBOSE) return
  const codes = [...new Set(Object.values(counts).flatMap((outcomes) => Object.keys(outcomes)))].sort()
  const line = (cells: (string | number)[], first: string) =>
    `${first.padEnd(28)}${cells.map((cell, n) => String(cell).padStart(codes[n]!.length + 2)).join('')}\n`
  const lines = Object.entries(counts).map(([kind, outcomes]) =>
    line(
      codes.map((code) => outcomes[code] ?? 0),
      kind,
    ),
  )
  process.stderr.write(`\n${line(codes, '')}${lines.join('')}`)
})

/** Makes a call on a copy of the store with each damage, and checks that the promise holds. */
async function expectSafe(name: string, kind: string, damages: Damage[]): Promise<void> {
  const store = sdkStore(name)
  const expected = await bootstrap(store, place(store))
  expect(expected.status).toBe('resumed')
  expect(onlyKey(expected.upload_keys.master_key)[1]).toBe(store.master_key)
  expect(wrongSignatures(expected, store)).toEqual([])

  const outcomes = (counts[`${name}, ${kind}`] ??= {})
  const violations: string[] = []
  const judge = async ({ what, inflict }: Damage, folder: string) => {
    place(store, folder)
    await inflict(folder)
    const { code, problems } = await promise(store, folder, expected)
    outcomes[code] = (outcomes[code] ?? 0) + 1
    if (problems.length > 0) violations.push(`${what}: ${code}: ${problems.join(', ')}`)
  }
  // All workers take their damages from one list.
  const waiting = damages.values()
  const work = async () => {
    const folder = place(store)
    for (const damage of waiting) await judge(damage, folder)
    rmSync(folder, { recursive: true })
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))

  const result = { seed: SEED, calls: damages.length, outcomes, violations: violations.length }
  expect({ ...result, rows: violations.slice(0, ROWS) }).toEqual({ ...result, violations: 0, rows: [] })
}

type Payloads = Awaited<ReturnType<typeof bootstrap>>

/** How a call breaks the promise. The signatures of the undamaged store are right, so equal ones are, too. */
async function promise(store: SdkStore, folder: string, expected: Payloads) {
  const late = sleep(LATE, undefined, { ref: false })
  const settled = await Promise.race([outcome(store, folder), late])
  if (!settled) return { code: 'none', problems: ['has not settled'] }
  const { code, payloads, litter, isChanged } = settled
  const problems = []
  if (litter !== undefined) problems.push(`left ${litter}`)
  if (payloads) {
    const names = new Set([...Object.keys(payloads), ...Object.keys(expected)]) as Set<keyof Payloads>
    // The damage may say that the homeserver has the device keys. Then the call does not return them.
    if (payloads.upload_device_keys === undefined) names.delete('upload_device_keys')
    for (const name of names)
      if (!isDeepStrictEqual(payloads[name], expected[name])) problems.push(`another ${name}`)
  } else {
    if (!REFUSALS.includes(code)) problems.push('no code for damage')
    if (isChanged) problems.push('changed the file')
  }
  return { code, problems }
}

/** The pages of the b-trees whose row in sqlite_master meets the condition, each with its tree's name. */
async function treesWhere(name: string, condition: string): Promise<[tree: string, Page][]> {
  const folder = place(sdkStore(name))
  const trees = await query(folder, `SELECT name, rootpage FROM sqlite_master WHERE ${condition}`)
  return trees.flatMap(([tree, root]) => pages(folder, tree as string, root as number))
}

async function allTrees(name: string): Promise<[tree: string, Page][]> {
  return [...pages(place(sdkStore(name)), 'sqlite_master', 1), ...(await treesWhere(name, 'rootpage > 0'))]
}

function pages(folder: string, tree: string, root: number): [tree: string, Page][] {
  return [...walk(readFileSync(join(folder, DATABASE)), root)].map((page) => [tree, page])
}

function offsets(stretches: Page['used']): number[] {
  return stretches.flatMap(([start, end]) => Array.from({ length: end - start }, (_, n) => start + n))
}

function byteChanged(where: string, at: number, start: number, mask: number): Damage {
  const inflict = (folder: string) => {
    const file = openSync(join(folder, DATABASE), 'r+')
    const byte = readFileSync(file).readUInt8(at)
    writeSync(file, Buffer.of(byte ^ mask), 0, 1, at)
    closeSync(file)
  }
  return { what: `${where}, byte ${at - start} ^ 0x${mask.toString(16)}`, inflict }
}
