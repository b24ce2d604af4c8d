// Promise: inspectStore tells what a store holds. It sees all that is committed, whoever has the store open,
// and changes nothing in the folder. Its cost does not grow with the store.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { bootstrapCrossSigning, inspectStore, type InspectOptions, type StoreInfo } from 'rust-crypto-helper'
import { change, integrity, record, setFlag, setRecord } from './support/database'
import { Disk } from './support/disks'
import { type Holder, OTHER_PROCESS, SAME_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { COMMAND, finish, printed, runCommand, start } from './support/processes'
import { argumentsLike, generator } from './support/random'
import { bootstrap, place, SDK_STORES, type SdkStore, sdkStore } from './support/sdk-stores'
import { onlyKey } from './support/signatures'
import { snapshot } from './support/snapshot'
import {
  DATABASE,
  DEVICE_ID,
  itOnLinux,
  itOnUnix,
  openHandles,
  temporaryFolder,
  USER_ID,
} from './support/stores'

const LOG = `${DATABASE}-wal`
const INDEX = `${DATABASE}-shm`

const onLinux = (missing: string | undefined) =>
  itWith(process.platform === 'linux' ? missing : 'only Linux has /proc/locks')
const itWithOther = onLinux(OTHER_PROCESS.missing)
const itWithSame = onLinux(SAME_PROCESS.missing)

let holder: Holder | undefined

afterEach(async () => {
  await holder?.kill()
  holder = undefined
})

afterAll(() => {
  if (process.platform === 'linux')
    expect(openHandles('/').filter((file) => file.includes(DATABASE))).toEqual([])
})

const optionsOf = ({ passphrase }: SdkStore): InspectOptions =>
  passphrase === undefined ? {} : { passphrase }

function expected({
  file,
  user_id,
  device_id,
  schema,
  passphrase,
  identity,
  master_key,
}: SdkStore): StoreInfo {
  return {
    user_id,
    device_id,
    schema,
    encrypted: passphrase !== undefined,
    ...(file.includes('stray-cipher') && { stray_cipher: true }),
    identity,
    ...(master_key !== undefined && { master_key }),
    device_signed: false,
    device_keys_uploaded: false,
  }
}

/** The result of a call, or its error, after a check that it has changed nothing. */
async function look(
  folder: string,
  options?: InspectOptions,
): Promise<Partial<StoreInfo> & { code?: string; message?: string }> {
  const before = snapshot(folder)
  const result = await inspectStore(folder, options).catch((error: unknown) => {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  })
  expect(snapshot(folder)).toEqual(before)
  return result
}

/** What other processes have locked. */
const locksOn = (pid: number) =>
  readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => line.replace(/^\d+: /, ''))
    .filter((line) => line.includes(` ${pid} `))
    .sort()

