//! Judges whether a device is signed by its owner, from what the homeserver serves. It needs no store.

use matrix_sdk_crypto::SignatureError;
use ruma::{DeviceId, UserId};
use serde::Serialize;

use super::server_keys::{Served, ServerKeys};
use crate::{error::clipped, keys::check_signed_by_key};

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
    let device = there(&served.device, Problem::NoDevice, || {
        (format!("device {device_id} of {user_id}"), "its keys")
    })?;
    let master_key = there(&served.master_key, Problem::NoMasterKey, || {
        (format!("master key of {user_id}"), "the identity")
    })?;
    let self_signing_key = there(&served.self_signing_key, Problem::NoSelfSigningKey, || {
        (format!("self-signing key of {user_id}"), "the identity")
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

    device.check_self_signature().map_err(|error| {
        let object = format!("the device {device_id} of {user_id}");
        broken(&error, Problem::DeviceNotSigned, &object, "itself", "upload its keys")
    })?;
    check_signed_by_key(self_signing_key.as_ref(), master_key.as_ref()).map_err(|error| {
        let object = format!("the self-signing key of {user_id}");
        broken(&error, Problem::SelfSigningKeyNotSigned, &object, "the master key", "upload the identity")
    })?;
    self_signing_key.verify_device_keys(device).map_err(|error| {
        let object = format!("the device {device_id} of {user_id}");
        let advice = match error {
            SignatureError::NoSignatureFound => "upload the signatures",
            _ => "if to upload the signatures does not help, give the ghost a new device ID",
        };
        broken(&error, Problem::DeviceNotSigned, &object, "the self-signing key", advice)
    })?;

    master_key.get_first_key().map(|key| key.to_base64()).ok_or_else(|| {
        (Problem::NoMasterKey, format!("the master key of {user_id} has no Ed25519 key in it"))
    })
}

/// What is served, if clients can read it. They ignore what they cannot read.
fn there<T>(
    served: &Served<T>,
    problem: Problem,
    describe: impl FnOnce() -> (String, &'static str),
) -> Result<&T, (Problem, String)> {
    let message = match served {
        Served::Readable(readable) => return Ok(readable),
        Served::Absent => {
            let (name, upload) = describe();
            format!("the homeserver serves no {name}: upload {upload}")
        }
        Served::Unreadable(why) => {
            let (name, upload) = describe();
            format!("what the homeserver serves as {name} cannot be read ({}): upload {upload}", clipped(why))
        }
    };
    Err((problem, message))
}

fn broken(
    error: &SignatureError,
    missing: Problem,
    object: &str,
    signer: &str,
    advice: &str,
) -> (Problem, String) {
    match error {
        SignatureError::NoSignatureFound => {
            (missing, format!("{object} is not signed by {signer}: {advice}"))
        }
        _ => (
            Problem::BadSignature,
            format!("the signature of {object} by {signer} is wrong ({error}): {advice}"),
        ),
    }
}
