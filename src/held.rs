//! A store that exists already, held so that nobody else can open it, from the first look to the
//! last write.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use rusqlite::{
    Connection, MAIN_DB, OpenFlags,
    backup::{Backup, StepResult},
};

use crate::{
    error::{Error, Result},
    folder::{DATABASE, FileIdentity},
    in_use,
};

const ALL_PAGES: i32 = -1;

/// Dropped, the store is free again, and SQLite has put its log away.
pub struct HeldStore<'a> {
    store: &'a Path,
    file: FileIdentity,
    database: Connection,
}

impl<'a> HeldStore<'a> {
    /// `STORE_IN_USE` if somebody has the store open, in this process or another. Touches nothing
    /// then; otherwise SQLite recovers what a crashed process left in the log.
    pub fn hold(store: &'a Path) -> Result<Self> {
        in_use::check_this_process(store)?;

        let sqlite = |error: rusqlite::Error| Error::sqlite(store, &error);
        let file = FileIdentity::of(&store.join(DATABASE))
            .map_err(|error| Error::io(store, "look at the database", &error))?;
        let database = open(&store.join(DATABASE)).map_err(sqlite)?;
        // SQLite opens what it may not write to all the same, and leaves files beside it.
        if database.is_readonly(MAIN_DB).map_err(sqlite)? {
            return Err(Error::io(store, "write the database", &io::ErrorKind::PermissionDenied.into()));
        }
        database.busy_timeout(std::time::Duration::ZERO).map_err(sqlite)?;
        // Every connection in WAL mode holds a shared lock, even an idle one. Exclusive locking mode
        // wants that lock for itself alone, asks for it before it touches the log, and keeps it. It
        // comes first: whatever reads from the database before it opens the log that others have.
        database.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(sqlite)?;
        database.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(|error| {
            match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => Error::in_use(store, "another process"),
                _ => sqlite(error),
            }
        })?;
        database.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
        // A crashed process leaves its index of the log. Who holds a store exclusively has none there
        // and removes none; and now nobody else can be using it.
        remove(&store.join(format!("{DATABASE}-shm")))
            .map_err(|error| Error::io(store, "remove what a crashed process left", &error))?;
        Ok(Self { store, file, database })
    }

    pub fn database(&self) -> &Connection {
        &self.database
    }

    /// Makes a copy of the store in `place`, with SQLite's own means: a file that this process opens
    /// and closes otherwise takes the lock on it away.
    pub fn copy_to(&self, place: &Path) -> Result<()> {
        let mut to = Connection::open(place.join(DATABASE)).map_err(|error| self.sqlite(&error))?;
        copy(self.store, &self.database, &mut to)
    }

    /// Puts the content of the store in `place` into this one, all in one transaction.
    pub fn replace_with(&mut self, place: &Path) -> Result<()> {
        let from = open(&place.join(DATABASE)).map_err(|error| self.sqlite(&error))?;
        copy(self.store, &from, &mut self.database)
    }

    /// That the store is still where the caller has it, and not moved away or removed meanwhile.
    pub fn check_place(&self) -> Result<()> {
        match FileIdentity::of(&self.store.join(DATABASE)) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(Error::gone(self.store)),
        }
    }

    fn sqlite(&self, error: &rusqlite::Error) -> Error {
        Error::sqlite(self.store, error)
    }

    /// Puts the log away and lets the store go. Dropping does so too, but cannot say that it failed.
    pub fn close(self) -> Result<()> {
        let sqlite = |error: rusqlite::Error| Error::sqlite(self.store, &error);
        self.database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(sqlite)?;
        self.database.close().map_err(|(_, error)| sqlite(error))?;
        remove_spent_journal(self.store)
            .map_err(|error| Error::io(self.store, "remove the emptied rollback journal", &error))
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A database that is not in WAL mode, such as an empty file, has a rollback journal instead. Who
/// holds it exclusively leaves that journal behind: wiped, which is how SQLite knows that it is spent.
fn remove_spent_journal(store: &Path) -> io::Result<()> {
    let path = store.join(format!("{DATABASE}-journal"));
    let mut first = [0];
    match File::open(&path).and_then(|mut journal| journal.read(&mut first)) {
        Ok(_) if first == [0] => remove(&path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Not CREATE: a database that somebody removes meanwhile must not come back empty.
fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(database, flags)
}

fn copy(store: &Path, from: &Connection, to: &mut Connection) -> Result<()> {
    match Backup::new(from, to).and_then(|backup| backup.step(ALL_PAGES)) {
        Ok(StepResult::Done) => Ok(()),
        Ok(_) => Err(Error::internal("SQLite has copied a part of the store")),
        Err(error) => Err(Error::sqlite(store, &error)),
    }
}
