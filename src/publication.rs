//! How much of what a store holds the homeserver serves already, and what is left to upload.

use matrix_sdk_crypto::types::{CrossSigningKey, DeviceKeys};
use serde::Serialize;

use crate::{payloads::Payloads, request::Request, server_keys::ServerKeys, verify::check_signed_by};

/// The uploads by their names in the result, in the order in which they must be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // the result's
pub enum Upload {
    UploadDeviceKeys,
    UploadKeys,
    UploadSignatures,
}

/// Something that the caller should know, and that is no reason to refuse.
#[derive(Debug, Serialize)]
pub struct Warning {
    code: &'static str,
    message: String,
}

/// What a comparison with the homeserver says.
pub struct Publication {
    pub missing: Vec<Upload>,
    pub warnings: Vec<Warning>,
}

pub fn compare(request: &Request, payloads: &Payloads, served: &ServerKeys) -> Publication {
    let mut missing = Vec::new();
    let mut warnings = Vec::new();

    let device = served.device.as_ref();
    let known_device = device
        .filter(|device| same_device(device, &payloads.device_keys) && device.check_self_signature().is_ok());
    if known_device.is_none() {
        missing.push(Upload::UploadDeviceKeys);
    }
    if device.is_some_and(|device| !same_device(device, &payloads.device_keys)) {
        warnings.push(Warning {
            code: "DEVICE_KEYS_DIFFER",
            message: format!(
                "the homeserver serves other keys for the device {} of {} than the store has: usually the store was \
                 lost and its device ID used again. Other users' clients do not take new keys for a device that \
                 they know: give the user a new device ID with a new store, and delete this device",
                request.device_id, request.user_id
            ),
        });
    }

    let ours = &payloads.upload_keys;
    let vouched = |key: &CrossSigningKey| check_signed_by(&ours.master_key, key).is_ok();
    let identity_known = same_key(served.master_key.as_ref().map(AsRef::as_ref), &ours.master_key)
        && served.self_signing_key.as_ref().map(AsRef::as_ref).is_some_and(|key| {
            same_key(Some(key), &ours.self_signing_key) && vouched(key)
        })
        // Hidden from everybody but the user: that it is not there says nothing.
        && served.user_signing_key.as_ref().map(AsRef::as_ref).is_none_or(|key| {
            same_key(Some(key), &ours.user_signing_key) && vouched(key)
        });
    if !identity_known {
        missing.push(Upload::UploadKeys);
    }

    let signed = known_device.is_some_and(|device| {
        served.self_signing_key.as_ref().is_some_and(|key| key.verify_device_keys(device).is_ok())
    });
    if !(identity_known && signed) {
        missing.push(Upload::UploadSignatures);
    }
    Publication { missing, warnings }
}

fn same_device(served: &DeviceKeys, ours: &DeviceKeys) -> bool {
    (&served.user_id, &served.device_id, &served.keys) == (&ours.user_id, &ours.device_id, &ours.keys)
}

fn same_key(served: Option<&CrossSigningKey>, ours: &CrossSigningKey) -> bool {
    served.is_some_and(|served| {
        (&served.user_id, &served.usage, &served.keys) == (&ours.user_id, &ours.usage, &ours.keys)
    })
}
