// Promise: the command replaces the sidecar without any other change, and prints what the function returns, or fails.

import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  bootstrapCrossSigning,
  type CrossSigningBootstrap,
  type KeysQueryAnswer,
  verifyPublished,
} from 'rust-crypto-helper'
import { version } from '../package.json'
import { COMMAND, finish, runCommand, runScript, start } from './support/processes'
import { DATABASE, DEVICE_ID, itOnLinux, itOnUnix, temporaryFolder, USER_ID } from './support/stores'

let store: string

/** What a homeserver serves that has all of it. */
const published = ({ upload_device_keys, upload_keys }: CrossSigningBootstrap): KeysQueryAnswer => ({
  device_keys: { [USER_ID]: { [DEVICE_ID]: upload_device_keys!.device_keys } },
  master_keys: { [USER_ID]: upload_keys.master_key },
  self_signing_keys: { [USER_ID]: upload_keys.self_signing_key },
})

beforeEach(() => {
  store = join(temporaryFolder(), 'store')
})

test('it prints one line of JSON with the payloads of the function', async () => {
  const created = await runCommand([USER_ID, DEVICE_ID, store])
  expect(created).toMatchObject({ code: 0, stderr: '' })
  expect(created.stdout).toMatch(/^\{.*\}\n$/)

  const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(JSON.parse(created.stdout)).toEqual({ ...payloads, status: 'created' })
  const resumed = await runCommand([USER_ID, DEVICE_ID, store])
  expect(resumed.stdout).toBe(`${JSON.stringify(payloads)}\n`)
})

/** The payloads in the output, which is one line of JSON. */
function payloadsIn(stdout: string): CrossSigningBootstrap {
  expect(stdout).toMatch(/^\{.*\}\n$/)
  return JSON.parse(stdout) as CrossSigningBootstrap
}

itOnUnix.each([DEVICE_ID, '-fmeqAf3'])(
  'it runs by its path, like the sidecar, for the device %s',
  async (device) => {
    const { stdout, stderr } = await promisify(execFile)(COMMAND, [USER_ID, device, store])
    expect(stderr).toBe('')
    const payloads = payloadsIn(stdout)
    expect(payloads.upload_keys.master_key.user_id).toBe(USER_ID)
    expect(Object.keys(payloads.upload_signatures[USER_ID]!)).toEqual([device])
  },
)

test('the functions do not load the command', async () => {
  const { stdout } = await runScript('console.log(Object.keys(require.cache).join())')
  expect(stdout).toContain('index.js')
  expect(stdout).not.toContain(join(COMMAND, '..'))
})

test('the passphrase comes from the environment', async () => {
  const passphrase = 'correct horse battery staple'
  const env = { RUST_CRYPTO_HELPER_PASSPHRASE: passphrase }
  expect(await runCommand([USER_ID, DEVICE_ID, store], env)).toMatchObject({ code: 0 })
  await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { passphrase })).resolves.toMatchObject({
    status: 'resumed',
  })
  const without = await runCommand([USER_ID, DEVICE_ID, store], { RUST_CRYPTO_HELPER_PASSPHRASE: '' })
  expect(without).toMatchObject({ code: 1, stdout: '' })
  expect(without.stderr).toMatch(/^STORE_PASSPHRASE: /)
})

test('a failure prints CODE: message, and the exit code is 1', async () => {
  const { code, stdout, stderr } = await runCommand(['ghost', DEVICE_ID, store])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^INVALID_USER_ID: .*\n$/)
})

