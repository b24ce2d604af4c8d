//! Whether an identity in the secret storage is the one that the homeserver serves.

use matrix_sdk_crypto::types::MasterPubkey;
use ruma::UserId;

use crate::{
    error::{Error, ErrorCode, Result},
    homeserver::ServerKeys,
    identity::Seeds,
    keys::PublicIdentity,
};

/// The served identity, which is that of the private keys. `None` if the homeserver serves no master key.
/// Fails with `IDENTITY_CONFLICT` if it is another identity, or cannot be compared with the private keys.
pub async fn restorable(
    seeds: &Seeds,
    served: Option<&ServerKeys>,
    user_id: &UserId,
) -> Result<Option<PublicIdentity>> {
    let Some(served) = served else { return Ok(None) };
    let Some(theirs) = served.master_key.readable().and_then(MasterPubkey::get_first_key) else {
        return Ok(None);
    };
    let (_, ours) = seeds.import(user_id).await?;
    let name = format!("the homeserver has the identity with the master key {}", theirs.to_base64());
    let conflict = |what: &str| {
        Error::new(
            ErrorCode::IdentityConflict,
            format!(
                "{name} for {user_id}, the store has none, and {what}. Bring back the store that belongs to that \
                 identity. Only if it is lost, replace the identity with the option reset, after which whoever \
                 verified this user has to do so again"
            ),
        )
    };
    let our_master_key = ours.public.master_key.get_first_key_and_id().map(|(_, key)| key);
    if our_master_key != Some(theirs) {
        let ours = our_master_key.map(|key| key.to_base64()).unwrap_or_default();
        return Err(conflict(&format!("the secret storage holds another, with the master key {ours}")));
    }
    let Some(identity) = served.identity() else {
        return Err(conflict(
            "serverKeys lack the self-signing or the user-signing key, so that the secret storage cannot be compared \
             with them. Send keys/query as this user: others do not get the user-signing key",
        ));
    };
    if !ours.public.is_same(&identity) {
        return Err(conflict("the secret storage holds another self-signing or user-signing key"));
    }
    if identity.check_signatures().is_err() {
        return Err(conflict("the master key has not signed the other keys that are served"));
    }
    Ok(Some(identity))
}
