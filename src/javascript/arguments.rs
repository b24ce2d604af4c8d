//! JavaScript's arguments, checked and copied. Anything may come in: a wrong type becomes an error
//! to reject with, and so does whatever a getter or a proxy of the caller's throws.

use napi::{Env, JsValue, Unknown, ValueType, bindgen_prelude::FromNapiValue};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use zeroize::Zeroizing;

use super::{answer, intrinsics};
use crate::{
    error::{Error, ErrorCode, Result, clipped},
    homeserver::ServerKeys,
    request::{Options, Request, parse_device_id, parse_user_id},
};

const OPTIONS: [&str; 4] = ["passphrase", "reset", "busyTimeout", "serverKeys"];

/// The longest wait that can be asked for, in milliseconds: that of JavaScript's own timers.
const LONGEST_BUSY_TIMEOUT: f64 = 2_147_483_647.0;

pub fn read_request(
    env: &Env,
    user_id: Unknown,
    device_id: Unknown,
    store_path: Unknown,
    options: Unknown,
) -> Result<Request> {
    let user_id = string("userId", user_id)?;
    let device_id = string("deviceId", device_id)?;
    let store_path = string("storePath", store_path)?;
    let (user_id, device_id) = (parse_user_id(&user_id)?, parse_device_id(&device_id)?);
    let options = read_options(env, options, &user_id, &device_id)?;
    Request::new(user_id.as_str(), device_id.as_str(), &store_path, options)
}

/// A user, a device, and what the homeserver serves about them.
pub fn read_query(
    env: &Env,
    user_id: Unknown,
    device_id: Unknown,
    server_keys: Unknown,
) -> Result<(OwnedUserId, OwnedDeviceId, ServerKeys)> {
    let user_id = parse_user_id(&string("userId", user_id)?)?;
    let device_id = parse_device_id(&string("deviceId", device_id)?)?;
    check_object("serverKeys", server_keys)?;
    let answer = answer::read_public(env, server_keys, &user_id, &device_id)?;
    let server_keys = ServerKeys::parse(&answer, &user_id, &device_id);
    Ok((user_id, device_id, server_keys))
}

/// Reads each option as JavaScript does (`options.passphrase`), so also one that is inherited, not
/// enumerable, or comes from a proxy. A passphrase that is overlooked would leave the store plain.
fn read_options(env: &Env, options: Unknown, user_id: &UserId, device_id: &DeviceId) -> Result<Options> {
    let mut read = Options::default();
    match type_of(options) {
        ValueType::Undefined => return Ok(read),
        ValueType::Object if !options.is_array().unwrap_or(true) => {}
        ValueType::Object => return Err(invalid("options must be an object, not an array")),
        found => return Err(invalid(format!("options must be an object, not {}", describe(found)))),
    }
    let names = intrinsics::keys(env, options).map_err(|_| threw())?;
    for index in 0..names.len() {
        let name: String = names.get(index).map_err(|_| threw())?.unwrap_or_default();
        if !OPTIONS.contains(&name.as_str()) {
            let known = OPTIONS.join(", ");
            return Err(invalid(format!(
                "there is no option {:?}. The options are: {known}",
                clipped(&name)
            )));
        }
    }
    for option in OPTIONS {
        let value = intrinsics::get(env, options, option.to_owned()).map_err(|_| threw())?;
        if type_of(value) == ValueType::Undefined {
            continue;
        }
        let name = format!("options.{option}");
        match option {
            "passphrase" => read.passphrase = Some(Zeroizing::new(string(&name, value)?)),
            "reset" => read.reset = boolean(&name, value)?,
            "busyTimeout" => read.busy_timeout = milliseconds(&name, value)?,
            _ => {
                check_object(&name, value)?;
                read.server_keys = Some(answer::read(env, value, user_id, device_id)?);
            }
        }
    }
    Ok(read)
}

fn threw() -> Error {
    invalid("options cannot be read: reading them threw an exception")
}

fn string(name: &str, value: Unknown) -> Result<String> {
    expect(name, value, ValueType::String, "a string")
}

fn boolean(name: &str, value: Unknown) -> Result<bool> {
    expect(name, value, ValueType::Boolean, "a boolean")
}

fn milliseconds(name: &str, value: Unknown) -> Result<std::time::Duration> {
    let number: f64 = expect(name, value, ValueType::Number, "a number of milliseconds")?;
    if (0.0..=LONGEST_BUSY_TIMEOUT).contains(&number) {
        Ok(std::time::Duration::from_secs_f64(number / 1000.0))
    } else {
        Err(invalid(format!("{name} must be from 0 to {LONGEST_BUSY_TIMEOUT} milliseconds, not {number}")))
    }
}

fn check_object(name: &str, value: Unknown) -> Result<()> {
    match type_of(value) {
        ValueType::Object => Ok(()),
        found => Err(invalid(format!("{name} must be an object, not {}", describe(found)))),
    }
}

fn expect<T: FromNapiValue>(name: &str, value: Unknown, wanted: ValueType, described: &str) -> Result<T> {
    let found = type_of(value);
    if found != wanted {
        // The type alone: the value may be a passphrase in the wrong place.
        return Err(invalid(format!("{name} must be {described}, not {}", describe(found))));
    }
    T::from_unknown(value).map_err(|_| invalid(format!("{name} cannot be read")))
}

fn type_of(value: Unknown) -> ValueType {
    value.get_type().unwrap_or(ValueType::Unknown)
}

fn describe(found: ValueType) -> String {
    match found {
        ValueType::Undefined | ValueType::Null => format!("{found}").to_lowercase(),
        _ => format!("of type {}", format!("{found}").to_lowercase()),
    }
}

fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
