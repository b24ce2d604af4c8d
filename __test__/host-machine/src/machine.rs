//! One `OlmMachine`, opened the way the binding opens it. Unlike the binding's, its `close` waits until the
//! store is closed.

use std::path::PathBuf;

use matrix_sdk_crypto::OlmMachine;
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{DeviceId, UserId};
use tokio::runtime::{Builder, Runtime};

use crate::error::Result;

pub struct Machine {
    olm: OlmMachine,
    /// Each machine has its own runtime, because the store closes its connections in background tasks and
    /// only dropping the runtime waits for them.
    runtime: Runtime,
}

impl Machine {
    pub fn open(
        store: Option<PathBuf>,
        passphrase: Option<&str>,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let olm = runtime.block_on(async {
            let Some(store) = store else { return Result::Ok(OlmMachine::new(user, device).await) };
            let store = SqliteCryptoStore::open(store, passphrase).await?;
            Ok(OlmMachine::with_store(user, device, store, None).await?)
        })?;
        Ok(Self { olm, runtime })
    }

    pub fn run<T>(&self, work: impl AsyncFnOnce(&OlmMachine) -> T) -> T {
        self.runtime.block_on(work(&self.olm))
    }

    pub fn close(self) {
        let Self { olm, runtime } = self;
        // Inside the runtime: dropping a connection spawns the task that closes it.
        runtime.block_on(async { drop(olm) });
        drop(runtime);
    }
}
