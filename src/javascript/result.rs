//! Turns results and errors into JavaScript values.

use napi::{Env, JsError, JsValue, Unknown};
use zeroize::Zeroizing;

use super::{intrinsics, signal::Listening};
use crate::{
    error::{Error, Result},
    schedule::abort::Unfinished,
};

pub fn to_json(result: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(result).map_err(|_| Error::internal("the result cannot be written as JSON"))
}

/// A text that is a secret. The copy in Rust is wiped.
pub fn to_string(env: Env, text: Result<Zeroizing<String>>) -> napi::Result<Unknown<'static>> {
    let text = text.map_err(|error| thrown(env, error))?;
    let text = env.create_string(text.as_str())?;
    Ok(outliving(&env, &text))
}

/// The outcome of a call that may have been taken back. Then the promise rejects with the reason of the signal.
pub fn settle(
    env: Env,
    outcome: std::result::Result<String, Unfinished>,
    listening: Option<Listening>,
) -> napi::Result<Unknown<'static>> {
    let reason = match (&outcome, &listening) {
        (Err(Unfinished::Aborted), Some(listening)) => Some(listening.reason(&env)),
        _ => None,
    };
    if let Some(listening) = listening {
        listening.end(&env);
    }
    match (outcome, reason) {
        (Ok(json), _) => to_javascript(env, Ok(json)),
        (Err(Unfinished::Failed(error)), _) => to_javascript(env, Err(error)),
        (Err(Unfinished::Aborted), Some(reason)) => Err(reason),
        (Err(Unfinished::Aborted), None) => {
            to_javascript(env, Err(Error::internal("a call without a signal was aborted")))
        }
    }
}

/// Runs on the JavaScript thread. An `Err` made of a JavaScript error is what the promise rejects with.
/// napi's own errors would lose the code.
pub fn to_javascript(env: Env, outcome: Result<String>) -> napi::Result<Unknown<'static>> {
    let parsed = outcome.and_then(|json| {
        parse(&env, json).map_err(|_| Error::internal("JSON.parse does not take the result"))
    });
    parsed.map_err(|error| thrown(env, error))
}

fn thrown(env: Env, error: Error) -> napi::Error {
    JsError::from(napi::Error::new(error.code, error.message)).into_unknown(env).into()
}

/// JavaScript's own parser makes a property of every key. napi's conversion of maps assigns, and so loses
/// a device with the ID `__proto__`.
fn parse(env: &Env, json: String) -> napi::Result<Unknown<'static>> {
    Ok(outliving(env, &intrinsics::parse(env, json)?))
}

/// A value that is passed on to JavaScript.
#[allow(unsafe_code)]
fn outliving<'env>(env: &Env, value: &impl JsValue<'env>) -> Unknown<'static> {
    // SAFETY: napi passes the value on to the promise or the caller before the callback that this runs in,
    // and with it the value's handle scope, ends. `env` is a local, which the type cannot tell from that.
    unsafe { Unknown::from_raw_unchecked(env.raw(), value.raw()) }
}
