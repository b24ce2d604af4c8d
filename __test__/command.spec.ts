// Promise: the command replaces the sidecar without any other change, and prints what the function returns.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning, type KeysQueryAnswer, verifyPublished } from 'rust-crypto-helper'
import { version } from '../package.json'
import { COMMAND, finish, runCommand, start } from './support/processes'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

let store: string

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

test('it runs by its path, like the sidecar', async () => {
  const { code, stdout } = await finish(start(COMMAND, [USER_ID, DEVICE_ID, store]))
  expect(code).toBe(0)
  expect(Object.keys(JSON.parse(stdout) as object)).toEqual(
    expect.arrayContaining(['upload_keys', 'upload_signatures']),
  )
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

test.each([
  [[]],
  [[USER_ID]],
  [[USER_ID, DEVICE_ID]],
  [['a', 'b', 'c', 'd']],
  [['--passphrase', 'secret']],
  [['verify']],
  [['verify', USER_ID]],
  [['verify', USER_ID, DEVICE_ID, 'store']],
  [['verify', USER_ID, DEVICE_ID, '--server-keys']],
  [[USER_ID, DEVICE_ID, 'store', '--server-keys']],
])('wrong usage %j prints the usage, and the exit code is 2', async (args) => {
  const { code, stdout, stderr } = await runCommand(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(
    /^usage: rust-crypto-helper <user_id> <device_id> <store_path> .*\n +rust-crypto-helper verify <user_id> <device_id> .*\n$/,
  )
})

test('--help prints the help, and --version prints the version', async () => {
  const help = await runCommand(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toMatch(/^usage: .*RUST_CRYPTO_HELPER_PASSPHRASE/s)
  expect(await runCommand(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` })
})

describe('--server-keys', () => {
  let served: KeysQueryAnswer
  let file: string

  beforeEach(async () => {
    const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
    served = {
      device_keys: { [USER_ID]: { [DEVICE_ID]: payloads.upload_device_keys!.device_keys } },
      master_keys: { [USER_ID]: payloads.upload_keys.master_key },
      self_signing_keys: { [USER_ID]: payloads.upload_keys.self_signing_key },
    }
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