describe('arguments', () => {
  test.each(['-', '-hq', '-h=', '--', '--fmeqAf3', '--help-me', '--server-keysX', '---', 'verify'])(
    'the device ID %s is an argument by its position',
    async (device) => {
      // The one word that cannot stand there by itself ends the options.
      const end = device === '--' ? ['--'] : []
      const { code, stdout, stderr } = await runCommand([...end, USER_ID, device, store])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(Object.keys(payloadsIn(stdout).upload_signatures[USER_ID]!)).toEqual([device])
    },
  )

  test.each(['-store', '--store', '-'])('the store path %s is an argument by its position', async (path) => {
    const cwd = temporaryFolder()
    const { code, stderr } = await finish(
      start(process.execPath, [COMMAND, USER_ID, DEVICE_ID, path], {}, { cwd }),
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(existsSync(join(cwd, path, DATABASE))).toBe(true)
  })

  const NAMES = ['-h', '--help', '--version', '--empty-passphrase', '--server-keys', '--server-keys=x']

  test.each(NAMES)('after --, the device ID %s is an argument', async (device) => {
    const { code, stdout } = await runCommand([USER_ID, '--', device, store])
    expect(code).toBe(0)
    expect(Object.keys(payloadsIn(stdout).upload_signatures[USER_ID]!)).toEqual([device])
  })

  test.each(NAMES)('before --, the device ID %s is wrong usage, and nothing is made', async (device) => {
    const { code, stdout, stderr } = await runCommand([USER_ID, device, store])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^rust-crypto-helper: .*\nusage: /)
    expect(existsSync(store)).toBe(false)
  })

  test('options stand before, between and after the arguments', async () => {
    const file = join(temporaryFolder(), 'answer.json')
    writeFileSync(file, JSON.stringify({ device_keys: { [USER_ID]: {} } }))
    const [empty, keys] = ['--empty-passphrase', ['--server-keys', file]]
    for (const args of [
      [empty, ...keys, USER_ID, '-fmeqAf3', store],
      [USER_ID, ...keys, '-fmeqAf3', empty, store],
      [USER_ID, '-fmeqAf3', store, empty, `--server-keys=${file}`],
      [empty, `--server-keys=${file}`, '--', USER_ID, '-fmeqAf3', store],
    ]) {
      const { code, stdout, stderr } = await runCommand(args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(payloadsIn(stdout).missing).toEqual(['upload_device_keys', 'upload_keys', 'upload_signatures'])
    }
    await expect(
      bootstrapCrossSigning(USER_ID, '-fmeqAf3', store, { passphrase: '' }),
    ).resolves.toMatchObject({ status: 'resumed' })
  })
})

describe('wrong usage', () => {
  const [user, device] = [USER_ID, DEVICE_ID]

  test.each<[string, string[]]>([
    ['<user_id> is missing', []],
    ['<user_id> is missing', ['--server-keys', 'answer.json']],
    [`<device_id> is missing after <user_id> ${user}`, [user]],
    [`<store_path> is missing after <device_id> ${device}`, [user, device]],
    ['<store_path> is missing after <device_id> -fmeqAf3', [user, '-fmeqAf3']],
    ['<store_path> is missing after <device_id> ""', [user, '']],
    ['<store_path> is missing after <device_id> store', [user, '--empty-passphrase', 'store']],
    ['too many arguments: more', [user, device, 'store', 'more']],
    ['too many arguments: more -x', [user, '-fmeqAf3', 'store', '--', 'more', '-x']],
    ['too many arguments: ""', [user, device, 'store', '']],
    ['too many arguments: more', [user, '--', '--foo', 'store', 'more']],
    ['too many arguments: store, or unknown option --foo', [user, '--foo', device, 'store']],
    ['unknown option --foo', ['--foo', user, device]],
    ['unknown option --foo', [user, device, 'store', '--foo']],
    ['unknown option -x', [user, device, 'store', '-x', 'more']],
    ['unknown option --passphrase', ['--passphrase', 'secret']],
    ['unknown option --passphrase', ['--passphrase=secret', user, device, 'store']],
    ['unknown option --passphrase', [user, device, 'store', '--passphrase=secret']],
    ['publish-all is no <user_id> and no command', ['publish-all', '--', '-x']],
    ['--foo is no <user_id> and no command', ['--', '--foo', device]],
    ['constructor is no <user_id> and no command', ['constructor']],
    ['a is no <user_id> and no command', ['a', 'b', 'c', 'd']],
    ['"" is no <user_id> and no command', ['', device]],
    ['line\\u000abreak\\u001b[31m is no <user_id> and no command', ['line\nbreak\x1b[31m']],
    ['<user_id> is missing', ['verify']],
    [`<device_id> is missing after <user_id> ${user}`, ['verify', user]],
    ['too many arguments: store', ['verify', user, device, 'store']],
    ['too many arguments: -x', ['verify', '--', user, device, '-x']],
    ['too many arguments: -x', ['--', 'verify', user, device, '-x']],
    ['unknown option --json', ['verify', user, device, '--json']],
    ['unknown option --json', ['verify', '--json', user]],
    ['ghost is no <user_id>', ['verify', 'ghost']],
    ['verify takes no --empty-passphrase', ['verify', user, device, '--empty-passphrase']],
    ['<store_path> is missing', ['inspect']],
    ['<store_path> is missing', ['inspect', '--empty-passphrase']],
    // In a list no word is an argument by its position, so a misspelt option is not taken for one.
    ['unknown option --jsn', ['inspect', 'store', '--jsn']],
    ['unknown option --jsn', ['inspect', '--jsn=1', 'store']],
    ['unknown option -x', ['inspect', 'store', '-x', 'more']],
    ['inspect takes no --server-keys', ['inspect', 'store', '--server-keys', 'answer.json']],
    ['--server-keys needs a FILE', ['verify', user, device, '--server-keys']],
    ['--server-keys needs a FILE', [user, device, 'store', '--server-keys']],
    ['--server-keys needs a FILE', [user, device, 'store', '--server-keys', '']],
    ['--server-keys needs a FILE', [user, device, 'store', '--server-keys=']],
    ['--server-keys needs a FILE', ['--server-keys', '--', user, device, 'store']],
    ['--server-keys needs a FILE', ['--server-keys', '--empty-passphrase', user, device, 'store']],
    ['--server-keys is given twice', [user, device, 'store', '--server-keys', 'a', '--server-keys=b']],
    ['--empty-passphrase takes no value', [user, device, 'store', '--empty-passphrase=']],
    ['--help stands alone. If it is an argument, write -- before the arguments', [user, device, '--help']],
    ['-h stands alone. If it is an argument, write -- before the arguments', ['verify', user, '-h']],
  ])('%s: %j', async (problem, args) => {
    const cwd = temporaryFolder()
    const { code, stdout, stderr } = await finish(
      // Without input, so that a wrong command ends, too.
      start(process.execPath, [COMMAND, ...args], {}, { cwd, stdio: ['ignore', 'pipe', 'pipe'] }),
    )
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    const [first, ...usage] = stderr.split('\n')
    expect(first).toBe(`rust-crypto-helper: ${problem}`)
    expect(usage.join('\n')).toMatch(
      /^usage: rust-crypto-helper <user_id> <device_id> <store_path> .*\n +rust-crypto-helper verify <user_id> <device_id> .*\n +rust-crypto-helper inspect <store_path>\.\.\. .*\n( +.*\n)*$/,
    )
    expect(readdirSync(cwd)).toEqual([])
  })
})

describe('--empty-passphrase', () => {
  test('the store has the passphrase that matrix-bot-sdk uses', async () => {
    for (const env of [{}, { RUST_CRYPTO_HELPER_PASSPHRASE: '' }]) {
      const args = [USER_ID, DEVICE_ID, store, '--empty-passphrase']
      expect(await runCommand(args, env)).toMatchObject({ code: 0, stderr: '' })
    }
    await expect(bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { passphrase: '' })).resolves.toMatchObject(
      { status: 'resumed' },
    )
    const without = await runCommand([USER_ID, DEVICE_ID, store])
    expect(without).toMatchObject({ code: 1, stdout: '' })
    expect(without.stderr).toMatch(/^STORE_PASSPHRASE: /)
  })

  test('beside another passphrase it is wrong usage, and nothing is made', async () => {
    const env = { RUST_CRYPTO_HELPER_PASSPHRASE: 'correct horse' }
    const { code, stdout, stderr } = await runCommand([USER_ID, DEVICE_ID, store, '--empty-passphrase'], env)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(
      /^rust-crypto-helper: --empty-passphrase contradicts RUST_CRYPTO_HELPER_PASSPHRASE, .*\nusage: /,
    )
    expect(stderr).not.toContain('horse')
    expect(existsSync(store)).toBe(false)
  })
})

