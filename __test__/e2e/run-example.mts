// The example in a process of its own, to be killed: prints the master key when it is through.

import { CrossSigningBootstrapper } from '../../examples/CrossSigningBootstrapper.ts'

const [homeserverUrl, asToken, userId, deviceId, storePath] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const bootstrapper = new CrossSigningBootstrapper({ homeserverUrl, asToken })
const { upload_keys } = await bootstrapper.bootstrap(userId, deviceId, storePath)
console.log(Object.values(upload_keys.master_key.keys)[0])
