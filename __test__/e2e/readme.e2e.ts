// Promise: what the README shows can be run as it is printed.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { finish, ROOT, start } from '../support/processes'
import { temporaryFolder } from '../support/stores'
import { newerNode } from './support/client'
import { AS_TOKEN, Synapse } from './support/synapse'

test.each([
  ['with MSC4190', true],
  ['without MSC4190', false],
])('the examples of the README publish a ghost that did not exist before, %s', async (_, msc4190) => {
  const blocks = readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)
  const printed = Array.from(blocks, ([, code]) => code!)
  expect(printed).toHaveLength(2)

  const folder = temporaryFolder()
  const synapse = await Synapse.start(join(folder, 'synapse'), { msc4190 })
  try {
    // Neither the user nor the device exists. The homeserver's URL and name are all that is not as printed.
    const code = printed
      .join('')
      .replace('http://localhost:8008', synapse.url)
      .replace('@_ghost:example.org', '@_ghost:localhost')
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
