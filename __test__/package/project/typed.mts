import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'

const options: BootstrapOptions = { busyTimeout: 0 }
const [, , storePath = ''] = process.argv
const payloads: CrossSigningBootstrap = await bootstrapCrossSigning(
  '@_ghost:example.org',
  'GHOSTDEVICE',
  storePath,
  options,
)
console.log(payloads.status)

// @ts-expect-error: types that nobody finds are any, and accept everything.
export const notAnything: number = payloads.status
