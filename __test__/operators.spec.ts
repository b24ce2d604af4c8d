// Promise: `status` says of every ghost what is wrong and what mends it, and changes nothing. `publish` publishes what
// can be published, names what cannot, and can be stopped and run again at any moment.

import { type ChildProcess, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { bootstrapCrossSigning, deriveRecoveryKey } from 'rust-crypto-helper'
import { addStrayCipher, breakGhosts, type Line, WAYS } from './support/broken-ghosts'
import { AS_TOKEN, Homeserver } from './support/homeserver'
import { type Holder, OTHER_PROCESS } from './support/holders'
import { itWith } from './support/needs'
import { COMMAND, finish, type Finished, ROOT, start } from './support/processes'
import { snapshot } from './support/snapshot'
import { DATABASE, DEVICE_ID, itOnLinux, temporaryFolder } from './support/stores'

const PASSPHRASE = 'passphrase of the tests'
const ENV = { RUST_CRYPTO_HELPER_AS_TOKEN: AS_TOKEN }

let homeserver: Homeserver
let folder: string
let holder: Holder | undefined
/** A run without a terminal. It takes more than ten seconds, so it is beside the other tests. */
let slow: { run: Promise<Finished>; homeserver: Homeserver }

async function setUp(): Promise<void> {
  homeserver = await Homeserver.start()
  homeserver.register('@_service:example.org')
  folder = temporaryFolder()
}

beforeAll(async () => {
  await setUp()
  const file = await someGhosts()
  homeserver.next('keys/upload', { status: 429, body: {}, headers: { 'Retry-After': '11' } })
  slow = { run: finish(begin('publish', ['--ghosts', file], { FORCE_COLOR: '' })), homeserver }
})

afterAll(() => slow.homeserver.stop())

beforeEach(setUp)

afterEach(async () => {
  await homeserver.stop()
  await holder?.kill()
  holder = undefined
})

interface Result extends Partial<Line> {
  status?: string
  master_key?: string
  store?: { identity: string }
  dry_run?: boolean
  line?: number
  error?: { code: string; message: string }
}

/** Ghosts that are registered. They have neither a device nor a store. */
function newGhosts(count: number): Line[] {
  return Array.from({ length: count }, (_, n) => {
    const user_id = `@_ghost_${n}:example.org`
    homeserver.register(user_id)
    return { user_id, device_id: DEVICE_ID, store_path: join(folder, 'stores', `${n}`) }
  })
}

/** One that is broken, and some that are not, with long names. */
async function someGhosts(): Promise<string> {
  const ghosts = newGhosts(30).map((ghost) => ({
    ...ghost,
    user_id: ghost.user_id.replace('_ghost', '_discord_of_a_large_server_1234567890123456789'),
  }))
  for (const { user_id } of ghosts.slice(1)) homeserver.register(user_id)
  await bootstrapCrossSigning('@_other:example.org', DEVICE_ID, ghosts[2]!.store_path)
  return list(ghosts)
}

/** Writes ghosts, or other lines, to a file. */
function list(ghosts: unknown[], name = 'ghosts.jsonl'): string {
  const file = join(folder, name)
  const lines = ghosts.map((ghost) => (typeof ghost === 'string' ? ghost : JSON.stringify(ghost)))
  writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
  return file
}

function begin(command: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return start(process.execPath, [COMMAND, command, '--homeserver', homeserver.url, ...args], {
    ...ENV,
    ...env,
  })
}

/** What is printed, after a check that no secret is in it. */
async function end(child: ChildProcess): Promise<Finished> {
  const finished = await finish(child)
  for (const text of [finished.stdout, finished.stderr]) {
    expect(text).not.toContain(AS_TOKEN)
    expect(text).not.toContain(PASSPHRASE)
  }
  return finished
}

const run = (...args: Parameters<typeof begin>) => end(begin(...args))

const parse = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Result)

const read = (file: string) => parse(readFileSync(file, 'utf8'))

/** How many results there are, by status or code. */
function counts(text: string): Record<string, number> {
  const counted: Record<string, number> = {}
  for (const { status, error } of parse(text)) {
    const key = status ?? error?.code ?? ''
    counted[key] = (counted[key] ?? 0) + 1
  }
  return counted
}

const isServed = ({ user_id }: Line) => user_id in homeserver.serves(user_id).master_keys
const queries = (requests: string[]) => requests.filter((request) => request === 'POST keys/query').length

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    if (waited > 30_000) throw new Error('it does not come')
    await sleep(10)
  }
}

