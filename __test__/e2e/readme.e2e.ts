// Promise: what the README shows can be run as it is printed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CrossSigningBootstrapper } from '../../examples/CrossSigningBootstrapper'
import { finish, ROOT, start } from '../support/processes'
import { temporaryFolder } from '../support/stores'
import { newerNode } from './support/client'
import { AS_TOKEN, Synapse } from './support/synapse'

test('the examples of the README, one after the other', async () => {
  const blocks = readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)
  const printed = Array.from(blocks, ([, code]) => code!)
  expect(printed).toHaveLength(2)

  const folder = temporaryFolder()
  const synapse = await Synapse.start(join(folder, 'synapse'))
  try {
    const userId = await synapse.registerGhost('_ghost')
    const service = new CrossSigningBootstrapper({ homeserverUrl: synapse.url, asToken: AS_TOKEN })
    await service.ensureDevice(userId, 'GHOSTDEVICE')

    // Where it runs, and for whom, is all that is not as printed.
    const code = printed
      .join('')
      .replace('http://localhost:8008', synapse.url)
      .replace('@_ghost:example.org', userId)
    // In this package's folder, where its name leads to it.
    const script = join(ROOT, '.e2e', 'readme.mts')
    mkdirSync(join(ROOT, '.e2e'), { recursive: true })
    writeFileSync(script, code)
    const child = start(newerNode(), ['--no-warnings', script], { AS_TOKEN }, { cwd: folder })
    expect(await finish(child)).toMatchObject({ code: 0, stdout: 'published [] []\n', stderr: '' })
  } finally {
    await synapse.stop()
  }
})