describe('output that cannot be written', () => {
  const ADVICE = 'The store is bootstrapped: run the same command again to get the payloads'

  /** Runs the command in bash, where `"$@"` is the command. */
  function inBash(script: string, args: string[], options = {}) {
    return finish(start('bash', ['-c', script, 'bash', process.execPath, COMMAND, ...args], {}, options))
  }

  /** The store is whole and closed, and the next run has its payloads. */
  async function expectBootstrapped(): Promise<void> {
    expect(readdirSync(store)).toEqual([DATABASE])
    const { code, stdout } = await runCommand([USER_ID, DEVICE_ID, store])
    expect(code).toBe(0)
    expect(payloadsIn(stdout)).toEqual(await bootstrapCrossSigning(USER_ID, DEVICE_ID, store))
    expect(payloadsIn(stdout)).toMatchObject({
      status: 'resumed',
      upload_device_keys: { device_keys: { device_id: DEVICE_ID } },
    })
  }

  const bootstrap = () => [USER_ID, DEVICE_ID, store]
  const ways: [string, (args: string[]) => ReturnType<typeof finish>, string][] = [
    ['a full device', (args) => inBash('"$@" > /dev/full', args), 'ENOSPC'],
    [
      'a closed pipe',
      (args) => inBash('{ sleep 0.2; "$@"; } | true; exit "${PIPESTATUS[0]}"', args),
      'EPIPE',
    ],
    [
      'a pipe that its reader closes',
      (args) => {
        const child = start(process.execPath, [COMMAND, ...args])
        child.stdout!.destroy()
        return finish(child)
      },
      'EPIPE',
    ],
  ]

  describe.each(ways)('%s', (_, run, reason) => {
    itOnLinux('a bootstrap fails, and the store is bootstrapped', async () => {
      const { code, stderr } = await run(bootstrap())
      expect(code).toBe(1)
      expect(stderr).toMatch(
        new RegExp(`^OUTPUT: cannot write to standard output: ${reason}: .*\\. ${ADVICE}\n$`),
      )
      await expectBootstrapped()
    })

    itOnLinux.each(['--help', '--version'])('%s fails', async (option) => {
      const { code, stderr } = await run([option])
      expect(code).toBe(1)
      expect(stderr).toMatch(new RegExp(`^OUTPUT: cannot write to standard output: ${reason}: .*\n$`))
    })

    itOnLinux('verify fails, although the device is verified', async () => {
      const file = join(temporaryFolder(), 'answer.json')
      writeFileSync(file, JSON.stringify(published(await bootstrapCrossSigning(USER_ID, DEVICE_ID, store))))
      const args = ['verify', USER_ID, DEVICE_ID, '--server-keys', file]
      expect(await runCommand(args)).toMatchObject({ code: 0 })
      const { code, stderr } = await run(args)
      expect(code).toBe(1)
      expect(stderr).toMatch(new RegExp(`^OUTPUT: cannot write to standard output: ${reason}: .*\n$`))
      expect(stderr).not.toContain(ADVICE)
    })
  })

  itOnLinux('a disk that takes only a part of the output is a failure', async () => {
    await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    const file = join(temporaryFolder(), 'payloads.json')
    // A file may have 1024 bytes. The system writes as many, and refuses the next.
    const { code, stderr } = await inBash('exec > "$OUT"; ulimit -f 1; exec "$@"', bootstrap(), {
      env: { ...process.env, OUT: file },
    })
    expect(readFileSync(file)).toHaveLength(1024)
    expect(code).toBe(1)
    expect(stderr).toMatch(/^OUTPUT: cannot write to standard output: EFBIG: .*\n$/)
    await expectBootstrapped()
  })

  itOnLinux.each<[string, number, () => string[]]>([
    ['neither stream takes the payloads nor the error', 1, bootstrap],
    ['an error', 1, () => ['ghost', DEVICE_ID, store]],
    ['wrong usage', 2, () => []],
  ])('if standard error is full or closed, too, the exit code tells: %s', async (_, code, args) => {
    expect(await inBash('"$@" > /dev/full 2> /dev/full', args())).toMatchObject({ code, stderr: '' })
    const closed = await inBash('{ sleep 0.2; "$@" 2>&1; } | true; exit "${PIPESTATUS[0]}"', args())
    expect(closed).toMatchObject({ code, stderr: '' })
  })
})

