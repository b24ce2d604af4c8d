/** What a call rejects with. */
export interface BootstrapError extends Error {
  /** Why, for a program. */
  code: BootstrapErrorCode
}

/**
 * Body of `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`, with its type.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#put_matrixclientv3useruseridaccount_datatype)
 */
export interface AccountDataUpload {
  /** The type of the account data, for the path of the request. */
  type: string
  /** The body of the request. */
  content: object
}

/**
 * Gives a Matrix user a cross-signing identity, and returns what to upload.
 *
 * The call opens the crypto store, or creates it. It makes the master, self-signing and user-signing
 * keys if the store holds none. It signs the device and closes the store. Then the promise settles, and
 * the caller's own `OlmMachine` may open the store. The private keys stay in the store.
 *
 * Calling again is always safe. Without `reset` a call gives the same `upload_keys`. A caller that died
 * between the call and its uploads calls again and uploads. Calls for the same store queue up.
 *
 * A call never throws. A call that is aborted rejects with the reason of the signal. Every failure rejects with a
 * `BootstrapError`, whose `code` is one of these:
 *
 * | code | when |
 * |---|---|
 * | `INVALID_ARGUMENT` | an argument has the wrong JavaScript type or is out of range, an option does not exist, or `serverKeys` or `recovery.accountData` are not what a homeserver has about this user |
 * | `INVALID_USER_ID` | the user ID is not `@localpart:server` |
 * | `INVALID_DEVICE_ID` | the device ID is empty, is longer than 100,000 characters, or has control characters |
 * | `INVALID_STORE_PATH` | the path is empty, has a NUL or half of a surrogate pair, or something other than a folder has this name |
 * | `ACCOUNT_MISMATCH` | the store belongs to another user or device |
 * | `STORE_IN_USE` | somebody else had the store open for longer than `busyTimeout` |
 * | `STORE_PASSPHRASE` | the store is encrypted and the passphrase is wrong or missing, or it is plain and there is a passphrase |
 * | `STORE_CORRUPT` | the file is no database, or it is damaged |
 * | `STORE_VERSION` | the schema of the store is below 9 or above 19 |
 * | `IDENTITY_INCOMPLETE` | the store holds a part of an identity: not all private keys, or no signatures |
 * | `IDENTITY_CONFLICT` | by `serverKeys`, the homeserver has an identity, and the store has none or another |
 * | `INVALID_RECOVERY_KEY` | `recovery.key` is not a recovery key: its characters, length or parity are wrong |
 * | `RECOVERY_KEY_MISMATCH` | `recovery.key` does not open what `recovery.accountData` hold |
 * | `STORE_IO` | the file system refused |
 * | `INTERNAL` | this package has a bug |
 *
 * After a failure the store is as it was before the call, unless somebody moved the folder during the call: then the message says so.
 *
 * @param userId the full user ID, such as `@_ghost:example.org`
 * @param deviceId the ID of the user's device
 * @param storePath the folder that `OlmMachine.initialize` takes. The call creates it if it is missing
 * @param options passphrase, reset, busyTimeout, serverKeys, recovery, signal
 */
export declare function bootstrapCrossSigning(userId: string, deviceId: string, storePath: string, options?: BootstrapOptions): Promise<CrossSigningBootstrap>

/** Why a call was rejected. */
export type BootstrapErrorCode = 'INVALID_ARGUMENT' | 'INVALID_USER_ID' | 'INVALID_DEVICE_ID' | 'INVALID_STORE_PATH' | 'ACCOUNT_MISMATCH' | 'STORE_IN_USE' | 'STORE_PASSPHRASE' | 'STORE_CORRUPT' | 'STORE_VERSION' | 'IDENTITY_INCOMPLETE' | 'IDENTITY_CONFLICT' | 'INVALID_RECOVERY_KEY' | 'RECOVERY_KEY_MISMATCH' | 'STORE_IO' | 'INTERNAL'

