//! A store that is only looked at. Another process may have it open, and goes on working.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    content::{self, Content, Depth, Form},
    files::{DATABASE, FileIdentity, JOURNAL, LOG, LOG_INDEX, companion},
    folder::has_database,
    lock::lock_for_reading,
    open_handles,
    path::not_a_folder,
    rows::Rows,
};
use crate::error::{Error, ErrorCode, Result};

/// What a look at a store shows.
pub struct Seen {
    /// `None` if the store has no account yet.
    pub rows: Option<Rows>,
    pub schema: u8,
    pub is_encrypted: bool,
    pub has_stray_cipher: bool,
}

/// Reads the rows of a ghost. The folder stays as it is: nothing is made, changed or removed in it.
///
/// `STORE_IN_USE` if this process has the store open, or if another one keeps it from being read at this
/// moment.
pub fn look(folder: &Path, passphrase: Option<&str>) -> Result<Seen> {
    check_is_there(folder)?;
    open_handles::check_none(folder)?;

    let file = folder.join(DATABASE);
    let lock = lock_for_reading(&file, &companion(folder, LOG_INDEX))?;
    let before = Files::of(folder)?;
    let content = match open(&file, &before, lock.is_some()) {
        Ok(database) => content::read(&database, &file, passphrase, Depth::Look),
        Err(error) => Err(error),
    };
    // What was read, or a failure to read it, counts only if nothing can have been overwritten meanwhile.
    if Files::of(folder)? != before {
        return Err(Error::in_use("another process, which changes it"));
    }
    // The lock goes last: closing the files drops it.
    drop(lock);
    let Content { rows, form } = content?;
    Ok(match form {
        Form::Empty => Seen { rows, schema: 0, is_encrypted: false, has_stray_cipher: false },
        Form::Tables { schema, codec, stray_cipher: has_stray_cipher } => {
            Seen { rows, schema, is_encrypted: codec.is_encrypting(), has_stray_cipher }
        }
    })
}

fn check_is_there(folder: &Path) -> Result<()> {
    let missing = |what: &str| {
        Err(Error::new(
            ErrorCode::InvalidStorePath,
            format!("there is no store: {what}. Give the folder that OlmMachine.initialize takes"),
        ))
    };
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(not_a_folder()),
        Ok(_) if has_database(folder)? => Ok(()),
        Ok(_) => missing(&format!("the folder holds no {DATABASE}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing("the folder does not exist"),
        Err(error) => Err(Error::io("look at the folder", &error)),
    }
}

/// Shows whether a process has made, replaced or restarted one of the store's files meanwhile.
///
/// A process that adds to the log does not change what was in it. If everything in the log is in the
/// database, it may write the log again from its start. Then it first writes another header.
#[derive(PartialEq, Eq)]
struct Files {
    database: FileIdentity,
    is_empty: bool,
    log: Option<(FileIdentity, Vec<u8>)>,
    index: Option<FileIdentity>,
    has_journal: bool,
}

impl Files {
    fn of(folder: &Path) -> Result<Self> {
        const HEADER: u64 = 32;

        let database =
            fs::metadata(folder.join(DATABASE)).map_err(|error| Error::io("look at the database", &error))?;
        let header = |suffix: &str, length: u64| -> io::Result<Option<(FileIdentity, Vec<u8>)>> {
            let file = match File::open(companion(folder, suffix)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let identity = FileIdentity::from(&file.metadata()?);
            let mut header = Vec::new();
            file.take(length).read_to_end(&mut header)?;
            Ok(Some((identity, header)))
        };
        let log = header(LOG, HEADER).map_err(|error| Error::io("read the log", &error))?;
        let journal = header(JOURNAL, 1).map_err(|error| Error::io("read the journal", &error))?;
        Ok(Self {
            database: FileIdentity::from(&database),
            is_empty: database.len() == 0,
            log,
            index: FileIdentity::of(&companion(folder, LOG_INDEX)).ok(),
            // SQLite wipes the first byte of a journal that is spent.
            has_journal: journal.is_some_and(|(_, first)| first.first().is_some_and(|&byte| byte != 0)),
        })
    }
}

/// Opens the database so that SQLite changes nothing beside it.
///
/// Left to itself, SQLite makes a log and its index to read a database, writes into the index that others
/// share, and removes the log of an empty database, even if it may only read. So:
///
/// - Without a log, the database is opened as one that nobody can change. Then SQLite looks for no other
///   files. Our lock sees to it that nobody changes it.
/// - With a log, SQLite opens it as if it were alone. Then it makes an index of its own in memory, from the
///   log, and does not touch the index of the others. It must not copy the log into the database when it
///   closes.
///
/// Where our lock cannot be had, SQLite locks for itself. It uses the index of the others, and only reads it.
fn open(file: &Path, files: &Files, is_locked: bool) -> Result<Connection> {
    if files.has_journal {
        // SQLite would have to copy the journal back into the database before it could read it.
        return Err(Error::new(
            ErrorCode::StoreInUse,
            "another process is writing to it, or was interrupted while it wrote, and has left its journal. If no \
             process has it open, open it once with an OlmMachine or bootstrapCrossSigning, which restores the \
             content",
        ));
    }
    let has_log = files.log.as_ref().is_some_and(|(_, header)| !header.is_empty());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let (parameter, is_alone) = match (has_log && !files.is_empty, is_locked) {
        (false, _) => ("immutable=1", false),
        (true, true) => ("vfs=unix-none", true),
        (true, false) => ("readonly_shm=1", false),
    };
    let database = Connection::open_with_flags(format!("file:{}?{parameter}", escaped(file)), flags)?;
    // This comes first: SQLite would even remove a log in which nothing is committed.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if is_alone {
        database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    database.busy_timeout(Duration::ZERO)?;
    // Everything is read as it is at one moment.
    database.execute_batch("BEGIN")?;
    Ok(database)
}

/// A path as a URI has it.
fn escaped(path: &Path) -> String {
    use std::fmt::Write;

    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut uri, &byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => _ = write!(uri, "%{byte:02X}"),
        }
        uri
    })
}
