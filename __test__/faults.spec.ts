// Promise: every fault has its outcome and is reported at once. A call that fails leaves everything as it
// was. When the fault is over, the same call succeeds. UPDATE_DOCS=1 writes the table of faults to
// docs/faults.md.

import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type SpawnOptions } from 'node:child_process'
import { createHash } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { change, integrity, query } from './support/database'
import { Disk } from './support/disks'
import { OTHER_PROCESS, SAME_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { walk } from './support/pages'
import { runScript } from './support/processes'
import { onlyKey } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

// A call fails within a second. The rest is for a busy machine.
const LATE = 5000
// Of the stores that this package makes.
const PAGE = 1024
const STAGING = '.rust-crypto-helper-new'
const DOCUMENT = join(__dirname, '..', 'docs', 'faults.md')

type Call = (store: string, options?: BootstrapOptions) => Promise<CrossSigningBootstrap>

/** One case of a fault. */
interface Scene {
  store: string
  /** The payloads before the fault, if the store can be resumed. */
  first?: CrossSigningBootstrap
  options?: BootstrapOptions
  call?: Call
  /** The start and the end of the fault, if it is not in the store but around it. */
  begin?: () => void
  end?: () => void
  /** More checks after the call. */
  check?: (payloads: CrossSigningBootstrap | undefined) => void | Promise<void>
}

interface Fault {
  fault: string
  outcome: string
  /** Another possible outcome. The moment of the fault decides. */
  or?: string
  left:
    | 'nothing'
    | 'nothing at the old path. At the new path: nothing, or the whole store'
    | 'nothing at the old path. At the new path: the whole store, as before or as after the call'
    | 'the store as it was'
    | 'the store with a new identity'
    | 'the store with its identity'
    | 'the store with the same damage'
  /** Each scene leaves a little more room than the scene before it, until a call resolves. */
  untilThereIsRoom?: true
  missing?: string | undefined
  scenes: (folder: string) => AsyncGenerator<Scene> | Generator<Scene>
}

const bootstrap: Call = (...args) => bootstrapCrossSigning(USER_ID, DEVICE_ID, ...args)

const cannotMount = Disk.cannotMount()
const holders = [OTHER_PROCESS, SAME_PROCESS].find(({ missing }) => missing === undefined) ?? OTHER_PROCESS
// Root may read and write everything, so these tests need a process without the rights of root.
const isRoot = process.getuid?.() === 0
const NOBODY = isRoot ? { uid: 65534, gid: 65534 } : {}

// The tables and indexes that a call reads.
const READ = "tbl_name IN ('kv', 'device', 'identity') AND name <> 'device_user_id'"
// SQLite may read its own statistics, or it may not.
const NO_STATISTICS = "tbl_name NOT LIKE 'sqlite_%'"

const FAULTS: Fault[] = [
  {
    fault: 'disk full at any write, new store',
    outcome: 'STORE_IO',
    left: 'nothing',
    untilThereIsRoom: true,
    missing: cannotMount,
    *scenes() {
      for (const disk of Disk.mounted('size=2m')) yield* evenFuller(disk, { store: join(disk.folder, 'new') })
    },
  },
  {
    fault: 'disk full at any write, the first new store of a process',
    outcome: 'STORE_IO',
    left: 'nothing',
    untilThereIsRoom: true,
    missing: cannotMount,
    *scenes() {
      for (const disk of Disk.mounted('size=2m')) {
        yield* evenFuller(disk, { store: join(disk.folder, 'new'), call: inProcess() }, 4)
      }
    },
  },
  {
    fault: 'disk full at any write, existing store, `reset: true`',
    outcome: 'STORE_IO',
    left: 'the store as it was',
    untilThereIsRoom: true,
    missing: cannotMount,
    async *scenes() {
      for (const disk of Disk.mounted('size=3m')) {
        yield* evenFuller(disk, { ...(await existing(disk.folder)), options: { reset: true } })
      }
    },
  },
  {
    fault: 'no room for another file at any moment, new store',
    outcome: 'STORE_IO',
    left: 'nothing',
    untilThereIsRoom: true,
    missing: cannotMount,
    *scenes() {
      for (const disk of Disk.mounted('size=2m,nr_inodes=40')) {
        yield* withoutNames(disk, { store: join(disk.folder, 'a', 'new') })
      }
    },
  },
  {
    fault: 'no room for another file at any moment, existing store, `reset: true`',
    outcome: 'STORE_IO',
    left: 'the store as it was',
    untilThereIsRoom: true,
    missing: cannotMount,
    async *scenes() {
      for (const disk of Disk.mounted('size=3m,nr_inodes=40')) {
        yield* withoutNames(disk, { ...(await existing(disk.folder)), options: { reset: true } })
      }
    },
  },
  {
    fault: 'read-only file system, new store',
    outcome: 'STORE_IO',
    left: 'nothing',
    missing: cannotMount,
    *scenes() {
      for (const disk of Disk.mounted('size=2m')) {
        yield { ...readOnly(disk), store: join(disk.folder, 'a', 'new') }
      }
    },
  },
  {
    fault: 'read-only file system, existing store',
    outcome: 'STORE_IO',
    left: 'the store as it was',
    missing: cannotMount,
    async *scenes() {
      for (const disk of Disk.mounted('size=3m')) {
        const scene = { ...readOnly(disk), ...(await existing(disk.folder)) }
        yield scene
        yield { ...scene, options: { reset: true } }
      }
    },
  },
  {
    fault: 'permission denied, new store',
    outcome: 'STORE_IO',
    left: 'nothing',
    *scenes(folder) {
      const parent = join(folder, 'parent')
      mkdirSync(parent)
      for (const mode of [0o500, 0o600, 0o000]) yield denied(parent, mode, { store: join(parent, 'new') })
    },
  },
  {
    fault: 'permission denied, existing store',
    outcome: 'STORE_IO',
    left: 'the store as it was',
    async *scenes(folder) {
      const scene = await existing(folder)
      for (const mode of [0o500, 0o600, 0o000]) yield denied(scene.store, mode, scene)
      for (const mode of [0o400, 0o000]) yield denied(join(scene.store, DATABASE), mode, scene)
    },
  },
  {
    fault: 'folder moved during the call, new store',
    outcome: 'STORE_IO',
    or: 'created',
    left: 'nothing at the old path. At the new path: nothing, or the whole store',
    *scenes(folder) {
      for (let n = 0; n < 30; n++) yield { store: join(folder, `${n}`), call: movedDuringCall(n % 3) }
    },
  },
  {
    fault: 'folder moved during the call, existing store',
    outcome: 'STORE_IO',
    left: 'nothing at the old path. At the new path: the whole store, as before or as after the call',
    async *scenes(folder) {
      for (let n = 0; n < 30; n++) {
        const { store } = await existing(folder, `${n}`)
        yield { store, call: movedDuringCall(n % 3), options: { reset: true } }
      }
    },
  },
  {
    fault: 'a path with a loop of symbolic links',
    outcome: 'STORE_IO',
    left: 'nothing',
    *scenes(folder) {
      symlinkSync(join(folder, 'b'), join(folder, 'a'))
      symlinkSync(join(folder, 'a'), join(folder, 'b'))
      yield { store: join(folder, 'a') }
      yield { store: join(folder, 'b', 'store') }
    },
  },
  {
    fault: 'a path of more than the 512 bytes that SQLite allows, or of 5,000 characters',
    outcome: 'STORE_IO',
    left: 'nothing',
    *scenes(folder) {
      for (const length of [512, 1000, 4090, 5000]) {
        let store = folder
        while (store.length < length) store = join(store, 'n'.repeat(Math.min(length - store.length, 200)))
        yield { store }
      }
    },
  },
  {
    fault: 'a path with spaces, emoji, quotes, line breaks or characters of URLs and options',
    outcome: 'created',
    left: 'the store with a new identity',
    *scenes(folder) {
      const odd = [
        'a b',
        ' ',
        '👻👩‍👧',
        'e\u0301é',
        '\'"`',
        'a\nb\tc',
        '?mode=memory#%00&',
        'file:store',
        '-rf',
        '\\',
      ]
      for (const name of odd) yield { store: join(folder, name, name) }
    },
  },
  {
    fault: 'a relative path, and a working directory whose name is not UTF-8',
    outcome: 'created',
    left: 'the store with a new identity',
    missing: process.platform === 'linux' ? undefined : 'only Linux has names that are not UTF-8',
    *scenes(folder) {
      const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0x66, 0xff, 0xfe)])
      mkdirSync(odd)
      // A JavaScript string cannot hold this name, but it can hold the name of a link.
      const cwd = join(folder, 'link')
      symlinkSync(odd, cwd)
      yield { store: join(cwd, 'store'), call: () => inProcess({ cwd })('store') }
      expect(readdirSync(odd)).toEqual(['store'])
    },
  },
  {
    fault: 'a damaged header',
    outcome: 'STORE_CORRUPT',
    left: 'the store as it was',
    async *scenes(folder) {
      for (const length of [1, 16, 100, PAGE]) {
        yield await damaged(folder, `${length}`, (bytes) => bytes.fill(0xa5, 0, length))
      }
      // Formats that SQLite does not know. It takes such a file for one that may only be read.
      for (const [write, read] of [
        [3, 2],
        [3, 3],
        [255, 1],
      ] as const) {
        yield await damaged(folder, `${write}-${read}`, (bytes) => {
          bytes[18] = write
          bytes[19] = read
          return bytes
        })
      }
    },
  },
  {
    fault: 'a damaged page of the table `kv`, `identity` or `device`',
    outcome: 'STORE_CORRUPT',
    left: 'the store as it was',
    async *scenes(folder) {
      for (const page of await pages(folder, READ)) yield await damaged(folder, `${page}`, spoil(page))
    },
  },
  {
    fault: 'a damaged page that the call does not read',
    outcome: 'resumed',
    left: 'the store with the same damage',
    async *scenes(folder) {
      for (const page of await pages(folder, `NOT (${READ}) AND ${NO_STATISTICS}`))
        yield await damaged(folder, `${page}`, spoil(page))
    },
  },
  {
    fault: 'a truncated file',
    outcome: 'STORE_CORRUPT',
    left: 'the store as it was',
    async *scenes(folder) {
      const size = statSync(join((await existing(folder)).store, DATABASE)).size
      const boundaries = Array.from({ length: size / PAGE - 1 }, (_, n) => (n + 1) * PAGE)
      for (const length of [2, 99, 100, PAGE - 1, ...boundaries]) {
        yield await damaged(folder, `${length}`, (bytes) => bytes.subarray(0, length))
      }
    },
  },
  {
    fault: 'a file that is not a database',
    outcome: 'STORE_CORRUPT',
    left: 'the store as it was',
    async *scenes(folder) {
      for (const text of ['no', 'This is text.\n', 'This is text.\n'.repeat(1000)]) {
        yield await damaged(folder, `${text.length}`, () => Buffer.from(text))
      }
    },
  },
  {
    fault: 'an empty file',
    outcome: 'created',
    left: 'the store with a new identity',
    async *scenes(folder) {
      // One byte counts as empty: SQLite writes it on file systems that cannot lock an empty file.
      for (const length of [0, 1]) yield await damaged(folder, `${length}`, () => Buffer.alloc(length))
    },
  },
  {
    fault: 'a log that a crashed process left',
    outcome: 'resumed',
    left: 'the store with its identity',
    missing: holders.missing,
    async *scenes(folder) {
      const remains: Record<string, (database: string) => void> = {
        'as it is': () => undefined,
        'without its index': (database) => {
          rmSync(`${database}-shm`)
        },
        'with half a page at its end': (database) => {
          appendFileSync(`${database}-wal`, Buffer.alloc(PAGE / 2, 0xa5))
        },
      }
      for (const [name, change] of Object.entries(remains)) {
        const scene = await existing(folder, name)
        await crash(scene.store)
        change(join(scene.store, DATABASE))
        // A call that fails does not lose the log, either.
        await expect(bootstrap(scene.store, { passphrase: 'none' })).rejects.toMatchObject({
          code: 'STORE_PASSPHRASE',
        })
        const check = async () => {
          expect(await query(scene.store, 'SELECT n FROM crashed')).toEqual([[1]])
        }
        await check()
        yield { ...scene, check }
      }
    },
  },
  {
    fault: 'the staging folder of a killed call, new store',
    outcome: 'created',
    left: 'the store with a new identity',
    *scenes(folder) {
      const store = join(folder, 'store')
      mkdirSync(store)
      litter(store)
      yield { store }
    },
  },
  {
    fault: 'the staging folder of a killed call, existing store',
    outcome: 'resumed',
    left: 'the store with its identity',
    async *scenes(folder) {
      const scene = await existing(folder)
      litter(scene.store)
      yield scene
    },
  },
  {
    fault: 'a schema above 19',
    outcome: 'STORE_VERSION',
    left: 'the store as it was',
    async *scenes(folder) {
      const { store } = await existing(folder)
      for (const newer of [20, 255]) {
        await change(store, 'UPDATE kv SET value = ? WHERE key = ?', Uint8Array.of(newer), 'version')
        yield { store }
        yield { store, options: { reset: true } }
      }
    },
  },
  {
    fault: 'a schema below 9',
    outcome: 'STORE_VERSION',
    left: 'the store as it was',
    async *scenes(folder) {
      const { store } = await existing(folder)
      for (const older of [0, 1, 8]) {
        await change(store, 'UPDATE kv SET value = ? WHERE key = ?', Uint8Array.of(older), 'version')
        yield { store }
        yield { store, options: { reset: true } }
      }
    },
  },
  {
    fault: 'a store of schema 9, made by the Matrix SDK 0.9',
    outcome: 'resumed',
    left: 'the store with its identity',
    async *scenes(folder) {
      const fixture = join(__dirname, 'fixtures', 'schema-9')
      const store = join(folder, 'old')
      mkdirSync(store)
      copyFileSync(join(fixture, DATABASE), join(store, DATABASE))
      expect(await schema(store)).toBe(9)
      const check = async (payloads: CrossSigningBootstrap | undefined) => {
        const [, master] = onlyKey(payloads!.upload_keys.master_key)
        expect(master).toBe(readFileSync(join(fixture, 'master-key.txt'), 'utf8').trim())
        expect(await schema(store)).toBe(9)
      }
      yield { store, check }
    },
  },
]

