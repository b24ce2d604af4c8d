// Promise: a service with the shape of PluralMatrix that does what docs/hosts/pluralmatrix.md says has ghosts
// without a shield.

import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verifyPublished } from 'rust-crypto-helper'
import { AS_TOKEN, Synapse, VERSIONS } from '../e2e/support/synapse'
import { HostMachines } from '../support/host-machine'
import { ROOT } from '../support/processes'
import { temporaryFolder } from '../support/stores'
import { readPage, readSymptoms } from './support/page'
import { Project } from './support/project'
import { Stranger } from './support/stranger'

const DEVICE_ID = 'PLURALMATRIX'
const JEST = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js')

interface Report {
  testResults: { assertionResults: { title: string; status: string }[] }[]
}

/** The service, as the page leaves it. */
function newService(synapse: Synapse, ghosts: string[] = []): Project {
  const project = new Project('commonjs')
  const config = {
    homeserverUrl: synapse.url,
    asToken: AS_TOKEN,
    deviceId: DEVICE_ID,
    recoverySecret: 'the secret of the tests, which is long enough',
  }
  project.write({
    ...readPage('pluralmatrix').after,
    'config.ts': `export const config = ${JSON.stringify(config)}`,
    'ghosts.ts': `export const ghosts: string[] = ${JSON.stringify(ghosts)}`,
  })
  return project
}

/** Uploads device keys on any homeserver. */
async function uploadByLogin(synapse: Synapse, user: string, keys: object): Promise<void> {
  const { access_token } = await synapse.login(user, DEVICE_ID)
  const response = await fetch(`${synapse.url}/_matrix/client/v3/keys/upload`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${access_token}` },
    body: JSON.stringify(keys),
  })
  expect(response.status).toBe(200)
}

describe.each([VERSIONS[0]!, VERSIONS.at(-1)!])('with Synapse %s', (version) => {
  let synapse: Synapse
  beforeAll(async () => {
    const options = { version, msc4190: false, msc3202: true }
    synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), options)
  })
  afterAll(() => synapse.stop())

  test.each(['the publisher', 'the publisher, before a login of the host', 'the host, after the bootstrap'])(
    "the service's own tests pass, and no shield is shown, if the device is made by %s",
    async (maker) => {
      const service = newService(synapse)
      const name = 'OlmMachineManager.test.js'
      cpSync(join(__dirname, 'pluralmatrix', name), join(service.folder, name))
      const stranger = await Stranger.start(synapse)
      const ghost = `@_of_${stranger.userId.slice(1)}`
      const env = { GHOST: ghost, STRANGER: stranger.userId, ROOM: stranger.room, DEVICE_MADE_BY: maker }
      // The service's bridge keeps its process alive.
      const args = ['--forceExit', '--rootDir', service.folder, '--json', '--outputFile', 'report.json']
      await service.run(JEST, { args, env })

      expect(await stranger.read(ghost)).toEqual([{ body: 'hello', shield: 'None' }])
      const report = JSON.parse(readFileSync(join(service.folder, 'report.json'), 'utf8')) as Report
      const titles = report.testResults.flatMap(({ assertionResults }) =>
        assertionResults.map(({ title }) => title),
      )
      expect(titles).toContain('a ghost keeps its identity when the device ID changes')
      for (const symptom of readSymptoms('pluralmatrix'))
        expect(titles).toContain(`what can go wrong: ${symptom}`)
    },
  )

  test('the loop over ghosts that exist gives all of them an identity', async () => {
    const [used, unused] = [await synapse.registerGhost('_used'), await synapse.registerGhost('_unused')]
    const service = newService(synapse, [used, unused])
    // One of them has a store, and a device that nobody has signed.
    const machines = new HostMachines()
    const store = join(service.folder, 'data', 'crypto', used.replace(/[^a-zA-Z0-9]/g, '_'))
    const machine = await machines.ask<object>('open', { store, user: used, device: DEVICE_ID })
    const keys = await machines.ask<object>('keysToUpload', machine)
    await machines.ask('close', machine)
    await uploadByLogin(synapse, used, keys)
    const verdict = async (user: string) => verifyPublished(user, DEVICE_ID, await synapse.queryKeys(user))
    expect(await verdict(used)).toMatchObject({ verified: false, problem: 'NO_MASTER_KEY' })

    const lines = (status: string) => `${used} ${status}\n${unused} ${status}\n`
    expect(await service.run('publish-all.js')).toMatchObject({ stdout: lines('created'), stderr: '' })
    expect(await service.run('publish-all.js')).toMatchObject({ stdout: lines('published'), stderr: '' })
    for (const ghost of [used, unused]) expect(await verdict(ghost)).toMatchObject({ verified: true })
  })
})
