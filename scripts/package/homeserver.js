'use strict'

// A homeserver on the loopback interface that keeps and serves the keys that it is sent, and no more. So
// every runtime can publish a ghost. The end-to-end tests do it on real homeservers.

const { json } = require('node:stream/consumers')
const { URL } = require('node:url')
const { serve } = require('./loopback.js')

/**
 * @typedef {{ signatures: Record<string, Record<string, string>> }} Signed
 * @typedef {{ devices: Map<string, Signed | undefined>, keys: Record<string, object> }} User
 * @typedef {{ status: number, answer: object }} Reply
 *
 * @typedef {object} Keys
 * @property {(userId: string) => boolean} serves Whether it has an identity, and a device with two signatures.
 *
 * @typedef {import('./loopback.js').Server & Keys} Homeserver
 */

/** @returns {Reply} */
const ok = (answer = {}) => ({ status: 200, answer })

/**
 * @param {User} user
 * @param {string} userId
 */
function queryKeys({ devices, keys }, userId) {
  const uploaded = [...devices].filter(([, device]) => device !== undefined)
  const served = Object.entries(keys).map(([name, key]) => [`${name}s`, { [userId]: key }])
  return { device_keys: { [userId]: Object.fromEntries(uploaded) }, ...Object.fromEntries(served) }
}

/**
 * @param {User} user
 * @param {string} userId
 * @param {string} request Method and endpoint.
 * @param {any} body
 * @returns {Reply}
 */
function reply(user, userId, request, body) {
  const [, method, deviceId = ''] = /^(GET|PUT) devices\/(.*)$/.exec(request) ?? []
  if (method === 'PUT' && !user.devices.has(deviceId)) user.devices.set(deviceId, undefined)
  if (method && user.devices.has(deviceId)) return ok({ device_id: deviceId })
  switch (request) {
    case 'POST keys/query':
      return ok(queryKeys(user, userId))
    case 'POST keys/upload':
      user.devices.set(body.device_keys.device_id, body.device_keys)
      return ok({ one_time_key_counts: {} })
    case 'POST keys/device_signing/upload':
      user.keys = body
      return ok()
    case 'POST keys/signatures/upload':
      for (const [deviceId, { signatures }] of Object.entries(body[userId])) {
        Object.assign(user.devices.get(deviceId)?.signatures[userId] ?? {}, signatures[userId])
      }
      return ok({ failures: {} })
    default:
      return { status: 404, answer: { errcode: 'M_NOT_FOUND', error: `this homeserver has no ${request}` } }
  }
}

/** @returns {Promise<Homeserver>} */
async function serveHomeserver() {
  /** @type {Map<string, User>} */
  const users = new Map()
  const server = await serve(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://127.0.0.1')
    const userId = searchParams.get('user_id') ?? ''
    const user = users.get(userId) ?? { devices: new Map(), keys: {} }
    users.set(userId, user)
    const endpoint = pathname.replace('/_matrix/client/v3/', '')
    const body = request.method === 'POST' ? await json(request) : undefined
    const { status, answer } = reply(user, userId, `${request.method} ${endpoint}`, body)
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer))
  })
  /** @type {Keys['serves']} */
  const serves = (userId) => {
    const { devices, keys } = users.get(userId) ?? { devices: new Map(), keys: {} }
    const [device] = devices.values()
    return 'master_key' in keys && Object.keys(device?.signatures[userId] ?? {}).length === 2
  }
  return { ...server, serves }
}

module.exports = { serveHomeserver }
