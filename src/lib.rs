//! The functions that JavaScript sees. Their documentation is copied into `index.d.ts`.

mod bootstrap;
mod error;
mod homeserver;
mod identity;
mod inspection;
pub mod javascript;
mod keys;
mod patience;
mod recovery;
mod request;
mod schedule;
mod secret;
mod store;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    alloc::System,
    panic::{self, AssertUnwindSafe},
};

use napi::{Env, Unknown, bindgen_prelude::Object};
use napi_derive::napi;
use zeroize::Zeroizing;
use zeroizing_alloc::ZeroAlloc;

use crate::{
    error::Error,
    javascript::{arguments, result},
    recovery::RecoveryKey,
    schedule::executor,
};

/// Wipes all memory that Rust frees. This package wipes what it holds of a secret itself. The SDK does not: to
/// read a recovery key, it makes copies of the text and frees them as they are. JSON and its decoders do the
/// same with private keys.
#[global_allocator]
static MEMORY: ZeroAlloc<System> = ZeroAlloc(System);

/// Gives a Matrix user a cross-signing identity, and returns what to upload.
///
/// The call opens the crypto store, or creates it. It makes the master, self-signing and user-signing
/// keys if the store holds none. It signs the device and closes the store. Then the promise settles, and
/// the caller's own `OlmMachine` may open the store. The private keys stay in the store.
///
/// Calling again is always safe. Without `reset` a call gives the same `upload_keys`. A caller that died
/// between the call and its uploads calls again and uploads. Calls for the same store queue up.
///
/// A call never throws. A call that is aborted rejects with the reason of the signal. Every failure rejects with a
/// `BootstrapError`, whose `code` is one of these:
///
/// | code | when |
/// |---|---|
/// | `INVALID_ARGUMENT` | an argument has the wrong JavaScript type or is out of range, an option does not exist, or `serverKeys` or `recovery.accountData` are not what a homeserver has about this user |
/// | `INVALID_USER_ID` | the user ID is not `@localpart:server` |
/// | `INVALID_DEVICE_ID` | the device ID is empty, is longer than 100,000 characters, or has control characters |
/// | `INVALID_STORE_PATH` | the path is empty, has a NUL or half of a surrogate pair, or something other than a folder has this name |
/// | `ACCOUNT_MISMATCH` | the store belongs to another user or device |
/// | `STORE_IN_USE` | somebody else had the store open for longer than `busyTimeout` |
/// | `STORE_PASSPHRASE` | the store is encrypted and the passphrase is wrong or missing, or it is plain and there is a passphrase |
/// | `STORE_CORRUPT` | the file is no database, or it is damaged |
/// | `STORE_VERSION` | the schema of the store is below 9 or above 19 |
/// | `IDENTITY_INCOMPLETE` | the store holds a part of an identity: not all private keys, or no signatures |
/// | `IDENTITY_CONFLICT` | by `serverKeys`, the homeserver has an identity, and the store has none or another |
/// | `INVALID_RECOVERY_KEY` | `recovery.key` is not a recovery key: its characters, length or parity are wrong |
/// | `RECOVERY_KEY_MISMATCH` | `recovery.key` does not open what `recovery.accountData` hold |
/// | `STORE_IO` | the file system refused |
/// | `INTERNAL` | this package has a bug |
///
/// After a failure the store is as it was before the call, unless somebody moved the folder during the call: then the message says so.
///
/// @param userId the full user ID, such as `@_ghost:example.org`
/// @param deviceId the ID of the user's device
/// @param storePath the folder that `OlmMachine.initialize` takes. The call creates it if it is missing
/// @param options passphrase, reset, busyTimeout, serverKeys, recovery, signal
#[napi(
    ts_args_type = "userId: string, deviceId: string, storePath: string, options?: BootstrapOptions",
    ts_return_type = "Promise<CrossSigningBootstrap>"
)]
pub fn bootstrap_cross_signing<'env>(
    env: &'env Env,
    user_id: Unknown<'env>,
    device_id: Unknown<'env>,
    store_path: Unknown<'env>,
    options: Unknown<'env>,
) -> napi::Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred()?;
    let (request, listening) = unzip(arguments::read_request(env, user_id, device_id, store_path, options));
    let work = async { Ok(result::to_json(&bootstrap::bootstrap(request?).await?)?) };
    executor::spawn(work, move |outcome| {
        deferred.resolve(move |env| result::settle(env, outcome, listening));
    });
    Ok(promise)
}

