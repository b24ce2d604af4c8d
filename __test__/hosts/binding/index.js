'use strict'

// Plays the native part of `@matrix-org/matrix-sdk-crypto-nodejs` 0.4, whose binary is not on npm. The
// package's own index.js loads it by this package's name. Behind it is the same SDK, in the addon of
// `__test__/host-machine`. It has what the hosts of the tests use, and nothing else.

const { existsSync } = require('node:fs')
const { join } = require('node:path')

const debug = join(__dirname, '..', '..', 'host-machine', 'target', 'debug')
const addon = ['libhost_machine.so', 'libhost_machine.dylib', 'host_machine.dll']
  .map((name) => join(debug, name))
  .find((path) => existsSync(path))
if (addon === undefined) throw new Error('run cargo build --locked in __test__/host-machine')
const native = { exports: {} }
process.dlopen(native, addon)

const StoreType = { Sqlite: 0 }
const RequestType = { KeysUpload: 0, KeysQuery: 1, KeysClaim: 2, ToDevice: 3 }
const EncryptionAlgorithm = { OlmV1Curve25519AesSha2: 0, MegolmV1AesSha2: 1 }
const HistoryVisibility = { Invited: 0, Joined: 1, Shared: 2, WorldReadable: 3 }

/** The name of a request's type in the addon's commands. */
const KINDS = ['keysUpload', 'keysQuery', 'keysClaim', 'toDevice']

class Id {
  #id

  constructor(id) {
    this.#id = id
  }

  toString() {
    return this.#id
  }
}
class UserId extends Id {}
class DeviceId extends Id {}
class RoomId extends Id {}

class PublicKey {
  #base64

  constructor(base64) {
    this.#base64 = base64
  }

  toBase64() {
    return this.#base64
  }
}

class EncryptionSettings {}

class DeviceLists {
  changed
  left

  constructor(changed = [], left = []) {
    this.changed = changed
    this.left = left
  }
}

async function ask(command, parameters) {
  const answer = await native.exports.command(JSON.stringify({ command, ...parameters }))
  const { value, error } = JSON.parse(answer)
  if (error !== undefined) throw new Error(error)
  return value
}

const request = ({ id, kind, body }) => ({ id, type: KINDS.indexOf(kind), body: JSON.stringify(body) })

class OlmMachine {
  #machine
  #description

  static async initialize(user, device, store, passphrase) {
    const olm = new OlmMachine()
    const owner = { user: user.toString(), device: device.toString() }
    const { machine } = await ask('open', { ...owner, store, passphrase })
    olm.#machine = machine
    olm.#description = await ask('describe', { machine })
    return olm
  }

  get userId() {
    return new UserId(this.#description.user)
  }

  get deviceId() {
    return new DeviceId(this.#description.device)
  }

  get identityKeys() {
    const { curve25519, ed25519 } = this.#description
    return { curve25519: new PublicKey(curve25519), ed25519: new PublicKey(ed25519) }
  }

  async outgoingRequests() {
    return (await this.#ask('outgoingRequests')).map(request)
  }

  async markRequestAsSent(id, type, answer) {
    await this.#ask('markRequestAsSent', { request: id, kind: KINDS[type], answer: JSON.parse(answer) })
    return true
  }

  updateTrackedUsers(users) {
    return this.#ask('updateTrackedUsers', { users: users.map(String) })
  }

  async getMissingSessions(users) {
    const missing = await this.#ask('missingSessions', { users: users.map(String) })
    return missing && request(missing)
  }

  /** The addon has marked the requests as sent. To do so again changes nothing. */
  async shareRoomKey(room, users) {
    const requests = await this.#ask('shareRoomKey', { room: String(room), users: users.map(String) })
    return requests.map(({ event_type: eventType, txn_id: txnId, messages }) => ({
      ...request({ id: txnId, kind: 'toDevice', body: { messages } }),
      eventType,
      txnId,
    }))
  }

  async encryptRoomEvent(room, type, content) {
    const event = { room: String(room), type, content: JSON.parse(content) }
    return JSON.stringify(await this.#ask('encrypt', event))
  }

  /** The second list is that of room keys, which no host of the tests reads. */
  async receiveSyncChanges(events, _lists, one_time_key_counts) {
    const parameters = { events: JSON.parse(events), one_time_key_counts }
    return JSON.stringify([await this.#ask('receiveToDevice', parameters), []])
  }

  /** Like the binding's, it returns before the store is closed. */
  close() {
    void this.#ask('close')
  }

  #ask(command, parameters) {
    return ask(command, { machine: this.#machine, ...parameters })
  }
}

module.exports = {
  DeviceId,
  DeviceLists,
  EncryptionAlgorithm,
  EncryptionSettings,
  HistoryVisibility,
  OlmMachine,
  RequestType,
  RoomId,
  StoreType,
  UserId,
}
