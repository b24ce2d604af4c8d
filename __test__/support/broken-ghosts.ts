// Ghosts that are broken in the ways that operators meet. Everything works on a real homeserver, too.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning } from 'rust-crypto-helper'
import { CrossSigningPublisher } from 'rust-crypto-helper/publisher'
import { change, query } from './database'
import { type Holder } from './holders'
import { place, sdkStore } from './sdk-stores'
import { temporaryFolder } from './stores'

/** A ghost, as a line of a file has it. */
export interface Line {
  user_id: string
  device_id: string
  store_path: string
}

export interface Setting {
  url: string
  token: string
  /** Another process. It keeps the stores open that it is told to open. */
  holder: Holder
}

interface Way {
  name: string
  /** Makes the ghost broken. */
  breaks: (ghost: Line, setting: Setting) => Promise<unknown>
  /** What `publish` makes of it: the code of its error, or its status if it mends it. */
  publish: { code: string; message: RegExp } | { status: string }
  /** What `status` says of it before. */
  status: string
  /** What is said to do about it. */
  wayOut: RegExp
}

const publisher = ({ url, token }: Setting) =>
  new CrossSigningPublisher({ homeserverUrl: url, asToken: token })

/** Publishes the ghost from a store that is not its own. */
const publishElsewhere = (ghost: Line, setting: Setting) =>
  publisher(setting).publish(ghost.user_id, ghost.device_id, join(temporaryFolder(), 'elsewhere'))

const bootstrap = ({ user_id, device_id, store_path }: Line, passphrase?: string) =>
  bootstrapCrossSigning(user_id, device_id, store_path, { passphrase })

async function send({ url, token }: Setting, method: string, path: string, user: string, body: object) {
  const response = await fetch(
    `${url}/_matrix/client/v3/${path}${path.includes('?') ? '&' : '?'}user_id=${user}`,
    {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    },
  )
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
}

/** Does what a host does that opens a store that is not encrypted with a passphrase. */
export async function addStrayCipher(store: string): Promise<void> {
  const stray = place(sdkStore('sdk-0.18-stray-cipher'))
  const [[cipher] = []] = await query(stray, "SELECT value FROM kv WHERE key = 'cipher'")
  await change(store, "INSERT INTO kv VALUES ('cipher', ?)", cipher as Uint8Array)
}

export const WAYS: Way[] = [
  {
    name: 'lost store',
    breaks: async (ghost, setting) => {
      await publisher(setting).publish(ghost.user_id, ghost.device_id, ghost.store_path)
      rmSync(ghost.store_path, { recursive: true })
    },
    publish: { code: 'IDENTITY_CONFLICT', message: /holds? no|none|has no/ },
    status: 'IDENTITY_CONFLICT',
    wayOut: /Bring the right store back: .*lost-store\.md/,
  },
  {
    name: 'other identity',
    breaks: async (ghost, setting) => {
      await publishElsewhere(ghost, setting)
      await bootstrap(ghost)
    },
    publish: { code: 'IDENTITY_CONFLICT', message: /master key/ },
    status: 'IDENTITY_CONFLICT',
    wayOut: /Bring the right store back: .*lost-store\.md/,
  },
  {
    name: 'stale device',
    breaks: async (ghost, setting) => {
      const { user_id, device_id } = ghost
      const old = await bootstrapCrossSigning(user_id, device_id, join(temporaryFolder(), 'old'))
      const { device_keys } = old.upload_device_keys!
      const own = Object.entries(device_keys.signatures[user_id]!).filter(([id]) => id.endsWith(device_id))
      const keys = { ...device_keys, signatures: { [user_id]: Object.fromEntries(own) } }
      await send(setting, 'PUT', `devices/${device_id}`, user_id, {})
      await send(setting, 'POST', `keys/upload?device_id=${device_id}`, user_id, { device_keys: keys })
    },
    publish: { code: 'DEVICE_KEYS_DIFFER', message: /new device ID/ },
    status: 'NO_MASTER_KEY',
    wayOut: /Give the ghost a new device ID and a new store/,
  },
  {
    name: 'held store',
    breaks: async (ghost, { holder }) => {
      await bootstrap(ghost)
      await holder.open(ghost.store_path)
      await holder.sql('SELECT count(*) FROM kv')
    },
    publish: { code: 'STORE_IN_USE', message: /in another process/ },
    status: 'NO_DEVICE',
    wayOut: /usually the bridge itself\. Stop it/,
  },
  {
    name: 'wrong passphrase',
    breaks: (ghost) => bootstrap(ghost, 'another passphrase'),
    publish: { code: 'STORE_PASSPHRASE', message: /passphrase/ },
    status: 'STORE_PASSPHRASE',
    wayOut: /RUST_CRYPTO_HELPER_PASSPHRASE.*--empty-passphrase/s,
  },
  {
    name: 'unknown user',
    breaks: (ghost) => {
      ghost.user_id = ghost.user_id.replace('@_', '@_nobody_')
      return Promise.resolve()
    },
    publish: { code: 'M_FORBIDDEN', message: /403/ },
    status: 'NO_DEVICE',
    wayOut: /Is the user registered, and in the namespace/,
  },
  {
    name: 'stray cipher',
    breaks: async (ghost) => {
      await bootstrap(ghost)
      await addStrayCipher(ghost.store_path)
    },
    publish: { status: 'resumed' },
    status: 'STRAY_CIPHER',
    wayOut: /publish repairs the store.*Stop the bridge/s,
  },
  {
    name: 'schema 8',
    breaks: async (ghost) => {
      await bootstrap(ghost)
      await change(ghost.store_path, "UPDATE kv SET value = ? WHERE key = 'version'", Uint8Array.of(8))
    },
    publish: { code: 'STORE_VERSION', message: /schema/ },
    status: 'STORE_VERSION',
    wayOut: /open the store once with matrix-sdk-crypto-nodejs/,
  },
]

/** Breaks as many ghosts as are given, in all ways in turn. Returns the way of each. */
export async function breakGhosts(ghosts: Line[], setting: Setting): Promise<Map<Line, Way>> {
  const ways = new Map<Line, Way>()
  for (const [n, ghost] of ghosts.entries()) {
    const way = WAYS[n % WAYS.length]!
    await way.breaks(ghost, setting)
    ways.set(ghost, way)
  }
  return ways
}
