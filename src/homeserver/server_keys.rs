//! What the homeserver serves about a user: the answer to `POST /_matrix/client/v3/keys/query`. Nothing
//! in it is trusted, not even that it is about the user.

use std::fmt::Display;

use matrix_sdk_crypto::types::{DeviceKeys, MasterPubkey, SelfSigningPubkey, UserSigningPubkey};
use ruma::{DeviceId, UserId};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    error::{Error, ErrorCode, Result, clipped},
    keys::{PublicIdentity, check_key_lengths},
};

/// The size limit of an answer, in bytes. One device takes about one kilobyte.
const LONGEST: usize = 16 * 1024 * 1024;

/// The keys of one user and of one device of this user. A key that is not served is `None`.
pub struct ServerKeys {
    pub device: Option<DeviceKeys>,
    pub master_key: Option<MasterPubkey>,
    pub self_signing_key: Option<SelfSigningPubkey>,
    /// A homeserver serves it only to its own user.
    pub user_signing_key: Option<UserSigningPubkey>,
}

impl ServerKeys {
    pub fn parse(json: &str, user_id: &UserId, device_id: &DeviceId) -> Result<Self> {
        if json.len() > LONGEST {
            return Err(invalid("", format_args!("it is longer than {LONGEST} bytes")));
        }
        let Value::Object(answer) = serde_json::from_str(json).map_err(|error| invalid("", error))? else {
            return Err(invalid("", "it is not an object"));
        };

        // An answer without this user does not mean that the homeserver has no keys of this user.
        let failures = object(&answer, "failures")?;
        if failures.is_some_and(|failures| failures.contains_key(user_id.server_name().as_str())) {
            return Err(invalid(".failures", format_args!("{} did not answer", user_id.server_name())));
        }
        let devices = object(&answer, "device_keys")?.and_then(|users| users.get(user_id.as_str()));
        let Some(Value::Object(devices)) = devices else {
            return Err(invalid(".device_keys", format_args!("it has no devices of {user_id}")));
        };

        let user = user_id.as_str();
        Ok(Self {
            device: devices
                .get(device_id.as_str())
                .map(|device| read(&format!(".device_keys[{user:?}][{device_id:?}]"), device))
                .transpose()?,
            master_key: key(&answer, "master_keys", user)?,
            self_signing_key: key(&answer, "self_signing_keys", user)?,
            user_signing_key: key(&answer, "user_signing_keys", user)?,
        })
    }

    /// The served identity, if all three of its keys are served.
    pub fn identity(&self) -> Option<PublicIdentity> {
        Some(PublicIdentity {
            master_key: self.master_key.as_ref()?.as_ref().clone(),
            self_signing_key: self.self_signing_key.as_ref()?.as_ref().clone(),
            user_signing_key: self.user_signing_key.as_ref()?.as_ref().clone(),
        })
    }
}

fn object<'a>(answer: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>> {
    match answer.get(name) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(invalid(&format!(".{name}"), "it is not an object")),
    }
}

fn key<T: DeserializeOwned>(answer: &Map<String, Value>, name: &str, user: &str) -> Result<Option<T>> {
    object(answer, name)?
        .and_then(|users| users.get(user))
        .map(|key| read(&format!(".{name}[{user:?}]"), key))
        .transpose()
}

fn read<T: DeserializeOwned>(place: &str, value: &Value) -> Result<T> {
    check_key_lengths(value).map_err(|what| invalid(place, what))?;
    T::deserialize(value).map_err(|error| invalid(place, error))
}

fn invalid(place: &str, what: impl Display) -> Error {
    Error::new(
        ErrorCode::InvalidArgument,
        format!(
            "serverKeys{} is not what POST /_matrix/client/v3/keys/query answers for this user: {}. Give the whole \
             body of the answer",
            clipped(place),
            clipped(&what.to_string())
        ),
    )
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::json;

    use super::*;

    fn parse(answer: &Value) -> Result<ServerKeys> {
        ServerKeys::parse(&answer.to_string(), user_id!("@_ghost:example.org"), device_id!("GHOSTDEVICE"))
    }

    #[test]
    fn an_answer_without_the_user_is_not_an_answer_without_keys() {
        assert!(parse(&json!({ "device_keys": { "@_ghost:example.org": {} } })).is_ok());
        for (answer, place) in [
            (json!([]), "serverKeys "),
            (json!({}), "serverKeys.device_keys "),
            (json!({ "errcode": "M_FORBIDDEN", "error": "no" }), "serverKeys.device_keys "),
            (json!({ "device_keys": { "@other:example.org": {} } }), "serverKeys.device_keys "),
            (
                json!({
                    "device_keys": { "@_ghost:example.org": {} },
                    "failures": { "example.org": {} },
                }),
                "serverKeys.failures ",
            ),
            (
                json!({
                    "device_keys": { "@_ghost:example.org": {} },
                    "master_keys": { "@_ghost:example.org": { "usage": ["master"] } },
                }),
                "serverKeys.master_keys[\"@_ghost:example.org\"] ",
            ),
        ] {
            let error = parse(&answer).err().unwrap();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.starts_with(place), "{}", error.message);
        }
    }
}
