//! The functions that JavaScript sees. Their documentation becomes that of `index.d.ts`.

mod bootstrap;
mod error;
mod homeserver;
mod identity;
pub mod javascript;
mod keys;
mod request;
mod schedule;
mod store;
#[cfg(test)]
mod tests;

use std::panic::{self, AssertUnwindSafe};

use napi::{Env, Unknown, bindgen_prelude::Object};
use napi_derive::napi;

use crate::{
    error::Error,
    javascript::{arguments, result},
    schedule::executor,
};

/// Gives a Matrix user a cross-signing identity, and says what to upload.
///
/// Opens the crypto store, or creates it; makes the master, self-signing and user-signing keys if it
/// holds none; signs the device; closes the store completely; and only then resolves (or rejects).
/// From that moment the caller's own `OlmMachine` may open it. The private keys stay in the store.
///
/// Calling again is always safe and, without `reset`, gives the same `upload_keys`, so a caller that
/// died between the call and its uploads simply starts over. Calls for the same store wait for each other.
///
/// Every failure rejects, never throws, with an `Error` whose `code` is one of:
///
/// | code | when |
/// |---|---|
/// | `INVALID_ARGUMENT` | an argument of the wrong type; an option that does not exist |
/// | `INVALID_USER_ID` | not `@localpart:server` |
/// | `INVALID_DEVICE_ID` | empty, or with control characters |
/// | `INVALID_STORE_PATH` | empty, with a NUL, or something other than a folder stands there |
/// | `ACCOUNT_MISMATCH` | the store belongs to another user or device |
/// | `STORE_IN_USE` | somebody else held the store open for longer than `busyTimeout` |
/// | `STORE_PASSPHRASE` | an encrypted store and no or a wrong passphrase; a plain store and a passphrase |
/// | `STORE_CORRUPT` | not a database, or damaged |
/// | `STORE_VERSION` | written by a newer matrix-sdk than this build knows |
/// | `IDENTITY_INCOMPLETE` | the store holds some of the three private keys, but not all |
/// | `IDENTITY_CONFLICT` | by `serverKeys`, the homeserver has an identity that is not the store's |
/// | `STORE_IO` | the file system refused |
/// | `INTERNAL` | a bug of this package |
///
/// After any of them the store is as it was before the call.
///
/// @param userId the full user ID, such as `@_ghost:example.org`
/// @param deviceId the ID of the user's device
/// @param storePath the folder that `OlmMachine.initialize` takes; created if it is not there
/// @param options passphrase, reset, busyTimeout, serverKeys
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
    let request = arguments::read_request(env, user_id, device_id, store_path, options);
    executor::spawn(async { result::to_json(&bootstrap::bootstrap(request?).await?) }, move |outcome| {
        deferred.resolve(move |env| result::to_javascript(env, outcome));
    });
    Ok(promise)
}

/// Tells whether a device is signed by its owner, by the rules of the clients of other users: when it
/// is, they show no red shield for it. Looks at nothing but its arguments; needs no store.
///
/// Throws an `Error` with the `code` `INVALID_ARGUMENT` if `serverKeys` is not an answer about this
/// user, `INVALID_USER_ID` or `INVALID_DEVICE_ID`.
///
/// @param userId the full user ID, such as `@_ghost:example.org`
/// @param deviceId the ID of the user's device
/// @param serverKeys the body of what `POST /_matrix/client/v3/keys/query` answers about the user
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
    // What is served may have anything in it, and a panic that leaves a function of napi ends Node.
    let verdict = panic::catch_unwind(AssertUnwindSafe(|| {
        let (user_id, device_id, served) = arguments::read_query(env, user_id, device_id, server_keys)?;
        result::to_json(&homeserver::verdict(&user_id, &device_id, &served))
    }));
    result::to_javascript(*env, verdict.unwrap_or_else(|_| Err(Error::internal("the work panicked"))))
}
