// The account data in which a user's identity outlives its store.
// https://spec.matrix.org/v1.16/client-server-api/#secret-storage

import { isDeepStrictEqual } from 'node:util'
import type { AccountDataUpload } from 'rust-crypto-helper'
import { isObject, type JsonObject } from './answer'
import type { Homeserver, Owner } from './homeserver'

/** Contents by type. A type that the user does not have is absent. */
export type AccountData = Record<string, JsonObject>

const DEFAULT_KEY = 'm.secret_storage.default_key'
const SECRETS = ['m.cross_signing.master', 'm.cross_signing.self_signing', 'm.cross_signing.user_signing']
/** No user has more keys. A homeserver must not make us send requests without an end. */
const MOST_KEYS = 20

/** Reads what the account data of a user hold of its identity, and the descriptions of the keys that open it. */
export async function readSecretStorage(homeserver: Homeserver, owner: Owner): Promise<AccountData> {
  const accountData: AccountData = {}
  const read = async (type: string) => {
    const content = await homeserver.readAccountData(owner, type)
    if (content) accountData[type] = content
  }
  for (const type of [DEFAULT_KEY, ...SECRETS]) await read(type)
  const ids = SECRETS.flatMap((type) => {
    const encrypted = accountData[type]?.encrypted
    return isObject(encrypted) ? Object.keys(encrypted) : []
  })
  const defaultId = accountData[DEFAULT_KEY]?.key
  const keys = new Set(typeof defaultId === 'string' ? [defaultId, ...ids] : ids)
  for (const id of [...keys].slice(0, MOST_KEYS)) await read(`m.secret_storage.key.${id}`)
  return accountData
}

/** Puts what is not there yet, one after the other: the order counts. */
export async function writeSecretStorage(
  homeserver: Homeserver,
  owner: Owner,
  uploads: AccountDataUpload[],
  present: AccountData,
): Promise<void> {
  for (const { type, content } of uploads) {
    if (!isSame(content, present[type])) await homeserver.writeAccountData(owner, type, content)
  }
}

/**
 * Puts back what was there before. The private keys of an identity must not be replaced while the homeserver
 * keeps it.
 */
export async function takeBack(
  homeserver: Homeserver,
  owner: Owner,
  uploads: AccountDataUpload[],
  before: AccountData,
): Promise<void> {
  const contents = uploads.flatMap(({ type }) => (before[type] ? [{ type, content: before[type] }] : []))
  const present = Object.fromEntries(uploads.map(({ type, content }) => [type, content as JsonObject]))
  await writeSecretStorage(homeserver, owner, contents, present)
}

/** Compares JSON. Objects of the addon have another prototype in some contexts, such as Jest's. */
function isSame(left: unknown, right: unknown): boolean {
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value ?? null)) as unknown
  return isDeepStrictEqual(plain(left), plain(right))
}
