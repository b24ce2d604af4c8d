//! A user's secret storage, opened with the recovery key. The SDK does the cryptography.

use matrix_sdk_crypto::secret_storage::{AesHmacSha2EncryptedData, SecretStorageKey};
use ruma::{
    UserId,
    events::{
        secret::request::SecretName,
        secret_storage::key::{
            SecretStorageEncryptionAlgorithm, SecretStorageKeyEventContent,
            SecretStorageV1AesHmacSha2Properties,
        },
    },
    serde::Base64,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{
    account_data::{AccountData, SECRETS, key_type},
    key::RecoveryKey,
};
use crate::{
    error::{Error, ErrorCode, Result, clipped},
    identity::{Seeds, StoredIdentity},
    secret::Secret,
};

pub const ALGORITHM: &str = "m.secret_storage.v1.aes-hmac-sha2";

/// The secret storage of a user, as far as the recovery key opens it; or a new one.
pub struct SecretStorage {
    pub(super) key: SecretStorageKey,
    /// How the account data describe the key. `None` if they do not.
    pub(super) description: Option<Map<String, Value>>,
    /// `None`: not known.
    pub(super) account_data: Option<AccountData>,
    /// In the order of [`SECRETS`].
    pub(super) entries: [Entry; 3],
}

/// What is stored under the recovery key as a secret.
pub enum Entry {
    Absent,
    /// The recovery key opens nothing that is a private key, for this reason.
    Damaged(&'static str),
    Seed(Secret),
}

/// A key of the secret storage that the recovery key may be.
struct Candidate {
    key: SecretStorageKey,
    description: Option<Map<String, Value>>,
    /// Whether the description has proved that the recovery key is this key. A description may lack what is
    /// needed for that.
    is_proved: bool,
}

impl SecretStorage {
    /// Fails with `RECOVERY_KEY_MISMATCH` if the secret storage belongs to another key.
    ///
    /// The key is looked for under the ID that clients use, then under the ID that this package gives it,
    /// then under all others. So it is found if a client has made another key the default since.
    pub fn open(
        recovery_key: &RecoveryKey,
        account_data: Option<&AccountData>,
        user_id: &UserId,
    ) -> Result<Self> {
        let own_id = recovery_key.id(user_id)?;
        let text = recovery_key.to_base58()?;
        let none = AccountData::default();
        let found = account_data.unwrap_or(&none);
        let candidate = match find(&text, found, &own_id) {
            Some(candidate) => candidate,
            None => Candidate::unused(&text, found, &own_id)?,
        };
        let entries = SECRETS.map(|secret| entry(&candidate.key, found, &secret));
        let has_opened = entries.iter().any(|entry| matches!(entry, Entry::Seed(_)));
        // Without a description the key has the ID that only this recovery key gives it, so what it does not open
        // is damaged.
        if !candidate.is_proved && !has_opened && candidate.description.is_some() {
            return Err(mismatch(&format!(
                "it does not open what is encrypted with the key {:?}",
                clipped(candidate.key.key_id())
            )));
        }
        Ok(Self {
            key: candidate.key,
            description: candidate.description,
            account_data: account_data.cloned(),
            entries,
        })
    }

    /// The identity in the secret storage. `None` if one of its private keys is not there.
    pub async fn identity(&self, user_id: &UserId) -> Result<Option<StoredIdentity>> {
        match self.seeds()? {
            Some(seeds) => seeds.import(user_id).await.map(Some),
            None => Ok(None),
        }
    }

    fn seeds(&self) -> Result<Option<Seeds>> {
        for (entry, name) in self.entries.iter().zip(&SECRETS) {
            if let Entry::Damaged(why) = entry {
                return Err(damaged(name, why));
            }
        }
        let [Entry::Seed(master), Entry::Seed(self_signing), Entry::Seed(user_signing)] = &self.entries
        else {
            return Ok(None);
        };
        Ok(Some(Seeds {
            master: master.clone(),
            self_signing: self_signing.clone(),
            user_signing: user_signing.clone(),
        }))
    }

    /// What is not in the secret storage, in words, for the message of a conflict.
    pub fn lack(&self) -> String {
        if self.account_data.is_none() {
            return "recovery.accountData, from which the identity can be restored, are not given".to_owned();
        }
        let absent = self.entries.iter().zip(&SECRETS).filter(|(entry, _)| matches!(entry, Entry::Absent));
        let names: Vec<&str> = absent.map(|(_, name)| name.as_str()).collect();
        format!("the secret storage lacks {} under the recovery key", names.join(", "))
    }
}

/// Looks for a key in the account data that the recovery key is.
fn find(text: &str, account_data: &AccountData, own_id: &str) -> Option<Candidate> {
    let default = account_data.default_key();
    let preferred = default.into_iter().chain([own_id]);
    let others = account_data.key_ids().filter(|id| Some(*id) != default && *id != own_id);
    let mut candidates =
        preferred.chain(others).filter_map(|id| Candidate::described(text, id, account_data.key(id)?));
    // Any key fits a description that has no check, so such a description counts for the default alone.
    candidates.find(|candidate| candidate.is_proved || Some(candidate.key.key_id()) == default)
}

impl Candidate {
    /// `None` if the recovery key is not the key that is described.
    fn described(text: &str, id: &str, description: &Map<String, Value>) -> Option<Self> {
        if description.get("algorithm").and_then(Value::as_str) != Some(ALGORITHM) {
            return None;
        }
        let iv = optional_base64(description.get("iv"))?;
        let mac = optional_base64(description.get("mac"))?;
        let is_proved = iv.is_some() && mac.is_some();
        let key = sdk_key(text, id, iv, mac)?;
        Some(Self { key, description: Some(description.clone()), is_proved })
    }

    /// The key where it has not been used. That is refused where another key is in use.
    fn unused(text: &str, account_data: &AccountData, own_id: &str) -> Result<Self> {
        if let Some(id) = account_data.default_key().filter(|id| *id != own_id) {
            return Err(mismatch(&format!("it is not the key {:?} of the secret storage", clipped(id))));
        }
        if account_data.key(own_id).is_some() {
            return Err(Error::new(
                ErrorCode::RecoveryKeyMismatch,
                format!(
                    "the account data {} do not describe the recovery key, whose ID this is: they are damaged. Put an \
                     empty object to them. The next call describes the key again, and what it opens is not lost",
                    key_type(own_id)
                ),
            ));
        }
        let key = sdk_key(text, own_id, None, None)
            .ok_or_else(|| Error::internal("the SDK does not take a key"))?;
        Ok(Self { key, description: None, is_proved: false })
    }
}

/// A passphrase in the description is not passed on. The SDK would derive a key from the recovery key with as
/// many rounds as the description says.
fn sdk_key(text: &str, id: &str, iv: Option<Base64>, mac: Option<Base64>) -> Option<SecretStorageKey> {
    let properties = SecretStorageV1AesHmacSha2Properties::new(iv, mac);
    let algorithm = SecretStorageEncryptionAlgorithm::V1AesHmacSha2(properties);
    let description = SecretStorageKeyEventContent::new(id.to_owned(), algorithm);
    SecretStorageKey::from_account_data(text, description).ok()
}

/// `None` if it is there and not base64.
#[allow(clippy::option_option)] // absent is not the same as wrong
fn optional_base64(value: Option<&Value>) -> Option<Option<Base64>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(value) => Base64::parse(value.as_str()?).ok().map(Some),
    }
}

