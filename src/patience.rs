//! Waits for a store that somebody else has open.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    error::{Error, ErrorCode, Result},
    schedule::{
        abort::{Abort, Unfinished},
        executor::blocking,
    },
    store::open_handles,
};

/// How often a store that somebody holds is looked at again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Makes attempts, each on a thread that may block, until the store is free or `patience` has passed.
///
/// Others, in other processes or beside our own calls, are waited for from when the store is first found in
/// use.
pub async fn once_free<T: Send + 'static>(
    abort: &mut Abort,
    folder: &Path,
    patience: Duration,
    attempt: impl Fn() -> Result<T> + Clone + Send + 'static,
) -> std::result::Result<T, Unfinished> {
    let mut deadline = patience.is_zero().then(Instant::now);
    loop {
        let is_last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let (attempt, store) = (attempt.clone(), folder.to_owned());
        let attempt = move || {
            attempt()
                .map_err(|error| if is_last { naming_holder(error, &store) } else { error })
                .map_err(|error| error.about(&store))
        };
        match blocking(abort, attempt).await? {
            Err(error) if error.code == ErrorCode::StoreInUse && !is_last => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                abort.unless(sleep(POLL_INTERVAL.min(deadline - Instant::now()))).await?;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Finding the process that has the store open takes a while, so only the last attempt does it.
fn naming_holder(mut error: Error, folder: &Path) -> Error {
    if error.code == ErrorCode::StoreInUse
        && let Some(process) = open_handles::other_process(folder)
    {
        error.message = format!("{}. It is {process}", error.message);
    }
    error
}
