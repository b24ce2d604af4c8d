// The publisher in a process of its own, to be killed: prints the master key when it is through. This folder
// belongs to the package, and that of the end-to-end tests does not: from here, the package's name leads to it.

import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'

const [homeserverUrl, asToken, userId, deviceId, storePath] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const recoverySecret = process.env.RUST_CRYPTO_HELPER_RECOVERY_SECRET
const publisher = new CrossSigningPublisher({ homeserverUrl, asToken, recoverySecret })
const { upload_keys } = await publisher.publish(userId, deviceId, storePath)
console.log(Object.values(upload_keys.master_key.keys)[0])