describe('what it tells', () => {
  test.each(SDK_STORES)('$file: whose it is, and what it holds', async (sdk) => {
    const folder = place(sdk)
    const uploaded = /used|imported/.test(sdk.file)
    expect(await look(folder, optionsOf(sdk))).toEqual({ ...expected(sdk), device_keys_uploaded: uploaded })

    const { upload_keys } = await bootstrap(sdk, folder)
    expect(await look(folder, optionsOf(sdk))).toEqual({
      ...expected(sdk),
      // The bootstrap has repaired it.
      stray_cipher: undefined,
      identity: 'complete',
      master_key: onlyKey(upload_keys.master_key)[1],
      device_signed: true,
      device_keys_uploaded: uploaded,
    })
  })

  test('it tells whether the device keys are uploaded', async () => {
    const folder = place(sdkStore('sdk-0.18-plain'))
    await setFlag(folder, 'account', 'shared')
    expect(await look(folder)).toMatchObject({ device_keys_uploaded: true })
  })

  test('a store without an account has no user', async () => {
    const folder = place(sdkStore('sdk-0.18-no-identity'))
    await change(folder, "DELETE FROM kv WHERE key = 'account'")
    await change(folder, 'DELETE FROM device')
    const nothing = { identity: 'none', device_signed: false, device_keys_uploaded: false }
    expect(await look(folder)).toEqual({ schema: 17, encrypted: false, ...nothing })

    truncateSync(join(folder, DATABASE))
    expect(await look(folder)).toEqual({ schema: 0, encrypted: false, ...nothing })
    // SQLite would remove it.
    writeFileSync(join(folder, LOG), 'a log of a database that is gone')
    expect(await look(folder)).toEqual({ schema: 0, encrypted: false, ...nothing })
  })

  describe('an identity that is incomplete', () => {
    const { master_key } = sdkStore('sdk-0.18-plain')

    test('because a private key is missing', async () => {
      const folder = place(sdkStore('sdk-0.18-plain'))
      const identity = await record(folder, 'identity')
      await setRecord(folder, 'identity', {
        ...identity,
        keys: { ...(identity.keys as object), user_signing_key: null },
      })
      expect(await look(folder)).toMatchObject({ identity: 'incomplete', master_key })
    })

    test('because all private keys are missing', async () => {
      const folder = place(sdkStore('sdk-0.18-plain'))
      await change(folder, "DELETE FROM kv WHERE key = 'identity'")
      expect(await look(folder)).toMatchObject({ identity: 'incomplete', master_key })
    })

    test('because the signatures are missing', async () => {
      const sdk = sdkStore('sdk-0.18-imported')
      const folder = place(sdk)
      await change(folder, 'DELETE FROM identity')
      expect(await look(folder)).toMatchObject({ identity: 'incomplete', master_key: sdk.master_key })
      expect(await bootstrap(sdk, folder).catch((error: unknown) => error)).toMatchObject({
        code: 'IDENTITY_INCOMPLETE',
      })
    })
  })
})

