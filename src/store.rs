//! A store opened with the Matrix SDK, and really closed again.

use std::{fs, path::Path, sync::OnceLock};

use matrix_sdk_sqlite::{OpenStoreError, SqliteCryptoStore, SqliteStoreConfig};
use tokio::runtime::Builder;

use crate::{
    error::{Error, ErrorCode, Result, shown},
    folder::DATABASE,
};

/// In the environment, it switches the template off: for the benchmark, and to find out whether the
/// template is to blame.
const NO_TEMPLATE: &str = "RUST_CRYPTO_HELPER_NO_TEMPLATE";

/// How a bootstrap opens the store in `place`.
pub fn config(place: &Path, passphrase: Option<&str>) -> SqliteStoreConfig {
    SqliteStoreConfig::new(place)
        .passphrase(passphrase)
        .pool_max_size(2)
        // PRAGMA optimize writes into the file: a store that is only read stays as it is.
        .optimize(false)
}

/// Opens a store, does `work` with it and closes it, whatever became of the work. When this returns,
/// no handle of it is open and SQLite has put its log away, if it could. Errors name `store`.
///
/// Blocks: it is for a thread that may wait.
pub fn with_store<T>(
    config: &SqliteStoreConfig,
    store: &Path,
    work: impl AsyncFnOnce(&SqliteCryptoStore) -> Result<T>,
) -> Result<T> {
    // SQLite's connections are closed in background tasks of the runtime that they were opened in,
    // and only dropping that runtime waits for them. One thread for these tasks, so that the
    // connections close one after the other: of two that close at the same moment each takes the
    // other for the last, and the log stays behind.
    let runtime = Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .map_err(|error| Error::internal(format_args!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        let opened =
            SqliteCryptoStore::open_with_config(config).await.map_err(|error| open_error(store, &error))?;
        work(&opened).await
    })
}

fn open_error(store: &Path, error: &OpenStoreError) -> Error {
    match error {
        OpenStoreError::InitCipher(_) => Error::new(
            ErrorCode::StorePassphrase,
            format!("the passphrase does not open the store {}: give the one it was made with", shown(store)),
        ),
        _ => Error::sdk(store, error),
    }
}

/// Makes an empty database in `place`: every table, no content, not encrypted.
///
/// The SDK needs 17 transactions and half of a bootstrap's time for it. It does so once per process;
/// later stores start from a copy of those bytes.
pub fn create_empty(place: &Path, store: &Path) -> Result<()> {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();

    let database = place.join(DATABASE);
    // Made here and not by SQLite, so that nobody else can read it at any time: its log and the
    // log's index get the same mode.
    private_file(&database, TEMPLATE.get().map_or(&[], Vec::as_slice))
        .map_err(|error| Error::io(store, "make the database", &error))?;
    if TEMPLATE.get().is_some() {
        return Ok(());
    }
    // As an OlmMachine would make it, with the statistics that PRAGMA optimize writes.
    with_store(&SqliteStoreConfig::new(place), store, async |_| Ok(()))?;
    // A log that is still there did not fit into the database, which is then not whole.
    let whole = place.join(format!("{DATABASE}-wal")).try_exists().is_ok_and(|log_is_left| !log_is_left);
    // Without a template every store is made in this way, which is right and only slower. Another
    // thread may have been faster; its template is as good.
    if whole
        && std::env::var_os(NO_TEMPLATE).is_none()
        && let Ok(bytes) = fs::read(&database)
    {
        let _ = TEMPLATE.set(bytes);
    }
    Ok(())
}

fn private_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Not synced here, but as a whole when it is finished.
    options.open(path)?.write_all(content)
}
