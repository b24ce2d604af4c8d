'use strict'

const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { basename, join } = require('node:path')
const { isMainThread } = require('node:worker_threads')
const { afterAll, expect, test } = require('@jest/globals')
const { bootstrapCrossSigning } = require('rust-crypto-helper')
const { CrossSigningPublisher, MatrixRequestError } = require('rust-crypto-helper/publisher')

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
