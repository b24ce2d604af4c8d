// The account data in which a user's identity outlives its store.
// https://spec.matrix.org/v1.16/client-server-api/#secret-storage

import { isDeepStrictEqual } from 'node:util'
import { type AccountDataUpload, recoveryKeyId } from 'rust-crypto-helper'
import { type AccountData, DEFAULT_KEY, keyType, SECRETS } from './account-data'
import { isObject } from './answer'
import { NotPublishedError } from './errors'
import type { Homeserver, Owner } from './homeserver'

/** Users have few keys of other programs. A homeserver must not make us send requests without an end. */
const MOST_OTHER_KEYS = 20

/**
 * Reads what the account data of a user hold of its identity, and the descriptions of the keys that open it: of the
 * recovery key under the ID that this package gives it, of the default key, and of other keys.
 */
export async function readSecretStorage(
  homeserver: Homeserver,
  owner: Owner,
  recoveryKey: string,
): Promise<AccountData> {
  const own = keyType(recoveryKeyId(recoveryKey, owner.userId))
  const accountData = await read(homeserver, owner, [own, DEFAULT_KEY, ...SECRETS])
  const { key: defaultId } = accountData[DEFAULT_KEY] ?? {}
  const defaultKey = typeof defaultId === 'string' ? keyType(defaultId) : own
  const named = SECRETS.flatMap((type) => {
    const { encrypted } = accountData[type] ?? {}
    return isObject(encrypted) ? Object.keys(encrypted).map(keyType) : []
  })
  const others = named.filter((type) => type !== own && type !== defaultKey)
  const types = [...new Set(others)].slice(0, MOST_OTHER_KEYS)
  if (defaultKey !== own) types.unshift(defaultKey)
  return { ...accountData, ...(await read(homeserver, owner, types)) }
}

async function read(homeserver: Homeserver, owner: Owner, types: string[]): Promise<AccountData> {
  const accountData: AccountData = {}
  for (const type of types) {
    const content = await homeserver.readAccountData(owner, type)
    if (content) accountData[type] = content
  }
  return accountData
}

/**
 * Puts what is not there yet, one after the other: the order counts. Then it reads all of it back, since nothing else
 * shows whether the identity can be brought back.
 */
export async function writeSecretStorage(
  homeserver: Homeserver,
  owner: Owner,
  uploads: AccountDataUpload[],
  present: AccountData,
): Promise<void> {
  await put(homeserver, owner, uploads, present)
  const types = uploads.map(({ type }) => type)
  const kept = await read(homeserver, owner, types)
  const lost = uploads.filter(({ type, content }) => !isSame(content, kept[type])).map(({ type }) => type)
  if (lost.length === 0) return
  const what = `the homeserver has accepted the account data ${lost.join(', ')} of ${owner.userId}, and serves something else`
  throw new NotPublishedError('STILL_MISSING', what, [])
}

async function put(
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
 * Puts back what was there before `writeSecretStorage`. The private keys of an identity must not be replaced while the
 * homeserver keeps it.
 */
export async function undoSecretStorage(
  homeserver: Homeserver,
  owner: Owner,
  uploads: AccountDataUpload[],
  before: AccountData,
): Promise<void> {
  const contents = uploads.flatMap(({ type }) => (before[type] ? [{ type, content: before[type] }] : []))
  await put(homeserver, owner, contents, {})
}

/** Compares JSON. Objects of the addon have another prototype in some contexts, such as Jest's. */
function isSame(left: unknown, right: unknown): boolean {
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value ?? null)) as unknown
  return isDeepStrictEqual(plain(left), plain(right))
}