/**
 * Options of `bootstrapCrossSigning`. An option that does not exist is an error (`INVALID_ARGUMENT`).
 * An option that is `undefined` counts as absent.
 */
export interface BootstrapOptions {
  /**
   * The passphrase that `OlmMachine.initialize` takes. Without it the store is not encrypted. `''` is a
   * passphrase, too.
   */
  passphrase?: string | undefined
  /**
   * Replace the identity by a new one. Everybody who verified this user has to verify it again.
   *
   * @default false
   */
  reset?: boolean | undefined
  /**
   * How long to wait for a store that somebody else has open, in milliseconds: from 0 (do not wait) to
   * 2147483647. The time starts when the call finds the store in use. The time in the queue behind
   * other calls of this process does not count.
   *
   * @default 5000
   */
  busyTimeout?: number | undefined
  /**
   * The present answer to `POST /_matrix/client/v3/keys/query` about this user. With it, a call without
   * `reset` never replaces an identity that the homeserver serves (`IDENTITY_CONFLICT`), and the result
   * says what is left to upload. An answer that is not about this user is refused (`INVALID_ARGUMENT`).
   * What it says about other users and devices is not looked at.
   */
  serverKeys?: KeysQueryAnswer | undefined
  /** Keeps the identity in the user's secret storage, and brings it back from there if the store has none. */
  recovery?: RecoveryOptions | undefined
  /**
   * Takes the call back. If it has not begun its work when the signal aborts, it rejects with
   * `signal.reason` and leaves nothing. A call that waits for other calls, or for a store that somebody
   * else has open, has not begun. A call that is at work finishes.
   */
  signal?: AbortSignal | undefined
}

/** What a call did. */
export type BootstrapStatus = 'created' | 'restored' | 'resumed' | 'published'

/** An upload: the name of the property of the result that holds its body. */
export type BootstrapUpload = 'upload_device_keys' | 'upload_account_data' | 'upload_keys' | 'upload_signatures'

/** Something that the caller should know. The call has succeeded all the same. */
export interface BootstrapWarning {
  /** The reason, for a program. */
  code: BootstrapWarningCode
  /** The reason in words: what is odd, its usual cause, and what to do. */
  message: string
}

/** Why the result has a warning. */
export type BootstrapWarningCode = 'DEVICE_KEYS_DIFFER' | 'DEVICE_KEYS_INVALID' | 'STALE_SIGNATURE'

/**
 * Makes a random recovery key, as clients show it: 12 groups of 4 characters. It opens the secret storage that
 * `bootstrapCrossSigning` keeps an identity in, here and in every client. Nobody can bring a lost key back.
 * Make a key for each user, and never use one for two.
 */
export declare function createRecoveryKey(): string

/**
 * The result of a call, with the bodies of the requests that publish the identity. Send them in this
 * order, as the user who owns the identity.
 */
export interface CrossSigningBootstrap {
  /** What the call did. */
  status: BootstrapStatus
  /**
   * Body of `POST /_matrix/client/v3/keys/upload`. Send it first, if it is present. It is absent if the
   * store records that the homeserver has the device keys, unless `serverKeys` show that it has not.
   */
  upload_device_keys?: DeviceKeysUpload
  /**
   * With `recovery` only: what keeps the identity in the user's secret storage. Put each in this order, and
   * only then upload the keys, so that no identity becomes public that cannot be brought back. What
   * `accountData` have already is in it unchanged.
   */
  upload_account_data?: Array<AccountDataUpload>
  /**
   * Body of `POST /_matrix/client/v3/keys/device_signing/upload`. Send it next, with `auth` added if
   * the homeserver asks for it. If `serverKeys` have all three keys, they are these keys as they are
   * served, with all their signatures.
   */
  upload_keys: CrossSigningKeysUpload
  /**
   * Body of `POST /_matrix/client/v3/keys/signatures/upload`: the device keys with the signature of the
   * self-signing key, by user ID and device ID. Send it last, and read `failures` in the answer: the
   * status is 200 even if the homeserver stored nothing.
   */
  upload_signatures: Record<string, Record<string, DeviceKeys>>
  /**
   * With `serverKeys` only: the uploads that the homeserver still lacks, in the order in which to send
   * them. To send the other uploads, too, does no harm.
   */
  missing?: Array<BootstrapUpload>
  /** With `serverKeys` only: what is odd about what the homeserver serves. Usually empty. */
  warnings?: Array<BootstrapWarning>
}

