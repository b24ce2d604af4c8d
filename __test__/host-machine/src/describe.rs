//! A machine's own keys, and what it thinks of its own identity and device.

use matrix_sdk_crypto::{Device, OlmMachine, UserIdentity};
use serde_json::{Value, json};

use crate::error::Result;

pub async fn describe(olm: &OlmMachine) -> Result<Value> {
    let keys = olm.identity_keys();
    let status = olm.cross_signing_status().await;
    let device = olm.get_device(olm.user_id(), olm.device_id(), None).await?;
    let identity = olm.get_identity(olm.user_id(), None).await?;
    let master_key = identity.as_ref().and_then(|identity| match identity {
        UserIdentity::Own(identity) => identity.master_key().get_first_key(),
        UserIdentity::Other(identity) => identity.master_key().get_first_key(),
    });
    Ok(json!({
        "user": olm.user_id(),
        "device": olm.device_id(),
        "curve25519": keys.curve25519.to_base64(),
        "ed25519": keys.ed25519.to_base64(),
        "has_master": status.has_master,
        "has_self_signing": status.has_self_signing,
        "has_user_signing": status.has_user_signing,
        "master_key": master_key.map(|key| key.to_base64()),
        "identity_verified": identity.map(|identity| identity.is_verified()),
        "device_cross_signed": device.as_ref().map(Device::is_cross_signed_by_owner),
        "device_verified": device.as_ref().map(Device::is_verified),
    }))
}