describe('while another process has the store open', () => {
  const DELETE = ["DELETE FROM kv WHERE key = 'identity'", 'DELETE FROM identity']
  const BIG = 'INSERT INTO holders_own SELECT randomblob(4000) FROM generate_series(1, 500)'
  // What the holder has done, and whether it has committed that the identity is gone.
  const STATES: [string, string[], boolean][] = [
    ['idle', [], false],
    ['in the middle of a read', ['BEGIN', 'SELECT count(*) FROM kv'], false],
    ['in the middle of a write', ['BEGIN IMMEDIATE', ...DELETE], false],
    ['in the middle of a write, alone', ['BEGIN EXCLUSIVE', ...DELETE], false],
    [
      'in the middle of a write that is in the log in part',
      ['PRAGMA wal_checkpoint(TRUNCATE)', 'PRAGMA cache_size = 1', 'BEGIN IMMEDIATE', ...DELETE, BIG],
      false,
    ],
    ['with a change in the log', ['BEGIN', ...DELETE, 'COMMIT'], true],
    [
      'with a change in the log, in the middle of another',
      ['BEGIN', ...DELETE, 'COMMIT', 'BEGIN IMMEDIATE', BIG],
      true,
    ],
    [
      'with a change that is in the database',
      ['BEGIN', ...DELETE, 'COMMIT', 'PRAGMA wal_checkpoint(PASSIVE)'],
      true,
    ],
    ['with an emptied log', ['BEGIN', ...DELETE, 'COMMIT', 'PRAGMA wal_checkpoint(TRUNCATE)'], true],
    [
      'with a log that was begun anew',
      ['BEGIN', ...DELETE, 'COMMIT', 'PRAGMA wal_checkpoint(RESTART)', 'INSERT INTO holders_own VALUES (1)'],
      true,
    ],
  ]
  const SERIES = BIG.replace(
    'FROM generate_series(1, 500)',
    'FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n)',
  )

  /** Opens a store in another process. */
  async function hold(sdk: SdkStore, statements: string[]): Promise<string> {
    const folder = place(sdk)
    holder = OTHER_PROCESS.start()
    await holder.open(folder)
    for (const sql of ['CREATE TABLE holders_own (n)', ...statements])
      await holder.sql(sql === BIG ? SERIES : sql)
    return folder
  }

  describe.each(['sdk-0.9-plain', 'sdk-0.18-plain', 'sdk-0.19-encrypted'])('%s', (name) => {
    const sdk = sdkStore(name)

    for (const [state, statements, isGone] of STATES) {
      itWithOther(`${state}: it sees what is committed, and touches nothing`, async () => {
        const folder = await hold(sdk, statements)
        expect(readdirSync(folder).sort()).toEqual([DATABASE, INDEX, LOG])
        const locks = locksOn(holder!.pid)
        expect(locks.length).toBeGreaterThan(0)

        const { master_key, ...rest } = expected(sdk)
        const now = isGone ? { ...rest, identity: 'none' } : { ...rest, master_key }
        expect(await look(folder, { ...optionsOf(sdk), busyTimeout: 0 })).toEqual(now)
        expect(locksOn(holder!.pid)).toEqual(locks)
        expect(locksOn(process.pid)).toEqual([])

        // The holder goes on as if nothing had been.
        if (statements.some((sql) => sql.startsWith('BEGIN')) && statements.at(-1) !== 'COMMIT') {
          await holder!.sql('COMMIT').catch(() => undefined)
        }
        await holder!.sql('INSERT INTO holders_own VALUES (2)')
        await holder!.close()
        expect(readdirSync(folder)).toEqual([DATABASE])
        expect(await integrity(folder)).toBe('ok')
      })

      itWithOther(`${state}, and was killed: it sees what is committed, and touches nothing`, async () => {
        const folder = await hold(sdk, statements)
        await holder!.kill()
        for (const removed of [[], [INDEX]]) {
          for (const name of removed) rmSync(join(folder, name))
          expect(await look(folder, optionsOf(sdk))).toMatchObject({ identity: isGone ? 'none' : 'complete' })
        }
        expect((await bootstrap(sdk, folder)).status).toBe(isGone ? 'created' : 'resumed')
      })
    }
  })

  itWithOther('if it holds the store exclusively, the call waits and then rejects', async () => {
    const folder = await hold(sdkStore('sdk-0.18-plain'), [])
    await holder!.close()
    await holder!.open(folder)
    await holder!.sql('PRAGMA locking_mode = EXCLUSIVE')
    await holder!.sql('INSERT INTO holders_own VALUES (1)')
    const started = performance.now()
    const { code, message } = await look(folder, { busyTimeout: 300 })
    expect(performance.now() - started).toBeGreaterThanOrEqual(299)
    expect(code).toBe('STORE_IN_USE')
    expect(message).toContain(`process ${holder!.pid}`)

    const waiting = inspectStore(folder)
    await holder!.close()
    await expect(waiting).resolves.toMatchObject({ identity: 'complete' })
  })

  itWithOther('a rollback journal is not taken for the content', async () => {
    const folder = await hold(sdkStore('sdk-0.18-plain'), ['PRAGMA journal_mode = DELETE'])
    for (const sql of ['PRAGMA cache_size = 1', 'BEGIN', ...DELETE, SERIES]) await holder!.sql(sql)
    await holder!.kill()
    expect(existsSync(join(folder, `${DATABASE}-journal`))).toBe(true)
    expect(await look(folder, { busyTimeout: 0 })).toMatchObject({ code: 'STORE_IN_USE' })
    expect((await bootstrapCrossSigning(USER_ID, DEVICE_ID, folder)).status).toBe('resumed')
    expect(await look(folder)).toMatchObject({ identity: 'complete' })
  })

  itWithOther('while it writes and copies its log all the time, every look is of one moment', async () => {
    const sdk = sdkStore('sdk-0.18-plain')
    const folder = place(sdk)
    // The account and the identity are always of one user. A look at two moments would find them mixed, or garbage.
    const script = `
import sqlite3, sys, itertools
database = sqlite3.connect(sys.argv[1], isolation_level=None)
run = lambda sql, *values: database.execute(sql, values).fetchall()
identity = run("SELECT value FROM kv WHERE key = 'identity'")[0][0]
public = run("SELECT user_id, data FROM identity")[0]
run("CREATE TABLE padding (n INTEGER PRIMARY KEY, text BLOB)")
for n in itertools.count():
    run("BEGIN IMMEDIATE")
    run("DELETE FROM kv WHERE key LIKE 'padding%'")
    for key in range(n % 40): run("INSERT INTO kv (key, value) VALUES (?, randomblob(900))", f"padding{key}")
    for key in range(n % 7): run("INSERT OR REPLACE INTO padding VALUES (?, randomblob(3000))", key)
    if n % 2 == 0:
        run("DELETE FROM kv WHERE key = 'identity'")
        run("DELETE FROM identity")
    else:
        run("INSERT INTO kv (key, value) VALUES ('identity', ?)", identity)
        run("INSERT INTO identity (user_id, data) VALUES (?, ?)", *public)
    run("COMMIT")
    if n % 3 == 0: run(f"PRAGMA wal_checkpoint({['PASSIVE', 'RESTART', 'TRUNCATE'][n // 3 % 3]})")
    if n == 10: print("ready", flush=True)
`
    const child = start('python3', ['-c', script, join(folder, DATABASE)])
    const ended = finish(child)
    await printed(child)
    const seen: Record<string, number> = {}
    for (let n = 0; n < 400; n++) {
      const { identity, master_key } = await inspectStore(folder, { busyTimeout: 60_000 })
      const found = `${identity} ${master_key}`
      seen[found] = (seen[found] ?? 0) + 1
    }
    child.kill('SIGKILL')
    await ended
    expect(Object.keys(seen).sort()).toEqual([`complete ${sdk.master_key!}`, 'none undefined'])
    // The kill may have left the copy of the log half done. The database is whole together with its log.
    const check =
      "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])"
    expect(execFileSync('python3', ['-c', check, join(folder, DATABASE)], { encoding: 'utf8' })).toBe('ok\n')
  })
})