/**
 * A public cross-signing key.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#cross-signing)
 */
export interface CrossSigningKey {
  /** The user who owns the key. */
  user_id: string
  /** What the key is for. */
  usage: Array<CrossSigningKeyUsage>
  /** The public key in unpadded base64. Its key ID is `ed25519:` and the same text. */
  keys: Record<string, string>
  /** Signatures in unpadded base64, by user ID and key ID. */
  signatures: Record<string, Record<string, string>>
}

/**
 * Body of `POST /_matrix/client/v3/keys/device_signing/upload`, without `auth`.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysdevice_signingupload)
 */
export interface CrossSigningKeysUpload {
  /** The user's master key. The device that made it has signed it. */
  master_key: CrossSigningKey
  /** The key that signs the user's own devices. The master key has signed it. */
  self_signing_key: CrossSigningKey
  /** The key that signs other users' master keys. The master key has signed it. */
  user_signing_key: CrossSigningKey
}

/** What a cross-signing key is for. */
export type CrossSigningKeyUsage = 'master' | 'self_signing' | 'user_signing'

/**
 * Makes the recovery key of a user from a secret. The same secret and user always give the same key, so one
 * secret is enough for thousands of ghosts. Whoever has the secret has all of their identities.
 *
 * The key is the 32 bytes of HKDF-SHA-256 with the secret as input, no salt, and
 * `rust-crypto-helper recovery key v1 ` and the user ID as info. A text counts as its UTF-8 bytes.
 *
 * Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, or `INVALID_ARGUMENT`, for
 * example if the secret has less than 32 bytes.
 *
 * @param secret at least 32 bytes that nobody can guess, such as the output of `openssl rand -base64 32`
 * @param userId the full user ID, such as `@_ghost:example.org`
 */
export declare function deriveRecoveryKey(secret: string | Uint8Array, userId: string): string

/**
 * A device's public keys.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload_request_devicekeys)
 */
export interface DeviceKeys {
  /** The user who owns the device. */
  user_id: string
  /** The ID of the device. */
  device_id: string
  /** The encryption algorithms that the device supports. */
  algorithms: Array<string>
  /**
   * The identity keys in unpadded base64, by algorithm and device ID: `curve25519:DEVICE` and
   * `ed25519:DEVICE`.
   */
  keys: Record<string, string>
  /** Signatures in unpadded base64, by user ID and key ID. */
  signatures: Record<string, Record<string, string>>
}

/**
 * Body of `POST /_matrix/client/v3/keys/upload`. It has no one-time keys: they belong to the
 * `OlmMachine` that opens the store afterwards.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysupload)
 */
export interface DeviceKeysUpload {
  /** The device's keys, signed by the device itself and by the self-signing key. */
  device_keys: DeviceKeys
}

/**
 * Options of `inspectStore`. An option that does not exist is an error (`INVALID_ARGUMENT`). An option that is
 * `undefined` counts as absent.
 */
export interface InspectOptions {
  /**
   * The passphrase that `OlmMachine.initialize` takes. Leave it out if the store is not encrypted. `''` is
   * a passphrase, too.
   */
  passphrase?: string | undefined
  /**
   * How long to wait for a store that this process has open, or that another one keeps from being read, in
   * milliseconds: from 0 (do not wait) to 2147483647.
   *
   * @default 5000
   */
  busyTimeout?: number | undefined
  /**
   * Takes the call back. If it does not read the store yet when the signal aborts, it rejects with
   * `signal.reason`.
   */
  signal?: AbortSignal | undefined
}