for (const fault of FAULTS) {
  itWith(fault.missing)(`${fault.fault}: ${fault.outcome}`, async () => {
    let [scenes, slowest] = [0, 0]
    const seen = new Set<string>()
    for await (const scene of fault.scenes(temporaryFolder())) {
      const { code, elapsed } = await play(fault, scene)
      scenes++
      slowest = Math.max(slowest, elapsed)
      seen.add(code)
      if (fault.untilThereIsRoom && code === 'created') break
      if (code !== fault.or) expect(code).toBe(fault.outcome)
    }
    expect(scenes).toBeGreaterThan(fault.untilThereIsRoom ? 1 : 0)
    expect(seen).toContain(fault.outcome)
    expect(slowest).toBeLessThan(LATE)
    if (process.env.VERBOSE) process.stderr.write(`${fault.fault}: ${scenes}, ${slowest.toFixed()} ms\n`)
  })
}

test('one damaged byte, anywhere: the call resolves, or it rejects with a code for damage and changes nothing', async () => {
  const { store } = await existing(temporaryFolder())
  const file = join(store, DATABASE)
  const sound = readFileSync(file)
  // Every byte of the identity, which SQLite's checks do not cover, and some other bytes.
  const identity = sound.indexOf('master_key')
  const places = Array.from({ length: 1500 }, (_, n) =>
    n < 1200 ? identity + n : Math.floor(Math.random() * sound.length),
  )
  const wrong = []
  for (const at of places) {
    const bytes = Buffer.from(sound)
    bytes[at] = bytes[at] === 0x68 ? 0x69 : 0x68
    writeFileSync(file, bytes)
    const { code, payloads } = await settle(bootstrap(store))
    expect(readdirSync(store)).toEqual([DATABASE])
    if (!payloads) expect(readFileSync(file).equals(bytes)).toBe(true)
    // Damage is neither a bug of this package nor a problem of the disk.
    if (['INTERNAL', 'STORE_IO'].includes(code)) wrong.push({ at: at - identity, was: sound[at], code })
  }
  expect(wrong).toEqual([])
})

