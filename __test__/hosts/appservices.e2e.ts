// Promise: an application service that does what its page in docs/hosts/ says has ghosts without a shield.

import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { SERVER_NAME, Synapse, VERSIONS } from '../e2e/support/synapse'
import { temporaryFolder } from '../support/stores'
import { readSymptoms } from './support/page'
import { Service } from './support/service'
import { RED } from './support/stranger'
import { TROUBLES } from './support/troubles'

const [OLDEST = '', NEWEST = ''] = [VERSIONS[0], VERSIONS.at(-1)]
const synapses: Record<string, Synapse> = {}

beforeAll(async () => {
  for (const version of [OLDEST, NEWEST])
    synapses[version] = await Synapse.start(join(temporaryFolder(), 'synapse'), { version, msc4190: false })
})

afterAll(() => Promise.all(Object.values(synapses).map((synapse) => synapse.stop())))

let ghosts = 0
const newName = () => `_ghost_${ghosts++}`
const newGhost = () => `@${newName()}:${SERVER_NAME}`

describe.each([
  ['matrix-bot-sdk', 'matrix-bot-sdk'],
  ['matrix-appservice-bridge', '@vector-im/matrix-bot-sdk'],
])('docs/hosts/%s.md', (page, sdk) => {
  describe.each([OLDEST, NEWEST])('with Synapse %s', (version) => {
    test('a ghost has a red shield, and none after the change of the page', async () => {
      const service = await Service.start(page, sdk, synapses[version]!)
      const [old, young] = [newGhost(), newGhost()]
      service.install('before')
      expect(await service.say(old, 'before')).toEqual([{ body: 'before', shield: RED }])

      service.install('after')
      for (const ghost of [old, young]) {
        for (const body of ['first', 'second'])
          expect(await service.say(ghost, body)).toEqual([{ body, shield: 'None' }])
      }
    })

    test('the loop over ghosts that exist gives all of them an identity', async () => {
      const service = await Service.start(page, sdk, synapses[version]!)
      const [first, second, without] = [newGhost(), newGhost(), newGhost()]
      service.install('before')
      for (const ghost of [first, second])
        expect(await service.say(ghost, 'before')).toEqual([{ body: 'before', shield: RED }])

      service.install('after', { ghosts: [first, without, second] })
      const lines = (status: string) => `${first} ${status}\n${second} ${status}\n`
      expect(await service.publishAll()).toMatchObject({ stdout: lines('created'), stderr: '' })
      expect(await service.publishAll()).toMatchObject({ stdout: lines('published'), stderr: '' })
      service.install('before')
      for (const ghost of [first, second])
        expect(await service.say(ghost, 'after')).toEqual([{ body: 'after', shield: 'None' }])
    })
  })

  test('a ghost whose store is lost keeps its identity, and nothing starts without the secret', async () => {
    const synapse = synapses[NEWEST]!
    const service = await Service.start(page, sdk, synapse)
    const ghost = newGhost()
    const served = async () => {
      const { master_keys, device_keys } = await synapse.queryKeys(ghost)
      return { masterKey: master_keys?.[ghost]?.keys, devices: Object.keys(device_keys[ghost]!) }
    }
    service.install('after')
    expect(await service.say(ghost, 'before')).toEqual([{ body: 'before', shield: 'None' }])
    const { masterKey, devices } = await served()
    const withoutSecret = service.talk(ghost, 'hello', { RUST_CRYPTO_HELPER_RECOVERY_SECRET: '' })
    await expect(withoutSecret).rejects.toThrow('RUST_CRYPTO_HELPER_RECOVERY_SECRET is not set')

    await service.project.run('forget-device.js', { args: [ghost] })
    expect(await service.say(ghost, 'after')).toEqual([{ body: 'after', shield: 'None' }])
    const now = await served()
    expect(now.masterKey).toEqual(masterKey)
    expect(now.devices).not.toEqual(devices)
  })

  test('a ghost whose identity cannot be published goes on with a red shield', async () => {
    const synapse = synapses[NEWEST]!
    const ghost = await synapse.registerGhost(newName())
    const { upload_keys } = await bootstrapCrossSigning(ghost, 'OTHER', join(temporaryFolder(), 'store'))
    await synapse.request('POST', '/keys/device_signing/upload', ghost, upload_keys)

    const service = await Service.start(page, sdk, synapse)
    service.install('after')
    const { stderr } = await service.talk(ghost, 'hello')
    expect(stderr).toMatch(new RegExp(`CrossSigning ${ghost} .*IDENTITY_CONFLICT`, 's'))
    expect(await service.stranger.read(ghost)).toEqual([{ body: 'hello', shield: RED }])
  })

  test('a ghost that the service has forgotten is not published again while its store is open', async () => {
    const service = await Service.start(page, sdk, synapses[NEWEST]!)
    service.install('after')
    const ghost = newGhost()
    const { stderr } = await service.talk(ghost, 'hello', { FORGET: '1' })
    expect(stderr).not.toContain(`CrossSigning ${ghost}`)
  })

  test.each(readSymptoms(page))('what can go wrong: %s', async (symptom) => {
    const synapse = synapses[NEWEST]!
    const service = await Service.start(page, sdk, synapse)
    const trouble = TROUBLES[symptom]
    if (!trouble) throw new Error(`no test provokes ${symptom}`)
    expect(await trouble({ service, synapse, page, sdk, ghost: newGhost() })).toContain(symptom)
  })
})
