import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { afterAll, expect, test } from 'vitest'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher, MatrixRequestError } from 'rust-crypto-helper/publisher'

const folder = mkdtempSync(join(tmpdir(), 'rust-crypto-helper-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('runs in the kind of worker that the command line asks for', () => {
  expect(isMainThread).toBe(process.env.WORKERS !== 'threads')
})

test('bootstraps a ghost', async () => {
  const payloads = await bootstrapCrossSigning('@_ghost:example.org', 'GHOSTDEVICE', join(folder, 'ghost'))
  expect(payloads).toMatchObject({ status: 'created', upload_keys: { master_key: { usage: ['master'] } } })
})

test('rejects with a code', async () => {
  await expect(bootstrapCrossSigning('ghost', 'GHOSTDEVICE', folder)).rejects.toMatchObject({
    code: 'INVALID_USER_ID',
  })
})

test('publishes a ghost', async () => {
  const publisher = new CrossSigningPublisher({ homeserverUrl: process.env.HOMESERVER_URL, asToken: 'token' })
  const userId = `@_${basename(folder).toLowerCase()}:example.org`
  await expect(publisher.publish(userId, 'GHOSTDEVICE', join(folder, 'published'))).resolves.toMatchObject({
    status: 'created',
  })
})

test('rejects with a class of the publisher', async () => {
  const publisher = new CrossSigningPublisher({ request: () => Promise.reject(new Error('no client')) })
  await expect(publisher.publish('@_ghost:example.org', 'GHOSTDEVICE', folder)).rejects.toThrow(
    MatrixRequestError,
  )
})
