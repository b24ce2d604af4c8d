//! The bodies of the three requests that a caller sends. They serialise to exactly what the
//! homeserver gets; the SDK's own types do it, so that nothing a signature covers is lost.

use std::{collections::BTreeMap, path::Path};

use matrix_sdk_crypto::{
    CrossSigningBootstrapRequests,
    types::{CrossSigningKey, DeviceKeys},
};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, shown};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Created,
    Resumed,
}

#[derive(Serialize)]
pub struct Payloads {
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_device_keys: Option<DeviceKeysUpload>,
    pub upload_keys: CrossSigningKeysUpload,
    pub upload_signatures: SignaturesUpload,
}

#[derive(Serialize)]
pub struct DeviceKeysUpload {
    pub device_keys: DeviceKeys,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names)] // the specification's
pub struct CrossSigningKeysUpload {
    pub master_key: CrossSigningKey,
    pub self_signing_key: CrossSigningKey,
    pub user_signing_key: CrossSigningKey,
}

/// What the SDK's request holds under `signed_keys`. With that name around it, a homeserver answers
/// 200 and stores nothing.
pub type SignaturesUpload = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, DeviceKeys>>;

impl CrossSigningKeysUpload {
    pub fn from_requests(store: &Path, requests: &CrossSigningBootstrapRequests) -> Result<Self> {
        let keys = requests.upload_signing_keys_req.clone();
        match (keys.master_key, keys.self_signing_key, keys.user_signing_key) {
            (Some(master_key), Some(self_signing_key), Some(user_signing_key)) => {
                Ok(Self { master_key, self_signing_key, user_signing_key })
            }
            _ => Err(Error::internal(format_args!(
                "the SDK made an incomplete identity for the store {}",
                shown(store)
            ))),
        }
    }
}

pub fn signatures_from_requests(requests: &CrossSigningBootstrapRequests) -> Result<SignaturesUpload> {
    let signed = serde_json::to_value(&requests.upload_signatures_req.signed_keys);
    signed
        .and_then(SignaturesUpload::deserialize)
        .map_err(|_| Error::internal("the SDK's signatures have an unknown shape"))
}
