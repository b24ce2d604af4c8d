//! Hears when an `AbortSignal` aborts. All calls with one signal share one listener: Node.js takes more than
//! ten for a leak, and looks through all of them to add another one.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use napi::{
    Env, JsValue, Unknown, ValueType,
    bindgen_prelude::{Array, FromNapiValue},
};

use super::{
    intrinsics,
    values::{check_object, invalid, threw, type_of},
};
use crate::{
    error::Result,
    schedule::abort::{Abort, Switch},
};

/// A signal that calls listen to. JavaScript's side of it, the signal and the listener, is remembered under
/// its number.
struct Watched {
    number: u32,
    switch: Switch,
}

static WATCHED: LazyLock<Mutex<HashMap<u32, Weak<Watched>>>> = LazyLock::new(Mutex::default);

fn watched() -> MutexGuard<'static, HashMap<u32, Weak<Watched>>> {
    // No code that can panic runs under this lock.
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    fn new() -> Arc<Self> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);

        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let new = Arc::new(Self { number, switch: Switch::new() });
        watched().insert(number, Arc::downgrade(&new));
        new
    }

    /// The signal, if a call that is pending listens to it.
    fn find(env: &Env, signal: Unknown) -> napi::Result<Option<Arc<Self>>> {
        let number = intrinsics::recall(env, signal)?;
        if type_of(number) != ValueType::Number {
            return Ok(None);
        }
        let number = u32::from_unknown(number)?;
        Ok(watched().get(&number).and_then(Weak::upgrade))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        watched().remove(&self.number);
    }
}

/// The share of a call in the listener of its signal.
pub struct Listening(Arc<Watched>);

/// Checks that the option is a signal. Any object counts that behaves like one: each realm has a class of its
/// own.
pub fn read<'env>(env: &'env Env, name: &str, signal: Unknown<'env>) -> Result<Unknown<'env>> {
    check_object(name, signal)?;
    for (property, expected) in [
        ("aborted", ValueType::Boolean),
        ("addEventListener", ValueType::Function),
        ("removeEventListener", ValueType::Function),
    ] {
        let found = intrinsics::get(env, signal, property).map_err(|_| threw())?;
        if type_of(found) != expected {
            return Err(invalid(format!("{name} must be an AbortSignal: it has no {property}")));
        }
    }
    Ok(signal)
}

pub fn listen(env: &Env, signal: Unknown) -> Result<Listening> {
    let listen = || {
        let found = Watched::find(env, signal)?;
        let is_new = found.is_none();
        let listening = Listening(found.unwrap_or_else(Watched::new));
        let is_aborted = bool::from_unknown(intrinsics::get(env, signal, "aborted")?)?;
        if is_aborted {
            listening.0.switch.abort();
        }
        if is_new {
            listening.begin(env, signal, is_aborted)?;
        }
        Ok(listening)
    };
    listen().map_err(|_: napi::Error| invalid("options.signal cannot be listened to: it threw an exception"))
}

impl Listening {
    pub fn abort(&self) -> Abort {
        self.0.switch.subscribe()
    }

    fn begin(&self, env: &Env, signal: Unknown, is_aborted: bool) -> napi::Result<()> {
        let number = self.0.number;
        let weak = Arc::downgrade(&self.0);
        let listener = env.create_function_from_closure::<(), (), _>("abort", move |_| {
            if let Some(watched) = weak.upgrade() {
                watched.switch.abort();
            }
            Ok(())
        })?;
        let listener = listener.to_unknown();
        intrinsics::remember(env, signal, number)?;
        intrinsics::remember(env, number, vec![signal, listener])?;
        if !is_aborted {
            let event = env.create_string("abort")?.to_unknown();
            let added = intrinsics::call_method(env, signal, "addEventListener", vec![event, listener]);
            if let Err(error) = added {
                self.forget(env, signal)?;
                return Err(error);
            }
        }
        Ok(())
    }

    fn forget(&self, env: &Env, signal: Unknown) -> napi::Result<()> {
        intrinsics::forget(env, signal)?;
        intrinsics::forget(env, self.0.number)
    }

    /// Runs on the JavaScript thread, when the call settles. The last call of a signal removes the listener.
    pub fn end(self, env: &Env) {
        if Arc::strong_count(&self.0) > 1 {
            return;
        }
        let end = || {
            let (signal, listener) = self.remembered(env)?;
            self.forget(env, signal)?;
            let event = env.create_string("abort")?.to_unknown();
            intrinsics::call_method(env, signal, "removeEventListener", vec![event, listener])
        };
        // The call has its outcome, whatever a signal of the caller's own does.
        let _ = end();
    }

    /// What the call rejects with: any value, the same one that the signal has.
    pub fn reason(&self, env: &Env) -> napi::Error {
        let reason = || intrinsics::get(env, self.remembered(env)?.0, "reason");
        match reason() {
            Ok(reason) => napi::Error::from_unknown_without_coercion(reason),
            Err(error) => error,
        }
    }

    fn remembered<'env>(&self, env: &'env Env) -> napi::Result<(Unknown<'env>, Unknown<'env>)> {
        let pair = Array::from_unknown(intrinsics::recall(env, self.0.number)?)?;
        let missing = || napi::Error::from_reason("the signal of a call is forgotten");
        Ok((pair.get(0)?.ok_or_else(missing)?, pair.get(1)?.ok_or_else(missing)?))
    }
}