/**
 * Tells what a crypto store holds: whose it is, and how much of a cross-signing identity.
 *
 * The call only reads. No file in the folder is made, changed or removed, and no folder is made. It works while
 * another process has the store open, also in the middle of a write, and sees everything that is committed. Its
 * cost does not grow with the store, but with the write-ahead log of the process that has it open. While it
 * reads, for a few milliseconds (with a passphrase for as long as the key derivation takes), no process can
 * newly open the store.
 *
 * Calls for the same store queue up, also with those of `bootstrapCrossSigning`. A call never throws. A call that
 * is aborted rejects with the reason of the signal. Every failure rejects with a `BootstrapError`, whose `code` is
 * one of these:
 *
 * | code | when |
 * |---|---|
 * | `INVALID_ARGUMENT` | an argument has the wrong JavaScript type or is out of range, or an option does not exist |
 * | `INVALID_STORE_PATH` | the path is empty, has a NUL or half of a surrogate pair, there is no store, or something other than a folder has this name |
 * | `STORE_IN_USE` | for longer than `busyTimeout`, this process had the store open, or another one kept it from being read: it was working on it exclusively |
 * | `STORE_PASSPHRASE` | the store is encrypted and the passphrase is wrong or missing, or it is plain and there is a passphrase |
 * | `STORE_CORRUPT` | the file is no database, or it is damaged |
 * | `STORE_VERSION` | the schema of the store is below 9 or above 19 |
 * | `STORE_IO` | the file system refused |
 * | `INTERNAL` | this package has a bug |
 *
 * A plain store that somebody has opened with a passphrase counts as plain, although no `OlmMachine` can open it:
 * `stray_cipher` tells, and `bootstrapCrossSigning` repairs it.
 *
 * @param storePath the folder that `OlmMachine.initialize` takes
 * @param options passphrase, busyTimeout, signal
 */
export declare function inspectStore(storePath: string, options?: InspectOptions): Promise<StoreInfo>

/**
 * The answer to `POST /_matrix/client/v3/keys/query`, unchanged, as `JSON.parse` gives it. A `Map` or an
 * instance of a class is refused. A part that is null counts as absent.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#post_matrixclientv3keysquery)
 */
export interface KeysQueryAnswer {
  /** Devices, by user ID and device ID. */
  device_keys?: Record<string, Record<string, object>>
  /** Master keys, by user ID. */
  master_keys?: Record<string, object> | null | undefined
  /** Self-signing keys, by user ID. */
  self_signing_keys?: Record<string, object> | null | undefined
  /** User-signing keys, by user ID. A homeserver serves a user-signing key only to its own user. */
  user_signing_keys?: Record<string, object> | null | undefined
  /** Homeservers that did not answer, by server name. */
  failures?: Record<string, object> | null | undefined
}

/**
 * Tells under which ID `bootstrapCrossSigning` puts a recovery key into the secret storage of a user. Read the
 * account data `m.secret_storage.key.<ID>` for the option `recovery`. It is not the ID of a key that a client has
 * made: `m.secret_storage.default_key` names that one.
 *
 * The ID does not tell the key: it is 16 bytes of HKDF-SHA-256 in hexadecimal, always the same for a key and a user.
 *
 * Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, `INVALID_RECOVERY_KEY` or
 * `INVALID_ARGUMENT`.
 *
 * @param key a recovery key, as `createRecoveryKey`, `deriveRecoveryKey` or a client shows it
 * @param userId the full user ID, such as `@_ghost:example.org`
 */
export declare function recoveryKeyId(key: string, userId: string): string

/**
 * The option `recovery` of `bootstrapCrossSigning`.
 *
 * @see [Matrix specification](https://spec.matrix.org/v1.16/client-server-api/#secret-storage)
 */
