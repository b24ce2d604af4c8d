//! Copies JSON out of JavaScript. A caller may pass anything: what JSON does not have is refused, and what
//! is large is not copied.

use napi::{Env, JsString, JsValue, Unknown, ValueType, bindgen_prelude::FromNapiValue};
use serde_json::{Map, Number, Value};

use super::intrinsics;
use crate::homeserver::Record;

/// The size limit of a copy, in UTF-16 code units and [`COST`] for each value. A device takes about 800.
const LARGEST: usize = 256 * 1024;

const COST: usize = 8;

/// How deep objects may be nested. Clients crash on a key with 125 levels.
const DEEPEST: usize = 100;

/// The largest integer that JavaScript has exactly. Canonical JSON allows no larger one.
const LARGEST_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Why a value cannot be copied.
type Refused = String;

/// Whether an object is what `JSON.parse` makes of an object, in any realm. A `Map`, an array and an
/// instance of a class are not: what they hold need not be in properties of their own.
pub fn is_plain(env: &Env, object: Unknown) -> Result<bool, Refused> {
    let is_null = |value: Unknown| value.get_type().is_ok_and(|found| found == ValueType::Null);
    let prototype = intrinsics::prototype(env, object).map_err(threw)?;
    Ok(is_null(prototype) || is_null(intrinsics::prototype(env, prototype).map_err(threw)?))
}

pub fn copy(env: &Env, value: Unknown) -> Result<Record, Refused> {
    let mut copier = Copier { env, room: LARGEST, defect: None };
    let value = copier.value(value, 0)?;
    Ok(Record { value, defect: copier.defect })
}

pub fn threw(_: napi::Error) -> Refused {
    "reading it threw an exception".to_owned()
}

struct Copier<'env> {
    env: &'env Env,
    room: usize,
    defect: Option<&'static str>,
}

impl<'env> Copier<'env> {
    fn value(&mut self, value: Unknown<'env>, depth: usize) -> Result<Value, Refused> {
        self.take(COST)?;
        match value.get_type().map_err(threw)? {
            ValueType::Null => Ok(Value::Null),
            ValueType::Boolean => bool::from_unknown(value).map(Value::Bool).map_err(threw),
            ValueType::Number => f64::from_unknown(value).map(number).map_err(threw),
            ValueType::String => self.string(value).map(Value::String),
            ValueType::Object if depth == DEEPEST => {
                self.defect = Some("it is nested too deeply");
                Ok(Value::Null)
            }
            ValueType::Object if value.is_array().map_err(threw)? => self.array(value, depth),
            ValueType::Object if is_plain(self.env, value)? => self.object(value, depth),
            ValueType::Object => Err("an object in it is not a plain one".to_owned()),
            found => {
                Err(format!("it holds a {}, which JSON does not have", format!("{found}").to_lowercase()))
            }
        }
    }

    fn object(&mut self, object: Unknown<'env>, depth: usize) -> Result<Value, Refused> {
        let names = intrinsics::keys(self.env, object).map_err(threw)?;
        let mut copy = Map::new();
        for index in 0..names.len() {
            let name: Unknown = names.get(index).map_err(threw)?.ok_or_else(changed)?;
            let value = intrinsics::get(self.env, object, name).map_err(threw)?;
            if value.get_type().is_ok_and(|found| found == ValueType::Undefined) {
                self.take(COST)?;
                continue;
            }
            copy.insert(self.string(name)?, self.value(value, depth + 1)?);
        }
        Ok(Value::Object(copy))
    }

    fn array(&mut self, array: Unknown<'env>, depth: usize) -> Result<Value, Refused> {
        let length = intrinsics::get(self.env, array, "length").and_then(u32::from_unknown).map_err(threw)?;
        let elements = (0..length).map(|index| {
            let element = intrinsics::get(self.env, array, index).map_err(threw)?;
            if element.get_type().is_ok_and(|found| found == ValueType::Undefined) {
                self.take(COST)?;
                return Ok(Value::Null);
            }
            self.value(element, depth + 1)
        });
        elements.collect::<Result<_, _>>().map(Value::Array)
    }

    fn string(&mut self, string: Unknown<'env>) -> Result<String, Refused> {
        let string = JsString::from_unknown(string).map_err(threw)?;
        self.take(string.utf16_len().map_err(threw)?)?;
        let units = string.into_utf16().map_err(threw)?;
        let units = units.strip_suffix(&[0]).unwrap_or(&units);
        Ok(String::from_utf16(units).unwrap_or_else(|_| {
            self.defect = Some("it holds a half of a surrogate pair");
            String::from_utf16_lossy(units)
        }))
    }

    fn take(&mut self, size: usize) -> Result<(), Refused> {
        self.room = self.room.checked_sub(size).ok_or("it is larger than a homeserver's can be")?;
        Ok(())
    }
}

fn changed() -> Refused {
    "it changed while it was read".to_owned()
}

fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= LARGEST_INTEGER {
        #[allow(clippy::cast_possible_truncation)] // it is an integer, and an i64 holds it
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