/// Tells what a crypto store holds: whose it is, and how much of a cross-signing identity.
///
/// The call only reads. No file in the folder is made, changed or removed, and no folder is made. It works while
/// another process has the store open, also in the middle of a write, and sees everything that is committed. Its
/// cost does not grow with the store, but with the write-ahead log of the process that has it open. While it
/// reads, for a few milliseconds (with a passphrase for as long as the key derivation takes), no process can
/// newly open the store.
///
/// Calls for the same store queue up, also with those of `bootstrapCrossSigning`. A call never throws. A call that
/// is aborted rejects with the reason of the signal. Every failure rejects with a `BootstrapError`, whose `code` is
/// one of these:
///
/// | code | when |
/// |---|---|
/// | `INVALID_ARGUMENT` | an argument has the wrong JavaScript type or is out of range, or an option does not exist |
/// | `INVALID_STORE_PATH` | the path is empty, has a NUL or half of a surrogate pair, there is no store, or something other than a folder has this name |
/// | `STORE_IN_USE` | for longer than `busyTimeout`, this process had the store open, or another one kept it from being read: it was working on it exclusively |
/// | `STORE_PASSPHRASE` | the store is encrypted and the passphrase is wrong or missing, or it is plain and there is a passphrase |
/// | `STORE_CORRUPT` | the file is no database, or it is damaged |
/// | `STORE_VERSION` | the schema of the store is below 9 or above 19 |
/// | `STORE_IO` | the file system refused |
/// | `INTERNAL` | this package has a bug |
///
/// A plain store that somebody has opened with a passphrase counts as plain, although no `OlmMachine` can open it:
/// `stray_cipher` tells, and `bootstrapCrossSigning` repairs it.
///
/// @param storePath the folder that `OlmMachine.initialize` takes
/// @param options passphrase, busyTimeout, signal
#[napi(ts_args_type = "storePath: string, options?: InspectOptions", ts_return_type = "Promise<StoreInfo>")]
pub fn inspect_store<'env>(
    env: &'env Env,
    store_path: Unknown<'env>,
    options: Unknown<'env>,
) -> napi::Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred()?;
    let (inspection, listening) = unzip(arguments::read_inspection(env, store_path, options));
    let work = async { Ok(result::to_json(&inspection::inspect(inspection?).await?)?) };
    executor::spawn(work, move |outcome| {
        deferred.resolve(move |env| result::settle(env, outcome, listening));
    });
    Ok(promise)
}

/// Tells whether a device is signed by its owner, by the rules of other users' clients. They show no red
/// shield for such a device. The function is synchronous. It reads only its arguments and needs no store.
///
/// Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, `INVALID_DEVICE_ID`
/// or `INVALID_ARGUMENT`, for example if `serverKeys` is not an answer about this user.
///
/// @param userId the full user ID, such as `@_ghost:example.org`
/// @param deviceId the ID of the user's device
/// @param serverKeys the body of the answer to `POST /_matrix/client/v3/keys/query` about the user
#[napi(
    ts_args_type = "userId: string, deviceId: string, serverKeys: KeysQueryAnswer",
    ts_return_type = "VerifiedDevice | UnverifiedDevice"
)]
pub fn verify_published(
    env: &Env,
    user_id: Unknown,
    device_id: Unknown,
    server_keys: Unknown,
) -> napi::Result<Unknown<'static>> {
    // A homeserver may serve anything.
    let verdict = caught(|| {
        let (user_id, device_id, served) = arguments::read_query(env, user_id, device_id, server_keys)?;
        result::to_json(&homeserver::verdict(&user_id, &device_id, &served))
    });
    result::to_javascript(*env, verdict)
}

/// Makes a random recovery key, as clients show it: 12 groups of 4 characters. It opens the secret storage that
/// `bootstrapCrossSigning` keeps an identity in, here and in every client. Nobody can bring a lost key back.
/// Make a key for each user, and never use one for two.
#[napi(ts_return_type = "string")]
pub fn create_recovery_key(env: &Env) -> napi::Result<Unknown<'static>> {
    let text = caught(|| RecoveryKey::create()?.to_text());
    result::to_string(*env, text)
}

/// Makes the recovery key of a user from a secret. The same secret and user always give the same key, so one
/// secret is enough for thousands of ghosts. Whoever has the secret has all of their identities.
///
/// The key is the 32 bytes of HKDF-SHA-256 with the secret as input, no salt, and
/// `rust-crypto-helper recovery key v1 ` and the user ID as info. A text counts as its UTF-8 bytes.
///
/// Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, or `INVALID_ARGUMENT`, for
/// example if the secret has less than 32 bytes.
///
/// @param secret at least 32 bytes that nobody can guess, such as the output of `openssl rand -base64 32`
/// @param userId the full user ID, such as `@_ghost:example.org`
#[napi(ts_args_type = "secret: string | Uint8Array, userId: string", ts_return_type = "string")]
pub fn derive_recovery_key(env: &Env, secret: Unknown, user_id: Unknown) -> napi::Result<Unknown<'static>> {
    let text = caught(|| {
        let (secret, user_id) = arguments::read_secret(secret, user_id)?;
        RecoveryKey::derive(&secret, &user_id)?.to_text()
    });
    result::to_string(*env, text)
}

/// Tells under which ID `bootstrapCrossSigning` puts a recovery key into the secret storage of a user. Read the
/// account data `m.secret_storage.key.<ID>` for the option `recovery`. It is not the ID of a key that a client has
/// made: `m.secret_storage.default_key` names that one.
///
/// The ID does not tell the key: it is 16 bytes of HKDF-SHA-256 in hexadecimal, always the same for a key and a user.
///
/// Throws a `BootstrapError` if an argument is wrong. Its `code` is `INVALID_USER_ID`, `INVALID_RECOVERY_KEY` or
/// `INVALID_ARGUMENT`.
///
/// @param key a recovery key, as `createRecoveryKey`, `deriveRecoveryKey` or a client shows it
/// @param userId the full user ID, such as `@_ghost:example.org`
#[napi(ts_args_type = "key: string, userId: string", ts_return_type = "string")]
pub fn recovery_key_id(env: &Env, key: Unknown, user_id: Unknown) -> napi::Result<Unknown<'static>> {
    let id = caught(|| {
        let (key, user_id) = arguments::read_recovery_key(key, user_id)?;
        key.id(&user_id).map(Zeroizing::new)
    });
    result::to_string(*env, id)
}

fn unzip<T, L>(read: error::Result<(T, Option<L>)>) -> (error::Result<T>, Option<L>) {
    match read {
        Ok((read, listening)) => (Ok(read), listening),
        Err(error) => (Err(error), None),
    }
}

/// A panic that leaves a function of napi ends Node.js.
fn caught<T>(work: impl FnOnce() -> error::Result<T>) -> error::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("the work panicked")))
}