describe('publish', () => {
  test('publishes new ghosts, and finds them published the next time', async () => {
    const ghosts = newGhosts(40)
    const file = list(ghosts)
    const first = await run('publish', ['--ghosts', file, '--json'])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    const results = parse(first.stdout)
    expect(results).toHaveLength(40)
    for (const ghost of ghosts) {
      const [master_key] = Object.values(homeserver.serves(ghost.user_id).master_keys[ghost.user_id]!.keys)
      expect(results).toContainEqual({ ...ghost, status: 'created', master_key })
    }
    const requests = homeserver.requests()
    expect(requests.length - queries(requests)).toBeLessThanOrEqual(4 * 40)

    const again = await run('publish', ['--ghosts', file])
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(again.stdout).toMatch(/^40 of 40 ghosts published in \d+ s: 40 published before\.\n$/)
  })

  test('takes ghosts from standard input, and the paths of stores that tell whose they are', async () => {
    const ghosts = newGhosts(6)
    for (const { user_id, device_id, store_path } of ghosts.slice(2)) {
      await bootstrapCrossSigning(user_id, device_id, store_path, { passphrase: PASSPHRASE })
    }
    const [first, second, third, fourth, ...paths] = ghosts.map(({ store_path }) => store_path)
    const child = begin('publish', ['--ghosts', '-', '--json', ...paths], {
      RUST_CRYPTO_HELPER_PASSPHRASE: PASSPHRASE,
    })
    child.stdin!.end(
      [ghosts[0], { ...ghosts[1], store_path: second }, { store_path: third }, { store_path: fourth }]
        .map((line) => JSON.stringify(line))
        .join('\r\n\n'),
    )
    const { code, stdout } = await end(child)
    expect(code).toBe(0)
    expect(counts(stdout)).toEqual({ created: 2, resumed: 4 })
    const ids = ({ user_id, device_id, store_path }: Partial<Line>) => [user_id, device_id, store_path]
    expect(parse(stdout).map(ids).sort()).toEqual(ghosts.map(ids).sort())
    expect(existsSync(join(first!, DATABASE))).toBe(true)
  })

  test('--empty-passphrase: the stores have the passphrase of matrix-bot-sdk', async () => {
    const [ghost] = newGhosts(1)
    expect(await run('publish', ['--ghosts', list([ghost]), '--empty-passphrase'])).toMatchObject({ code: 0 })
    const { user_id, device_id, store_path } = ghost!
    await expect(
      bootstrapCrossSigning(user_id, device_id, store_path, { passphrase: '' }),
    ).resolves.toMatchObject({ status: 'resumed' })
    expect(await run('status', ['--empty-passphrase', store_path])).toMatchObject({ code: 0 })
  })

  test('a line that is no ghost is named by its number, and the others go on', async () => {
    const [good, bad, worse] = newGhosts(3)
    const empty = join(folder, 'stores', 'empty')
    mkdirSync(empty, { recursive: true })
    const file = list([
      'no JSON',
      good,
      '',
      '[]',
      { ...bad, store_path: undefined },
      { ...bad, store_path: '' },
      { ...bad, user_id: 7 },
      { ...bad, device_id: undefined },
      'x'.repeat(1_100_000),
      { ...worse, user_id: 'ghost' },
      { store_path: empty },
      '{"user_id":',
    ])
    const failed = join(folder, 'failed.jsonl')
    const { code, stdout } = await run('publish', ['--ghosts', file, '--json', '--failed', failed])
    expect(code).toBe(1)
    const results = parse(stdout)
    const messages = results.filter(({ line }) => line !== undefined).map(({ error }) => error?.message)
    expect(messages).toEqual(
      [
        [1, 'it is not JSON'],
        [4, 'it is not a JSON object'],
        [5, 'it has no store_path'],
        [6, 'it has no store_path'],
        [7, 'it has no user_id'],
        [8, 'it has no device_id'],
        [9, 'it has more than 1000000 characters'],
        [12, 'it is not JSON'],
      ].map(([line, what]) => `line ${line} of ${file}: ${what}`),
    )
    expect(counts(stdout)).toEqual({
      INVALID_ARGUMENT: 8,
      INVALID_USER_ID: 1,
      INVALID_STORE_PATH: 1,
      created: 1,
    })
    // What can be tried again.
    expect(read(failed)).toEqual([{ ...worse, user_id: 'ghost' }, { store_path: empty }])
    expect(readdirSync(empty)).toEqual([])
  })

  test('ghosts that failed are in the file of --failed, which is a list of ghosts again', async () => {
    const ghosts = newGhosts(12)
    homeserver.always('keys/upload', (answer) =>
      homeserver.seen.at(-1)!.query.user_id!.endsWith('_7:example.org')
        ? { status: 400, body: { errcode: 'M_INVALID_SIGNATURE', error: 'no' } }
        : answer,
    )
    const failed = join(folder, 'failed.jsonl')
    const args = ['--ghosts', list(ghosts), '--concurrency', '1', '--failed', failed]
    const first = await run('publish', args)
    expect(first.code).toBe(1)
    expect(first.stdout).toMatch(/^11 of 12 ghosts published in /)
    expect(first.stdout).toMatch(/^M_INVALID_SIGNATURE: 1 ghost$/m)
    expect(first.stdout).toContain(
      `1 ghost in ${failed}. To publish them:\n    rust-crypto-helper publish --homeserver ${homeserver.url} --ghosts ${failed}\n`,
    )
    expect(read(failed)).toEqual([ghosts[7]])

    homeserver.always('keys/upload', 'handled')
    const again = await run('publish', ['--ghosts', failed, '--json', '--failed', join(folder, 'none.jsonl')])
    expect(again.code).toBe(0)
    expect(counts(again.stdout)).toEqual({ resumed: 1 })
    expect(read(join(folder, 'none.jsonl'))).toEqual([])
  })

  itWith(OTHER_PROCESS.missing)(
    'names every broken ghost with its problem and the way out, and publishes the others',
    async () => {
      holder = OTHER_PROCESS.start()
      const ghosts = newGhosts(10 + WAYS.length)
      const broken = await breakGhosts(ghosts.slice(10), { url: homeserver.url, token: AS_TOKEN, holder })
      const file = list(ghosts)
      const before = await run('status', ['--ghosts', file, '--json'])
      expect(before.code).toBe(1)
      const { code, stdout } = await run('publish', ['--ghosts', file, '--json'])
      expect(code).toBe(1)
      for (const ghost of ghosts) {
        const way = broken.get(ghost)
        const own = (text: string) => parse(text).find(({ user_id }) => user_id === ghost.user_id)
        expect({ way: way?.name, ...own(before.stdout)?.error }).toMatchObject({
          way: way?.name,
          code: way?.status ?? 'NO_DEVICE',
        })
        const expected = way?.publish ?? { status: 'created' }
        if ('status' in expected) expect(own(stdout)).toMatchObject(expected)
        else {
          const { code, message } = expected
          const error = { code, message: expect.stringMatching(message) as string }
          expect(own(stdout)).toMatchObject({ error })
        }
      }

      const forPeople = await run('publish', ['--ghosts', file])
      for (const [{ user_id }, { publish, wayOut }] of broken) {
        if ('status' in publish) continue
        const group = forPeople.stdout.split('\n\n').find((text) => text.startsWith(`${publish.code}: `))
        expect(group).toMatch(wayOut)
        expect(group).toContain(user_id)
      }
    },
  )

  itWith(OTHER_PROCESS.missing)(
    'stores that are in use are not waited for as long as by the functions',
    async () => {
      const ghosts = newGhosts(2)
      holder = OTHER_PROCESS.start()
      for (const { user_id, store_path } of ghosts) {
        await bootstrapCrossSigning(user_id, DEVICE_ID, store_path)
        await holder.open(store_path)
        await holder.sql('SELECT count(*) FROM kv')
      }
      const started = performance.now()
      const { stdout } = await run('publish', ['--ghosts', list(ghosts), '--json', '--concurrency', '1'])
      expect(counts(stdout)).toEqual({ STORE_IN_USE: 2 })
      // The functions wait five seconds for each.
      expect(performance.now() - started).toBeLessThan(9500)
    },
  )

  test('--dry-run says what publish will do, sends only queries and changes nothing', async () => {
    const ghosts = newGhosts(8)
    const [, resumed, published, lost, conflict] = ghosts
    await bootstrapCrossSigning(resumed!.user_id, DEVICE_ID, resumed!.store_path)
    await run('publish', ['--ghosts', list([published, lost, conflict])])
    for (const { store_path } of [lost!, conflict!]) rmSync(store_path, { recursive: true })
    await bootstrapCrossSigning(conflict!.user_id, DEVICE_ID, conflict!.store_path)
    const stores = [resumed!, published!, conflict!].map(({ store_path }) => store_path)
    const before = [...stores.map(snapshot), readdirSync(join(folder, 'stores'))]
    homeserver.requests()

    const file = list(ghosts)
    const dry = await run('publish', ['--ghosts', file, '--dry-run', '--json'])
    expect(dry.code).toBe(1)
    expect(new Set(homeserver.requests())).toEqual(new Set(['POST keys/query']))
    expect([...stores.map(snapshot), readdirSync(join(folder, 'stores'))]).toEqual(before)
    expect(parse(dry.stdout).every(({ status, dry_run }) => (status === undefined) !== dry_run)).toBe(true)

    const real = await run('publish', ['--ghosts', file, '--json'])
    const plan = (text: string) =>
      parse(text)
        .map(({ user_id, status, error }) => [user_id, status ?? error?.code])
        .sort()
    expect(plan(dry.stdout)).toEqual(plan(real.stdout))
    expect(counts(dry.stdout)).toEqual({ created: 4, resumed: 1, published: 1, IDENTITY_CONFLICT: 2 })
    const forPeople = await run('publish', ['--ghosts', file, '--dry-run'])
    expect(forPeople.stdout).toMatch(/^6 of 8 ghosts would be published: /)
  })

  test('with the recovery secret, lost stores are restored, and neither the secret nor a key is printed', async () => {
    const ghosts = newGhosts(3)
    const secret = 'recovery secret of the tests, which nobody guesses'
    const env = { RUST_CRYPTO_HELPER_RECOVERY_SECRET: secret }
    const args = ['--ghosts', list(ghosts), '--json']
    const outputs = [await run('publish', args, env)]
    for (const { store_path } of ghosts) rmSync(store_path, { recursive: true })
    const without = await run('publish', args)
    expect(counts(without.stdout)).toEqual({ IDENTITY_CONFLICT: 3 })
    list(ghosts.map((ghost) => ({ ...ghost, device_id: 'NEWDEVICE' })))
    outputs.push(await run('publish', args, env), await run('status', args, env))
    expect(outputs.map(({ code, stdout }) => [code, counts(stdout)])).toEqual([
      [0, { created: 3 }],
      [0, { restored: 3 }],
      [0, { verified: 3 }],
    ])
    for (const { stdout, stderr } of outputs) {
      expect(stdout + stderr).not.toContain(secret)
      for (const { user_id } of ghosts) {
        const key = deriveRecoveryKey(secret, user_id)
        expect(stdout + stderr).not.toContain(key)
      }
      expect(stdout).not.toContain('recovery_key')
    }
    const short = await run('publish', args, { RUST_CRYPTO_HELPER_RECOVERY_SECRET: 'too short a secret' })
    expect(short).toMatchObject({ code: 2, stdout: '' })
    expect(short.stderr).toMatch(/^rust-crypto-helper: RUST_CRYPTO_HELPER_RECOVERY_SECRET: /)
    expect(short.stderr).not.toContain('too short a secret')
  })

  describe('Ctrl-C', () => {
    /** Starts to publish, and stops the homeserver from answering uploads after some ghosts. */
    async function interrupted(ghosts: Line[], args: string[] = []) {
      const child = begin('publish', ['--ghosts', list(ghosts), '--concurrency', '4', ...args])
      const ended = end(child)
      await until(() => ghosts.filter(isServed).length >= 5)
      homeserver.always('keys/upload', { status: 429, body: {}, headers: { 'Retry-After': '1' } })
      const before = homeserver.seen.length
      await until(() => homeserver.seen.slice(before).some(({ endpoint }) => endpoint === 'keys/upload'))
      const release = () => {
        homeserver.always('keys/upload', 'handled')
      }
      return { child, ended, release }
    }

    const expectWhole = async (ghosts: Line[]) => {
      for (const { store_path } of ghosts.filter(({ store_path }) => existsSync(store_path))) {
        expect(readdirSync(store_path)).toEqual([DATABASE])
      }
      const again = await run('publish', ['--ghosts', list(ghosts), '--json'])
      expect(again).toMatchObject({ code: 0, stderr: '' })
      expect(await run('status', ['--ghosts', list(ghosts)])).toMatchObject({ code: 0 })
    }

    test.each([[[]], [['--json']]])(
      'finishes what is at work, says what is done and what is not, and exits with 130 (%j)',
      async (args) => {
        const ghosts = newGhosts(60)
        const failed = join(folder, 'failed.jsonl')
        const { child, ended, release } = await interrupted(ghosts, ['--failed', failed, ...args])
        child.kill('SIGINT')
        await sleep(300)
        release()
        const { code, stderr, stdout } = await ended
        expect(code).toBe(130)
        const done = ghosts.filter(isServed)
        expect(done.length).toBeLessThan(20)
        expect(stderr).toBe(
          'Finishing the ghosts at work. Press Ctrl-C again to stop at once.\n' +
            `Interrupted: ${done.length} published, 0 failed, ${60 - done.length} not begun. Run the same command again to go on.\n`,
        )
        if (args.length > 0) expect(counts(stdout)).toEqual({ created: done.length })
        else expect(stdout).toMatch(new RegExp(`^${done.length} of 60 ghosts published in `))
        expect(
          read(failed)
            .map(({ user_id }) => user_id)
            .sort(),
        ).toEqual(
          ghosts
            .filter((ghost) => !isServed(ghost))
            .map(({ user_id }) => user_id)
            .sort(),
        )
        await expectWhole(ghosts)
      },
    )

    test('while the stores are asked whose they are, none of them is lost', async () => {
      const ghosts = newGhosts(16)
      for (const { user_id, device_id, store_path } of ghosts) {
        await bootstrapCrossSigning(user_id, device_id, store_path, { passphrase: PASSPHRASE })
      }
      const failed = join(folder, 'failed.jsonl')
      const paths = ghosts.map(({ store_path }) => store_path)
      const child = begin('publish', ['--failed', failed, ...paths], {
        RUST_CRYPTO_HELPER_PASSPHRASE: PASSPHRASE,
      })
      await until(() => existsSync(failed))
      child.kill('SIGINT')
      expect((await end(child)).code).toBe(130)
      expect(ghosts.filter(isServed)).toEqual([])
      expect(
        read(failed)
          .map(({ store_path }) => store_path)
          .sort(),
      ).toEqual(paths.sort())
    })

    test('a second one stops at once, and every store is whole', async () => {
      const ghosts = newGhosts(60)
      const { child, ended, release } = await interrupted(ghosts)
      child.kill('SIGINT')
      await sleep(200)
      const since = Date.now()
      child.kill('SIGINT')
      expect(await ended).toMatchObject({ code: 130, stdout: '' })
      expect(Date.now() - since).toBeLessThan(700)
      release()
      await expectWhole(ghosts)
    })

    test('a kill at any moment leaves every store whole', async () => {
      const ghosts = newGhosts(60)
      for (const wait of [10, 20, 40]) {
        const child = begin('publish', ['--ghosts', list(ghosts)])
        const ended = end(child)
        const served = ghosts.filter(isServed).length
        await until(() => ghosts.filter(isServed).length > served || child.exitCode !== null)
        await sleep(wait)
        child.kill('SIGKILL')
        await ended
      }
      await run('publish', ['--ghosts', list(ghosts)])
      await expectWhole(ghosts)
    })

    test.each(['publish', 'status'])('%s ends although standard input is still open', async (command) => {
      const child = begin(command, ['--ghosts', '-', '--json'])
      child.stdin!.write(`${JSON.stringify(newGhosts(1)[0])}\n`)
      await new Promise((printed) => child.stdout!.once('data', printed))
      child.kill('SIGINT')
      expect((await end(child)).code).toBe(130)
    })

    itOnLinux.each([
      ['publish', '--json'],
      ['publish', '--dry-run'],
      ['status', '--json'],
    ])('%s %s ends although a pipe with a name has nobody who writes', async (command, ...args) => {
      const pipe = join(folder, 'pipe')
      execFileSync('mkfifo', [pipe])
      const child = begin(command, ['--ghosts', pipe, ...args])
      const ended = end(child)
      await sleep(2000)
      child.kill('SIGINT')
      const killed = setTimeout(() => child.kill('SIGKILL'), 5000)
      expect((await ended).code).toBe(130)
      clearTimeout(killed)
    })

    itOnLinux('ghosts come from a pipe with a name, too', async () => {
      const pipe = join(folder, 'pipe')
      execFileSync('mkfifo', [pipe])
      const ghosts = newGhosts(3)
      const child = begin('publish', ['--ghosts', pipe, '--json'])
      const ended = end(child)
      await writeFile(pipe, ghosts.map((ghost) => `${JSON.stringify(ghost)}\n`).join(''))
      const { code, stdout } = await ended
      expect({ code, counts: counts(stdout) }).toEqual({ code: 0, counts: { created: 3 } })
    })
  })

  test('a list that is not UTF-8, or has a path that is none, makes no store at another path', async () => {
    const [latin, half, none, good] = newGhosts(4)
    const lines = [
      { ...latin, store_path: join(folder, 'caf\xe9') },
      { ...half, store_path: join(folder, '\ud800') },
      { ...none, store_path: join(folder, 'a\0b') },
      good,
    ]
    const file = join(folder, 'latin-1.jsonl')
    writeFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), 'latin1')
    const before = readdirSync(folder)
    const problems = [
      [1, 'it is not UTF-8'],
      [2, 'its store_path is no path'],
      [3, 'its store_path is no path'],
    ].map(([line, what]) => `line ${line} of ${file}: ${what}`)
    for (const [command, ...args] of [['publish', '--dry-run'], ['status'], ['publish']] as const) {
      const { code, stdout } = await run(command, [...args, '--json', '--ghosts', file])
      expect(code).toBe(1)
      const results = parse(stdout).filter(({ line }) => line !== undefined)
      expect(results.map(({ error }) => error?.message)).toEqual(problems)
    }
    expect(readdirSync(folder)).toEqual([...before, 'stores'].sort())
    expect([latin!, half!, none!, good!].map(isServed)).toEqual([false, false, false, true])
  })

  itOnLinux('the file of --failed has whole lines, or the command says that it has not', async () => {
    const ghosts = [{ user_id: 'no user ID', device_id: DEVICE_ID, store_path: '/x'.repeat(2000) }]
    const failed = join(folder, 'failed.jsonl')
    // A write that goes beyond the limit takes a part.
    const script = 'ulimit -f 1; exec "$0" "$1" publish --homeserver "$2" --ghosts "$3" --failed "$4"'
    const args = [process.execPath, COMMAND, homeserver.url, list(ghosts), failed]
    const { code, stdout, stderr } = await end(start('sh', ['-c', script, ...args], ENV))
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^INVALID_ARGUMENT: --failed .*failed\.jsonl: EFBIG: .*\n$/)
  })

  test('if the homeserver does not know the token, the run ends with that', async () => {
    const child = begin('publish', ['--ghosts', list(newGhosts(300)), '--json'], {
      RUST_CRYPTO_HELPER_AS_TOKEN: 'another-token',
    })
    const { code, stdout, stderr } = await end(child)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^M_UNKNOWN_TOKEN: .*RUST_CRYPTO_HELPER_AS_TOKEN must be the as_token of .*\n$/)
    // The homeserver ends its sentence itself.
    expect(stderr).not.toContain('..')
    expect(parse(stdout).length).toBeLessThan(100)
    expect(readdirSync(folder)).toEqual(['ghosts.jsonl'])
  })

  test('a homeserver that is gone for a while fails the ghosts of that time, and no others', async () => {
    const ghosts = newGhosts(6)
    const restarting = { status: 503, body: {}, headers: { 'Retry-After': '0' } }
    const gone = [...Array.from({ length: 5 }, () => restarting), 'cut' as const]
    homeserver.next('keys/query', 'handled', 'handled', 'handled', ...gone)
    const { code, stdout } = await run('publish', ['--ghosts', list(ghosts), '--json', '--concurrency', '1'])
    expect(code).toBe(1)
    expect(counts(stdout)).toEqual({ created: 5, NO_ANSWER: 1 })
  })

  test('output that cannot be written ends the run, after what was at work', async () => {
    const ghosts = newGhosts(60)
    const child = begin('publish', ['--ghosts', list(ghosts), '--json', '--concurrency', '4'])
    child.stdout!.destroy()
    const { code, stderr } = await end(child)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^OUTPUT: cannot write .*Run the same command again to go on\n$/)
    expect(ghosts.filter(isServed).length).toBeLessThan(20)
    homeserver.requests()
    await sleep(300)
    expect(homeserver.requests()).toEqual([])
  })
})

