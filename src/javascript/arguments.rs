//! JavaScript's arguments, checked and copied. Anything may come in: a wrong type becomes an error
//! to reject with, and so does whatever a getter or a proxy of the caller's throws.

use std::io;

use napi::{
    Env, Unknown, ValueType,
    bindgen_prelude::{FromNapiValue, Uint8ArraySlice, Utf16String},
};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use zeroize::Zeroizing;

use super::{
    answer, intrinsics, recovery, signal,
    signal::Listening,
    values::{check_object, check_options, describe, expect, invalid, is_longer, string, threw, type_of},
};
use crate::{
    error::{Error, ErrorCode, Result},
    homeserver::ServerKeys,
    recovery::RecoveryKey,
    request::{DEFAULT_BUSY_TIMEOUT, Inspection, Options, Request, parse_device_id, parse_user_id},
};

const OPTIONS: [&str; 6] = ["passphrase", "reset", "busyTimeout", "serverKeys", "recovery", "signal"];

const INSPECT_OPTIONS: [&str; 3] = ["passphrase", "busyTimeout", "signal"];

/// What is longer is refused before it is looked at, so that no text makes a call slow. The Matrix specification
/// has the limit of a user ID. No system opens a longer path.
const LONGEST_USER_ID: usize = 255;
const LONGEST_DEVICE_ID: usize = 100_000;
const LONGEST_PATH: usize = 4096;
const LONGEST_PASSPHRASE: usize = 1_048_576;
const LONGEST_SECRET: usize = 1_048_576;

/// The longest wait that can be asked for, in milliseconds: that of JavaScript's own timers.
const LONGEST_BUSY_TIMEOUT: f64 = 2_147_483_647.0;

pub fn read_request(
    env: &Env,
    user_id: Unknown,
    device_id: Unknown,
    store_path: Unknown,
    options: Unknown,
) -> Result<(Request, Option<Listening>)> {
    let user_id = self::user_id(user_id)?;
    let device_id = self::device_id(device_id)?;
    let store_path = path(store_path)?;
    let (options, signal) = read_options(env, options, &user_id, &device_id)?;
    let mut request = Request::new(user_id.as_str(), device_id.as_str(), &store_path, options)?;
    // Last of all: a call that is refused must not leave a listener.
    let listening = signal.map(|signal| signal::listen(env, signal)).transpose()?;
    if let Some(listening) = &listening {
        request.options.abort = listening.abort();
    }
    Ok((request, listening))
}

pub fn read_inspection(
    env: &Env,
    store_path: Unknown,
    options: Unknown,
) -> Result<(Inspection, Option<Listening>)> {
    let store_path = path(store_path)?;
    let (mut passphrase, mut busy_timeout, mut signal) = (None, DEFAULT_BUSY_TIMEOUT, None);
    for_each_option(env, options, &INSPECT_OPTIONS, |option, name, value| {
        match option {
            "passphrase" => passphrase = Some(self::passphrase(name, value)?),
            "busyTimeout" => busy_timeout = milliseconds(name, value)?,
            _ => signal = Some(signal::read(env, name, value)?),
        }
        Ok(())
    })?;
    let mut inspection = Inspection::new(&store_path, passphrase, busy_timeout)?;
    let listening = signal.map(|signal| signal::listen(env, signal)).transpose()?;
    if let Some(listening) = &listening {
        inspection.abort = listening.abort();
    }
    Ok((inspection, listening))
}

/// A user, a device, and what the homeserver serves about them.
pub fn read_query(
    env: &Env,
    user_id: Unknown,
    device_id: Unknown,
    server_keys: Unknown,
) -> Result<(OwnedUserId, OwnedDeviceId, ServerKeys)> {
    let user_id = self::user_id(user_id)?;
    let device_id = self::device_id(device_id)?;
    check_object("serverKeys", server_keys)?;
    let answer = answer::read_public(env, server_keys, &user_id, &device_id)?;
    let server_keys = ServerKeys::parse(&answer, &user_id, &device_id);
    Ok((user_id, device_id, server_keys))
}

fn user_id(value: Unknown) -> Result<OwnedUserId> {
    parse_user_id(&text("userId", value, LONGEST_USER_ID, ErrorCode::InvalidUserId)?)
}

