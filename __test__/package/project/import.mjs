import { bootstrapCrossSigning } from 'rust-crypto-helper'

const { status } = await bootstrapCrossSigning('@_ghost:example.org', 'GHOSTDEVICE', process.argv[2])
console.log(status)
