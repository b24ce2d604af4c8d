// Promise: the command is a drop-in for the sidecar, and says what the function says.

import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { version } from '../package.json'
import { COMMAND, finish, runCommand, start } from './support/processes'
import { DEVICE_ID, temporaryFolder, USER_ID } from './support/stores'

let store: string

beforeEach(() => {
  store = join(temporaryFolder(), 'store')
})

test('one line of JSON with the payloads of the function', async () => {
  const created = await runCommand([USER_ID, DEVICE_ID, store])
  expect(created).toMatchObject({ code: 0, stderr: '' })
  expect(created.stdout).toMatch(/^\{.*\}\n$/)

  const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, store)
  expect(JSON.parse(created.stdout)).toEqual({ ...payloads, status: 'created' })
  const resumed = await runCommand([USER_ID, DEVICE_ID, store])
  expect(resumed.stdout).toBe(`${JSON.stringify(payloads)}\n`)
})

test('it runs by its path, as the sidecar did', async () => {
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

test('a failure is CODE: message and exit code 1', async () => {
  const { code, stdout, stderr } = await runCommand(['ghost', DEVICE_ID, store])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(/^INVALID_USER_ID: .*\n$/)
})

test.each([[[]], [[USER_ID]], [[USER_ID, DEVICE_ID]], [['a', 'b', 'c', 'd']], [['--passphrase', 'secret']]])(
  'wrong usage %j is exit code 2 and a usage line',
  async (args) => {
    const { code, stdout, stderr } = await runCommand(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toBe('usage: rust-crypto-helper <user_id> <device_id> <store_path>\n')
  },
)

test('--help and --version', async () => {
  const help = await runCommand(['--help'])
  expect(help).toMatchObject({ code: 0, stderr: '' })
  expect(help.stdout).toMatch(/^usage: .*RUST_CRYPTO_HELPER_PASSPHRASE/s)
  expect(await runCommand(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n` })
})
