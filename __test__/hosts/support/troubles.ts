// What the pages say that can go wrong, and how to make it go wrong.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SERVER_NAME, Synapse } from '../../e2e/support/synapse'
import { temporaryFolder } from '../../support/stores'
import { Service } from './service'

interface Case {
  service: Service
  synapse: Synapse
  page: string
  sdk: string
  ghost: string
}

const outputOf = (run: Promise<unknown>) => run.then(JSON.stringify, String)

/** By what can be seen. Each answers what was printed. */
export const TROUBLES: Partial<Record<string, (given: Case) => Promise<string>>> = {
  // The store is made without the passphrase.
  'missing field `version`': ({ service, ghost }) => {
    service.install('after', { mistake: { "{ passphrase: '' }": '{}' } })
    return outputOf(service.talk(ghost, 'hello'))
  },

  // The loop runs in the service.
  STORE_IN_USE: ({ service, ghost }) => {
    service.install('after', { ghosts: [ghost] })
    return outputOf(service.talk(ghost, 'hello', { THEN: './publish-all.js' }))
  },

  M_APPSERVICE_LOGIN_UNSUPPORTED: async ({ page, sdk, ghost }) => {
    const synapse = await Synapse.start(join(temporaryFolder(), 'synapse'), { msc4190: true })
    try {
      const service = await Service.start(page, sdk, synapse)
      service.install('after')
      return await outputOf(service.talk(ghost, 'hello'))
    } finally {
      await synapse.stop()
    }
  },

  // The device of another store is written beside each.
  ACCOUNT_MISMATCH: async ({ service, ghost }) => {
    service.install('after', { ghosts: [ghost] })
    await service.talk(ghost, 'hello')
    const data = join(service.project.folder, 'data', 'crypto')
    for (const folder of readdirSync(data)) {
      const file = join(data, folder, 'bot-sdk.json')
      const text = readFileSync(file, 'utf8')
      writeFileSync(file, text.replace(/"deviceId": ".*"/, '"deviceId": "OTHER"'))
    }
    return outputOf(service.publishAll())
  },

  // The intent of a Bridge, and not of an Appservice.
  'Failed to create crypto store': async ({ service, synapse, ghost }) => {
    service.install('before')
    service.project.write({ 'bridge.ts': bridge(synapse.url, ghost) })
    return outputOf(service.project.run('bridge.js'))
  },
}

const bridge = (homeserver: string, ghost: string) => `
  import { AppServiceRegistration, Bridge, type ClientEncryptionStore } from 'matrix-appservice-bridge'
  import { registration } from './registration.js'

  const store: ClientEncryptionStore = {
    getStoredSession: () => Promise.resolve(null),
    setStoredSession: () => Promise.resolve(),
    updateSyncToken: () => Promise.resolve(),
  }
  const bridge = new Bridge({
    homeserverUrl: '${homeserver}',
    domain: '${SERVER_NAME}',
    registration: AppServiceRegistration.fromObject(registration),
    disableStores: true,
    bridgeEncryption: { homeserverUrl: '${homeserver}', store },
    controller: { onEvent: () => undefined },
  })
  await bridge.initialise()
  await bridge.getIntent('${ghost}').botSdkIntent.enableEncryption()
`
