import { type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'
import {
  CrossSigningPublisher,
  type PublisherOptions,
  type PublishOptions,
} from 'rust-crypto-helper/publisher'

const { HOMESERVER_URL: homeserverUrl = '' } = process.env
const [, , storePath = '', userId = ''] = process.argv
const options: PublisherOptions = { homeserverUrl, asToken: 'token' }
const storeOptions: Pick<BootstrapOptions, 'busyTimeout'> & PublishOptions = { busyTimeout: 0 }
const call: Promise<CrossSigningBootstrap> = new CrossSigningPublisher(options).publish(
  userId,
  'GHOSTDEVICE',
  storePath,
  storeOptions,
)
void call.then((published) => {
  console.log(published.status)
})

// @ts-expect-error: types that nobody finds are any, and accept everything.
const notAnything: number = new CrossSigningPublisher(options)
void notAnything
