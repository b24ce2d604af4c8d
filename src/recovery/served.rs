//! Whether the identity in the secret storage is the one that the homeserver serves.

use matrix_sdk_crypto::types::MasterPubkey;
use ruma::UserId;

use crate::{
    error::Result,
    homeserver::{ServerKeys, conflict},
    keys::PublicIdentity,
};

/// The served identity, which is the stored one, with the signatures that it is published with. `None` if the
/// homeserver serves no master key. Fails with `IDENTITY_CONFLICT` if it serves another identity, or if the two
/// cannot be compared.
pub fn served_identity(
    stored: &PublicIdentity,
    served: Option<&ServerKeys>,
    user_id: &UserId,
) -> Result<Option<PublicIdentity>> {
    let Some(served) = served else { return Ok(None) };
    let Some(theirs) = served.master_key.readable().and_then(MasterPubkey::get_first_key) else {
        return Ok(None);
    };
    let name = format!("the identity with the master key {}", theirs.to_base64());
    let conflict = |what: &str| conflict(user_id, &name, &format!("the store has none, and {what}"));
    let ours = stored.master_key.get_first_key_and_id().map(|(_, key)| key);
    if ours != Some(theirs) {
        let ours = ours.map(|key| key.to_base64()).unwrap_or_default();
        return Err(conflict(&format!("the secret storage holds another, with the master key {ours}")));
    }
    let Some(identity) = served.identity() else {
        return Err(conflict(
            "serverKeys lack the self-signing or the user-signing key, so that the secret storage cannot be compared \
             with them. Send keys/query as this user: others do not get the user-signing key",
        ));
    };
    if !stored.is_same(&identity) {
        return Err(conflict("the secret storage holds another self-signing or user-signing key"));
    }
    if identity.check_signatures().is_err() {
        return Err(conflict("the master key has not signed the other keys that are served"));
    }
    Ok(Some(identity))
}
