// Stores that real SDKs made (fixtures/stores), and checks of what a call on a copy of one returns.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { bootstrapCrossSigning, type BootstrapOptions, type CrossSigningBootstrap } from 'rust-crypto-helper'
import { isSignedBy, onlyKey } from './signatures'
import { DATABASE, temporaryFolder } from './stores'

/** An entry of stores.json. */
export interface SdkStore {
  file: string
  sdk: string
  schema: number
  user_id: string
  device_id: string
  passphrase?: string
  ed25519: string
  identity: 'complete' | 'none'
  master_key?: string
  note?: string
}

const FOLDER = join(__dirname, '..', 'fixtures', 'stores')
// The tests write and remove thousands of stores. In memory that costs little.
const MEMORY = '/dev/shm'

export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(join(FOLDER, name), 'utf8'))
}

export const SDK_STORES = readFixture('stores.json') as SdkStore[]

export function sdkStore(name: string): SdkStore {
  return SDK_STORES.find(({ file }) => file === `${name}.sqlite3`)!
}

const folders: string[] = []

function folderInMemory(): string {
  if (!existsSync(MEMORY)) return temporaryFolder()
  const folder = mkdtempSync(join(MEMORY, 'rust-crypto-helper-test-'))
  folders.push(folder)
  return folder
}

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** Copies the store into a folder. The folder is made again if it exists. */
export function place({ file }: SdkStore, folder = folderInMemory()): string {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  copyFileSync(join(FOLDER, file), join(folder, DATABASE))
  return folder
}

/** Calls with the user, the device and the passphrase of the store. */
export function bootstrap(
  { user_id, device_id, passphrase }: SdkStore,
  folder: string,
  options: BootstrapOptions = {},
): Promise<CrossSigningBootstrap> {
  const own = passphrase === undefined ? {} : { passphrase }
  return bootstrapCrossSigning(user_id, device_id, folder, { ...own, ...options })
}

/** What a call did. */
export interface Outcome {
  /** The status, or the code of the rejection. */
  code: string
  payloads?: CrossSigningBootstrap
  /** The names in the folder, if there is anything but the database. */
  litter?: string
  /** Whether the database has other bytes than before the call. */
  isChanged: boolean
}

export async function outcome(store: SdkStore, folder: string, options?: BootstrapOptions): Promise<Outcome> {
  const before = readFileSync(join(folder, DATABASE))
  const settled = await bootstrap(store, folder, options).then(
    (payloads) => ({ code: payloads.status, payloads }),
    (error: unknown) => ({ code: (error as { code: string }).code }),
  )
  const litter = readdirSync(folder).join()
  return {
    ...settled,
    ...(litter !== DATABASE && { litter }),
    isChanged: !readFileSync(join(folder, DATABASE)).equals(before),
  }
}

/** The signatures that are missing although index.d.ts promises them, and all that are wrong. */
export function wrongSignatures(payloads: CrossSigningBootstrap, store: SdkStore): string[] {
  const { user_id, device_id, ed25519 } = store
  const { master_key, self_signing_key, user_signing_key } = payloads.upload_keys
  const [[master], [selfSigning]] = [onlyKey(master_key), onlyKey(self_signing_key)]
  const device = `ed25519:${device_id}`
  const keys = new Map([...[master_key, self_signing_key, user_signing_key].map(onlyKey), [device, ed25519]])
  const signed = payloads.upload_signatures[user_id]![device_id]!
  const uploaded = payloads.upload_device_keys?.device_keys
  const objects = [
    // Another device made an imported identity, and signed it.
    { name: 'master_key', object: master_key, signers: store.file.includes('imported') ? [] : [device] },
    { name: 'self_signing_key', object: self_signing_key, signers: [master] },
    { name: 'user_signing_key', object: user_signing_key, signers: [master] },
    { name: 'upload_signatures', object: signed, signers: [selfSigning] },
    ...(uploaded ? [{ name: 'upload_device_keys', object: uploaded, signers: [device, selfSigning] }] : []),
  ]
  return objects.flatMap(({ name, object, signers }) =>
    [...new Set([...signers, ...Object.keys(object.signatures[user_id] ?? {})])]
      .filter((id) => keys.has(id) && !isSignedBy(object, user_id, id, keys.get(id)!))
      .map((id) => `${name} by ${id}`),
  )
}
