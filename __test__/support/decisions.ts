// What a call with `serverKeys` decides: every row of the table in docs/server-keys.md. `prepare` brings a
// store into the state of a row, and says what the homeserver must serve.

import { join } from 'node:path'
import {
  bootstrapCrossSigning,
  type CrossSigningBootstrap,
  type CrossSigningKeysUpload,
  type DeviceKeys,
} from 'rust-crypto-helper'
import { change } from './database'
import { onlyKey } from './signatures'

export type Upload = NonNullable<CrossSigningBootstrap['missing']>[number]

const [DEVICE, KEYS, SIGNATURES] = ['upload_device_keys', 'upload_keys', 'upload_signatures'] as const

export interface Cell {
  server:
    | 'nothing'
    | 'the device, no identity'
    | 'the device ID with other keys, no identity'
    | "the store's identity, no device"
    | "the store's identity, the device not signed by it"
    | "the store's identity, the device signed by it"
    | "the store's identity, the device ID with other keys"
    | 'another identity, no device'
    | 'another identity, the device signed by it'
    | 'another identity, the device ID with other keys'
  store: 'nothing' | 'a device, no identity' | 'a device and its identity'
  outcome: CrossSigningBootstrap['status'] | 'IDENTITY_CONFLICT'
  missing: Upload[]
  /** What is missing with `reset: true`, which always makes an identity. */
  afterReset: Upload[]
  warnings: 'DEVICE_KEYS_DIFFER'[]
}

type Row = [Cell['store'], Cell['outcome'], missing: Upload[], afterReset: Upload[]]

const EVERYTHING: Upload[] = [DEVICE, KEYS, SIGNATURES]

function cells(server: Cell['server'], ...rows: Row[]): Cell[] {
  const warnings: Cell['warnings'] = server.includes('the device ID with other keys')
    ? ['DEVICE_KEYS_DIFFER']
    : []
  return rows.map(([store, outcome, missing, afterReset]) => {
    return { server, store, outcome, missing, afterReset, warnings }
  })
}

export const CELLS: Cell[] = [
  ...cells(
    'nothing',
    ['nothing', 'created', EVERYTHING, EVERYTHING],
    ['a device, no identity', 'created', EVERYTHING, EVERYTHING],
    ['a device and its identity', 'resumed', EVERYTHING, EVERYTHING],
  ),
  ...cells(
    'the device, no identity',
    ['a device, no identity', 'created', [KEYS, SIGNATURES], [KEYS, SIGNATURES]],
    ['a device and its identity', 'resumed', [KEYS, SIGNATURES], [KEYS, SIGNATURES]],
  ),
  ...cells(
    'the device ID with other keys, no identity',
    ['nothing', 'created', EVERYTHING, EVERYTHING],
    ['a device, no identity', 'created', EVERYTHING, EVERYTHING],
    ['a device and its identity', 'resumed', EVERYTHING, EVERYTHING],
  ),
  ...cells("the store's identity, no device", [
    'a device and its identity',
    'resumed',
    [DEVICE, SIGNATURES],
    EVERYTHING,
  ]),
  ...cells("the store's identity, the device not signed by it", [
    'a device and its identity',
    'resumed',
    [SIGNATURES],
    [KEYS, SIGNATURES],
  ]),
  ...cells("the store's identity, the device signed by it", [
    'a device and its identity',
    'published',
    [],
    [KEYS, SIGNATURES],
  ]),
  ...cells("the store's identity, the device ID with other keys", [
    'a device and its identity',
    'resumed',
    [DEVICE, SIGNATURES],
    EVERYTHING,
  ]),
  ...cells(
    'another identity, no device',
    ['nothing', 'IDENTITY_CONFLICT', [], EVERYTHING],
    ['a device, no identity', 'IDENTITY_CONFLICT', [], EVERYTHING],
    ['a device and its identity', 'IDENTITY_CONFLICT', [], EVERYTHING],
  ),
  ...cells(
    'another identity, the device signed by it',
    ['a device, no identity', 'IDENTITY_CONFLICT', [], [KEYS, SIGNATURES]],
    ['a device and its identity', 'IDENTITY_CONFLICT', [], [KEYS, SIGNATURES]],
  ),
  ...cells(
    'another identity, the device ID with other keys',
    ['nothing', 'IDENTITY_CONFLICT', [], EVERYTHING],
    ['a device, no identity', 'IDENTITY_CONFLICT', [], EVERYTHING],
    ['a device and its identity', 'IDENTITY_CONFLICT', [], EVERYTHING],
  ),
]

export interface Scene {
  store: string
  /** The store's identity, if it has one. */
  identity: CrossSigningKeysUpload | undefined
  /** What the homeserver must serve. */
  serves: { device?: DeviceKeys; identity?: CrossSigningKeysUpload }
}

/** Makes the store of a cell in a folder. Returns it with what the homeserver must serve. */
export async function prepare(cell: Cell, userId: string, deviceId: string, folder: string): Promise<Scene> {
  const bootstrap = (name: string, reset = false) =>
    bootstrapCrossSigning(userId, deviceId, join(folder, name), { reset })
  const elsewhere = await bootstrap('elsewhere')
  const store = join(folder, 'made', 'store')
  if (cell.store === 'nothing') return { store, identity: undefined, serves: serves(cell.server, elsewhere) }

  const first = await bootstrap('made/store')
  // A lost identity has signed the device of this store. The device is still the same.
  const lost = cell.server === 'another identity, the device signed by it'
  const now = lost && cell.store === 'a device and its identity' ? await bootstrap('made/store', true) : first
  const hasIdentity = cell.store === 'a device and its identity'
  if (!hasIdentity) await change(store, "DELETE FROM kv WHERE key = 'identity'")
  return {
    store,
    identity: hasIdentity ? now.upload_keys : undefined,
    serves: serves(cell.server, elsewhere, first),
  }
}

function serves(server: Cell['server'], elsewhere: CrossSigningBootstrap, ours = elsewhere): Scene['serves'] {
  const signed = ({ upload_device_keys }: CrossSigningBootstrap) => ({
    device: upload_device_keys!.device_keys,
  })
  const unsigned = (payloads: CrossSigningBootstrap) => ({ device: withoutIdentity(payloads) })
  const identity = ({ upload_keys }: CrossSigningBootstrap) => ({ identity: upload_keys })
  return {
    nothing: {},
    'the device, no identity': unsigned(ours),
    'the device ID with other keys, no identity': unsigned(elsewhere),
    "the store's identity, no device": identity(ours),
    "the store's identity, the device not signed by it": { ...unsigned(ours), ...identity(ours) },
    "the store's identity, the device signed by it": { ...signed(ours), ...identity(ours) },
    "the store's identity, the device ID with other keys": { ...unsigned(elsewhere), ...identity(ours) },
    'another identity, no device': identity(elsewhere),
    'another identity, the device signed by it': { ...signed(ours), ...identity(ours) },
    'another identity, the device ID with other keys': { ...signed(elsewhere), ...identity(elsewhere) },
  }[server]
}

/** The device keys as an OlmMachine without an identity uploads them. Only the device has signed them. */
export function withoutIdentity({ upload_device_keys, upload_keys }: CrossSigningBootstrap): DeviceKeys {
  const device = structuredClone(upload_device_keys!.device_keys)
  const [selfSigningId] = onlyKey(upload_keys.self_signing_key)
  Reflect.deleteProperty(device.signatures[device.user_id]!, selfSigningId)
  return device
}
