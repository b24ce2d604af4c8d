//! Judges whether a device is signed by its owner, from what the homeserver serves. It needs no store.

use matrix_sdk_crypto::SignatureError;
use ruma::{DeviceId, UserId};
use serde::Serialize;

use super::server_keys::ServerKeys;
use crate::keys::check_signed_by_key;

/// Why a client shows a red shield for a device. JavaScript sees it as `VerificationProblem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Problem {
    NoDevice,
    NoMasterKey,
    NoSelfSigningKey,
    IdMismatch,
    SelfSigningKeyNotSigned,
    DeviceNotSigned,
    BadSignature,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Verdict {
    Verified { verified: bool, master_key: String },
    NotVerified { verified: bool, problem: Problem, message: String },
}

pub fn verdict(user_id: &UserId, device_id: &DeviceId, served: &ServerKeys) -> Verdict {
    match verify(user_id, device_id, served) {
        Ok(master_key) => Verdict::Verified { verified: true, master_key },
        Err((problem, message)) => Verdict::NotVerified { verified: false, problem, message },
    }
}

/// Applies the rules of the Matrix SDK for another user's device, in the order of the SDK. Returns the
/// master key in unpadded base64.
fn verify(user_id: &UserId, device_id: &DeviceId, served: &ServerKeys) -> Result<String, (Problem, String)> {
    let device = served.device.as_ref().ok_or_else(|| {
        (
            Problem::NoDevice,
            format!("the homeserver serves no device {device_id} of {user_id}: upload its keys"),
        )
    })?;
    let master_key = served.master_key.as_ref().ok_or_else(|| {
        (
            Problem::NoMasterKey,
            format!("the homeserver serves no master key of {user_id}: upload the identity"),
        )
    })?;
    let self_signing_key = served.self_signing_key.as_ref().ok_or_else(|| {
        (
            Problem::NoSelfSigningKey,
            format!("the homeserver serves no self-signing key of {user_id}: upload the identity"),
        )
    })?;

    for (what, id) in [
        ("device", &device.user_id),
        ("master key", &master_key.as_ref().user_id),
        ("self-signing key", &self_signing_key.as_ref().user_id),
    ] {
        if id != user_id {
            return Err((
                Problem::IdMismatch,
                format!("the {what} that is served for {user_id} says that it is {id}'s"),
            ));
        }
    }
    if device.device_id != device_id {
        return Err((
            Problem::IdMismatch,
            format!("the device that is served as {device_id} says that it is {}", device.device_id),
        ));
    }

    let device_name = format!("the device {device_id} of {user_id}");
    device.check_self_signature().map_err(|error| {
        broken(Problem::DeviceNotSigned, &error, &format!("{device_name} is not signed by itself"))
    })?;
    check_signed_by_key(self_signing_key.as_ref(), master_key.as_ref()).map_err(|error| {
        broken(
            Problem::SelfSigningKeyNotSigned,
            &error,
            &format!("the self-signing key of {user_id} is not signed by the master key"),
        )
    })?;
    self_signing_key.verify_device_keys(device).map_err(|error| {
        broken(
            Problem::DeviceNotSigned,
            &error,
            &format!("{device_name} is not signed by the self-signing key: upload the signatures"),
        )
    })?;

    master_key.get_first_key().map(|key| key.to_base64()).ok_or_else(|| {
        (Problem::NoMasterKey, format!("the master key of {user_id} has no Ed25519 key in it"))
    })
}

fn broken(missing: Problem, error: &SignatureError, message: &str) -> (Problem, String) {
    match error {
        SignatureError::NoSignatureFound => (missing, message.to_owned()),
        _ => (Problem::BadSignature, format!("{message}: the signature is wrong ({error})")),
    }
}