describe('output that is read slowly is complete', () => {
  // The system keeps 64 KB of a pipe. The device ID is in the output many times.
  const device = 'D'.repeat(100_000)

  test('from a pipe', async () => {
    const child = start(process.execPath, [COMMAND, USER_ID, device, store])
    await setTimeout(1500)
    const { code, stdout, stderr } = await finish(child)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect({ ...payloadsIn(stdout), status: 'resumed' }).toEqual(
      await bootstrapCrossSigning(USER_ID, device, store),
    )
  })

  itOnLinux('from a pipe that does not block and is full at first', async () => {
    const script = `
import os, subprocess, sys, time
reader, writer = os.pipe()
os.set_blocking(writer, False)
filled = 0
try:
    while True: filled += os.write(writer, b'x' * 4096)
except BlockingIOError: pass
child = subprocess.Popen(sys.argv[1:], stdout=writer)
time.sleep(1.5)
os.close(writer)
while filled > 0: filled -= len(os.read(reader, min(filled, 65536)))
with os.fdopen(reader, 'rb') as rest: sys.stdout.buffer.write(rest.read())
sys.exit(child.wait())`
    const child = start('python3', ['-c', script, process.execPath, COMMAND, USER_ID, device, store])
    const { code, stdout, stderr } = await finish(child)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect({ ...payloadsIn(stdout), status: 'resumed' }).toEqual(
      await bootstrapCrossSigning(USER_ID, device, store),
    )
  })
})