export interface RecoveryOptions {
  /**
   * A recovery key as clients show it. `createRecoveryKey` and `deriveRecoveryKey` make one. White space
   * does not count.
   */
  key: string
  /**
   * The user's present account data: the content by type, from
   * `GET /_matrix/client/v3/user/{userId}/account_data/{type}` or from a sync. `{}` if there is none. These
   * types are read: `m.secret_storage.default_key`, all `m.secret_storage.key.*`,
   * `m.cross_signing.master`, `m.cross_signing.self_signing` and `m.cross_signing.user_signing`. Leave
   * out a type that the homeserver does not have.
   *
   * Without `accountData` nothing is known about the secret storage. Then no identity can be brought back,
   * and `upload_account_data` in the result would replace what others have put there.
   */
  accountData?: Record<string, object> | undefined
}

/** How much of a cross-signing identity a store holds. */
export type StoreIdentity = 'none' | 'incomplete' | 'complete'

/** The result of `inspectStore`: what a store holds. */
export interface StoreInfo {
  /** The user that the store belongs to. Absent if it has no account yet. */
  user_id?: string
  /** The device that the store belongs to. Absent if it has no account yet. */
  device_id?: string
  /** The version of the store's schema. 0 if the SDK was interrupted before it made the tables. */
  schema: number
  /** Whether the store is encrypted with a passphrase. */
  encrypted: boolean
  /**
   * Present, and `true`, if the store is not encrypted and somebody has opened it with a passphrase. From then on no
   * `OlmMachine` can open it ("missing field `version`"). One call of `bootstrapCrossSigning` without a passphrase
   * repairs it.
   */
  stray_cipher?: boolean
  /** How much of a cross-signing identity the store holds. */
  identity: StoreIdentity
  /**
   * The public master key of the identity, in unpadded base64. Absent if there is none. An incomplete identity
   * may have one.
   */
  master_key?: string
  /**
   * Whether the store records the device with the signature of the identity's self-signing key. It does not
   * tell what the homeserver serves.
   */
  device_signed: boolean
  /**
   * Whether the store records that the homeserver has the device keys. The record is not always right: a
   * device can be deleted.
   */
  device_keys_uploaded: boolean
}

/** The verdict of `verifyPublished` on a device for which clients show a red shield. */
export interface UnverifiedDevice {
  verified: false
  /**
   * The first problem that was found:
   *
   * - `NO_DEVICE`, `NO_MASTER_KEY`, `NO_SELF_SIGNING_KEY`: the homeserver does not serve it, or serves
   *   something that clients cannot read and ignore.
   * - `ID_MISMATCH`: a key or the device names another user, or the device has another device ID.
   * - `SELF_SIGNING_KEY_NOT_SIGNED`: the master key has not signed the self-signing key.
   * - `DEVICE_NOT_SIGNED`: the self-signing key has not signed the device, or the device not itself.
   * - `BAD_SIGNATURE`: one of these signatures is present, but wrong.
   */
  problem: VerificationProblem
  /** The problem in words, with what to do. */
  message: string
}

/** Why a client shows a red shield for a device. */
export type VerificationProblem = 'NO_DEVICE' | 'NO_MASTER_KEY' | 'NO_SELF_SIGNING_KEY' | 'ID_MISMATCH' | 'SELF_SIGNING_KEY_NOT_SIGNED' | 'DEVICE_NOT_SIGNED' | 'BAD_SIGNATURE'

/** The verdict of `verifyPublished` on a device that is signed by its owner. */
export interface VerifiedDevice {
  verified: true
  /** The owner's public master key, in unpadded base64. */
  master_key: string
}

/**
 * Tells whether a device is signed by its owner, by the rules of other users' clients. They show no red
 * shield for such a device. The function is synchronous. It reads only its arguments and needs no store.
 *
 * Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, `INVALID_DEVICE_ID`
 * or `INVALID_ARGUMENT`, for example if `serverKeys` is not an answer about this user.
 *
 * @param userId the full user ID, such as `@_ghost:example.org`
 * @param deviceId the ID of the user's device
 * @param serverKeys the body of the answer to `POST /_matrix/client/v3/keys/query` about the user
 */
export declare function verifyPublished(userId: string, deviceId: string, serverKeys: KeysQueryAnswer): VerifiedDevice | UnverifiedDevice
