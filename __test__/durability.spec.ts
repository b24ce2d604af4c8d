// Promise: when a call resolves, its result is on the disk. A power cut at any moment of a call leaves the
// store as it was before the call, or as it is after it.

import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { content, integrity, query } from './support/database'
import { OTHER_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { ModelDisk, type Remains } from './support/power-cut'
import { finish } from './support/processes'
import { generator } from './support/random'
import { place, type SdkStore, sdkStore } from './support/sdk-stores'
import { canonicalJson } from './support/signatures'
import { DATABASE, DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'
import { type Call, cannotTrace, type Operation, record, type Recording, startTraced } from './support/strace'
import { SEED } from './support/seed'

/** The number of random power cuts after each step of a call. POWER_CUTS=100 is the full size. */
const POWER_CUTS = Number(process.env.POWER_CUTS ?? 4)
const AT_ONCE = 16
// The states that a power cut leaves need no disk. They are kept in memory if the system has a folder there.
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const STAGING = '.rust-crypto-helper-new'
const STORED = join('store', DATABASE)
const MOVED = join('store-moved', DATABASE)

jest.setTimeout(120_000 + POWER_CUTS * 5_000)

const PLAIN = sdkStore('sdk-0.18-plain')

const traced = itWith(cannotTrace())
const tracedWithPython = itWith(cannotTrace() ?? OTHER_PROCESS.missing)

/** A call for a store on a disk. The disk is a temporary folder. */
class Scene {
  readonly disk = temporaryFolder()
  readonly folder: string
  readonly database: string
  readonly call: Call

  constructor(
    /** The path of the store on the disk. */
    readonly store: string,
    made?: SdkStore,
    options: BootstrapOptions = {},
  ) {
    this.folder = join(this.disk, store)
    this.database = join(this.folder, DATABASE)
    if (made) place(made, this.folder)
    const { user_id, device_id, passphrase } = made ?? { user_id: USER_ID, device_id: DEVICE_ID }
    const own = passphrase === undefined ? {} : { passphrase }
    this.call = [user_id, device_id, this.folder, { ...own, ...options }]
  }

  /** The path of a file of the store on the disk, as recordings have it. */
  file(suffix = ''): string {
    return join(this.store, DATABASE + suffix)
  }

  record(inject?: string[]): Promise<Recording> {
    return record(this.disk, this.call, inject)
  }

  /** The same call for the same store on another disk, without `reset`. */
  resume(disk: string): Promise<CrossSigningBootstrap> {
    const [userId, deviceId, , { reset: _reset, ...options }] = this.call
    return bootstrapCrossSigning(userId, deviceId, join(disk, this.store), options)
  }
}

const reset = { reset: true }

const SCENES: Record<string, () => Scene | Promise<Scene>> = {
  'a new store': () => inNewFolder(),
  'a new store whose folder and parent folders are missing': () => new Scene('a/b/store'),
  'a new encrypted store': () => new Scene('a/b/store', undefined, { passphrase: 'secret' }),
  'a store whose database is an empty file': () => {
    const scene = inNewFolder()
    writeFileSync(scene.database, '')
    return scene
  },
  'a complete store': () => complete(),
  'a store whose device is not signed': () => new Scene('store', PLAIN),
  'a store without an identity': () => new Scene('store', sdkStore('sdk-0.18-no-identity')),
  'a store of SDK 0.9 without an identity': () => new Scene('store', sdkStore('sdk-0.9-no-identity')),
  'a reset of a store with sessions': () => resetOfUsed(),
  'a reset of an encrypted store': () => new Scene('store', sdkStore('sdk-0.18-encrypted'), reset),
}

const SCENES_AFTER_A_CRASH: typeof SCENES = {
  'a store with the log of a crashed process': () => crashedWithLog(),
  'a reset of a store with the log of a crashed process': () => crashedWithLog(reset),
  'a store with the journal of a crashed process': () => crashedWithJournal(),
  'a reset of a store with the journal of a crashed process': () => crashedWithJournal(reset),
}

describe('a power cut leaves the old store or the new one, and after the call always the new one', () => {
  for (const [name, scene] of Object.entries(SCENES)) {
    traced(name, async () => {
      await expectWithstood(await scene())
    })
  }

  for (const [name, scene] of Object.entries(SCENES_AFTER_A_CRASH)) {
    tracedWithPython(name, async () => {
      await expectWithstood(await scene())
    })
  }

  traced('a reset whose last syncs the disk refuses', async () => {
    await expectWithstood(resetOfUsed(), await refuseLastSyncs(resetOfUsed()))
  })

  traced('the model notices when any sync of a new store is left out', async () => {
    const scene = new Scene('a/b/store')
    const recorded = await recordCall(scene)
    for (const [n, { kind, path }] of recorded.operations.entries()) {
      if (kind !== 'sync') continue
      const [disk, operations] = [new ModelDisk(temporaryFolder()), recorded.operations.toSpliced(n, 1)]
      const problems = await cutPower(scene, { ...recorded, disk, operations })
      expect([path, problems.length]).not.toEqual([path, 0])
    }
  })
})

describe('the order of writes and syncs', () => {
  const isResolved = ({ kind }: Operation) => kind === 'resolved'

  traced('a call writes nothing into a complete store', async () => {
    const scene = await complete()
    const { operations } = await scene.record()
    expect(operations.filter(({ kind, path }) => kind === 'write' && path === scene.file())).toEqual([])
  })

  traced('a new database is synced before it gets its name', async () => {
    const scene = new Scene('store')
    const disk = await diskBefore(scene, ({ kind, path }) => kind === 'rename' && path === scene.file())
    expect(disk.unsynced(join(scene.store, STAGING, DATABASE))).not.toContainEqual(/^content/)
  })

  traced('the name of a new database is synced before the call resolves', async () => {
    const scene = new Scene('store')
    const disk = await diskBefore(scene, isResolved)
    expect(disk.unsynced(scene.file())).not.toContain(`name of ${scene.file()}`)
  })

  traced('the name of each new folder is synced before the call resolves', async () => {
    const disk = await diskBefore(new Scene('a/b/store'), isResolved)
    expect(disk.unsynced('a/b/store')).toEqual([])
  })

  traced('a log and its name are synced before the log goes into the database', async () => {
    const scene = resetOfUsed()
    const disk = await diskBefore(scene, ({ kind, path }) => kind === 'write' && path === scene.file())
    expect(disk.unsynced(scene.file('-wal'))).toEqual([])
  })

  traced('a database is synced before its log is emptied', async () => {
    const scene = resetOfUsed()
    const disk = await diskBefore(scene, (operation) => discards(operation, scene.file('-wal')))
    expect(disk.unsynced(scene.file())).toEqual([])
  })

  traced('a change is synced before the call resolves, even if it has to stay in the log', async () => {
    const scene = resetOfUsed()
    const disk = await diskBefore(scene, isResolved, await refuseLastSyncs(resetOfUsed()))
    expect(disk.unsynced(scene.file('-wal'))).toEqual([])
  })

  tracedWithPython('a database repaired by a journal is synced before that is discarded', async () => {
    const scene = await crashedWithJournal()
    const disk = await diskBefore(scene, (operation) => discards(operation, scene.file('-journal')))
    expect(disk.unsynced(scene.file())).toEqual([])
  })
})

describe('if the store is moved or removed during a call, the call rejects and leaves nothing behind', () => {
  traced('the folder of a new store is moved', async () => {
    const scene = new Scene('store')
    const outcome = await interrupt(scene, STAGED, () => {
      renameSync(scene.folder, `${scene.folder}-moved`)
    })
    expect([outcome, existsSync(scene.folder)]).toEqual(['STORE_IO', false])
    expect(listed(scene.disk)).not.toContain(MOVED)
  })

  traced('the folder of an existing store is moved', async () => {
    const act = ({ folder }: Scene) => {
      renameSync(folder, `${folder}-moved`)
    }
    for (const { name, scene, outcome, before } of await interruptEach(act)) {
      expect([name, outcome, existsSync(scene.folder)]).toEqual([name, 'STORE_IO', false])
      expect(readFileSync(join(scene.disk, MOVED)).equals(before)).toBe(true)
      // There is no log or journal that changes it, either.
      renameSync(`${scene.folder}-moved`, scene.folder)
      const { upload_keys } = await scene.resume(scene.disk)
      expect(Object.values(upload_keys.master_key.keys)).toEqual([PLAIN.master_key])
    }
  })

  traced('the database is removed', async () => {
    const act = ({ database }: Scene) => {
      unlinkSync(database)
    }
    for (const { name, scene, outcome } of await interruptEach(act)) {
      expect([name, outcome, listed(scene.disk)]).toEqual([name, 'STORE_IO', ['store']])
    }
  })

  traced('the database is replaced by another one', async () => {
    const another = readFileSync(new Scene('store', sdkStore('sdk-0.18-no-identity')).database)
    const act = ({ database }: Scene) => {
      writeFileSync(`${database}-new`, another)
      renameSync(`${database}-new`, database)
    }
    for (const { name, scene, outcome } of await interruptEach(act)) {
      expect([name, outcome, listed(scene.disk)]).toEqual([name, 'STORE_IO', ['store', STORED]])
      expect(readFileSync(scene.database).equals(another)).toBe(true)
    }
  })

  traced('the database is removed while the call writes', async () => {
    const scene = resetOfUsed()
    const outcome = await interrupt(scene, WRITING, () => {
      unlinkSync(scene.database)
    })
    expect([outcome, listed(scene.disk)]).toEqual(['STORE_IO', ['store']])
  })
})

async function complete(): Promise<Scene> {
  const scene = new Scene('store')
  await scene.resume(scene.disk)
  return scene
}

function inNewFolder(): Scene {
  const scene = new Scene('store')
  mkdirSync(scene.folder)
  return scene
}

function resetOfUsed(): Scene {
  return new Scene('store', sdkStore('sdk-0.9-used'), reset)
}

/** Another process writes into the store and is killed. */
async function crash(scene: Scene, statements: string[]): Promise<Scene> {
  const holder = OTHER_PROCESS.start()
  await holder.open(scene.folder)
  for (const statement of statements) await holder.sql(statement)
  await holder.kill()
  return scene
}

async function crashedWithLog(options?: BootstrapOptions): Promise<Scene> {
  const scene = await crash(new Scene('store', PLAIN, options), [
    'CREATE TABLE theirs (n INTEGER)',
    'INSERT INTO theirs VALUES (1)',
    'BEGIN IMMEDIATE',
    'INSERT INTO theirs VALUES (2)',
  ])
  expect(statSync(`${scene.database}-wal`).size).toBeGreaterThan(0)
  return scene
}

/** Half of a transaction is in the database. The journal has what SQLite needs to undo it. */
async function crashedWithJournal(options?: BootstrapOptions): Promise<Scene> {
  const scene = await crash(new Scene('store', PLAIN, options), [
    'PRAGMA journal_mode = delete',
    'CREATE TABLE theirs (bytes BLOB)',
    ...Array<string>(50).fill('INSERT INTO theirs VALUES (zeroblob(2000))'),
    'PRAGMA cache_size = 1',
    'BEGIN IMMEDIATE',
    "UPDATE kv SET value = x'00'",
    'UPDATE theirs SET bytes = randomblob(2000)',
  ])
  expect(readFileSync(`${scene.database}-journal`)[0]).not.toBe(0)
  expect(await query(scene.folder, 'SELECT DISTINCT hex(value) FROM kv')).toEqual([['00']])
  return scene
}

/** The options of strace that make the first sync of the final checkpoint fail, and every later one. */
async function refuseLastSyncs(scene: Scene): Promise<string[]> {
  const { operations } = await scene.record()
  const putAway = operations.findIndex(({ kind, path }) => kind === 'write' && path === scene.file())
  const syncs = operations.slice(0, putAway).filter(({ kind }) => kind === 'sync').length
  return ['-e', `inject=fsync,fdatasync:error=EIO:when=${syncs}+`]
}

/** Whether SQLite ignores a log or journal after this operation: it is emptied, wiped or removed. */
function discards(operation: Operation, file: string): boolean {
  const { kind, path } = operation
  const wipes = kind === 'write' && operation.at === 0 && operation.bytes.every((byte) => byte === 0)
  return path === file && (wipes || kind === 'resize' || kind === 'remove')
}

/** The disk right before the first operation of this kind. */
async function diskBefore(
  scene: Scene,
  what: (operation: Operation) => boolean,
  inject?: string[],
): Promise<ModelDisk> {
  const disk = new ModelDisk(scene.disk)
  for (const operation of (await scene.record(inject)).operations) {
    if (what(operation)) return disk
    disk.apply(operation)
  }
  throw new Error('it was never done')
}

interface Found {
  payloads: CrossSigningBootstrap
  /** A digest of all tables but `kv`, `identity` and `device`. */
  others: string
}

/** What a call without `reset` finds after a power cut. */
async function find(scene: Scene, remains: Remains): Promise<Found> {
  const disk = mkdtempSync(join(MEMORY, 'rust-crypto-helper-power-cut-'))
  try {
    remains.write(disk)
    const payloads = await scene.resume(disk)
    const folder = join(disk, scene.store)
    const files = readdirSync(folder)
    if (files.join() !== DATABASE) throw new Error(`left in the folder: ${files.join(', ')}`)
    if ((await integrity(folder)) !== 'ok') throw new Error('the database is damaged')
    const tables = (await content(folder)) as [name: string, rows: unknown][]
    const others = JSON.stringify(
      tables.filter(([name]) => !['kv', 'identity', 'device'].includes(name)),
      (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value),
    )
    return { payloads, others: createHash('sha1').update(others).digest('hex') }
  } finally {
    rmSync(disk, { recursive: true })
  }
}

interface Recorded extends Recording {
  /** The disk as it was before the call. */
  disk: ModelDisk
  before: Found
}

async function recordCall(scene: Scene, inject?: string[]): Promise<Recorded> {
  const disk = new ModelDisk(scene.disk)
  const [untouched] = disk.remains(Math.random, 0)
  const before = await find(scene, untouched!)
  return { disk, before, ...(await scene.record(inject)) }
}

/** Cuts the power after each step of a call, and checks what may be left. */
async function cutPower(scene: Scene, { disk, before, operations, payloads }: Recorded): Promise<object[]> {
  const random = generator(SEED)
  const problems: object[] = []
  const judge = judgeOf(before, { ...payloads, status: 'resumed' })
  const look = async (remains: Remains, step: string, isPromised: boolean) => {
    const problem = await find(scene, remains).then(
      (found) => judge(found, isPromised),
      (error: unknown) => String((error as { code?: string }).code ?? error),
    )
    if (problem !== undefined) problems.push({ step, cut: remains.cut, problem })
  }

  const seen = new Set<string>()
  const looks: Promise<void>[] = []
  let isPromised = false
  for (const [n, operation] of operations.entries()) {
    disk.apply(operation)
    isPromised ||= operation.kind === 'resolved'
    const step = `${n + 1} of ${operations.length}: ${operation.kind} ${operation.path}`
    for (const remains of disk.remains(random, isPromised ? POWER_CUTS * 10 : POWER_CUTS)) {
      // The next call removes the staging folder, whatever is in it.
      const digest = remains.digest((folder) => folder.startsWith(`${scene.store}/`))
      if (seen.has(`${isPromised} ${digest}`)) continue
      seen.add(`${isPromised} ${digest}`)
      looks.push(look(remains, step, isPromised))
      if (looks.length === AT_ONCE) await Promise.all(looks.splice(0))
    }
  }
  await Promise.all(looks)
  expect(isPromised).toBe(true)
  if (process.env.VERBOSE) process.stderr.write(`${operations.length} steps, ${seen.size} states\n`)
  return problems
}

/** Makes a function that says what is wrong with what a power cut left. */
function judgeOf(before: Found, after: CrossSigningBootstrap) {
  const isSame = (a: unknown, b: unknown) => canonicalJson(a) === canonicalJson(b)
  const device = ({ upload_device_keys }: CrossSigningBootstrap) => upload_device_keys?.device_keys.keys
  const isNew = !isSame(device(before.payloads), device(after))

  return ({ payloads, others }: Found, isPromised: boolean): string | undefined => {
    if (others !== before.others) return 'rows of others have changed'
    if (isSame(payloads, after)) return undefined
    if (isPromised) return `${payloads.status}: not what was promised`
    // A store without an identity gets a new identity on each call. It keeps its device, if it has one.
    const isAsBefore =
      before.payloads.status === 'resumed'
        ? isSame(payloads, before.payloads)
        : payloads.status === 'created' && (isNew || isSame(device(payloads), device(before.payloads)))
    return isAsBefore ? undefined : `${payloads.status}: neither the store before nor after`
  }
}

async function expectWithstood(scene: Scene, inject?: string[]): Promise<void> {
  const problems = await cutPower(scene, await recordCall(scene, inject))
  // The first problems are enough for the report.
  expect({ seed: SEED, count: problems.length, problems: problems.slice(0, 5) }).toEqual({
    seed: SEED,
    count: 0,
    problems: [],
  })
}

/** A moment of a call: right after the first of these system calls on this file. */
interface Moment {
  calls: string
  file: string
  hasCome: (file: string) => boolean
}

const STAGED: Moment = { calls: '?mkdir,mkdirat', file: STAGING, hasCome: existsSync }
const HELD: Moment = { calls: 'openat', file: `${DATABASE}-wal`, hasCome: existsSync }
const WRITING: Moment = {
  calls: 'pwrite64',
  file: `${DATABASE}-wal`,
  hasCome: (file) => existsSync(file) && statSync(file).size > 0,
}
const WRITING_WITHOUT_LOG: Moment = { calls: 'openat', file: `${DATABASE}-journal`, hasCome: existsSync }
const PAUSE = 1_000_000 // microseconds

/** Runs `act` at a moment of a call. Returns the outcome of the call: a code or a status. */
async function interrupt(scene: Scene, { calls, file, hasCome }: Moment, act: () => void): Promise<string> {
  const path = join(scene.folder, file)
  const pause = `inject=${calls}:delay_exit=${PAUSE}:when=1`
  const child = startTraced(scene.call, ['-o', '/dev/null', '-P', path, '-e', `trace=${calls}`, '-e', pause])
  const finished = finish(child)
  while (!hasCome(path)) {
    if (child.exitCode !== null) throw new Error(`it never came to ${calls} of ${file}`)
    await sleep(5)
  }
  act()
  const { stdout, stderr } = await finished
  return stdout === '' ? stderr.split(':')[0]! : (JSON.parse(stdout) as CrossSigningBootstrap).status
}

/** Runs `act` in each kind of call, at a moment when the call holds the store and has not changed it. */
function interruptEach(act: (scene: Scene) => void) {
  const plain = (options?: BootstrapOptions) => new Scene('store', PLAIN, options)
  const calls: [name: string, scene: Scene, moment: Moment][] = [
    ['resume', plain(), HELD],
    ['reset', plain(reset), HELD],
    ['reset without a log', withoutLog(plain(reset)), WRITING_WITHOUT_LOG],
  ]
  return Promise.all(
    calls.map(async ([name, scene, moment]) => {
      const before = readFileSync(scene.database)
      const outcome = await interrupt(scene, moment, () => {
        act(scene)
      })
      return { name, scene, before, outcome }
    }),
  )
}

/** Makes SQLite use a rollback journal. Bytes 18 and 19 of the header decide this. */
function withoutLog(scene: Scene): Scene {
  const bytes = readFileSync(scene.database)
  bytes[18] = bytes[19] = 1
  writeFileSync(scene.database, bytes)
  return scene
}

function listed(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
}