describe('status', () => {
  test('asks about 100 ghosts at once, and shows green and red ones, with the command that mends them', async () => {
    const ghosts = newGhosts(250)
    await run('publish', ['--ghosts', list(ghosts.slice(0, 20))])
    homeserver.requests()
    const file = list(ghosts)
    const { code, stdout, stderr } = await run('status', ['--ghosts', file])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(homeserver.requests()).toEqual(Array.from({ length: 3 }, () => 'POST keys/query'))
    expect(stdout).toMatch(/^user +device +homeserver +store\n/)
    expect(stdout).toMatch(/^@_ghost_7:example.org +GHOSTDEVICE +verified +identity$/m)
    expect(stdout).toMatch(/^@_ghost_130:example.org +GHOSTDEVICE +NO_DEVICE +no store$/m)
    expect(stdout).toContain('\n20 of 250 ghosts verified.\n\nNO_DEVICE: 230 ghosts\n')
    expect(stdout).toContain(
      `\n    rust-crypto-helper publish --homeserver ${homeserver.url} --ghosts ${file}\n`,
    )

    const green = await run('status', ['--ghosts', list(ghosts.slice(0, 20))])
    expect(green).toMatchObject({ code: 0, stderr: '' })
    expect(green.stdout.endsWith('\n\n20 of 20 ghosts verified.\n')).toBe(true)
  })

  test('--json prints one object a line, in the order of the ghosts', async () => {
    const ghosts = newGhosts(3)
    const [first, second] = ghosts
    await run('publish', ['--ghosts', list([first])])
    await bootstrapCrossSigning(second!.user_id, DEVICE_ID, second!.store_path)
    const { code, stdout } = await run('status', ['--ghosts', list(ghosts), '--json'])
    expect(code).toBe(1)
    const [one, two, three] = parse(stdout)
    const master_key = one!.store && (one!.store as { master_key?: string }).master_key
    expect(master_key).toEqual(expect.any(String))
    const { user_id, device_id } = first!
    expect(one).toMatchObject({ ...first, status: 'verified', master_key, store: { user_id, device_id } })
    expect(two).toMatchObject({ ...second, error: { code: 'NO_DEVICE' }, store: { identity: 'complete' } })
    expect(three).toEqual({
      ...ghosts[2],
      error: { code: 'NO_DEVICE', message: expect.any(String) as string },
    })
  })

  test('a ghost of which the homeserver serves something else than its store holds is not verified', async () => {
    const ghosts = newGhosts(4)
    const [lost, other, mixed, green] = ghosts
    await run('publish', ['--ghosts', list(ghosts)])
    for (const { store_path } of [lost!, other!]) rmSync(store_path, { recursive: true })
    await bootstrapCrossSigning(other!.user_id, DEVICE_ID, other!.store_path)
    mixed!.store_path = green!.store_path
    const { code, stdout } = await run('status', ['--ghosts', list(ghosts), '--json'])
    expect(code).toBe(1)
    expect(parse(stdout).map(({ status, error }) => status ?? error?.code)).toEqual([
      'IDENTITY_CONFLICT',
      'IDENTITY_CONFLICT',
      'ACCOUNT_MISMATCH',
      'verified',
    ])
  })

  test('one ghost that the homeserver does not like fails alone', async () => {
    const ghosts = newGhosts(5)
    await run('publish', ['--ghosts', list(ghosts)])
    homeserver.always('keys/query', (answer) =>
      '@_ghost_2:example.org' in (homeserver.seen.at(-1)!.body.device_keys as object)
        ? { status: 400, body: { errcode: 'M_INVALID_PARAM', error: 'I do not like it' } }
        : answer,
    )
    const { code, stdout } = await run('status', ['--ghosts', list(ghosts), '--json'])
    expect(code).toBe(1)
    expect(counts(stdout)).toEqual({ verified: 4, M_INVALID_PARAM: 1 })
  })

  test('a ghost about which the homeserver answers nothing is NO_ANSWER', async () => {
    const ghosts = newGhosts(3)
    await run('publish', ['--ghosts', list(ghosts)])
    const unreachable = { ...ghosts[2]!, user_id: '@_ghost:elsewhere.example' }
    homeserver.always('keys/query', (answer) => {
      // The service may not ask as a user of another server.
      if (answer.status !== 200) return answer
      const { device_keys } = answer.body as { device_keys: Record<string, unknown> }
      const others = Object.entries(device_keys).filter(([user]) => user !== unreachable.user_id)
      const failures = { 'elsewhere.example': { status: 503, message: 'not ready' } }
      return {
        ...answer,
        body: { ...(answer.body as object), device_keys: Object.fromEntries(others), failures },
      }
    })
    const file = list([...ghosts.slice(0, 2), unreachable])
    const { code, stdout, stderr } = await run('status', ['--ghosts', file, '--json'])
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(parse(stdout).map(({ status, error }) => status ?? error?.code)).toEqual([
      'verified',
      'verified',
      'NO_ANSWER',
    ])
    expect(parse(stdout)[2]!.error!.message).toContain('elsewhere.example')
    const forPeople = await run('status', ['--ghosts', file])
    expect(forPeople.stdout).toMatch(/^@_ghost:elsewhere\.example +GHOSTDEVICE +NO_ANSWER /m)
    expect(forPeople.stdout).toMatch(/^NO_ANSWER: 1 ghost\n {2}Check that the homeserver runs, /m)
    const dry = await run('publish', ['--ghosts', file, '--dry-run', '--json'])
    expect(counts(dry.stdout)).toEqual({ published: 2, NO_ANSWER: 1 })
  })

  test('a store that somebody has opened with a passphrase is named although all is served, and publish repairs it', async () => {
    const [ghost] = newGhosts(1)
    const { store_path } = ghost!
    const args = ['--ghosts', list([ghost])]
    await run('publish', args)
    await addStrayCipher(store_path)

    const json = await run('status', [...args, '--json'])
    expect(json.code).toBe(1)
    const message = `the store ${store_path} is not encrypted, and somebody has opened it with a passphrase. Since then nothing can open it`
    expect(parse(json.stdout)).toMatchObject([{ ...ghost, error: { code: 'STRAY_CIPHER', message } }])
    const { stdout } = await run('status', [store_path])
    expect(stdout).toMatch(/verified +STRAY_CIPHER$/m)
    expect(stdout).toMatch(
      /^STRAY_CIPHER: 1 ghost\n {2}publish repairs the store .*\n {4}rust-crypto-helper publish /m,
    )

    // With a passphrase, as for a bridge with matrix-bot-sdk.
    const refused = await run('status', [...args, '--empty-passphrase'])
    expect(refused.stdout).toMatch(
      /^STORE_PASSPHRASE: 1 ghost\n.*cannot use such a store: .*lost-store\.md\n/m,
    )
    expect(refused.stdout).toContain('somebody opened it with a passphrase')

    expect(await run('publish', [store_path])).toMatchObject({ code: 0, stderr: '' })
    expect(await run('status', args)).toMatchObject({ code: 0, stderr: '' })
  })

  test('a path that is no store says what is missing', async () => {
    const { code, stdout } = await run('status', [join(folder, 'none')])
    expect(code).toBe(1)
    expect(stdout).toContain('there is no store: the folder does not exist')
    expect(stdout).toMatch(
      /^INVALID_STORE_PATH: 1 ghost\n {2}Give the folder of the store\. .* --ghosts FILE\.$/m,
    )
  })

  test('if the homeserver does not know the token, it ends with that', async () => {
    const env = { RUST_CRYPTO_HELPER_AS_TOKEN: 'wrong' }
    const { code, stdout, stderr } = await run('status', ['--ghosts', list(newGhosts(300)), '--json'], env)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^M_UNKNOWN_TOKEN: .*AS_TOKEN.*\n$/)
  })

  itWith(OTHER_PROCESS.missing)(
    'while another process has the stores open and writes, it is right and changes nothing in their folders',
    async () => {
      const ghosts = newGhosts(8)
      await run('publish', ['--ghosts', list(ghosts.slice(0, 5))])
      for (const { user_id, store_path } of ghosts.slice(5)) {
        await bootstrapCrossSigning(user_id, DEVICE_ID, store_path)
      }
      holder = OTHER_PROCESS.start()
      for (const { store_path } of ghosts) await holder.open(store_path)
      await holder.sql("INSERT INTO kv VALUES ('theirs', x'00')")
      const stores = ghosts.map(({ store_path }) => store_path)
      const before = stores.map(snapshot)
      for (const args of [['--ghosts', list(ghosts)], stores]) {
        const { code, stdout } = await run('status', ['--json', ...args])
        expect(code).toBe(1)
        expect(parse(stdout).map(({ status, error }) => status ?? error?.code)).toEqual(
          ghosts.map((_, n) => (n < 5 ? 'verified' : 'NO_DEVICE')),
        )
        expect(parse(stdout).every(({ store }) => store?.identity === 'complete')).toBe(true)
      }
      expect(stores.map(snapshot)).toEqual(before)
      expect(Object.keys(before[0]!)).toContain(`${DATABASE}-wal`)
    },
  )
})