fn device_id(value: Unknown) -> Result<OwnedDeviceId> {
    parse_device_id(&text("deviceId", value, LONGEST_DEVICE_ID, ErrorCode::InvalidDeviceId)?)
}

fn path(value: Unknown) -> Result<String> {
    if is_longer(value, LONGEST_PATH) {
        let reason = format!("it is longer than {LONGEST_PATH} characters");
        return Err(Error::io("work in the folder storePath", &io::Error::other(reason)));
    }
    text("storePath", value, LONGEST_PATH, ErrorCode::InvalidStorePath)
}

fn passphrase(name: &str, value: Unknown) -> Result<Zeroizing<String>> {
    if is_longer(value, LONGEST_PASSPHRASE) {
        return Err(invalid(format!("{name} is longer than {LONGEST_PASSPHRASE} characters")));
    }
    string(name, value).map(Zeroizing::new)
}

/// A text of which every character counts. Half of a surrogate pair would become another character on the
/// way, and so another ID, another secret or another folder.
fn text(name: &str, value: Unknown, longest: usize, code: ErrorCode) -> Result<String> {
    if is_longer(value, longest) {
        return Err(Error::new(code, format!("{name} is longer than {longest} characters")));
    }
    let units: Utf16String = expect(name, value, ValueType::String, "a string")?;
    String::from_utf16(&units).map_err(|_| {
        Error::new(code, format!("{name} is not well-formed text: it has half of a surrogate pair"))
    })
}

/// The secret of an operator, and a user.
pub fn read_secret(secret: Unknown, user_id: Unknown) -> Result<(Zeroizing<Vec<u8>>, OwnedUserId)> {
    let secret = match type_of(secret) {
        ValueType::String => text("secret", secret, LONGEST_SECRET, ErrorCode::InvalidArgument)?.into_bytes(),
        found => Uint8ArraySlice::from_unknown(secret).map(|bytes| bytes.to_vec()).map_err(|_| {
            invalid(format!("secret must be a string or a Uint8Array, not {}", describe(found)))
        })?,
    };
    let secret = Zeroizing::new(secret);
    Ok((secret, self::user_id(user_id)?))
}

/// A recovery key, and the user whose it is.
pub fn read_recovery_key(key: Unknown, user_id: Unknown) -> Result<(RecoveryKey, OwnedUserId)> {
    Ok((recovery::read_key("key", key)?, self::user_id(user_id)?))
}

fn read_options<'env>(
    env: &'env Env,
    options: Unknown<'env>,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<(Options, Option<Unknown<'env>>)> {
    let (mut read, mut signal) = (Options::default(), None);
    for_each_option(env, options, &OPTIONS, |option, name, value| {
        match option {
            "passphrase" => read.passphrase = Some(passphrase(name, value)?),
            "reset" => read.reset = boolean(name, value)?,
            "busyTimeout" => read.busy_timeout = milliseconds(name, value)?,
            "recovery" => read.recovery = Some(recovery::read(env, name, value)?),
            "signal" => signal = Some(signal::read(env, name, value)?),
            _ => {
                check_object(name, value)?;
                read.server_keys = Some(answer::read(env, value, user_id, device_id)?);
            }
        }
        Ok(())
    })?;
    Ok((read, signal))
}

/// Reads each option as JavaScript does (`options.passphrase`), so also one that is inherited, not
/// enumerable, or comes from a proxy. A passphrase that is overlooked would leave the store plain.
///
/// `read` gets the option, what a message calls it, and its value, if it is not undefined.
fn for_each_option<'env>(
    env: &'env Env,
    options: Unknown<'env>,
    known: &[&str],
    mut read: impl FnMut(&str, &str, Unknown<'env>) -> Result<()>,
) -> Result<()> {
    if type_of(options) == ValueType::Undefined {
        return Ok(());
    }
    check_options(env, "options", options, known)?;
    for option in known {
        let value = intrinsics::get(env, options, (*option).to_owned()).map_err(|_| threw())?;
        if type_of(value) != ValueType::Undefined {
            read(option, &format!("options.{option}"), value)?;
        }
    }
    Ok(())
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
