//! A store that exists already. It is held, so that nobody else can open it, from the first look to
//! the last write.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, MAIN_DB, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use super::{
    content::{self, Content, Depth, Form},
    files::{DATABASE, FileIdentity, JOURNAL, LOG, LOG_INDEX, companion, remove_if_there},
    lock::lock_database,
    new_database, open_handles,
    rows::{Changes, Encoded},
};
use crate::error::{Error, Result};

/// When this is dropped, the store is free again, and SQLite has emptied its log.
pub struct HeldStore<'a> {
    place: Place<'a>,
    // Fields are dropped in this order: the lock goes last.
    database: Connection,
    leftovers: Leftovers<'a>,
    lock: Option<File>,
}

/// Where the store is, and which file it is.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: &'a Path,
    file: FileIdentity,
}

impl Place<'_> {
    /// Checks that the store is still where the caller has it.
    fn check(&self) -> Result<()> {
        match FileIdentity::of(&self.folder.join(DATABASE)) {
            Ok(found) if found == self.file => Ok(()),
            _ => Err(Error::gone()),
        }
    }
}

/// The files that SQLite leaves beside the database when it closes it.
struct Leftovers<'a> {
    place: Place<'a>,
    /// The log, if it is this call that made it.
    own_log: Option<FileIdentity>,
}

impl Drop for Leftovers<'_> {
    fn drop(&mut self) {
        let folder = self.place.folder;
        if self.place.check().is_ok() {
            // If it stays, it does no harm.
            let _ = remove_spent_journal(folder);
            return;
        }
        // SQLite leaves the log of a database that has lost its name. A new store there would take it
        // for its own.
        let log = companion(folder, LOG);
        if self.own_log.is_some_and(|own| FileIdentity::of(&log).is_ok_and(|found| found == own)) {
            let _ = fs::remove_file(log);
        }
    }
}

impl<'a> HeldStore<'a> {
    /// `STORE_IN_USE` if somebody has the store open, in this process or another. Then nothing is
    /// touched. Otherwise SQLite recovers what a crashed process left in the log.
    pub fn hold(folder: &'a Path) -> Result<Self> {
        open_handles::check_none(folder)?;

        let path = folder.join(DATABASE);
        let file = FileIdentity::of(&path).map_err(|error| Error::io("look at the database", &error))?;
        let place = Place { folder, file };
        let log = companion(folder, LOG);
        let had_log = log.exists();
        // Without CREATE: a database that somebody removes meanwhile must not come back empty.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let lock = lock_database(&path)?;
        let database = match lock {
            // SQLite's own locks would conflict with ours.
            Some(_) => Connection::open_with_flags_and_vfs(&path, flags, "unix-none"),
            None => Connection::open_with_flags(&path, flags),
        }?;
        // SQLite also opens what it may not write to, and leaves files beside it.
        if database.is_readonly(MAIN_DB)? {
            return Err(Error::io("write the database", &io::ErrorKind::PermissionDenied.into()));
        }
        database.busy_timeout(Duration::ZERO)?;
        // Triggers belong to other programs. They must not run because of this package's writes.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        // Every connection in WAL mode holds a shared lock, even an idle one. Where our own lock is not to
        // be had, exclusive locking mode asks for that lock alone, before it touches the log, and keeps
        // it. Everywhere it keeps the index of the log in memory. It comes first: whatever reads from the
        // database before it opens the log that others have.
        database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        database.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(|error| {
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => Error::in_use("another process"),
                Some(rusqlite::ErrorCode::ReadOnly) if has_unknown_format(&path) => {
                    Error::corrupt("its header asks for a format that this SQLite cannot write")
                }
                _ => error.into(),
            }
        })?;
        // A crashed process leaves its index of the log. Who holds a store exclusively has none there
        // and removes none. Now nobody else can be using it.
        remove_if_there(&companion(folder, LOG_INDEX))
            .map_err(|error| Error::io("remove what a crashed process left", &error))?;
        let own_log = if had_log { None } else { FileIdentity::of(&log).ok() };
        Ok(Self { place, database, leftovers: Leftovers { place, own_log }, lock })
    }

    /// Reads the rows that a bootstrap is about, and nothing else.
    pub fn read(&self, passphrase: Option<&str>) -> Result<Content> {
        content::read(&self.database, &self.place.folder.join(DATABASE), passphrase, Depth::BeforeWrite)
    }

    /// Writes what has changed, and nothing else, in one transaction. Then lets the store go.
    pub fn finish(mut self, content: &Content, passphrase: Option<&str>, changes: &Changes) -> Result<()> {
        let has_written = match &content.form {
            Form::Empty => {
                self.check_still_alone()?;
                new_database::fill(&mut self.database, passphrase, changes)?;
                if self.place.check().is_ok() {
                    // It has begun a new log.
                    self.leftovers.own_log = FileIdentity::of(&companion(self.place.folder, LOG)).ok();
                }
                true
            }
            Form::Tables { stray_cipher: false, .. } if changes.is_empty() => false,
            Form::Tables { codec, stray_cipher, .. } => {
                self.write(&Encoded::new(codec, changes)?, *stray_cipher)?;
                true
            }
        };
        self.close(has_written)
    }

    fn write(&mut self, rows: &Encoded, removes_cipher: bool) -> Result<()> {
        let transaction = Transaction::new_unchecked(&self.database, TransactionBehavior::Immediate)?;
        if removes_cipher {
            transaction.execute("DELETE FROM kv WHERE key = 'cipher'", ())?;
        }
        rows.write(&transaction)?;
        // This is the last moment at which the store is as it was.
        self.check_still_alone()?;
        Ok(transaction.commit()?)
    }

    /// SQLite's own locks do not stop an `OlmMachine` in this process that opens the store meanwhile.
    fn check_still_alone(&self) -> Result<()> {
        self.place.check()?;
        if self.lock.is_some() { Ok(()) } else { open_handles::check_only_ours(self.place.folder) }
    }

    /// Empties the log and lets the store go. Dropping does so too, but cannot say what went wrong.
    fn close(self, has_written: bool) -> Result<()> {
        // The last to be named is the first to be dropped.
        let Self { lock: _lock, place, database, leftovers: _leftovers } = self;
        let emptied = database
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
            .and_then(|()| database.close().map_err(|(_, error)| error));
        if place.check().is_err() {
            return Err(if has_written { Error::gone_after_write() } else { Error::gone() });
        }
        match emptied {
            // The change is on the disk, in the log, where the next opening finds it. A rejection would
            // say that nothing has changed, and keep the payloads of the new identity back.
            Err(_) if has_written => Ok(()),
            emptied => Ok(emptied?),
        }
    }
}

/// Whether the header asks for another format than a rollback journal (1) or a write-ahead log (2).
/// SQLite then takes the file for one that may not be written.
fn has_unknown_format(database: &Path) -> bool {
    let mut header = [0; 20];
    let read = File::open(database).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18..].iter().any(|version| !(1..=2).contains(version))
}

/// A database that is not in WAL mode has a rollback journal. Who holds it exclusively leaves that
/// journal behind, with a wiped header: this is how SQLite knows that it is spent.
fn remove_spent_journal(folder: &Path) -> io::Result<()> {
    let path = companion(folder, JOURNAL);
    let mut first = [0];
    match File::open(&path).and_then(|mut journal| journal.read(&mut first)) {
        Ok(_) if first == [0] => remove_if_there(&path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
