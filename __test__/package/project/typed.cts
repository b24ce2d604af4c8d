import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'

const options: BootstrapOptions = { busyTimeout: 0 }
const [, , storePath = ''] = process.argv
const call: Promise<CrossSigningBootstrap> = bootstrapCrossSigning(
  '@_ghost:example.org',
  'GHOSTDEVICE',
  storePath,
  options,
)
void call.then((payloads) => {
  console.log(payloads.status)

  // @ts-expect-error: types that nobody finds are any, and accept everything.
  const notAnything: number = payloads.status
  void notAnything
})
