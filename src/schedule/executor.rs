//! The threads on which calls run. They are neither the JavaScript thread nor the threads of libuv, which
//! the rest of the application needs.

use std::{future::Future, sync::LazyLock};

use tokio::{
    runtime::{Builder, Runtime},
    sync::Semaphore,
    task::JoinError,
};

use super::abort::{Abort, Unfinished};
use crate::error::{Error, Result};

/// How many calls are at work at once. The rest wait in order. Most of these wait for the disk: how many compute
/// is up to [`super::processors`]. With fsyncs of 5 ms, a call waits ten times as long as it computes.
const AT_ONCE: usize = 16;

/// One for each call that is at work. Who has one finds a thread at once.
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// One thread schedules the calls, and up to [`AT_ONCE`] others do the work. They live as long as the
/// process. They go on when a worker thread of Node.js ends.
static RUNTIME: LazyLock<std::result::Result<Runtime, String>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(AT_ONCE)
        .thread_name("crypto-helper")
        .enable_time()
        .build()
        .map_err(|error| error.to_string())
});

/// Runs `work` and passes its outcome to `settle` exactly once, even if `work` panics.
pub fn spawn<T: Send + 'static>(
    work: impl Future<Output = std::result::Result<T, Unfinished>> + Send + 'static,
    settle: impl FnOnce(std::result::Result<T, Unfinished>) + Send + 'static,
) {
    match &*RUNTIME {
        Ok(runtime) => {
            // Two tasks, side by side: one inside the other would keep the room for `work` twice.
            let task = runtime.spawn(work);
            runtime.spawn(async { settle(task.await.unwrap_or_else(|error| Err(panicked(&error).into()))) });
        }
        Err(reason) => {
            settle(Err(Error::internal(format_args!("cannot start threads: {reason}")).into()));
        }
    }
}

/// Runs `work` on a thread that may block, as soon as one is free. Once it has begun, it finishes.
pub async fn blocking<T: Send + 'static>(
    abort: &mut Abort,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> std::result::Result<Result<T>, Unfinished> {
    let Ok(place) = abort.unless(PLACES.acquire()).await? else {
        return Err(Error::internal("nothing runs any more").into());
    };
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    Ok(done.await.unwrap_or_else(|error| Err(panicked(&error))))
}

/// Waits for a future of the SDK. Call this only on a thread of [`blocking`].
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(future)
}

/// The message never has the panic's own text, which may quote a private key.
fn panicked(error: &JoinError) -> Error {
    Error::internal(if error.is_panic() { "the work panicked" } else { "the work was cancelled" })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_panic_becomes_an_error_on_every_thread() {
        let (sender, outcomes) = mpsc::channel();
        let on_worker = sender.clone();
        let work =
            async { Ok(blocking::<()>(&mut Abort::default(), || panic!("expected by the test")).await??) };
        spawn(work, move |outcome| {
            on_worker.send(outcome).unwrap();
        });
        spawn::<()>(async { panic!("expected by the test") }, move |outcome| sender.send(outcome).unwrap());
        for outcome in outcomes.iter().take(2) {
            let Err(Unfinished::Failed(error)) = outcome else { panic!("it has not failed") };
            assert_eq!(error.code, ErrorCode::Internal);
            assert!(!error.message.contains("expected by the test"));
        }
    }
}
