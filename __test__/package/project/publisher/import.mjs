import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'

const [, , storePath, userId] = process.argv
const publisher = new CrossSigningPublisher({ homeserverUrl: process.env.HOMESERVER_URL, asToken: 'token' })
const { status } = await publisher.publish(userId, 'GHOSTDEVICE', storePath)
console.log(status)
