//! Checks of public keys and of the signatures that vouch for them.

use matrix_sdk_crypto::{
    SignatureError,
    types::{CrossSigningKey, DeviceKeys, SelfSigningPubkey, Signature},
    vodozemac::base64_decode,
};
use ruma::{CanonicalJsonValue, canonical_json::to_canonical_value};
use serde::Serialize;
use serde_json::Value;

/// The length of Ed25519 keys, in bytes.
const KEY_LENGTH: usize = 32;

/// The three public keys of a cross-signing identity.
#[derive(Clone, Serialize)]
#[allow(clippy::struct_field_names)] // the specification's names
pub struct PublicIdentity {
    pub master_key: CrossSigningKey,
    pub self_signing_key: CrossSigningKey,
    pub user_signing_key: CrossSigningKey,
}

impl PublicIdentity {
    pub fn is_same(&self, other: &Self) -> bool {
        is_same_key(&self.master_key, &other.master_key)
            && is_same_key(&self.self_signing_key, &other.self_signing_key)
            && is_same_key(&self.user_signing_key, &other.user_signing_key)
    }

    /// Whether nothing but the signatures differs.
    pub fn has_same_content(&self, other: &Self) -> bool {
        let content = |identity: &Self| {
            let mut content = serde_json::to_value(identity).ok()?;
            for key in content.as_object_mut()?.values_mut() {
                key.as_object_mut()?.remove("signatures");
            }
            Some(content)
        };
        content(self).is_some_and(|content_of_self| Some(content_of_self) == content(other))
    }

    /// Checks that the master key vouches for the other two.
    pub fn check_signatures(&self) -> Result<(), SignatureError> {
        check_signed_by_key(&self.self_signing_key, &self.master_key)?;
        check_signed_by_key(&self.user_signing_key, &self.master_key)
    }

    /// Checks the self-signing key's signature of a device.
    pub fn check_device(&self, device: &DeviceKeys) -> Result<(), SignatureError> {
        SelfSigningPubkey::try_from(self.self_signing_key.clone())
            .map_err(|_| SignatureError::UnsupportedAlgorithm)?
            .verify_device_keys(device)
    }
}

/// Whether two objects are about the same key. Their signatures may differ.
pub fn is_same_key(one: &CrossSigningKey, other: &CrossSigningKey) -> bool {
    (&one.user_id, &one.usage, &one.keys) == (&other.user_id, &other.usage, &other.keys)
}

/// vodozemac panics on an invalid Ed25519 key of padded length. Call this before a key is decoded. Keys of
/// other algorithms may have any length: the SDK decides whether it decodes them.
pub fn check_key_lengths(key: &Value) -> Result<(), &'static str> {
    let keys = key.get("keys").and_then(Value::as_object);
    let mut texts = keys
        .into_iter()
        .flatten()
        .filter(|(id, _)| id.starts_with("ed25519:"))
        .filter_map(|(_, key)| key.as_str());
    if texts.all(|text| base64_decode(text).is_ok_and(|bytes| bytes.len() == KEY_LENGTH)) {
        Ok(())
    } else {
        Err("an Ed25519 key in it is not 32 bytes in base64")
    }
}

/// The SDK checks this when it takes an identity in, but exports no function for it.
/// <https://spec.matrix.org/v1.16/appendices/#checking-for-a-signature>
pub fn check_signed_by_key(object: &CrossSigningKey, signer: &CrossSigningKey) -> Result<(), SignatureError> {
    let (key_id, key) = signer.get_first_key_and_id().ok_or(SignatureError::UnsupportedAlgorithm)?;
    let signature = object
        .signatures
        .get(&signer.user_id)
        .and_then(|signatures| signatures.get(key_id))
        .ok_or(SignatureError::NoSignatureFound)?;
    let Ok(Signature::Ed25519(signature)) = signature else {
        return Err(SignatureError::InvalidSignature);
    };
    key.verify(signed_text(object)?.as_bytes(), signature).map_err(SignatureError::from)
}

/// What a signature covers: the object as canonical JSON, without its signatures.
/// <https://spec.matrix.org/v1.16/appendices/#signing-json>
pub fn signed_text(object: &impl Serialize) -> Result<String, SignatureError> {
    let CanonicalJsonValue::Object(mut signed) = to_canonical_value(object)? else {
        return Err(SignatureError::NotAnObject);
    };
    signed.remove("signatures");
    signed.remove("unsigned");
    Ok(CanonicalJsonValue::Object(signed).to_string())
}
