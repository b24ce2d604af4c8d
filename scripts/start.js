'use strict'

// The main job, shown: a ghost in a local folder, and what its application service would upload.

const { readdirSync } = require('node:fs')
const { join, relative } = require('node:path')
const { bootstrapCrossSigning } = require('..')

const USER_ID = '@_ghost:example.org'
const DEVICE_ID = 'GHOSTDEVICE'
const storePath = join(__dirname, '..', 'demo', 'ghost')

/** @type {['upload_device_keys' | 'upload_keys' | 'upload_signatures', string][]} */
const ENDPOINTS = [
  ['upload_device_keys', '/_matrix/client/v3/keys/upload'],
  ['upload_keys', '/_matrix/client/v3/keys/device_signing/upload'],
  ['upload_signatures', '/_matrix/client/v3/keys/signatures/upload'],
]

async function main() {
  const folder = relative(process.cwd(), storePath)
  console.log(`\nbootstrapCrossSigning('${USER_ID}', '${DEVICE_ID}', '${folder}')\n`)

  const before = performance.now()
  const payloads = await bootstrapCrossSigning(USER_ID, DEVICE_ID, storePath)
  const took = (performance.now() - before).toFixed(0)

  console.log(
    payloads.status === 'created'
      ? `Created a cross-signing identity in ${took} ms.`
      : `The store already had an identity: the same keys again, in ${took} ms.`,
  )
  console.log(`The store is closed. Files in ${folder}: ${readdirSync(storePath).join(', ')}`)
  console.log('\nWhat an application service sends now, in this order, as the ghost:')

  ENDPOINTS.filter(([name]) => payloads[name]).forEach(([name, endpoint], index) => {
    console.log(`\n${index + 1}. ${name}  ->  POST ${endpoint}?user_id=${USER_ID}\n`)
    console.log(JSON.stringify(payloads[name], null, 2).replace(/^/gm, '   '))
  })
  console.log(`\nRun it again: the keys stay the same. Remove ${folder} for a new ghost.`)
}

main().catch((error) => {
  console.error(`${error.code}: ${error.message}`)
  process.exitCode = 1
})
