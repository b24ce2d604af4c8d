'use strict'

// A service with the shape of PluralMatrix, on Node.js 22 and in Jest, as its own tests run. It has a database
// of its own in better-sqlite3, so there are three copies of SQLite in this process.

const { readdirSync, readlinkSync, rmSync } = require('node:fs')
const { join } = require('node:path')
const { afterAll, beforeAll, expect, test } = require('@jest/globals')
const Database = require('better-sqlite3')
const { AppServiceRegistration, Bridge } = require('matrix-appservice-bridge')
const { bootstrapCrossSigning, verifyPublished } = require('rust-crypto-helper')
const { CrossSigningPublisher } = require('rust-crypto-helper/publisher')
const { EncryptionSettings, RequestType, RoomId, UserId } = require('@matrix-org/matrix-sdk-crypto-nodejs')
const { config } = require('./config')
const { OlmMachineManager } = require('./OlmMachineManager')

const { homeserverUrl, asToken, deviceId } = config
const { GHOST, STRANGER, ROOM, DEVICE_MADE_BY } = process.env
const OWN = join(__dirname, 'own.db')
const own = new Database(OWN)
own.pragma('journal_mode = WAL')
own.exec('CREATE TABLE ghost (user_id TEXT PRIMARY KEY)')
afterAll(() => own.close())

const storeOf = (userId) => join(__dirname, 'data', 'crypto', userId.replace(/[^a-zA-Z0-9]/g, '_'))

function openHandles(folder) {
  const files = readdirSync('/proc/self/fd').map((handle) => {
    try {
      return readlinkSync(join('/proc/self/fd', handle))
    } catch {
      return '' // the handle of this listing itself
    }
  })
  return files.filter((file) => file.startsWith(folder))
}

async function startBridge() {
  const registration = AppServiceRegistration.fromObject({
    id: 'tests',
    url: 'http://localhost:9000',
    as_token: asToken,
    hs_token: 'homeserver-token-of-the-tests',
    sender_localpart: '_bot',
    namespaces: { users: [{ exclusive: true, regex: '@_.*' }], rooms: [], aliases: [] },
  })
  const controller = { onEvent: () => undefined }
  const domain = GHOST.split(':')[1]
  const bridge = new Bridge({ homeserverUrl, domain, registration, controller, disableStores: true })
  await bridge.initialise()
  return bridge
}

