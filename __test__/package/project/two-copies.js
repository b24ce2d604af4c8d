'use strict'

// Two copies of the package bootstrap a ghost in one store at the same moment, again and again.

const { createRequire } = require('node:module')

const [, , firstFolder, secondFolder, storePath] = process.argv
const [first, second] = [firstFolder, secondFolder].map((folder) =>
  createRequire(`${folder}/`)('rust-crypto-helper'),
)
if (first.bootstrapCrossSigning === second.bootstrapCrossSigning) throw new Error('there is one copy')

async function bootstrapTogether() {
  const calls = Array.from({ length: 10 }, () => [first, second])
    .flat()
    .map(({ bootstrapCrossSigning }) =>
      bootstrapCrossSigning('@_ghost:example.org', 'GHOSTDEVICE', storePath),
    )
  return Promise.all(calls)
}

void bootstrapTogether().then((payloads) => {
  const identities = new Set(payloads.map(({ upload_keys }) => JSON.stringify(upload_keys)))
  if (identities.size !== 1) throw new Error(`${identities.size} identities`)
  const created = payloads.filter(({ status }) => status === 'created')
  if (created.length !== 1) throw new Error(`${created.length} calls created it`)
  console.log('created')
})
