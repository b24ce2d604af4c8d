// Promise: what the README shows can be run as it is printed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { verifyPublished } from 'rust-crypto-helper'
import { finish, ROOT, start } from '../support/processes'
import { temporaryFolder } from '../support/stores'
import { newerNode } from './support/client'
import { AS_TOKEN, Synapse, VERSIONS } from './support/synapse'

test.each([
  ['the newest Synapse', VERSIONS.at(-1)!],
  ['the oldest Synapse', VERSIONS[0]!],
])('the examples of the README publish a ghost that did not exist before, on %s', async (_, version) => {
  const blocks = readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)
  const printed = Array.from(blocks, ([, code]) => code!).join('')

  const folder = temporaryFolder()
  const synapse = await Synapse.start(join(folder, 'synapse'), { version })
  try {
    // Neither the user nor the device exists. The homeserver's URL and name are all that is not as printed.
    const code = printed
      .replaceAll('http://localhost:8008', synapse.url)
      .replaceAll('@_ghost:example.org', '@_ghost:localhost')
    // In this package's folder, where its name leads to it.
    const script = join(ROOT, '.e2e', 'readme.mts')
    mkdirSync(join(ROOT, '.e2e'), { recursive: true })
    writeFileSync(script, code)
    const child = start(
      newerNode(),
      ['--no-warnings', script],
      { AS_TOKEN, RUST_CRYPTO_HELPER_RECOVERY_SECRET: 'of the README, long enough to be taken' },
      { cwd: folder },
    )
    expect(await finish(child)).toMatchObject({ code: 0, stderr: '' })

    const served = await synapse.queryKeysAs(await synapse.registerPerson('stranger'), '@_ghost:localhost')
    expect(verifyPublished('@_ghost:localhost', 'GHOSTDEVICE', served)).toMatchObject({ verified: true })
    expect(await synapse.secretStorage('@_ghost:localhost')).toHaveProperty(['m.cross_signing.master'])
  } finally {
    await synapse.stop()
  }
})
