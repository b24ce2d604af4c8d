//! A store's folder: found by whatever spelling, made if it is missing, held by one bootstrap at a
//! time across processes, and, for a new store, the place where the finished database appears.

use std::{
    fs::{self, DirBuilder, File, Metadata, TryLockError},
    hash::{DefaultHasher, Hasher},
    io::{self, BufRead, BufReader},
    path::{Component, Path, PathBuf},
};

use tempfile::TempPath;

use crate::{
    error::{Error, ErrorCode, Result, shown},
    in_use,
};

/// The file that the Matrix SDK keeps a crypto store in.
pub const DATABASE: &str = "matrix-sdk-crypto.sqlite3";

/// Where a new store is built. A call that was killed leaves it behind; the next one removes it.
const STAGING: &str = ".rust-crypto-helper-new";

/// The files that SQLite keeps beside a database, by what it appends to the name.
pub const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The longest path of a database that SQLite takes, in bytes: 512 with what it appends.
const LONGEST_PATH: usize = 512 - "-journal".len();

/// More than a path of that length has; what cannot be made in so many tries is a link to nowhere.
const MOST_FOLDERS: usize = LONGEST_PATH;

/// What a file or folder is, by whatever name. It stays with the one that was looked at as long as
/// that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileIdentity {
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for FileIdentity {
    #[cfg(unix)]
    fn from(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device_and_inode: (metadata.dev(), metadata.ino()) }
    }

    /// On Windows, what is open cannot be moved away.
    #[cfg(not(unix))]
    fn from(_: &Metadata) -> Self {
        Self {}
    }
}