test('--help prints the help, and --version prints the version', async () => {
  const help = await runCommand(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toMatch(/^usage: .*RUST_CRYPTO_HELPER_PASSPHRASE/s)
  expect(await runCommand(['-h'])).toEqual(help)
  expect(await runCommand(['verify', '--help'])).toEqual(help)
  expect(await runCommand(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' })
})

describe('--server-keys', () => {
  let served: KeysQueryAnswer
  let file: string

  beforeEach(async () => {
    served = published(await bootstrapCrossSigning(USER_ID, DEVICE_ID, store))
    file = join(temporaryFolder(), 'answer.json')
  })

  const asFile = () => {
    writeFileSync(file, JSON.stringify(served))
    return { args: ['--server-keys', file], input: '' }
  }
  const asInput = () => ({ args: ['--server-keys', '-'], input: JSON.stringify(served) })
  const byDefault = () => ({ args: [], input: JSON.stringify(served) })

  /** Runs the command with `input` on its standard input. */
  function run(args: string[], input: string) {
    const child = start(process.execPath, [COMMAND, ...args])
    // The command may end before it has read its input.
    child.stdin!.on('error', () => undefined).end(input)
    return finish(child)
  }

  test.each<[string, () => { args: string[]; input: string }]>([
    ['from a file', asFile],
    ['from standard input', asInput],
  ])('%s: a bootstrap prints the result of the function', async (_, give) => {
    const { args, input } = give()
    const { code, stdout, stderr } = await run([USER_ID, DEVICE_ID, store, ...args], input)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store, { serverKeys: served })
    expect(stdout).toBe(`${JSON.stringify(payloads)}\n`)
    expect(payloads.status).toBe('published')

    const refused = await run([USER_ID, DEVICE_ID, join(temporaryFolder(), 'lost'), ...args], input)
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/^IDENTITY_CONFLICT: .*\n$/)
  })

  test.each<[string, () => { args: string[]; input: string }]>([
    ['from a file', asFile],
    ['from standard input', asInput],
    ['from standard input, by default', byDefault],
  ])('%s: verify prints one line of JSON and sets the exit code', async (_, give) => {
    for (const verified of [true, false]) {
      if (!verified) served.self_signing_keys = {}
      const { args, input } = give()
      const { code, stdout, stderr } = await run(['verify', USER_ID, DEVICE_ID, ...args], input)
      expect({ code, stderr }).toEqual({ code: verified ? 0 : 1, stderr: '' })
      expect(stdout).toBe(`${JSON.stringify(verifyPublished(USER_ID, DEVICE_ID, served))}\n`)
      expect(JSON.parse(stdout)).toMatchObject(verified ? { verified } : { problem: 'NO_SELF_SIGNING_KEY' })
    }
  })

  test.each([
    ['that is empty', ''],
    ['that is text', 'no\nJSON\n'],
    ['that is cut off', '{"device_keys":'],
    ['that is something else', '{}'],
  ])('an answer %s gives one line of error', async (_, input) => {
    for (const args of [
      ['verify', USER_ID, DEVICE_ID],
      [USER_ID, DEVICE_ID, store, '--server-keys', '-'],
    ]) {
      const { code, stdout, stderr } = await run(args, input)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^INVALID_ARGUMENT: .*\n$/)
    }
  })

  test('if the file does not exist, the error has its name and the reason', async () => {
    const { code, stderr } = await run(['verify', USER_ID, DEVICE_ID, '--server-keys', file], '')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^INVALID_ARGUMENT: .*ENOENT.*\n$/)
    expect(stderr).toContain(file)
  })

  test('a bootstrap without --server-keys does not read standard input', async () => {
    const child = start(process.execPath, [COMMAND, USER_ID, DEVICE_ID, store])
    // Nothing is written to standard input, and it stays open.
    await expect(finish(child)).resolves.toMatchObject({ code: 0, stderr: '' })
  })

  test('verify with a wrong user ID prints INVALID_USER_ID', async () => {
    const { code, stderr } = await run(['verify', 'ghost', DEVICE_ID], JSON.stringify(served))
    expect(code).toBe(1)
    expect(stderr).toMatch(/^INVALID_USER_ID: .*\n$/)
  })
})
