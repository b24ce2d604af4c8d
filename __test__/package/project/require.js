'use strict'

const { bootstrapCrossSigning } = require('rust-crypto-helper')

void bootstrapCrossSigning('@_ghost:example.org', 'GHOSTDEVICE', process.argv[2]).then(({ status }) => {
  console.log(status)
})
