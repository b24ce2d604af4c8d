import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import { afterAll, expect, test } from 'vitest'
import { bootstrapCrossSigning } from 'rust-crypto-helper'

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