describe('while this process has the store open', () => {
  itWithSame('the call waits and then rejects, and the locks stay', async () => {
    const folder = place(sdkStore('sdk-0.18-plain'))
    holder = SAME_PROCESS.start()
    await holder.open(folder)
    await holder.sql('CREATE TABLE holders_own (n)')
    const [before, locks] = [snapshot(folder), locksOn(holder.pid)]
    expect(locks.length).toBeGreaterThan(0)
    for (const busyTimeout of [0, 300]) {
      const started = performance.now()
      await expect(holder.inspect(folder, { busyTimeout })).rejects.toMatchObject({ code: 'STORE_IN_USE' })
      expect(performance.now() - started).toBeGreaterThanOrEqual(busyTimeout - 1)
    }
    expect(snapshot(folder)).toEqual(before)
    expect(locksOn(holder.pid)).toEqual(locks)

    const waiting = holder.inspect(folder)
    await holder.close()
    await expect(waiting).resolves.toMatchObject({ identity: 'complete' })
  })

  itWithSame('what opens the store during a call waits, and keeps its locks', async () => {
    const sdk = sdkStore('sdk-0.18-encrypted')
    const folder = place(sdk)
    holder = SAME_PROCESS.start()
    let looked = 0
    let waited = 0
    for (let n = 0; n < 40; n++) {
      // Deriving the key from the passphrase takes tens of milliseconds.
      const call = holder.inspect(folder, { ...optionsOf(sdk), busyTimeout: 0 }).then(
        () => looked++,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'STORE_IN_USE' })
        },
      )
      for (;;) {
        await holder.open(folder)
        const isOpen = await holder.sql('SELECT count(*) FROM kv').then(
          () => true,
          (error: unknown) => {
            expect((error as Error).message).toBe('database is locked')
            waited++
            return false
          },
        )
        if (isOpen) break
        await holder.close()
        await sleep(1)
      }
      await call
      expect(locksOn(holder.pid).length).toBeGreaterThan(0)
      await holder.close()
    }
    expect(looked).toBeGreaterThan(0)
    expect(waited).toBeGreaterThan(0)
  })

  test('calls for one store, of all kinds, wait for each other', async () => {
    const folder = join(temporaryFolder(), 'store')
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, folder)
    const link = `${folder}-link`
    symlinkSync(folder, link)
    const calls = Array.from({ length: 100 }, (_, n) => {
      const path = n % 3 === 0 ? link : folder
      return n % 2 === 0
        ? inspectStore(path, { busyTimeout: 0 })
        : bootstrapCrossSigning(USER_ID, DEVICE_ID, path, { reset: n % 5 === 0, busyTimeout: 0 })
    })
    for (const result of await Promise.all(calls)) expect(result).toBeDefined()
    expect(readdirSync(folder)).toEqual([DATABASE])
  })
})

