//! The part of a user's account data that secret storage is about. It comes from a homeserver, and any
//! client of the user may have written it: nothing in it is trusted.

use std::collections::BTreeMap;

use ruma::events::secret::request::SecretName;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, Result, clipped};

pub const DEFAULT_KEY: &str = "m.secret_storage.default_key";

const KEY_PREFIX: &str = "m.secret_storage.key.";

/// The private keys of an identity, as secret storage names them. In the order in which they are uploaded.
pub const SECRETS: [SecretName; 3] = [
    SecretName::CrossSigningMasterKey,
    SecretName::CrossSigningSelfSigningKey,
    SecretName::CrossSigningUserSigningKey,
];

/// Contents by type, each of them a JSON object.
#[derive(Clone, Default)]
pub struct AccountData(BTreeMap<String, Map<String, Value>>);

impl AccountData {
    /// Whether a type of account data is about secret storage or the identity. Others are not read.
    pub fn is_about_recovery(event_type: &str) -> bool {
        event_type == DEFAULT_KEY
            || event_type.starts_with(KEY_PREFIX)
            || SECRETS.iter().any(|secret| secret.as_str() == event_type)
    }

    /// Checks the form that the specification gives a content, as far as it is read here.
    pub fn insert(&mut self, event_type: &str, content: Value) -> Result<()> {
        let Value::Object(content) = content else {
            return Err(invalid(event_type, "it is not an object"));
        };
        let member = match event_type {
            DEFAULT_KEY => content.get("key").map(|key| ("key", key.is_string(), "a text")),
            _ if event_type.starts_with(KEY_PREFIX) => None,
            _ => content.get("encrypted").map(|entries| ("encrypted", entries.is_object(), "an object")),
        };
        if let Some((name, false, expected)) = member {
            return Err(invalid(event_type, &format!("its {name} is not {expected}")));
        }
        self.0.insert(event_type.to_owned(), content);
        Ok(())
    }

    /// A content. Account data cannot be deleted everywhere, so an empty content counts as absent.
    pub fn content(&self, event_type: &str) -> Option<&Map<String, Value>> {
        self.0.get(event_type).filter(|content| !content.is_empty())
    }

    /// The ID of the key that clients use.
    pub fn default_key(&self) -> Option<&str> {
        self.content(DEFAULT_KEY)?.get("key")?.as_str()
    }

    /// The IDs of all keys that are described.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|event_type| event_type.strip_prefix(KEY_PREFIX))
    }

    /// The description of a key.
    pub fn key(&self, key_id: &str) -> Option<&Map<String, Value>> {
        self.content(&key_type(key_id))
    }
}

/// The type of the account data that describes a key.
pub fn key_type(key_id: &str) -> String {
    format!("{KEY_PREFIX}{key_id}")
}

fn invalid(event_type: &str, what: &str) -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        format!(
            "recovery.accountData[{:?}] is not account data: {what}. Give the content as the homeserver answers it",
            clipped(event_type),
        ),
    )
}
