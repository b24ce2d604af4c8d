import { createRequire } from 'node:module'
import {
  CrossSigningPublisher,
  MatrixRequestError,
  NotPublishedError,
  UserInteractiveAuthError,
} from 'rust-crypto-helper/publisher'

const required = createRequire(import.meta.url)('rust-crypto-helper/publisher')
const imported = { CrossSigningPublisher, MatrixRequestError, NotPublishedError, UserInteractiveAuthError }

const others = Object.keys(required).filter((name) => required[name] !== imported[name])
if (others.length > 0) throw new Error(`not the same: ${others}`)

const request = () => Promise.reject(new Error('no homeserver'))
const publisher = new required.CrossSigningPublisher({ request })
const error = await publisher
  .publish('@_ghost:example.org', 'GHOSTDEVICE', 'never-made')
  .catch((error) => error)
if (!(error instanceof MatrixRequestError)) throw error
console.log('the same')
