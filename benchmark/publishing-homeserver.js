'use strict'

// A homeserver that keeps the keys of ghosts and answers at once, in a process of its own: what a publication costs
// beside the work of a real homeserver. Prints its URL, and ends with its standard input.

const { createServer } = require('node:http')
const { URL } = require('node:url')

/**
 * @typedef {Record<string, any>} Json
 * @typedef {{ devices: Record<string, Json>, identity: Json }} User
 */

/** @type {Map<string, User>} */
const users = new Map()

/** @param {string} userId */
function userOf(userId) {
  const user = users.get(userId) ?? { devices: {}, identity: {} }
  users.set(userId, user)
  return user
}

/**
 * @param {string} method
 * @param {string} endpoint
 * @param {string} userId
 * @param {Json} body
 * @returns {Json | undefined} Nothing if there is no such thing.
 */
function answer(method, endpoint, userId, body) {
  const user = userOf(userId)
  switch (`${method} ${endpoint}`) {
    case 'POST keys/query':
      return served(Object.keys(body.device_keys))
    case 'POST keys/upload':
      user.devices[body.device_keys.device_id] = body.device_keys
      return { one_time_key_counts: {} }
    case 'POST keys/device_signing/upload':
      user.identity = body
      return {}
    case 'POST keys/signatures/upload':
      for (const [deviceId, signed] of Object.entries(body[userId] ?? {}))
        sign(user.devices[deviceId], signed)
      return { failures: {} }
    default:
      return endpoint.startsWith('devices/') ? {} : undefined
  }
}

/**
 * @param {Json | undefined} device
 * @param {Json} signed
 */
function sign(device, signed) {
  if (!device) return // a key of the identity
  for (const [signer, signatures] of Object.entries(signed.signatures)) {
    device.signatures[signer] = { ...device.signatures[signer], ...signatures }
  }
}

/** @param {string[]} userIds */
function served(userIds) {
  /** @type {Json} */
  const all = { device_keys: {}, master_keys: {}, self_signing_keys: {}, user_signing_keys: {}, failures: {} }
  for (const userId of userIds) {
    const { devices, identity } = userOf(userId)
    all.device_keys[userId] = devices
    if (!identity.master_key) continue
    for (const key of ['master_key', 'self_signing_key', 'user_signing_key'])
      all[`${key}s`][userId] = identity[key]
  }
  return all
}

const server = createServer(async (request, response) => {
  let text = ''
  for await (const part of request) text += part
  const url = new URL(request.url ?? '', 'http://localhost')
  const endpoint = url.pathname.replace('/_matrix/client/v3/', '')
  const userId = url.searchParams.get('user_id') ?? ''
  const found = answer(request.method ?? '', endpoint, userId, text ? JSON.parse(text) : {})
  response.writeHead(found ? 200 : 404, { 'Content-Type': 'application/json' })
  response.end(JSON.stringify(found ?? { errcode: 'M_UNRECOGNIZED', error: `${request.method} ${endpoint}` }))
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address && typeof address === 'object') console.log(`http://127.0.0.1:${address.port}`)
})
process.stdin.resume().once('end', () => process.exit())
