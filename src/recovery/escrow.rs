//! Puts the private keys of an identity into the secret storage.

use ruma::events::secret::request::SecretName;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    account_data::{AccountData, DEFAULT_KEY, SECRETS, key_type},
    storage::{ALGORITHM, Entry, SecretStorage},
};
use crate::{
    error::{Error, Result},
    identity::Seeds,
    secret::Secret,
};

/// What the account data of the user must hold.
pub struct Escrow {
    /// In the order in which they must be put. A key must be described before anything is encrypted with it,
    /// and clients look for the secrets as soon as there is a default key.
    pub uploads: Vec<AccountDataUpload>,
    /// Whether the account data lack any of it. `None`: not known.
    pub is_missing: Option<bool>,
}

/// A body of `PUT /_matrix/client/v3/user/{userId}/account_data/{type}`.
#[derive(Serialize)]
pub struct AccountDataUpload {
    #[serde(rename = "type")]
    pub event_type: String,
    pub content: Map<String, Value>,
}

impl SecretStorage {
    /// Encrypts what is not there yet. What is there is kept: also what is encrypted with other keys, and a
    /// default key that is another.
    pub fn escrow(&self, seeds: &Seeds) -> Result<Escrow> {
        let id = self.key.key_id();
        let mut uploads = vec![AccountDataUpload {
            event_type: key_type(id),
            content: match &self.description {
                Some(description) => description.clone(),
                None => self.describe()?,
            },
        }];
        let mut is_complete = self.description.is_some();

        let seeds = [&seeds.master, &seeds.self_signing, &seeds.user_signing];
        for ((name, entry), seed) in SECRETS.iter().zip(&self.entries).zip(seeds) {
            let mut content = self.stored(name.as_str());
            if !matches!(entry, Entry::Seed(stored) if stored == seed) {
                is_complete = false;
                let encrypted = self.encrypt(seed, name)?;
                match content.get_mut("encrypted").and_then(Value::as_object_mut) {
                    Some(entries) => drop(entries.insert(id.to_owned(), encrypted)),
                    None => drop(content.insert("encrypted".to_owned(), json!({ id: encrypted }))),
                }
            }
            uploads.push(AccountDataUpload { event_type: name.as_str().to_owned(), content });
        }

        let default = self.account_data.as_ref().and_then(AccountData::default_key);
        if default.is_none_or(|default| default == id) {
            is_complete &= default.is_some();
            let mut content = self.stored(DEFAULT_KEY);
            content.insert("key".to_owned(), json!(id));
            uploads.push(AccountDataUpload { event_type: DEFAULT_KEY.to_owned(), content });
        }
        Ok(Escrow { uploads, is_missing: self.account_data.as_ref().map(|_| !is_complete) })
    }

    fn stored(&self, event_type: &str) -> Map<String, Value> {
        let stored = self.account_data.as_ref().and_then(|account_data| account_data.content(event_type));
        stored.cloned().unwrap_or_default()
    }

    fn encrypt(&self, seed: &Secret, name: &SecretName) -> Result<Value> {
        let mut text = seed.to_base64();
        // The text is encrypted in place, and so overwritten.
        let encrypted = self.key.encrypt(std::mem::take(&mut *text).into_bytes(), name);
        serde_json::to_value(encrypted).map_err(|_| Error::internal("a secret cannot be written as JSON"))
    }

    /// A description that proves the key. It has the MAC of 32 zeros, encrypted as a secret without a name.
    fn describe(&self) -> Result<Map<String, Value>> {
        let check = self.key.encrypt(vec![0; 32], &SecretName::from(""));
        match serde_json::to_value(check) {
            Ok(Value::Object(mut description)) => {
                description.remove("ciphertext");
                description.insert("algorithm".to_owned(), json!(ALGORITHM));
                Ok(description)
            }
            _ => Err(Error::internal("the description of a key cannot be written as JSON")),
        }
    }
}