describe('on a disk that cannot be written', () => {
  const itWithDisk = itWith(Disk.cannotMount() ?? OTHER_PROCESS.missing)

  itWithDisk('it reads a store that is closed, and one with a log', async () => {
    for (const disk of Disk.mounted('size=16m')) {
      const folder = place(sdkStore('sdk-0.18-plain'), join(disk.folder, 'store'))
      disk.remount('ro')
      expect(await look(folder)).toMatchObject({ identity: 'complete' })
      disk.remount('rw')

      holder = OTHER_PROCESS.start()
      await holder.open(folder)
      for (const sql of ["DELETE FROM kv WHERE key = 'identity'", 'DELETE FROM identity'])
        await holder.sql(sql)
      await holder.kill()
      for (const removed of [[], [INDEX]]) {
        for (const name of removed) rmSync(join(folder, name))
        disk.remount('ro')
        expect(await look(folder)).toMatchObject({ identity: 'none' })
        disk.remount('rw')
      }
    }
  })
})

describe('the cost', () => {
  itOnLinux('it reads as much of a store with 100 MB of sessions as of a small one', async () => {
    const read = () => Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))![1])
    const cost = async (folder: string) => {
      await inspectStore(folder)
      const before = read()
      await inspectStore(folder)
      return read() - before
    }
    const folder = place(sdkStore('sdk-0.18-plain'))
    const small = await cost(folder)
    const fill = `
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
for n in range(25000): database.execute("INSERT INTO session VALUES (?, ?, ?)", (b"s%d" % n, b"k", bytes(4000)))
database.commit()`
    expect(await finish(start('python3', ['-c', fill, join(folder, DATABASE)]))).toMatchObject({ code: 0 })
    expect(readFileSync(join(folder, DATABASE)).length).toBeGreaterThan(100_000_000)
    expect(await cost(folder)).toBeLessThan(small + 100_000)
  })
})