describe('where it is shown', () => {
  const ESCAPE = '\x1b['
  const python = itWith(process.platform === 'win32' ? 'Windows has no such terminal' : OTHER_PROCESS.missing)

  /** Runs the command in a terminal of 80 columns. Returns all that it has written there. */
  async function inTerminal(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const script = join(__dirname, 'support', 'in-terminal.py')
    const all = [process.execPath, COMMAND, command, '--homeserver', homeserver.url, ...args]
    const child = start('python3', [script, ...all], { TERM: 'xterm-256color', ...ENV, ...env })
    const { stdout } = await end(child)
    return stdout.replaceAll('\r\n', '\n')
  }

  /** Without colours and movements of the cursor, as lines. */
  const plain = (text: string) =>
    text
      .replace(/\x1b\[\d+m/g, '') // eslint-disable-line no-control-regex
      .replace(/\x1b(\[[\d;?]*[A-Za-z]|[78])/g, '\r') // eslint-disable-line no-control-regex
      .split(/[\r\n]+/)

  python('on a terminal, publish shows a bar, and both have colours and fit into 80 columns', async () => {
    const file = await someGhosts()
    const publish = await inTerminal('publish', ['--ghosts', file])
    expect(publish).toMatch(/#+-* \d+% \d+ of 30/)
    expect(publish).toMatch(/#+ 100% 30 of 30, 2 failed/)
    expect(publish).toContain('\x1b[31mACCOUNT_MISMATCH\x1b[39m: 1 ghost')
    const status = await inTerminal('status', ['--ghosts', file])
    expect(status).toContain('\x1b[32mverified\x1b[39m')
    expect(status).toContain('\x1b[31mACCOUNT_MISM')
    for (const line of [...plain(publish), ...plain(status)]) {
      // What can be copied stays whole: commands, paths and addresses.
      if (!/rust-crypto-helper (publish|status)|^ *\S+$|https:/.test(line))
        expect(line.length).toBeLessThanOrEqual(80)
    }
    // No cell is cut.
    const cells = plain(status).join('\n')
    expect(cells).not.toContain('…')
  })

  python('with NO_COLOR there are no colours, and the bar stays', async () => {
    const file = await someGhosts()
    const publish = await inTerminal('publish', ['--ghosts', file], { NO_COLOR: '1' })
    const status = await inTerminal('status', ['--ghosts', file], { NO_COLOR: '1' })
    expect(publish).toMatch(/#+ 100% 30 of 30/)
    expect(publish + status).not.toMatch(/\x1b\[\d+m/) // eslint-disable-line no-control-regex
    expect(status).not.toContain(ESCAPE)
  })

  test('without a terminal there is a line now and then, and nothing of a terminal', async () => {
    const publish = await slow.run
    expect(publish.stderr).toMatch(/^(\d+ of 30(, [^\n]*)?\n)+$/)
    expect(publish.stdout).not.toContain('\x1b')
    expect(publish.stdout).toMatch(/^28 of 30 ghosts published in 1\d s: 28 created\.\n/)
  })

  test('characters that control a terminal, or reverse text, do not reach it', async () => {
    const path = join(folder, 'line\nbreak\x1b[31m\u202Eesrever')
    const { stdout } = await run('status', [path])
    expect(stdout).toContain('line\\u000abreak\\u001b[31m\\u202eesrever')
    expect(stdout).not.toMatch(/[\x1b\u202E]/) // eslint-disable-line no-control-regex
  })

  python('names of wide characters are whole, in the columns that the terminal has', async () => {
    const name = '日本語👍🏽'.repeat(12)
    const text = await inTerminal('status', [name], { NO_COLOR: '1', COLUMNS_OF_TERMINAL: '40' })
    const [table] = text.split('\n\n')
    const column = table!
      .split('\n')
      .slice(1)
      .map((line) => line.slice(0, 16).split(' ')[0])
    expect(column.join('')).toBe(name)
    expect(table).not.toMatch(/[…\uFFFD]/)
  })

  python('a terminal that does not know its width gets whole lines', async () => {
    const text = await inTerminal('status', ['missing'], { NO_COLOR: '1', COLUMNS_OF_TERMINAL: '0' })
    expect(text).toMatch(/^user +device +homeserver +store\nmissing +INVALID_STORE_PATH\n/)
    expect(text).toContain('\n  Give the folder of the store. A ghost that has no store yet')
  })
})

describe('many ghosts', () => {
  itOnLinux('are read when they are wanted', async () => {
    homeserver.always('keys/query', 'never')
    const child = begin('publish', ['--ghosts', '-', '--json'])
    const line = `${JSON.stringify({ user_id: '@_a:example.org', device_id: 'D', store_path: 'x'.repeat(900) })}\n`
    let written = 0
    const write = (): void => {
      while (written < 50_000 && child.stdin!.write(line)) written++
      if (written < 50_000) child.stdin!.once('drain', write)
    }
    child.stdin!.on('error', () => undefined)
    write()
    await until(() => homeserver.waiting > 0)
    await sleep(1000)
    expect(written).toBeLessThan(1000)
    child.kill('SIGKILL')
    await end(child)
  })

  itOnLinux.each(['publish', 'status'])('%s does not keep them in memory', async (command) => {
    const LONG = '/x'.repeat(10_000)
    const peak = async (count: number) => {
      const child = begin(command, ['--ghosts', '-'])
      child.stdout!.resume()
      const lines = function* () {
        for (let n = 0; n < count; n++)
          yield `${JSON.stringify({ user_id: `ghost_${n}`, device_id: 'D', store_path: LONG })}\n`
      }
      let most = 0
      const timer = setInterval(() => {
        try {
          const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
          most = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? most)
        } catch {
          // It has just ended.
        }
      }, 5)
      Readable.from(lines()).pipe(child.stdin!)
      const { code } = await end(child)
      clearInterval(timer)
      expect(code).toBe(1)
      return most / 1024
    }
    const [few, many] = [await peak(500), await peak(8000)]
    // They are 160 MB.
    expect(many - few).toBeLessThan(80)
  })
})

describe('usage', () => {
  const GHOST = ['--ghosts', 'x.jsonl']

  const WRONG: [problem: string, args: string[], env?: NodeJS.ProcessEnv][] = [
    ['--homeserver is missing', ['publish', ...GHOST]],
    ['--homeserver is missing', ['status', 'store']],
    ['--homeserver needs a URL', ['status', 'store', '--homeserver']],
    ['give the ghosts: --ghosts FILE, or the paths of their stores', ['publish', '--homeserver', 'http://x']],
    ['--ghosts needs a FILE', ['publish', '--homeserver', 'http://x', '--ghosts', '--json']],
    [
      '--concurrency must be a whole number from 1',
      ['publish', '--homeserver', 'http://x', ...GHOST, '--concurrency', '0'],
    ],
    [
      '--concurrency must be a whole number from 1',
      ['publish', '--homeserver', 'http://x', ...GHOST, '--concurrency', '2.5'],
    ],
    ['unknown option --reset', ['publish', '--homeserver', 'http://x', ...GHOST, '--reset']],
    ['unknown option --dry-run', ['status', '--homeserver', 'http://x', ...GHOST, '--dry-run']],
    ['unknown option --token', ['publish', '--homeserver', 'http://x', ...GHOST, '--token=secret']],
    ['--json is given twice', ['status', '--homeserver', 'http://x', ...GHOST, '--json', '--json']],
    [
      '--homeserver must be an http or https URL without user name and password, such as http://localhost:8008',
      ['publish', '--homeserver', 'ftp://x', ...GHOST],
    ],
    [
      'RUST_CRYPTO_HELPER_AS_TOKEN is not set. It is the as_token in the registration of the bridge',
      ['publish', '--homeserver', 'http://x', ...GHOST],
      { RUST_CRYPTO_HELPER_AS_TOKEN: '' },
    ],
    [
      'RUST_CRYPTO_HELPER_AS_TOKEN must be a string of visible ASCII characters',
      ['publish', '--homeserver', 'http://x', ...GHOST],
      { RUST_CRYPTO_HELPER_AS_TOKEN: 'secret\n' },
    ],
    [
      '--empty-passphrase contradicts RUST_CRYPTO_HELPER_PASSPHRASE, which is not empty',
      ['publish', '--homeserver', 'http://x', ...GHOST, '--empty-passphrase'],
      { RUST_CRYPTO_HELPER_PASSPHRASE: PASSPHRASE },
    ],
  ]

  test('what is wrong is said in one line, with exit code 2, and nothing is made', async () => {
    const ended = WRONG.map(async ([, args, env]) => {
      const { code, stdout, stderr } = await end(
        start(process.execPath, [COMMAND, ...args], { ...ENV, ...env }, { cwd: folder }),
      )
      expect(stderr).not.toContain('secret')
      return { code, stdout, stderr: stderr.split('\n')[0] }
    })
    expect(await Promise.all(ended)).toEqual(
      WRONG.map(([problem]) => ({ code: 2, stdout: '', stderr: `rust-crypto-helper: ${problem}` })),
    )
    expect(readdirSync(folder)).toEqual([])
  })

  test('--failed and --ghosts must not be the same file, and it is not touched', async () => {
    const file = list(newGhosts(3))
    const before = readFileSync(file)
    const { code, stderr } = await run('publish', [
      '--ghosts',
      file,
      '--failed',
      join(folder, '.', 'ghosts.jsonl'),
    ])
    expect(code).toBe(2)
    expect(stderr).toMatch(/^rust-crypto-helper: --failed and --ghosts are the same file\n/)
    expect(readFileSync(file)).toEqual(before)
  })

  itOnLinux('so it is if the list comes from standard input', async () => {
    const file = list(newGhosts(3))
    const before = readFileSync(file)
    const script = '"$0" "$1" publish --homeserver "$2" --ghosts - --failed "$3" < "$3"'
    const args = [process.execPath, COMMAND, homeserver.url, file]
    const { code, stderr } = await end(start('sh', ['-c', script, ...args], ENV))
    expect(code).toBe(2)
    expect(stderr).toMatch(/^rust-crypto-helper: --failed and --ghosts are the same file\n/)
    expect(readFileSync(file)).toEqual(before)
  })

  test.each(['publish', 'status'])(
    '%s: a file that does not exist is an error with its name',
    async (command) => {
      const file = join(folder, 'missing.jsonl')
      const { code, stdout, stderr } = await run(command, ['--ghosts', file, '--json'])
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^INVALID_ARGUMENT: --ghosts .*missing\.jsonl: ENOENT.*\n$/)
    },
  )

  test('for a bootstrap, the options of the others are none: a device may have their names', async () => {
    const devices = [
      '--homeserver',
      '--ghosts',
      '--json',
      '--concurrency',
      '--dry-run',
      '--failed',
      '--json=x',
    ]
    const ended = devices.map(async (device) => {
      const store = join(folder, device)
      const { code, stdout } = await end(
        start(process.execPath, [COMMAND, '@_ghost:example.org', device, store]),
      )
      return [code, stdout.includes(JSON.stringify(device))]
    })
    expect(await Promise.all(ended)).toEqual(devices.map(() => [0, true]))
  })
})

test.each([['rust-crypto-helper'], ['rust-crypto-helper', 'rust-crypto-helper/publisher']])(
  'what the command shows itself with is not loaded by users of the functions: %j',
  async (...modules) => {
    const script = `${modules.map((name) => `require('${name}')`).join('\n')}
      console.log(Object.keys(require.cache).join('\\n'))`
    // In its own folder, a package finds itself by its name, as users do.
    const { stdout } = await finish(start(process.execPath, ['-e', script], {}, { cwd: ROOT }))
    expect(stdout).toContain(join(ROOT, 'index.js'))
    expect(stdout.includes(join('dist', 'publisher'))).toBe(modules.length > 1)
    expect(stdout).not.toMatch(/cli-progress|cli-table3|string-width|[\\/]bin[\\/]/)
  },
)

describe('problems', () => {
  interface Problems {
    wayOut: (code: string) => string
    isUnpublished: (code: string) => boolean
    problemOf: (error: Error) => { code: string; message: string }
  }
  const problems = jest.requireActual<Problems>('../bin/problems.js')

  /** The codes of an exported union. */
  function codesOf(file: string, name: string): string[] {
    const declaration = new RegExp(
      `^export (?:type ${name} =|interface ${name} \\{)([^]*?)\\n(?:\\}|\\n)`,
      'm',
    )
    const [, text] = declaration.exec(readFileSync(join(ROOT, file), 'utf8'))!
    return Array.from(text!.matchAll(/'([A-Z_]+)'/g), ([, code]) => code!)
  }

  const VERIFICATION = codesOf('index.d.ts', 'VerificationProblem')
  const DECLARED = [
    ...VERIFICATION,
    ...codesOf('index.d.ts', 'BootstrapErrorCode'),
    ...codesOf('index.d.ts', 'BootstrapWarningCode').filter((code) => code !== 'DEVICE_KEYS_INVALID'),
    ...codesOf(join('publisher', 'errors.ts'), 'PublicationProblem'),
    ...codesOf(join('publisher', 'publisher.ts'), 'UnansweredDevice'),
  ]

  test('every code that the package declares has a way out of its own', () => {
    expect(DECLARED.length).toBeGreaterThan(25)
    const any = problems.wayOut('M_SOMETHING')
    for (const code of DECLARED) {
      expect([code, problems.wayOut(code)]).not.toEqual([code, any])
      const error = Object.assign(
        new Error(`${code}: why`),
        VERIFICATION.includes(code) ? { problem: code } : { code },
      )
      expect(problems.problemOf(error)).toEqual({ code, message: 'why' })
      expect([code, problems.isUnpublished(code)]).toEqual([code, VERIFICATION.includes(code)])
    }
    // A homeserver may answer any code.
    for (const code of ['constructor', '__proto__', '']) expect(problems.wayOut(code)).toBe(any)
  })
})
