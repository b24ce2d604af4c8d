//! JavaScript's arguments, checked and copied. Anything may come in: a wrong type becomes an error
//! to reject with, and so does whatever a getter or a proxy of the caller's throws.

use napi::{
    Env, Unknown, ValueType,
    bindgen_prelude::{Array, FnArgs, FromNapiValue, Function, JsObjectValue, Object},
};
use ruma::{OwnedDeviceId, OwnedUserId};
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorCode, Result, clipped},
    homeserver::ServerKeys,
    request::{Options, Request, parse_device_id, parse_user_id},
};

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
    let options = read_options(env, options)?;
    Request::new(&user_id, &device_id, &store_path, options)
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
    let server_keys = ServerKeys::parse(&json(env, "serverKeys", server_keys)?, &user_id, &device_id)?;
    Ok((user_id, device_id, server_keys))
}

fn read_options(env: &Env, options: Unknown) -> Result<Options> {
    let mut read = Options::default();
    match type_of(options) {
        ValueType::Undefined => return Ok(read),
        ValueType::Object if is_plain(env, options)? => {}
        _ => return Err(invalid("options must be a plain object")),
    }

    let entries: Array = call(env, ("Object", "entries"), options)?;
    for index in 0..entries.len() {
        let entry: Array = element(&entries, index)?;
        let (name, value): (String, Unknown) = (element(&entry, 0)?, element(&entry, 1)?);
        if type_of(value) == ValueType::Undefined {
            // As if it were not there; unless it is none of ours, misspelt for example.
            known(&name)?;
            continue;
        }
        match name.as_str() {
            "passphrase" => read.passphrase = Some(Zeroizing::new(string("options.passphrase", value)?)),
            "reset" => read.reset = boolean("options.reset", value)?,
            "busyTimeout" => read.busy_timeout = milliseconds("options.busyTimeout", value)?,
            "serverKeys" => read.server_keys = Some(json(env, "options.serverKeys", value)?),
            _ => known(&name)?,
        }
    }
    Ok(read)
}

fn known(option: &str) -> Result<()> {
    match option {
        "passphrase" | "reset" | "busyTimeout" | "serverKeys" => Ok(()),
        _ => Err(invalid(format!(
            "there is no option {:?}: the options are passphrase, reset, busyTimeout and serverKeys",
            clipped(option)
        ))),
    }
}

/// Options of a class of their own could hide some of them behind the prototype, where they would be
/// overlooked: a store that was to be encrypted must not come out plain. Every realm (Jest runs
/// tests in another) has an `Object.prototype` of its own; what they share is to be the last.
fn is_plain(env: &Env, options: Unknown) -> Result<bool> {
    let prototype: Unknown = call(env, ("Object", "getPrototypeOf"), options)?;
    if type_of(prototype) == ValueType::Null {
        return Ok(true);
    }
    let last: Unknown = call(env, ("Object", "getPrototypeOf"), prototype)?;
    Ok(type_of(last) == ValueType::Null)
}

/// Calls a function of JavaScript's own, such as `Object.entries`. By way of JavaScript, because napi
/// leaves an exception of a getter's or a proxy's pending, to be thrown at the caller, but hands back
/// that of a function.
fn call<'env, T: FromNapiValue>(
    env: &'env Env,
    (object, function): (&str, &str),
    argument: Unknown<'env>,
) -> Result<T> {
    let call = || -> napi::Result<T> {
        let object: Object = env.get_global()?.get_named_property_unchecked(object)?;
        let function: Function<FnArgs<(Unknown,)>, T> = object.get_named_property_unchecked(function)?;
        function.call(FnArgs::from((argument,)))
    };
    call().map_err(|_| invalid("options cannot be read: it threw"))
}

fn element<T: FromNapiValue>(array: &Array, index: u32) -> Result<T> {
    array.get(index).ok().flatten().ok_or_else(|| invalid("options cannot be read"))
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

/// A JSON object as text: the one form in which JavaScript gives it away whole, once and for all.
fn json(env: &Env, name: &str, value: Unknown) -> Result<String> {
    match type_of(value) {
        ValueType::Object => call(env, ("JSON", "stringify"), value)
            .map_err(|_| invalid(format!("{name} is not JSON: JSON.stringify does not take it"))),
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