describe('errors', () => {
  const inspect = inspectStore as (...args: unknown[]) => Promise<unknown>
  const failure = (...args: unknown[]) =>
    inspect(...args).then(
      () => ({ code: 'resolved', message: '' }),
      (error: unknown) => error as { code: string; message: string },
    )

  test.each<[string, unknown[]]>([
    ['no path', []],
    ['a number', [1]],
    ['null for the options', ['store', null]],
    ['a number for the passphrase', ['store', { passphrase: 1 }]],
    ['a negative busyTimeout', ['store', { busyTimeout: -1 }]],
    ['an option of bootstrapCrossSigning', ['store', { reset: true }]],
  ])('INVALID_ARGUMENT: %s', async (_, args) => {
    expect(await failure(...args)).toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  itOnUnix('INVALID_STORE_PATH: there is no store, and none is made', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'file'), '')
    mkdirSync(join(folder, 'empty'))
    mkdirSync(join(folder, 'link'))
    symlinkSync(join(place(sdkStore('sdk-0.18-plain')), DATABASE), join(folder, 'link', DATABASE))
    const before = snapshot(join(folder, 'empty'))
    for (const path of ['missing', 'missing/store', 'empty', 'file', 'file/store', 'link']) {
      const { code, message } = await failure(join(folder, path))
      expect(code).toBe('INVALID_STORE_PATH')
      expect(message).toContain(join(folder, path))
    }
    for (const path of ['', 'a\0b']) expect(await failure(path)).toMatchObject({ code: 'INVALID_STORE_PATH' })
    expect(readdirSync(folder).sort()).toEqual(['empty', 'file', 'link'])
    expect(snapshot(join(folder, 'empty'))).toEqual(before)
  })

  test('STORE_PASSPHRASE: it is wrong or missing, or there is one for a plain store', async () => {
    const [plain, encrypted] = [place(sdkStore('sdk-0.18-plain')), place(sdkStore('sdk-0.18-encrypted'))]
    const passphrase = 'correct horse battery staple'
    for (const [folder, options] of [
      [plain, { passphrase }],
      [plain, { passphrase: '' }],
      [encrypted, { passphrase }],
      [encrypted, {}],
      [place(sdkStore('sdk-0.18-stray-cipher')), { passphrase }],
    ] as const) {
      const { code, message } = await look(folder, options)
      expect(code).toBe('STORE_PASSPHRASE')
      expect(message).toContain(folder)
      expect(message).not.toContain('horse')
    }
    expect((await look(place(sdkStore('sdk-0.9-empty-passphrase')))).message).toContain('--empty-passphrase')
  })

  test.each([8, 20])('STORE_VERSION: the schema is %i', async (version) => {
    const folder = place(sdkStore('sdk-0.18-plain'))
    await change(folder, "UPDATE kv SET value = ? WHERE key = 'version'", Uint8Array.of(version))
    expect(await look(folder)).toMatchObject({ code: 'STORE_VERSION' })
  })

  test('STORE_CORRUPT: it is no database, or no store, or a part of one', async () => {
    const folder = place(sdkStore('sdk-0.18-plain'))
    const whole = readFileSync(join(folder, DATABASE))
    for (const bytes of [
      Buffer.from('no database'.repeat(1000)),
      whole.subarray(0, 5000),
      whole.fill(0, 4096, 9000),
    ]) {
      writeFileSync(join(folder, DATABASE), bytes)
      expect(await look(folder)).toMatchObject({ code: 'STORE_CORRUPT' })
    }
    for (const sql of [
      'DROP TABLE kv',
      "DELETE FROM kv WHERE key = 'account'",
      "DELETE FROM kv WHERE key = 'version'",
    ]) {
      const changed = place(sdkStore('sdk-0.18-plain'))
      await change(changed, sql)
      expect(await look(changed)).toMatchObject({ code: 'STORE_CORRUPT' })
    }
  })

  test('a damaged store never seems to have no identity, or another one', async () => {
    const random = generator(Number(process.env.SEED ?? Date.now() % 2 ** 31))
    const sdk = sdkStore('sdk-0.18-plain')
    const folder = place(sdk)
    const whole = readFileSync(join(folder, DATABASE))
    const codes = new Set<string>()
    for (let n = 0; n < 1000; n++) {
      const bytes = Buffer.from(whole)
      const at = Math.floor(random() * bytes.length)
      bytes[at]! ^= 1 << Math.floor(random() * 8)
      writeFileSync(join(folder, DATABASE), bytes)
      const { code, message, identity, master_key } = await look(folder)
      if (code === undefined)
        // A bit in the name of a private key hides that key.
        expect({ at, identity, master_key }).toEqual({
          at,
          identity: expect.stringMatching(/^(complete|incomplete)$/) as string,
          master_key: sdk.master_key,
        })
      else
        expect({ at, message, code }).toEqual({
          at,
          message,
          code: expect.stringMatching(/^STORE_(CORRUPT|VERSION|PASSPHRASE)$/) as string,
        })
      codes.add(code ?? identity!)
    }
    expect(codes).toContain('complete')
    expect(codes).toContain('STORE_CORRUPT')
  })

  test('any input of any type gives a code of the table, and makes nothing', async () => {
    const names = ['passphrase', 'busyTimeout', '__proto__', 'x']
    const before = readdirSync('.')
    const valid = [join(__filename, 'store'), {}]
    const property = fc.asyncProperty(argumentsLike(valid, names), async (args) => {
      expect(['INVALID_ARGUMENT', 'INVALID_STORE_PATH', 'STORE_IO']).toContain((await failure(...args)).code)
    })
    await fc.assert(property, { numRuns: 1000 })
    expect(readdirSync('.')).toEqual(before)
  })
})

