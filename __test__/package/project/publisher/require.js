'use strict'

const { CrossSigningPublisher } = require('rust-crypto-helper/publisher')

const [, , storePath, userId] = process.argv
const publisher = new CrossSigningPublisher({ homeserverUrl: process.env.HOMESERVER_URL, asToken: 'token' })
void publisher.publish(userId, 'GHOSTDEVICE', storePath).then(({ status }) => {
  console.log(status)
})
