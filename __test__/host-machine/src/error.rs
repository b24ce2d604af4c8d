//! Errors as the text that the answer carries.

use std::{any::Any, error::Error, iter};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Includes the causes, because many errors of the SDK name only the step that failed.
pub fn text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("panicked: {message}")
}