/// The one absolute spelling of a store folder, which need not exist: no links, no dots.
pub fn resolve(store: &Path) -> Result<PathBuf> {
    let mut existing = store;
    let mut missing = Vec::new();
    let mut resolved = loop {
        match fs::canonicalize(existing) {
            Ok(real) => break real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut parts = existing.components();
                let (Some(last), parent) = (parts.next_back(), parts.as_path()) else {
                    return Err(Error::io(store, "find the folder", &error));
                };
                missing.push(last);
                existing = parent;
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(not_a_folder(store)),
            Err(error) => return Err(Error::io(store, "find the folder", &error)),
        }
    };
    for part in missing.into_iter().rev() {
        match part {
            // What is missing has no links in it, so that going up is a matter of spelling.
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    Ok(resolved)
}

fn not_a_folder(store: &Path) -> Error {
    Error::new(
        ErrorCode::InvalidStorePath,
        format!(
            "something other than a folder stands at {}. Choose another path or move it away",
            shown(store)
        ),
    )
}

/// The right to work in a store's folder. No other bootstrap, of whatever process, has it until
/// this is dropped.
pub struct StoreFolder {
    path: PathBuf,
    orphans: Vec<(PathBuf, FileIdentity)>,
    // Before the lock: fields are dropped in this order, and folders are removed under the lock.
    created: CreatedFolders,
    #[cfg_attr(not(unix), allow(dead_code))]
    lock: Option<File>,
}

impl StoreFolder {
    /// Makes the folder if need be and takes the lock. `STORE_IN_USE` if another bootstrap has it.
    pub fn enter(path: &Path) -> Result<Self> {
        let length = path.join(STAGING).join(DATABASE).as_os_str().len();
        if length > LONGEST_PATH {
            let reason = format!("its path is {} bytes too long for SQLite", length - LONGEST_PATH);
            return Err(Error::io(path, "work in the folder", &io::Error::other(reason)));
        }
        let mut created = CreatedFolders::create(path)?;
        let lock = match lock(path) {
            Ok(lock) => lock,
            Err(error) => {
                if error.code == ErrorCode::StoreInUse {
                    // Somebody works in the folder already: it is no longer ours to remove.
                    created.keep();
                }
                return Err(error);
            }
        };
        Ok(Self { path: path.to_owned(), orphans: Vec::new(), created, lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a database is here, finished or not.
    pub fn has_database(&mut self) -> Result<bool> {
        let companions = self.companions();
        match fs::symlink_metadata(self.path.join(DATABASE)) {
            Ok(found) if found.is_file() => Ok(true),
            // SQLite keeps its log beside the file that the link leads to: two folders would share
            // one store, each with a lock of its own.
            Ok(found) if found.is_symlink() => Err(Error::new(
                ErrorCode::InvalidStorePath,
                format!(
                    "{DATABASE} in {} is a symbolic link. Give the folder that really holds it",
                    shown(&self.path)
                ),
            )),
            Ok(_) => Err(Error::corrupt(&self.path, format_args!("{DATABASE} in it is not a file"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.orphans = companions;
                Ok(false)
            }
            Err(error) => Err(Error::io(&self.path, "look at the database", &error)),
        }
    }

    /// The files there that SQLite keeps beside a database.
    fn companions(&self) -> Vec<(PathBuf, FileIdentity)> {
        let paths = COMPANIONS.map(|companion| self.path.join(format!("{DATABASE}{companion}")));
        paths.into_iter().filter_map(|path| Some((path.clone(), FileIdentity::of(&path).ok()?))).collect()
    }

    /// A log without its database is of a store that somebody removed: left there, it would be played
    /// into the new one. Only logs that were there before the database was not: somebody who makes a
    /// database here at this moment makes a log of their own.
    fn remove_orphans(&self) -> Result<()> {
        if !self.orphans.is_empty() {
            in_use::check_this_process(&self.path)?;
        }
        for (path, seen) in &self.orphans {
            if FileIdentity::of(path).is_ok_and(|found| found == *seen) {
                fs::remove_file(path).map_err(|error| {
                    Error::io(&self.path, "remove the log of a database that is gone", &error)
                })?;
            }
        }
        Ok(())
    }

    /// An empty private folder on the same file system, to build a new store in.
    pub fn stage(&self) -> Result<Staging<'_>> {
        let path = self.path.join(STAGING);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io(&self.path, "remove what an interrupted call left", &error));
            }
            _ => {}
        }
        let refused = |error: io::Error| Error::io(&self.path, "make a folder to build it in", &error);
        private_folder().create(&path).map_err(refused)?;
        let created = open_folder(&path).map_err(refused)?;
        Ok(Staging { path, folder: self, created })
    }

    /// By its handle, where there is one: it may be moved away at this moment, with a finished store.
    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(folder) = &self.lock {
            return folder.sync_all();
        }
        sync_folder(&self.path)
    }

    /// The folder stays, whatever happens from now on.
    pub fn keep(&mut self) {
        self.created.keep();
    }
}

/// There the lock is a file in the folder, which can be removed only without it.
#[cfg(windows)]
impl Drop for StoreFolder {
    fn drop(&mut self) {
        self.lock = None;
    }
}

/// A new store being built where no one else looks for it. Dropped, it is gone.
pub struct Staging<'a> {
    path: PathBuf,
    folder: &'a StoreFolder,
    /// Open, so that no other folder can come to have the same identity.
    created: Option<(File, FileIdentity)>,
}

impl Staging<'_> {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store that it is to become, which is what errors name.
    pub fn store(&self) -> &Path {
        &self.folder.path
    }

    fn is_moved(&self) -> bool {
        let found = FileIdentity::of(&self.path).ok();
        self.created.as_ref().is_some_and(|(_, created)| found.as_ref() != Some(created))
    }

    /// Whether it is the store that was begun, and has taken in its log. The SDK makes the folder
    /// anew, and an empty store in it, if somebody has moved it away; and SQLite, when it closes,
    /// does not say that it could not write.
    pub fn check_whole(&self) -> Result<()> {
        if self.is_moved() {
            // What stands there now the SDK has made; unless somebody works there meanwhile.
            if lock(self.store()).is_ok() && fs::remove_dir_all(&self.path).is_ok() {
                let _ = fs::remove_dir(self.store());
            }
            return Err(Error::gone(self.store()));
        }
        match self.path.join(format!("{DATABASE}-wal")).try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => {
                Err(Error::io(self.store(), "write the database", &io::ErrorKind::StorageFull.into()))
            }
            Err(error) => Err(Error::io(self.store(), "look at the database", &error)),
        }
    }

    /// Tells whether the database has changed since it was last asked for.
    pub fn fingerprint(&self) -> Result<u64> {
        let read = || -> io::Result<u64> {
            let mut reader = BufReader::new(File::open(self.path.join(DATABASE))?);
            let mut hasher = DefaultHasher::new();
            loop {
                let bytes = reader.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(hasher.finish());
                }
                hasher.write(bytes);
                let length = bytes.len();
                reader.consume(length);
            }
        };
        read().map_err(|error| Error::io(&self.folder.path, "read the copy of the database", &error))
    }

    /// Puts the finished store in its place: from one moment to the next it is there, whole.
    pub fn publish(self) -> Result<()> {
        let store = &self.folder.path;
        let staged = self.path.join(DATABASE);
        let database = store.join(DATABASE);

        // Nothing of it has been synced yet (.cargo/config.toml).
        fs::OpenOptions::new()
            .write(true) // Windows syncs nothing that may only be read.
            .open(&staged)
            .and_then(|database| database.sync_all())
            .map_err(|error| Error::io(store, "sync the database", &error))?;
        self.folder.remove_orphans()?;
        TempPath::try_from_path(staged)
            .map_err(|error| Error::io(store, "name the database", &error))?
            .persist_noclobber(&database)
            .map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Error::in_use(store, "another program, which has just made it")
                }
                _ => Error::io(store, "put the database in its place", &refused.error),
            })?;

        // The names, too, must survive a power cut.
        let parents = self.folder.created.0.iter().filter_map(|folder| folder.parent());
        let synced = self.folder.sync().and_then(|()| parents.into_iter().try_for_each(sync_folder));
        synced.map_err(|error| {
            // Nobody has been told of this store: better none than one that may vanish.
            let _ = fs::remove_file(&database);
            Error::io(store, "sync the folder", &error)
        })
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        // If it fails, the next call cleans up.
        if !self.is_moved() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folders that this call made, outermost first. Dropped, those that are empty go again.
struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    fn create(store: &Path) -> Result<Self> {
        let mut created = Self(Vec::new());
        for _ in 0..MOST_FOLDERS {
            let Some(missing) = store.ancestors().take_while(|folder| !folder.exists()).last() else { break };
            match private_folder().create(missing) {
                Ok(()) => created.0.push(missing.to_owned()),
                // Another call makes it too, or has failed and removed what this one found there.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                Err(error) => return Err(Error::io(store, "make the folder", &error)),
            }
        }
        if store.is_dir() { Ok(created) } else { Err(not_a_folder(store)) }
    }

    fn keep(&mut self) {
        self.0.clear();
    }
}

impl Drop for CreatedFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // Refused if somebody has put something into it: then it is no longer ours alone.
            let _ = fs::remove_dir(folder);
        }
    }
}

fn private_folder() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(unix)]
fn open_folder(folder: &Path) -> io::Result<Option<(File, FileIdentity)>> {
    let open = File::open(folder)?;
    let identity = FileIdentity::from(&open.metadata()?);
    Ok(Some((open, identity)))
}

/// Windows opens no folders like this, and moves none in which something is open.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn open_folder(_folder: &Path) -> io::Result<Option<(File, FileIdentity)>> {
    Ok(None)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no such call and needs none: its file systems log their names themselves.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Locks the folder itself, so that no lock file is ever left in it. The lock ends with the
/// process, however that ends. `None` where the file system has no locks for folders (NFS).
#[cfg(unix)]
fn lock(store: &Path) -> Result<Option<File>> {
    let refused = |error: io::Error| match error.kind() {
        // Another call made it and removed it again: as good as a lock that it still holds.
        io::ErrorKind::NotFound => busy(store),
        _ => Error::io(store, "open the folder", &error),
    };
    let folder = File::open(store).map_err(refused)?;
    match folder.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(store)),
        Err(TryLockError::Error(_)) => return Ok(None),
    }
    let locked = FileIdentity::from(&folder.metadata().map_err(refused)?);
    if FileIdentity::of(store).map_err(refused)? == locked { Ok(Some(folder)) } else { Err(busy(store)) }
}

/// Windows locks no folders: a file that only one process can open, and that Windows removes when
/// the process closes it or dies, does the same.
#[cfg(windows)]
fn lock(store: &Path) -> Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;

    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    // While the last holder's file is on its way out.
    const ERROR_ACCESS_DENIED: i32 = 5;

    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .share_mode(0)
        .custom_flags(FILE_FLAG_DELETE_ON_CLOSE)
        .open(store.join(".rust-crypto-helper-lock"))
        .map(Some)
        .map_err(|error| match (error.raw_os_error(), error.kind()) {
            (Some(ERROR_SHARING_VIOLATION | ERROR_ACCESS_DENIED), _) | (_, io::ErrorKind::NotFound) => {
                busy(store)
            }
            _ => Error::io(store, "lock the folder", &error),
        })
}

fn busy(store: &Path) -> Error {
    Error::in_use(store, "another bootstrap, of another process")
}
