'use strict'

const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { isMainThread } = require('node:worker_threads')
const { afterAll, expect, test } = require('@jest/globals')
const { bootstrapCrossSigning } = require('rust-crypto-helper')

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
