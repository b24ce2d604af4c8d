//! What the homeserver serves about a user: the answer to `POST /_matrix/client/v3/keys/query`. Nothing
//! in it is trusted, not even that it is about the user.

use matrix_sdk_crypto::types::{DeviceKeys, MasterPubkey, SelfSigningPubkey, UserSigningPubkey};
use ruma::{DeviceId, UserId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::keys::{PublicIdentity, check_key_lengths};

/// What an answer says about one user and one device of this user. A record that is not there is `None`.
#[derive(Clone, Default)]
pub struct Answer {
    pub device: Option<Record>,
    pub master_key: Option<Record>,
    pub self_signing_key: Option<Record>,
    /// A homeserver serves it only to its own user.
    pub user_signing_key: Option<Record>,
}

/// A record as it was served. It may be any JSON.
#[derive(Clone)]
pub struct Record {
    /// With a defect, the value lacks something.
    pub value: Value,
    /// Why clients cannot read the record, if it is known already.
    pub defect: Option<&'static str>,
}

/// The keys of one user and of one device of this user.
pub struct ServerKeys {
    pub device: Served<DeviceKeys>,
    /// The IDs of the keys with which the user has signed the device, without the key of the device
    /// itself. The device may be unreadable otherwise.
    pub signers: Vec<String>,
    pub master_key: Served<MasterPubkey>,
    pub self_signing_key: Served<SelfSigningPubkey>,
    pub user_signing_key: Served<UserSigningPubkey>,
}

pub enum Served<T> {
    Absent,
    /// Something is there that clients do not take for a key or a device, for this reason.
    Unreadable(String),
    Readable(T),
}

impl ServerKeys {
    pub fn parse(answer: &Answer, user_id: &UserId, device_id: &DeviceId) -> Self {
        Self {
            device: Served::read(answer.device.as_ref()),
            signers: signers(answer.device.as_ref(), user_id, device_id),
            master_key: Served::of_key(answer.master_key.as_ref()),
            self_signing_key: Served::of_key(answer.self_signing_key.as_ref()),
            user_signing_key: Served::of_key(answer.user_signing_key.as_ref()),
        }
    }

    /// The served identity, if all three of its keys are served.
    pub fn identity(&self) -> Option<PublicIdentity> {
        Some(PublicIdentity {
            master_key: self.master_key.readable()?.as_ref().clone(),
            self_signing_key: self.self_signing_key.readable()?.as_ref().clone(),
            user_signing_key: self.user_signing_key.readable()?.as_ref().clone(),
        })
    }
}

impl<T: DeserializeOwned> Served<T> {
    fn read(record: Option<&Record>) -> Self {
        let Some(Record { value, defect }) = record else { return Self::Absent };
        if let Some(defect) = defect {
            return Self::Unreadable((*defect).to_owned());
        }
        if !value.is_object() {
            return Self::Unreadable("it is not an object".to_owned());
        }
        if let Err(what) = check_key_lengths(value) {
            return Self::Unreadable(what.to_owned());
        }
        match T::deserialize(value) {
            Ok(readable) => Self::Readable(readable),
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }

    /// Some homeservers write null for a key that they do not have.
    fn of_key(record: Option<&Record>) -> Self {
        Self::read(record.filter(|record| !record.value.is_null()))
    }
}

impl<T> Served<T> {
    pub fn readable(&self) -> Option<&T> {
        match self {
            Self::Readable(readable) => Some(readable),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }
}

fn signers(device: Option<&Record>, user_id: &UserId, device_id: &DeviceId) -> Vec<String> {
    let signatures =
        device.and_then(|device| device.value.get("signatures")?.get(user_id.as_str())?.as_object());
    let ids = signatures.into_iter().flat_map(|signatures| signatures.keys());
    ids.filter(|id| id.split_once(':').is_some_and(|(_, name)| name != device_id.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::json;

    use super::*;

    fn parse(device: Value) -> ServerKeys {
        let device = Some(Record { value: device, defect: None });
        let answer = Answer { device, ..Answer::default() };
        ServerKeys::parse(&answer, user_id!("@_ghost:example.org"), device_id!("GHOSTDEVICE"))
    }

    #[test]
    fn signers_are_found_on_a_device_that_is_unreadable() {
        let served = parse(json!({ "signatures": {
            "@_ghost:example.org": {
                "ed25519:GHOSTDEVICE": "?",
                "ed25519:other": "?",
                "new:GHOSTDEVICE": "?",
                "new:another": 7,
                "nonsense": "?",
            },
            "@other:example.org": { "ed25519:third": "?" },
        } }));
        assert!(matches!(served.device, Served::Unreadable(_)));
        assert_eq!(served.signers, ["ed25519:other", "new:another"]);
    }

    #[test]
    fn a_null_is_a_device_and_not_a_key() {
        let null = || Some(Record { value: Value::Null, defect: None });
        let served = ServerKeys::parse(
            &Answer {
                device: null(),
                master_key: null(),
                self_signing_key: null(),
                user_signing_key: null(),
            },
            user_id!("@_ghost:example.org"),
            device_id!("GHOSTDEVICE"),
        );
        assert!(matches!(served.device, Served::Unreadable(_)));
        assert!(matches!(served.master_key, Served::Absent));
        assert!(matches!(served.self_signing_key, Served::Absent));
        assert!(matches!(served.user_signing_key, Served::Absent));
    }

    #[test]
    fn what_another_parser_would_refuse_is_unreadable() {
        let key =
            json!({ "user_id": "@_ghost:example.org", "usage": ["master"], "keys": {}, "signatures": {} });
        let read = |value: &Value, defect| {
            Served::<MasterPubkey>::read(Some(&Record { value: value.clone(), defect }))
        };
        assert!(matches!(read(&key, None), Served::Readable(_)));
        assert!(matches!(read(&key, Some("a defect")), Served::Unreadable(why) if why == "a defect"));
    }
}
