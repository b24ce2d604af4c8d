//! A store's folder: made if it is missing, and locked against the bootstraps of other processes.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    files::{
        COMPANIONS, DATABASE, FileIdentity, JOURNAL, STAGING, companion, create_private_folder, sync_folder,
    },
    lock::lock,
    open_handles,
    path::not_a_folder,
};
use crate::error::{Error, ErrorCode, Result};

/// The longest path of a database that SQLite opens, in bytes: 512 with the suffix.
const LONGEST_PATH: usize = 512 - JOURNAL.len();

/// Upper bound on the components of such a path. Needing more attempts to make them means a dangling
/// symbolic link.
const MOST_FOLDERS: usize = LONGEST_PATH;

/// The right to work in a store's folder. No other bootstrap, of any process, has it until this is
/// dropped.
pub struct StoreFolder {
    path: PathBuf,
    orphans: Vec<(PathBuf, FileIdentity)>,
    // Before the lock: fields are dropped in this order, and folders are removed under the lock.
    created: CreatedFolders,
    #[cfg_attr(not(unix), allow(dead_code))]
    lock: Option<File>,
}

impl StoreFolder {
    /// Makes the folder if it is missing, takes the lock, and removes what an interrupted call left.
    /// `STORE_IN_USE` if another bootstrap has the lock.
    pub fn enter(path: &Path) -> Result<Self> {
        let length = path.join(STAGING).join(DATABASE).as_os_str().len();
        if length > LONGEST_PATH {
            let reason = format!("its path is {} bytes too long for SQLite", length - LONGEST_PATH);
            return Err(Error::io("work in the folder", &io::Error::other(reason)));
        }
        let mut created = CreatedFolders::create(path)?;
        let lock = match lock(path) {
            Ok(lock) => lock,
            Err(error) => {
                if error.code == ErrorCode::StoreInUse {
                    // Somebody works in the folder already, so it is no longer ours to remove.
                    created.keep();
                }
                return Err(error);
            }
        };
        match fs::remove_dir_all(path.join(STAGING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove what an interrupted call left", &error));
            }
            _ => {}
        }
        Ok(Self { path: path.to_owned(), orphans: Vec::new(), created, lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder holds a database, finished or not.
    pub fn has_database(&mut self) -> Result<bool> {
        let companions = self.companions();
        let has_database = has_database(&self.path)?;
        if !has_database {
            self.orphans = companions;
        }
        Ok(has_database)
    }

    /// The files in the folder that SQLite keeps beside a database.
    fn companions(&self) -> Vec<(PathBuf, FileIdentity)> {
        let paths = COMPANIONS.map(|suffix| companion(&self.path, suffix));
        paths.into_iter().filter_map(|path| Some((path.clone(), FileIdentity::of(&path).ok()?))).collect()
    }

    /// A log without a database belongs to a deleted store. SQLite would replay it into the new one.
    /// Removes only logs that were there when the database was not: somebody who makes a database here
    /// at this moment makes a log of their own.
    pub fn remove_orphans(&self) -> Result<()> {
        if !self.orphans.is_empty() {
            open_handles::check_none(&self.path)?;
        }
        for (path, seen) in &self.orphans {
            if FileIdentity::of(path).is_ok_and(|found| found == *seen) {
                fs::remove_file(path)
                    .map_err(|error| Error::io("remove the log of a database that is gone", &error))?;
            }
        }
        Ok(())
    }

    /// Makes the names in the folder, and the folder's own, survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        // By its handle, where there is one: at this moment the folder may be moved away.
        #[cfg(unix)]
        if let Some(folder) = &self.lock {
            folder.sync_all()?;
            return self.created.sync_parents();
        }
        sync_folder(&self.path)?;
        self.created.sync_parents()
    }

    /// Whether the folder that was entered still has its name.
    pub fn is_in_place(&self) -> bool {
        let entered = self.lock.as_ref().and_then(|folder| folder.metadata().ok());
        entered.is_none_or(|entered| {
            FileIdentity::of(&self.path).is_ok_and(|found| found == FileIdentity::from(&entered))
        })
    }

    /// Keeps the folders that this call made, whatever happens from now on.
    pub fn keep(&mut self) {
        self.created.keep();
    }
}

/// Whether a folder holds a database, finished or not.
pub fn has_database(folder: &Path) -> Result<bool> {
    match fs::symlink_metadata(folder.join(DATABASE)) {
        Ok(found) if found.is_file() => Ok(true),
        // SQLite keeps its log beside the file that the link leads to. Two folders would share one
        // store, each with a lock of its own.
        Ok(found) if found.is_symlink() => Err(Error::new(
            ErrorCode::InvalidStorePath,
            format!("{DATABASE} in it is a symbolic link. Give the folder that really holds the file"),
        )),
        Ok(_) => Err(Error::corrupt(format_args!("{DATABASE} in it is not a file"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at the database", &error)),
    }
}

/// On Windows the lock is a file in the folder. The folder can be removed only without it.
#[cfg(windows)]
impl Drop for StoreFolder {
    fn drop(&mut self) {
        self.lock = None;
    }
}

/// The folders that this call made, outermost first. When this is dropped, those that are empty go.
struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    fn create(store: &Path) -> Result<Self> {
        let mut created = Self(Vec::new());
        for _ in 0..MOST_FOLDERS {
            let Some(missing) = store.ancestors().take_while(|folder| !folder.exists()).last() else { break };
            match create_private_folder(missing) {
                Ok(()) => created.0.push(missing.to_owned()),
                // Another call makes it too, or has failed and removed what this one found there.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
                Err(error) => return Err(Error::io("make the folder", &error)),
            }
        }
        if store.is_dir() { Ok(created) } else { Err(not_a_folder()) }
    }

    fn sync_parents(&self) -> io::Result<()> {
        self.0.iter().filter_map(|folder| folder.parent()).try_for_each(sync_folder)
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