fn entry(key: &SecretStorageKey, account_data: &AccountData, name: &SecretName) -> Entry {
    let entries = account_data.content(name.as_str()).and_then(|content| content.get("encrypted"));
    let Some(entry) = entries.and_then(|entries| entries.get(key.key_id())) else { return Entry::Absent };
    let Ok(data) = AesHmacSha2EncryptedData::deserialize(entry) else {
        return Entry::Damaged("it is not encrypted data");
    };
    match key.decrypt(&data, name).map(Zeroizing::new) {
        Ok(text) => Secret::from_base64(&text)
            .map_or(Entry::Damaged("what is encrypted is not a private key of 32 bytes"), Entry::Seed),
        Err(_) => Entry::Damaged("its MAC is wrong"),
    }
}

fn damaged(name: &SecretName, why: &str) -> Error {
    Error::new(
        ErrorCode::RecoveryKeyMismatch,
        format!(
            "{name} in the secret storage is damaged: {why}. Call with the store that holds the identity, which mends \
             it. Only if that is lost, make a new identity with the option reset, after which whoever verified this \
             user has to do so again"
        ),
    )
}

fn mismatch(why: &str) -> Error {
    Error::new(
        ErrorCode::RecoveryKeyMismatch,
        format!(
            "the recovery key does not fit the account data: {why}. Give the key or the secret that the secret storage \
             was made with. Only if it is lost, put an empty object to the account data m.secret_storage.default_key \
             and to the description of the key, after which what only that key opens is lost"
        ),
    )
}
