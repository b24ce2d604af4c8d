//! Reads what a homeserver's answer says about one user and one device. Nothing else in the answer is looked
//! at, so that it costs nothing: an answer may be about hundreds of users.

use std::fmt::Display;

use napi::{Env, JsString, Unknown, ValueType};
use ruma::{DeviceId, ServerName, UserId};

use super::{intrinsics, json};
use crate::{
    error::{Error, ErrorCode, Result, clipped},
    homeserver::{Answer, Record},
};

/// What a homeserver serves to the user.
pub fn read(env: &Env, server_keys: Unknown, user_id: &UserId, device_id: &DeviceId) -> Result<Answer> {
    let answer = read_public(env, server_keys, user_id, device_id)?;
    let user_signing_key = Reader { env }.key(server_keys, "user_signing_keys", user_id)?;
    Ok(Answer { user_signing_key, ..answer })
}

/// What a homeserver serves to other users, too: all but the user-signing key. Reading `server_keys` may run
/// code of the caller's, which may throw.
pub fn read_public(
    env: &Env,
    server_keys: Unknown,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<Answer> {
    let reader = Reader { env };
    reader.check_plain("", server_keys)?;

    // An answer without this user does not mean that the homeserver has no keys of this user.
    if let Some(failures) = reader.map(server_keys, "failures")? {
        reader.check_failures(failures, user_id.server_name())?;
    }
    let devices = match reader.map(server_keys, "device_keys")? {
        Some(users) => reader.own(".device_keys", users, user_id.as_str())?,
        None => None,
    };
    let devices =
        devices.ok_or_else(|| invalid(".device_keys", format_args!("it has no devices of {user_id}")))?;
    let place = format!(".device_keys[{:?}]", user_id.as_str());
    reader.check_plain(&place, devices)?;

    // Other users' clients do not look at these keys, but they take nothing else for an answer.
    reader.map(server_keys, "user_signing_keys")?;
    Ok(Answer {
        device: reader.record(&place, devices, device_id.as_str())?,
        master_key: reader.key(server_keys, "master_keys", user_id)?,
        self_signing_key: reader.key(server_keys, "self_signing_keys", user_id)?,
        user_signing_key: None,
    })
}

struct Reader<'env> {
    env: &'env Env,
}

impl<'env> Reader<'env> {
    fn check_plain(&self, place: &str, value: Unknown) -> Result<()> {
        if type_of(value) != ValueType::Object
            || !json::is_plain(self.env, value).map_err(|what| invalid(place, what))?
        {
            return Err(invalid(place, "it is not a plain object"));
        }
        Ok(())
    }

    /// An own property. Others are not of the homeserver.
    fn own(&self, place: &str, object: Unknown<'env>, name: &str) -> Result<Option<Unknown<'env>>> {
        let read = || {
            if !intrinsics::has_own(self.env, object, name)? {
                return Ok(None);
            }
            intrinsics::get(self.env, object, name.to_owned()).map(Some)
        };
        let value = read().map_err(|error| invalid(place, json::threw(error)))?;
        Ok(value.filter(|value| type_of(*value) != ValueType::Undefined))
    }

    /// A part of the answer. `None` if it is absent or null.
    fn map(&self, answer: Unknown<'env>, name: &str) -> Result<Option<Unknown<'env>>> {
        let place = format!(".{name}");
        let map = self.own(&place, answer, name)?.filter(|map| type_of(*map) != ValueType::Null);
        if let Some(map) = map {
            self.check_plain(&place, map)?;
        }
        Ok(map)
    }

    fn key(&self, answer: Unknown<'env>, name: &str, user_id: &UserId) -> Result<Option<Record>> {
        let Some(users) = self.map(answer, name)? else { return Ok(None) };
        self.record(&format!(".{name}"), users, user_id.as_str())
    }

    fn record(&self, place: &str, records: Unknown<'env>, name: &str) -> Result<Option<Record>> {
        let Some(record) = self.own(place, records, name)? else { return Ok(None) };
        json::copy(self.env, record).map(Some).map_err(|what| invalid(&format!("{place}[{name:?}]"), what))
    }

    /// Refuses an answer that says that the user's homeserver did not answer. Server names have no case.
    fn check_failures(&self, failures: Unknown<'env>, server_name: &ServerName) -> Result<()> {
        let server_name = server_name.as_str();
        let has_failed = || -> napi::Result<bool> {
            let names = intrinsics::keys(self.env, failures)?;
            for index in 0..names.len() {
                // There may be very many. The length is known without a copy.
                let Some(name) = names.get::<JsString>(index)? else { break };
                if name.utf16_len()? == server_name.len()
                    && name.into_utf8()?.as_str()?.eq_ignore_ascii_case(server_name)
                {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if has_failed().map_err(|error| invalid(".failures", json::threw(error)))? {
            return Err(invalid(".failures", format_args!("{server_name} did not answer")));
        }
        Ok(())
    }
}

fn type_of(value: Unknown) -> ValueType {
    value.get_type().unwrap_or(ValueType::Unknown)
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
