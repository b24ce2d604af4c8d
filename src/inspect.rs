//! A look at an existing database before the SDK opens it, which asks less: it writes a cipher into a
//! plain store that it gets a passphrase for, and takes a store of a future version for its own.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::error::{Error, ErrorCode, Result, shown};

/// The newest schema that this build's matrix-sdk-sqlite writes; a test holds it against the SDK.
const NEWEST_SCHEMA: u8 = 17;

/// Rejects a store that is damaged, too new, or that `passphrase` does not fit.
pub fn inspect(store: &Path, database: &Connection, passphrase: Option<&str>) -> Result<()> {
    let sqlite = |error: rusqlite::Error| Error::sqlite(store, &error);

    let verdict: String =
        database.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(sqlite)?;
    if verdict != "ok" {
        return Err(Error::corrupt(store, verdict));
    }
    let version = schema_version(store, database)?;
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
    check_passphrase(store, database, version, passphrase)
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
    use crate::{folder::DATABASE, store::create_empty};

    #[test]
    fn the_newest_schema_is_the_one_that_the_sdk_writes() {
        let folder = tempfile::tempdir().unwrap();
        create_empty(folder.path(), folder.path()).unwrap();
        let database = Connection::open(folder.path().join(DATABASE)).unwrap();
        assert_eq!(schema_version(folder.path(), &database).unwrap(), NEWEST_SCHEMA);
    }
}
