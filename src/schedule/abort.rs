//! Takes back calls that have not begun their work.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use tokio::sync::watch;

use crate::error::Error;

/// Why a call has no result.
#[cfg_attr(test, derive(Debug))]
pub enum Unfinished {
    /// It was taken back before it did anything.
    Aborted,
    Failed(Error),
}

impl From<Error> for Unfinished {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Takes back all calls that have an [`Abort`] of it.
pub struct Switch(watch::Sender<bool>);

impl Switch {
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn abort(&self) {
        self.0.send_replace(true);
    }

    pub fn subscribe(&self) -> Abort {
        Abort(Some(self.0.subscribe()))
    }
}

/// Tells a call that it is taken back. Nobody takes back a call with the default.
#[derive(Clone, Default)]
pub struct Abort(Option<watch::Receiver<bool>>);

impl Abort {
    /// Waits, unless the call is taken back before or meanwhile.
    pub async fn unless<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, Unfinished> {
        let Some(switch) = &mut self.0 else { return Ok(waiting.await) };
        let mut waiting = pin!(waiting);
        let mut aborted = pin!(switch.wait_for(|is_aborted| *is_aborted));
        let mut can_be_aborted = true;
        poll_fn(|context| {
            if can_be_aborted && let Poll::Ready(aborted) = aborted.as_mut().poll(context) {
                if aborted.is_ok() {
                    return Poll::Ready(Err(Unfinished::Aborted));
                }
                // The switch is gone with the worker thread that had it.
                can_be_aborted = false;
            }
            waiting.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_call_waits_until_it_is_taken_back() {
        let switch = Switch::new();
        let mut abort = switch.subscribe();
        assert!(abort.unless(ready(())).await.is_ok());
        let waiting = tokio::spawn(async move { abort.unless(pending::<()>()).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        switch.abort();
        assert!(matches!(waiting.await.unwrap(), Err(Unfinished::Aborted)));
        assert!(matches!(switch.subscribe().unless(ready(())).await, Err(Unfinished::Aborted)));
    }

    #[tokio::test]
    async fn a_call_goes_on_when_the_switch_is_gone() {
        let switch = Switch::new();
        let mut abort = switch.subscribe();
        drop(switch);
        assert!(abort.unless(tokio::task::yield_now()).await.is_ok());
    }
}
