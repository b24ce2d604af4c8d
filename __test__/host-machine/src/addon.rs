//! The same commands inside Node's process, where a real host runs them.

use napi::{Env, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;

pub struct Line(String);

impl Task for Line {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> napi::Result<String> {
        Ok(crate::answer(self.0.as_bytes()))
    }

    fn resolve(&mut self, _env: Env, answer: String) -> napi::Result<String> {
        Ok(answer)
    }
}

/// Runs one line on a libuv thread and resolves to the answer. It never rejects: as with the binary, a
/// failure is an answer with an `error`.
#[napi]
#[must_use]
pub fn command(json: String) -> AsyncTask<Line> {
    AsyncTask::new(Line(json))
}
