//! Finds out whether the homeserver has another identity than the store. Other users trust the identity of
//! the homeserver, and a new one would replace it. In doubt, it has one.

use matrix_sdk_crypto::types::CrossSigningKey;
use ruma::UserId;

use super::server_keys::{Served, ServerKeys};
use crate::{
    error::{Error, ErrorCode, Result, clipped},
    keys::PublicIdentity,
};

/// Fails with `IDENTITY_CONFLICT` if there is a sign of an identity that is not the store's. `lack` says why
/// the identity cannot be restored, if there was an attempt.
pub fn check_conflict(
    user_id: &UserId,
    ours: Option<&PublicIdentity>,
    served: &ServerKeys,
    lack: Option<&str>,
) -> Result<()> {
    let Some(sign) = sign_of_another_identity(ours, served) else { return Ok(()) };
    let ours = ours.and_then(|identity| public_key(&identity.master_key));
    let store = ours.map_or_else(|| "none".to_owned(), |key| format!("the one with {key}"));
    let lack = lack.map(|lack| format!(", and {lack}")).unwrap_or_default();
    Err(conflict(user_id, &sign, &format!("the store has {store}{lack}")))
}

/// `served` is what the homeserver has, and `ours` is what there is here, in words.
pub fn conflict(user_id: &UserId, served: &str, ours: &str) -> Error {
    Error::new(
        ErrorCode::IdentityConflict,
        format!(
            "the homeserver has {served} for {user_id}, {ours}. Bring back the store that belongs to that identity. \
             Only if it is lost, replace the identity with the option reset, after which whoever verified this user \
             has to do so again"
        ),
    )
}

/// What the homeserver has, in words.
fn sign_of_another_identity(ours: Option<&PublicIdentity>, served: &ServerKeys) -> Option<String> {
    // A master key decides. The other keys are replaced with it.
    if !matches!(served.master_key, Served::Absent) {
        let key = other_key("master key", &served.master_key, ours.map(|ours| &ours.master_key))?;
        return Some(format!("the identity with {key}"));
    }
    let self_signing_key = ours.map(|ours| &ours.self_signing_key);
    let user_signing_key = ours.map(|ours| &ours.user_signing_key);
    let sign = other_key("self-signing key", &served.self_signing_key, self_signing_key)
        .or_else(|| other_key("user-signing key", &served.user_signing_key, user_signing_key))
        .or_else(|| other_signer(&served.signers, self_signing_key))?;
    Some(format!("an identity without its master key, but with {sign},"))
}

/// A key that is served and not ours.
fn other_key<T: AsRef<CrossSigningKey>>(
    name: &str,
    served: &Served<T>,
    ours: Option<&CrossSigningKey>,
) -> Option<String> {
    match served {
        Served::Absent => None,
        Served::Unreadable(why) => Some(format!("a {name} that cannot be read ({})", clipped(why))),
        Served::Readable(theirs) => match public_key(theirs.as_ref()) {
            None => Some(format!("a {name} of an unknown kind")),
            theirs if theirs == ours.and_then(public_key) => None,
            Some(theirs) => Some(format!("the {name} {theirs}")),
        },
    }
}

/// A key that is not served, not ours, and has signed the device for the user: a self-signing key.
fn other_signer(signers: &[String], ours: Option<&CrossSigningKey>) -> Option<String> {
    let ours = ours.and_then(CrossSigningKey::get_first_key_and_id).map(|(id, _)| id.as_str());
    let signer = signers.iter().find(|id| Some(id.as_str()) != ours)?;
    Some(format!("a device that is signed with the key {}", clipped(signer)))
}

/// The Ed25519 key, in unpadded base64.
fn public_key(key: &CrossSigningKey) -> Option<String> {
    key.get_first_key_and_id().map(|(_, key)| key.to_base64())
}
