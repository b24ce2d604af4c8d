//! The database of a new store.

use std::sync::OnceLock;

use rusqlite::{Connection, MAIN_DB};
use zeroize::Zeroizing;

use super::{
    codec::Codec,
    rows::{Changes, Encoded},
};
use crate::error::{Error, Result};

/// Every table of a store, as the SDK makes them. A test holds this against the SDK.
const SCHEMA: &str = include_str!("schema.sql");

/// Bytes of a page. Most tables of a ghost are empty, and each takes a page. `benchmark/page-sizes.md` has the
/// measurements that chose it.
const PAGE_SIZE: u32 = 1024;

/// Where a database's header says which kind of log it uses, and the number for a write-ahead log.
const LOG_VERSIONS: std::ops::Range<usize> = 18..20;
const WRITE_AHEAD_LOG: u8 = 2;

/// Makes the bytes of a whole database, in memory. The SDK would make it on the disk, in 17
/// transactions.
pub fn create(passphrase: Option<&str>, changes: &Changes) -> Result<Zeroizing<Vec<u8>>> {
    static EMPTY: OnceLock<Vec<u8>> = OnceLock::new();

    let mut database = Connection::open_in_memory()?;
    if let Some(empty) = EMPTY.get() {
        database.deserialize_read_exact(MAIN_DB, empty.as_slice(), empty.len(), false)?;
    } else {
        database.pragma_update(None, "page_size", PAGE_SIZE)?;
        create_tables(&database)?;
        // Another thread may have been faster. Its bytes are the same.
        let _ = EMPTY.set(database.serialize(MAIN_DB)?.to_vec());
    }
    let transaction = database.transaction()?;
    insert_rows(&transaction, passphrase, changes)?;
    transaction.commit()?;

    let mut bytes = Zeroizing::new(database.serialize(MAIN_DB)?.to_vec());
    // In memory there is no write-ahead log.
    bytes
        .get_mut(LOG_VERSIONS)
        .ok_or_else(|| Error::internal("SQLite made a database without a header"))?
        .fill(WRITE_AHEAD_LOG);
    Ok(bytes)
}

/// Makes a store of a database that has no tables.
pub fn fill(database: &mut Connection, passphrase: Option<&str>, changes: &Changes) -> Result<()> {
    // SQLite cannot change the size of the pages while there is a log.
    database.pragma_update(None, "journal_mode", "DELETE")?;
    database.pragma_update(None, "page_size", PAGE_SIZE)?;
    database.execute_batch("VACUUM")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    let transaction = database.transaction()?;
    create_tables(&transaction)?;
    insert_rows(&transaction, passphrase, changes)?;
    Ok(transaction.commit()?)
}

fn create_tables(database: &Connection) -> Result<()> {
    database.execute_batch(SCHEMA)?;
    // The SDK asks for statistics each time it opens a store.
    Ok(database.execute_batch("ANALYZE")?)
}

fn insert_rows(database: &Connection, passphrase: Option<&str>, changes: &Changes) -> Result<()> {
    let codec = match passphrase {
        None => Codec::Plain,
        Some(passphrase) => {
            let (codec, cipher) = Codec::create(passphrase)?;
            database.execute("INSERT INTO kv VALUES ('cipher', ?1)", (cipher,))?;
            codec
        }
    };
    Encoded::new(&codec, changes)?.write(database)
}