describe('the command', () => {
  const [plain, encrypted] = [sdkStore('sdk-0.18-plain'), sdkStore('sdk-0.18-encrypted')]

  test('it prints one line for each store, in order', async () => {
    const stores = [place(plain), place(sdkStore('sdk-0.9-no-identity')), place(sdkStore('sdk-0.9-plain'))]
    const { code, stdout, stderr } = await runCommand(['inspect', ...stores])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const infos = await Promise.all(stores.map((store) => inspectStore(store)))
    expect(stdout).toBe(
      infos.map((info, n) => `${JSON.stringify({ store_path: stores[n], ...info })}\n`).join(''),
    )
  })

  test('a store that fails is a line, too, and the exit code is 1', async () => {
    const stores = [place(encrypted), join(temporaryFolder(), 'missing'), place(plain)]
    const { code, stdout, stderr } = await runCommand(['inspect', ...stores])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toEqual([
      {
        store_path: stores[0],
        error: { code: 'STORE_PASSPHRASE', message: expect.stringContaining(stores[0]!) as string },
      },
      {
        store_path: stores[1],
        error: { code: 'INVALID_STORE_PATH', message: expect.stringContaining(stores[1]!) as string },
      },
      { store_path: stores[2], ...expected(plain) },
    ])
    expect(existsSync(stores[1]!)).toBe(false)
  })

  test('a store that nothing can open is a line with what it holds and with the way out', async () => {
    const stray = sdkStore('sdk-0.18-stray-cipher')
    const store = place(stray)
    const { code, stdout } = await runCommand(['inspect', store])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      store_path: store,
      ...expected(stray),
      error: {
        code: 'STRAY_CIPHER',
        message: expect.stringMatching(/ publish repairs the store /) as string,
      },
    })
    await bootstrap(stray, store)
    expect(await runCommand(['inspect', store])).toMatchObject({ code: 0 })
  })

  test('the passphrase comes from the environment, or is empty', async () => {
    const env = { RUST_CRYPTO_HELPER_PASSPHRASE: encrypted.passphrase! }
    expect(await runCommand(['inspect', place(encrypted)], env)).toMatchObject({ code: 0, stderr: '' })
    const empty = place(sdkStore('sdk-0.18-empty-passphrase'))
    expect(await runCommand(['inspect', empty, '--empty-passphrase'])).toMatchObject({ code: 0, stderr: '' })
    const both = await runCommand(['inspect', empty, '--empty-passphrase'], env)
    expect(both).toMatchObject({ code: 2, stdout: '' })
    expect(both.stderr).not.toContain(encrypted.passphrase)
  })

  test('after --, a path that begins with a hyphen is a store', async () => {
    const cwd = temporaryFolder()
    place(plain, join(cwd, '-store'))
    const { code, stdout } = await finish(
      start(process.execPath, [COMMAND, 'inspect', '--', '-store'], {}, { cwd }),
    )
    expect({ code, line: JSON.parse(stdout) as unknown }).toEqual({
      code: 0,
      line: { store_path: '-store', ...expected(plain) },
    })
  })
})
