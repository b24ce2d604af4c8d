//! JavaScript's values, checked one by one. A wrong type becomes an error to reject with.

use napi::{Env, JsString, JsValue, Unknown, ValueType, bindgen_prelude::FromNapiValue};

use super::intrinsics;
use crate::error::{Error, ErrorCode, Result, clipped};

/// An object that has no other options than these.
pub fn check_options(env: &Env, name: &str, options: Unknown, known: &[&str]) -> Result<()> {
    match type_of(options) {
        ValueType::Object if !options.is_array().unwrap_or(true) => {}
        ValueType::Object => return Err(invalid(format!("{name} must be an object, not an array"))),
        found => return Err(invalid(format!("{name} must be an object, not {}", describe(found)))),
    }
    let names = intrinsics::keys(env, options).map_err(|_| threw())?;
    for index in 0..names.len() {
        let found: String = names.get(index).map_err(|_| threw())?.unwrap_or_default();
        if !known.contains(&found.as_str()) {
            return Err(invalid(format!(
                "there is no option {:?}. The {name} are: {}",
                clipped(&found),
                known.join(", ")
            )));
        }
    }
    Ok(())
}

pub fn threw() -> Error {
    invalid("options cannot be read: reading them threw an exception")
}

pub fn string(name: &str, value: Unknown) -> Result<String> {
    expect(name, value, ValueType::String, "a string")
}

/// Whether a value is a text of more UTF-16 units than this. To find out costs nothing, whatever the length.
pub fn is_longer(value: Unknown, longest: usize) -> bool {
    type_of(value) == ValueType::String
        && JsString::from_unknown(value)
            .and_then(|text| text.utf16_len())
            .is_ok_and(|length| length > longest)
}

pub fn check_object(name: &str, value: Unknown) -> Result<()> {
    match type_of(value) {
        ValueType::Object => Ok(()),
        found => Err(invalid(format!("{name} must be an object, not {}", describe(found)))),
    }
}

pub fn expect<T: FromNapiValue>(name: &str, value: Unknown, wanted: ValueType, described: &str) -> Result<T> {
    let found = type_of(value);
    if found != wanted {
        // The type alone: the value may be a passphrase in the wrong place.
        return Err(invalid(format!("{name} must be {described}, not {}", describe(found))));
    }
    T::from_unknown(value).map_err(|_| invalid(format!("{name} cannot be read")))
}

pub fn type_of(value: Unknown) -> ValueType {
    value.get_type().unwrap_or(ValueType::Unknown)
}

pub fn describe(found: ValueType) -> String {
    match found {
        ValueType::Undefined | ValueType::Null => format!("{found}").to_lowercase(),
        _ => format!("of type {}", format!("{found}").to_lowercase()),
    }
}

pub fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
