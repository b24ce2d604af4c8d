//! Waits for a store that somebody else has open.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    error::{Error, ErrorCode, Result},
    schedule::{
        abort::{Abort, Unfinished},
        executor::blocking,
    },
    store::open_handles::Holders,
};

/// How often a store that somebody holds is looked at again, if few calls wait.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// How much time there is for each look, however many calls wait. A look takes a small part of it.
const TIME_FOR_A_LOOK: Duration = Duration::from_millis(5);

/// How much longer the pause between two lists of holders is than it took to make one. And how long it is at most.
const PAUSE_BETWEEN_LISTS: u32 = 20;
const LONGEST_PAUSE_BETWEEN_LISTS: Duration = Duration::from_millis(200);

/// A call that waits for a held store.
struct Waiting;

static WAITING: AtomicU32 = AtomicU32::new(0);

impl Waiting {
    fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// How long each call waits between two looks. Each call that waits makes the pauses of all longer.
    fn pause() -> Duration {
        SHORTEST_PAUSE.max(TIME_FOR_A_LOOK.saturating_mul(WAITING.load(Ordering::Relaxed)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes attempts, each on a thread that may block, until the store is free or `patience` has passed.
///
/// Others, in other processes or beside our own calls, are waited for from when the store is first found in
/// use. Between the attempts a call takes no thread.
pub async fn once_free<T: Send + 'static>(
    abort: &mut Abort,
    folder: &Path,
    patience: Duration,
    attempt: impl Fn() -> Result<T> + Clone + Send + 'static,
) -> std::result::Result<T, Unfinished> {
    let mut deadline = patience.is_zero().then(Instant::now);
    let mut waiting = None;
    loop {
        let is_last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        match blocking(abort, attempt.clone()).await? {
            Err(error) if error.code == ErrorCode::StoreInUse && !is_last => {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                waiting.get_or_insert_with(Waiting::begin);
                let next = deadline.min(Instant::now() + Waiting::pause());
                abort.unless(sleep_until(next)).await?;
            }
            Err(error) if error.code == ErrorCode::StoreInUse => {
                drop(waiting);
                return Err(naming_holder(error, folder).await.about(folder).into());
            }
            outcome => return Ok(outcome.map_err(|error| error.about(folder))?),
        }
    }
}

/// Which process has which file open, at a moment.
struct Listed {
    begun: Instant,
    took: Duration,
    ended: Instant,
    holders: Holders,
}

/// To find the process that has the store open takes a while. So only a call that gives up does it, and all that give
/// up meanwhile share the next list.
async fn naming_holder(mut error: Error, folder: &Path) -> Error {
    static LISTED: Mutex<Option<Listed>> = Mutex::const_new(None);

    let asked = Instant::now();
    let mut listed = LISTED.lock().await;
    if listed.as_ref().is_none_or(|listed| listed.begun < asked) {
        if let Some(last) = &*listed {
            sleep(
                (last.took * PAUSE_BETWEEN_LISTS)
                    .min(LONGEST_PAUSE_BETWEEN_LISTS)
                    .saturating_sub(last.ended.elapsed()),
            )
            .await;
        }
        let begun = Instant::now();
        let list = blocking(&mut Abort::default(), || Ok(Holders::list())).await;
        *listed = list.ok().and_then(Result::ok).map(|holders| {
            let ended = Instant::now();
            Listed { begun, took: ended - begun, ended, holders }
        });
    }
    if let Some(process) = listed.as_ref().and_then(|listed| listed.holders.of(folder)) {
        error.message = format!("{}. It is {process}", error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_waiting_calls_look_as_often_as_a_few() {
        let waiting: Vec<_> = (0..1000).map(|_| Waiting::begin()).collect();
        let pause = Waiting::pause();
        // Other tests may wait at the same time.
        assert!(pause >= Duration::from_secs(5), "{pause:?}");
        drop(waiting);
        let _last = Waiting::begin();
        assert!((SHORTEST_PAUSE..Duration::from_secs(1)).contains(&Waiting::pause()));
    }
}
