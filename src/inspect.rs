//! A look at an existing database before the SDK opens it, since opening is not harmless: the SDK
//! upgrades what it opens, writes a cipher into a plain store that it gets a passphrase for, and
//! takes a store of a future version for one of its own.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::{
    error::{Error, ErrorCode, Result, shown},
    folder::DATABASE,
};

/// The newest schema that this build's matrix-sdk-sqlite writes; a test holds it against the SDK.
const NEWEST_SCHEMA: u8 = 17;

/// Rejects a store that somebody has open, that is damaged, too new, or that `passphrase` does not
/// fit. Leaves the store as it is, but for what SQLite itself recovers from a crashed process.
pub fn inspect(store: &Path, passphrase: Option<&str>) -> Result<()> {
    let sqlite = |error: rusqlite::Error| Error::sqlite(store, &error);

    // Not CREATE: a database that somebody removes meanwhile must not come back empty. Not
    // read-only: such a connection could not remove the log that it made.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(store.join(DATABASE), flags).map_err(sqlite)?;
    database.busy_timeout(std::time::Duration::ZERO).map_err(sqlite)?;

    // Every connection in WAL mode holds a shared lock, even an idle one. Exclusive locking mode
    // wants that lock for itself alone, and asks for it before it touches the log.
    database.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sqlite)?;
    database.execute_batch("BEGIN EXCLUSIVE").map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => Error::in_use(store, "another process"),
        _ => sqlite(error),
    })?;

    let verdict: String =
        database.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(sqlite)?;
    if verdict != "ok" {
        return Err(Error::corrupt(store, verdict));
    }
    let version = schema_version(store, &database)?;
    if version > NEWEST_SCHEMA {
        return Err(Error::new(
            ErrorCode::StoreVersion,
            format!(
                "the store {} has schema {version}, this build knows none above {NEWEST_SCHEMA}: a newer \
                 matrix-sdk wrote it. Update rust-crypto-helper",
                shown(store)
            ),
        ));
    }
    check_passphrase(store, &database, version, passphrase)
    // Dropping the connection rolls back, releases the lock and removes the log.
}

/// 0 for an empty database: the SDK was interrupted before it wrote anything, and starts over.
fn schema_version(store: &Path, database: &Connection) -> Result<u8> {
    let sqlite = |error: rusqlite::Error| Error::sqlite(store, &error);

    let tables: u32 =
        database.query_row("SELECT count(*) FROM sqlite_master", (), |row| row.get(0)).map_err(sqlite)?;
    if tables == 0 {
        return Ok(0);
    }
    if !database.table_exists(None, "kv").map_err(sqlite)? {
        return Err(Error::corrupt(store, "the database in it is not a Matrix crypto store"));
    }
    match value(database, "version").map_err(sqlite)?.as_deref() {
        Some([version]) => Ok(*version),
        _ => Err(Error::corrupt(store, "the schema's version is missing")),
    }
}

fn check_passphrase(
    store: &Path,
    database: &Connection,
    version: u8,
    passphrase: Option<&str>,
) -> Result<()> {
    if version == 0 {
        return Ok(());
    }
    let sqlite = |error: rusqlite::Error| Error::sqlite(store, &error);
    let encrypted = value(database, "cipher").map_err(sqlite)?.is_some();
    // The SDK writes the cipher between schema 1 and the rest: what was interrupted there is
    // neither plain nor encrypted yet.
    let plain = !encrypted && (version > 1 || value(database, "account").map_err(sqlite)?.is_some());

    let problem = match passphrase {
        None if encrypted => "is encrypted: give its passphrase",
        Some(_) if plain => "is not encrypted: give no passphrase",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorCode::StorePassphrase, format!("the store {} {problem}", shown(store))))
}

fn value(database: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    database.query_row("SELECT value FROM kv WHERE key = ?1", (key,), |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::create_empty;

    #[test]
    fn the_newest_schema_is_the_one_that_the_sdk_writes() {
        let folder = tempfile::tempdir().unwrap();
        create_empty(folder.path(), folder.path()).unwrap();
        let database = Connection::open(folder.path().join(DATABASE)).unwrap();
        assert_eq!(schema_version(folder.path(), &database).unwrap(), NEWEST_SCHEMA);
    }
}