async function send(method, path, userId, body) {
  const device = { device_id: deviceId, 'org.matrix.msc3202.device_id': deviceId }
  const query = new URLSearchParams({ user_id: userId, ...device })
  const response = await fetch(`${homeserverUrl}/_matrix/client/v3${path}?${query}`, {
    method,
    headers: { Authorization: `Bearer ${asToken}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${path}: ${await response.text()}`)
  return response.json()
}

/** Makes the device as PluralMatrix does. */
function login(userId) {
  const identifier = { type: 'm.id.user', user: userId }
  const body = { type: 'm.login.application_service', identifier, device_id: deviceId }
  return bridge.getIntent(userId).matrixClient.doRequest('POST', '/_matrix/client/v3/login', null, body)
}

const PATHS = {
  [RequestType.KeysUpload]: '/keys/upload',
  [RequestType.KeysQuery]: '/keys/query',
  [RequestType.KeysClaim]: '/keys/claim',
}

async function sendAll(machine, requests) {
  for (const { id, type, body } of requests) {
    const answer = await send('POST', PATHS[type], GHOST, JSON.parse(body))
    await machine.markRequestAsSent(id, type, JSON.stringify(answer))
  }
}

async function say(machine, text) {
  const [room, users] = [new RoomId(ROOM), [new UserId(STRANGER)]]
  await send('POST', `/join/${encodeURIComponent(ROOM)}`, GHOST, {})
  await machine.updateTrackedUsers(users)
  await sendAll(machine, await machine.outgoingRequests())
  await sendAll(machine, [await machine.getMissingSessions(users)])
  for (const { eventType, txnId, body } of await machine.shareRoomKey(room, users, new EncryptionSettings()))
    await send('PUT', `/sendToDevice/${eventType}/${txnId}`, GHOST, JSON.parse(body))
  const message = JSON.stringify({ msgtype: 'm.text', body: text })
  const content = JSON.parse(await machine.encryptRoomEvent(room, 'm.room.message', message))
  await send('PUT', `/rooms/${encodeURIComponent(ROOM)}/send/m.room.encrypted/1`, GHOST, content)
}

let bridge
let others = 0
beforeAll(async () => {
  bridge = await startBridge()
})

/** Another ghost than the one that the stranger meets. */
async function newGhost(suffix = `_${others++}`) {
  const userId = GHOST.replace(':', `${suffix}:`)
  await bridge.getIntent(userId).ensureRegistered()
  return userId
}

const publisher = new CrossSigningPublisher({ homeserverUrl, asToken })
const publish = (userId, options) =>
  publisher.publish(userId, deviceId, storeOf(userId), { busyTimeout: 0, ...options })

test('a ghost that does not exist gets an identity and writes a message', async () => {
  expect(process.versions.node).toMatch(/^22\./)
  own.prepare('INSERT INTO ghost VALUES (?)').run(GHOST)
  if (DEVICE_MADE_BY === 'the host, after the bootstrap') {
    // As with the sidecar: first the store, then the user and its device.
    const call = bootstrapCrossSigning(GHOST, deviceId, storeOf(GHOST))
    await expect(call).resolves.toMatchObject({ status: 'created' })
    await bridge.getIntent(GHOST).ensureRegistered()
    await login(GHOST)
  }
  const machine = await new OlmMachineManager(bridge).getMachine(GHOST)
  if (DEVICE_MADE_BY === 'the publisher, before a login of the host') await login(GHOST)
  await say(machine, 'hello')
  expect(own.prepare('SELECT user_id FROM ghost').pluck().all()).toEqual([GHOST])
})

test("the store's database can be used from better-sqlite3 between the call and the machine", async () => {
  const userId = await newGhost()
  const { upload_keys } = await publish(userId)
  const file = join(storeOf(userId), 'matrix-sdk-crypto.sqlite3')
  expect(readdirSync(storeOf(userId))).toEqual(['matrix-sdk-crypto.sqlite3'])
  expect(openHandles(storeOf(userId))).toEqual([])

  const database = new Database(file)
  expect(database.pragma('integrity_check', { simple: true })).toBe('ok')
  database.exec("CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('mine')")
  await expect(publish(userId)).rejects.toMatchObject({ code: 'STORE_IN_USE' })
  database.close()

  await expect(publish(userId)).resolves.toMatchObject({ status: 'published', upload_keys })
  const again = new Database(file)
  expect(again.pragma('integrity_check', { simple: true })).toBe('ok')
  expect(again.prepare('SELECT text FROM note').pluck().all()).toEqual(['mine'])
  again.close()
  const machine = await new OlmMachineManager(bridge).getMachine(userId)
  expect(machine.userId.toString()).toBe(userId)
})

test('a ghost keeps its identity when the device ID changes', async () => {
  const userId = await newGhost()
  const verdict = async () => {
    const served = await send('POST', '/keys/query', userId, { device_keys: { [userId]: [] } })
    return verifyPublished(userId, config.deviceId, served)
  }
  await new OlmMachineManager(bridge).getMachine(userId)
  const before = await verdict()
  expect(before.verified).toBe(true)

  // As the service does then.
  rmSync(storeOf(userId), { recursive: true })
  config.deviceId = 'ANOTHER'
  try {
    const machine = await new OlmMachineManager(bridge).getMachine(userId)
    expect(machine.deviceId.toString()).toBe('ANOTHER')
    expect(await verdict()).toEqual(before)
  } finally {
    config.deviceId = deviceId
  }
})

// By what can be seen. Each answers a call that fails.
const TROUBLES = {
  IDENTITY_CONFLICT: async () => {
    const userId = await newGhost()
    await publish(userId)
    rmSync(storeOf(userId), { recursive: true })
    return new OlmMachineManager(bridge).getMachine(userId)
  },
  ACCOUNT_MISMATCH: async () => {
    await publish(await newGhost('-b'))
    return publish(await newGhost('_b'))
  },
  STORE_IN_USE: async () => {
    const userId = await newGhost()
    await new OlmMachineManager(bridge).getMachine(userId)
    return publish(userId)
  },
  STORE_PASSPHRASE: async () => {
    const userId = await newGhost()
    await publish(userId)
    return publish(userId, { passphrase: '' })
  },
}

test.each(Object.keys(TROUBLES))('what can go wrong: %s', async (code) => {
  await expect(TROUBLES[code]()).rejects.toMatchObject({ code })
})
