//! Reads what a database holds of a ghost, and in which form. Nothing is written.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{
    codec::{Codec, ENCRYPTED_PREFIX, is_encrypted},
    rows::{self, Rows},
};
use crate::error::{Error, ErrorCode, Result};

/// The schemas whose rows this package can read and write.
const SCHEMAS: std::ops::RangeInclusive<u8> = 9..=19;

/// What a store holds, and how it is encoded.
pub struct Content {
    pub rows: Option<Rows>,
    pub form: Form,
}

pub enum Form {
    /// There are no tables. The SDK was interrupted before it made them.
    Empty,
    Tables {
        schema: u8,
        codec: Codec,
        stray_cipher: bool,
    },
}

/// What a store is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// To tell what is in it. The cost does not depend on the size of the store.
    Look,
    /// To write to it. If the store has a stray cipher, all of its rows are looked at.
    BeforeWrite,
}

/// Reads the rows of a ghost and nothing else. `file` is where the database is.
pub fn read(database: &Connection, file: &Path, passphrase: Option<&str>, depth: Depth) -> Result<Content> {
    if is_empty(database, file)? {
        return Ok(Content { rows: None, form: Form::Empty });
    }
    if !database.table_exists(None, "kv")? {
        return Err(Error::corrupt("the database in it is not a Matrix crypto store"));
    }
    rows::check_table(database, "kv")?;
    let schema = read_schema(database)?;
    let (codec, stray_cipher) = unlock(database, passphrase, depth)?;
    Ok(Content { rows: rows::read(database, &codec)?, form: Form::Tables { schema, codec, stray_cipher } })
}

/// A database without tables has one page at most. A damaged header can make a larger database look empty.
fn is_empty(database: &Connection, file: &Path) -> Result<bool> {
    let number = |sql: &str| database.query_row(sql, (), |row| row.get::<_, u64>(0));
    if number("SELECT count(*) FROM sqlite_master")? > 0 {
        return Ok(false);
    }
    let page_size = number("PRAGMA page_size")?;
    let length = fs::metadata(file).map_err(|error| Error::io("look at the database", &error))?.len();
    if number("PRAGMA page_count")? <= 1 && length <= page_size {
        Ok(true)
    } else {
        Err(Error::corrupt("the database in it has pages, but no tables"))
    }
}

fn read_schema(database: &Connection) -> Result<u8> {
    let version = rows::value(database, "version")?;
    let Some(&[version]) = version.as_ref().map(|version| version.as_slice()) else {
        return Err(Error::corrupt("the version of its schema is missing"));
    };
    if SCHEMAS.contains(&version) {
        return Ok(version);
    }
    let (oldest, newest) = (SCHEMAS.start(), SCHEMAS.end());
    let advice = if version < *oldest {
        format!(
            "this package knows none below {oldest}. Open it once with @matrix-org/matrix-sdk-crypto-nodejs \
             0.3 or newer, which upgrades it, then call again"
        )
    } else {
        format!(
            "this package knows none above {newest}: a newer Matrix SDK wrote it. Update rust-crypto-helper"
        )
    };
    Err(Error::new(ErrorCode::StoreVersion, format!("it has schema {version}, {advice}")))
}

/// Finds out how the store is encoded. The SDK asks less: it writes a cipher into a plain store
/// that it gets a passphrase for, after which neither it nor anybody else can open the store.
fn unlock(database: &Connection, passphrase: Option<&str>, depth: Depth) -> Result<(Codec, bool)> {
    let refuse = |message: &str| Err(Error::new(ErrorCode::StorePassphrase, message));

    let Some(cipher) = rows::value(database, "cipher")? else {
        return match passphrase {
            None => Ok((Codec::Plain, false)),
            Some(_) => refuse("it is not encrypted. Give no passphrase"),
        };
    };
    let account = rows::value(database, "account")?;
    let is_stray = account.is_some_and(|account| !is_encrypted(&account));
    if is_stray && depth == Depth::BeforeWrite && has_encrypted_rows(database)? {
        return Err(Error::corrupt("it holds plain rows beside encrypted ones"));
    }
    match passphrase {
        None if is_stray => Ok((Codec::Plain, true)),
        Some(_) if is_stray => refuse(
            "it is not encrypted, but somebody opened it with a passphrase, and since then nothing can open it. \
             Call bootstrapCrossSigning once without a passphrase, which repairs it (the command: without \
             --empty-passphrase, and without a passphrase in the environment)",
        ),
        // This takes as long as opening the store, which does not matter for a call that is refused.
        None if Codec::unlock(&cipher, "").is_ok() => refuse(
            "it is encrypted: made by matrix-bot-sdk? Its passphrase is the empty string. Give it as the option \
             passphrase: '' (the command: --empty-passphrase)",
        ),
        None => refuse("it is encrypted. Give its passphrase"),
        Some(passphrase) => Ok((Codec::unlock(&cipher, passphrase)?, false)),
    }
}

/// Looks at every row of the SDK's tables. It is needed once, before a stray cipher is removed.
fn has_encrypted_rows(database: &Connection) -> Result<bool> {
    let mut columns = database.prepare(
        "SELECT tables.name, columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
         WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%' AND columns.type = 'BLOB'",
    )?;
    let quoted = |name: String| format!("\"{}\"", name.replace('"', "\"\""));
    let mut columns = columns.query(())?;
    while let Some(column) = columns.next()? {
        let (table, column) = (quoted(column.get(0)?), quoted(column.get(1)?));
        let sql =
            format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE substr(CAST({column} AS BLOB), 1, ?1) = ?2)");
        if database.query_row(&sql, (ENCRYPTED_PREFIX.len(), ENCRYPTED_PREFIX), |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}