test('docs/faults.md has the table of these faults', () => {
  const rows = FAULTS.map(
    ({ fault, outcome, or, left }) =>
      `| ${fault} | \`${outcome}\`${or ? ` or \`${or}\`` : ''} | ${left}${or && left === 'nothing' ? ', or the store' : ''} |\n`,
  )
  const table = ['| fault | outcome | what is there afterwards |\n', '|---|---|---|\n', ...rows].join('')
  if (process.env.UPDATE_DOCS) {
    const document = readFileSync(DOCUMENT, 'utf8')
    writeFileSync(
      DOCUMENT,
      document.replace(/^\| fault (.*\n)(\|.*\n)+/m, () => table),
    )
  }
  expect(readFileSync(DOCUMENT, 'utf8')).toContain(`\n\n${table}`)
})

/** Plays a scene. Checks what is left, and that the same call succeeds when the fault is over. */
async function play({ left }: Fault, scene: Scene) {
  const { store, call = bootstrap, options } = scene
  const before = { exists: existsSync(store), around: around(store), inside: inside(store) }
  scene.begin?.()
  let outcome, elapsed
  try {
    const started = performance.now()
    outcome = await settle(options ? call(store, options) : call(store))
    elapsed = performance.now() - started
  } finally {
    scene.end?.()
  }

  const { code, payloads } = outcome
  if (payloads) {
    expect(readdirSync(store)).toEqual([DATABASE])
    if (!before.exists) expect(statSync(store).mode & 0o777).toBe(0o700)
    if (left !== 'the store with the same damage') expect(await integrity(store)).toBe('ok')
    if (code === 'resumed' && scene.first) expect(payloads).toEqual({ ...scene.first, status: 'resumed' })
  } else if (left.startsWith('nothing')) {
    expect(existsSync(store)).toBe(false)
    expect(around(store)).toEqual(before.around)
  } else {
    expect(inside(store)).toEqual(before.inside)
  }
  await scene.check?.(payloads)

  if (scene.end && !payloads) {
    const again = await call(store)
    expect(again).toEqual({ ...(scene.first ?? again), status: scene.first ? 'resumed' : 'created' })
    if (!scene.first) rmSync(store, { recursive: true })
  }
  return { code, elapsed }
}

async function settle(call: Promise<CrossSigningBootstrap>) {
  try {
    const payloads = await call
    return { code: payloads.status as string, payloads }
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    expect(typeof message).toBe('string')
    return { code }
  }
}

/** The names beside the store, or in the folder in which its folder would be made. */
function around(store: string): string[] {
  const parent = dirname(store)
  return existsSync(parent) ? readdirSync(parent).filter((name) => name !== basename(store)) : around(parent)
}

/** The hash of every file in the store's folder, by name, without the staging folder. */
function inside(store: string): Record<string, string> {
  const names = existsSync(store) ? readdirSync(store).filter((name) => name !== STAGING) : []
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(store, name)))
      .digest('hex')
  return Object.fromEntries(names.map((name) => [name, hash(name)]))
}

async function existing(folder: string, name = 'store') {
  const store = join(folder, name)
  return { store, first: await bootstrap(store) }
}

/** A store with a damaged copy of a good database. */
async function damaged(folder: string, name: string, damage: (bytes: Buffer) => Uint8Array): Promise<Scene> {
  const good = join(folder, 'good')
  if (!existsSync(good)) await bootstrap(good)
  const store = join(folder, name)
  mkdirSync(store, { recursive: true })
  writeFileSync(join(store, DATABASE), damage(readFileSync(join(good, DATABASE))))
  return { store }
}

/** The numbers of the pages of some tables and indexes. The first page, with the header, is left out. */
async function pages(folder: string, which: string): Promise<number[]> {
  const { store } = await existing(folder, 'good')
  const roots = await query(store, `SELECT rootpage FROM sqlite_master WHERE ${which}`)
  const bytes = readFileSync(join(store, DATABASE))
  return roots.flatMap(([root]) => [...walk(bytes, root as number)].map(({ number }) => number))
}

function spoil(page: number) {
  return (bytes: Buffer) => bytes.fill(0xa5, (page - 1) * PAGE, page * PAGE)
}

function* evenFuller(disk: Disk, scene: Scene, step = 1): Generator<Scene> {
  for (let blocks = 0; ; blocks += step) {
    const begin = () => {
      disk.fill(blocks)
    }
    yield { ...scene, begin, end: disk.free }
  }
}

function* withoutNames(disk: Disk, scene: Scene): Generator<Scene> {
  for (let names = 0; ; names++) {
    const begin = () => {
      disk.fillNames(names)
    }
    yield { ...scene, begin, end: disk.free }
  }
}

function readOnly(disk: Disk) {
  const begin = () => {
    disk.remount('ro')
  }
  const end = () => {
    disk.remount('rw')
  }
  return { begin, end }
}

function denied(file: string, mode: number, scene: Scene): Scene {
  const { store } = scene
  chmodSync(dirname(dirname(file)), 0o755)
  chmodSync(dirname(file), 0o755)
  for (const owned of [dirname(store), store, join(store, DATABASE)]) {
    if (isRoot && existsSync(owned)) chownSync(owned, NOBODY.uid!, NOBODY.gid!)
  }
  const usual = statSync(file).mode
  const begin = () => {
    chmodSync(file, mode)
  }
  const end = () => {
    chmodSync(file, usual)
  }
  return { ...scene, call: inProcess(NOBODY), begin, end }
}

/** A call in a process of its own, which may have another user or working directory. */
function inProcess(process: SpawnOptions = {}): Call {
  return async (...args) => {
    const script = `
      bootstrapCrossSigning(...${JSON.stringify([USER_ID, DEVICE_ID, ...args])})
        .then((payloads) => ({ payloads }), ({ code, message }) => ({ error: { code, message } }))
        .then((outcome) => console.log(JSON.stringify(outcome)))`
    const { stdout, stderr } = await runScript(script, {}, process)
    expect(stderr).toBe('')
    const { payloads, error } = JSON.parse(stdout) as { payloads: CrossSigningBootstrap; error?: object }
    if (error) throw Object.assign(new Error(), error)
    return payloads
  }
}

/** A call whose store is moved some milliseconds after the work on it has begun. */
function movedDuringCall(milliseconds: number): Call {
  return async (store, options) => {
    // A reset of an existing store makes a log, and a new store a staging folder.
    const isAtWork = () => existsSync(join(store, options ? `${DATABASE}-wal` : STAGING))
    for (let tries = 0; tries < 300; tries++) {
      const call = options ? bootstrap(store, options) : bootstrap(store)
      const resolved = call.then(
        () => true,
        () => false,
      )
      const settled = resolved.then(() => true)
      const isSettled = () => Promise.race([settled, new Promise((turn) => setImmediate(turn, false))])
      while (!isAtWork() && !(await isSettled()));
      if (milliseconds > 0) await sleep(milliseconds)
      if (isAtWork()) {
        renameSync(store, `${store}-moved`)
        if (await resolved) {
          // The call had finished just before the move. The store is whole.
          expect(await integrity(`${store}-moved`)).toBe('ok')
          renameSync(`${store}-moved`, store)
          if (!options) rmSync(store, { recursive: true })
          continue
        }
        if (existsSync(join(`${store}-moved`, DATABASE))) expect(await integrity(`${store}-moved`)).toBe('ok')
        else expect(options).toBeUndefined()
        rmSync(`${store}-moved`, { recursive: true })
        return call
      }
      // The call was over before the move. Try again.
      await call
      if (!options) rmSync(store, { recursive: true })
    }
    throw new Error('never found it at work')
  }
}

/** Another process writes into the store, begins a second write, and is killed. */
async function crash(store: string): Promise<void> {
  const holder = holders.start()
  await holder.open(store)
  await holder.sql('CREATE TABLE crashed (n INTEGER)')
  await holder.sql('INSERT INTO crashed VALUES (1)')
  await holder.sql('BEGIN IMMEDIATE')
  await holder.sql('INSERT INTO crashed VALUES (2)')
  await holder.kill()
  expect(statSync(join(store, `${DATABASE}-wal`)).size).toBeGreaterThan(PAGE)
}

/** Makes the staging folder of a killed call in a store's folder. */
function litter(store: string): void {
  mkdirSync(join(store, STAGING))
  for (const suffix of ['', '-wal', '-shm'])
    writeFileSync(join(store, STAGING, `${DATABASE}${suffix}`), 'half')
}

async function schema(store: string): Promise<number> {
  const [row] = await query(store, "SELECT value FROM kv WHERE key = 'version'")
  return (row![0] as Uint8Array)[0]!
}
