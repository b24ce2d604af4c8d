//! The files of a store, and what the operating system says about them.

use std::{
    fs::{self, DirBuilder, File, Metadata},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file in which the Matrix SDK keeps a crypto store.
pub const DATABASE: &str = "matrix-sdk-crypto.sqlite3";

/// The folder in which a new database is written before it gets its name. A call that was killed leaves
/// it behind, and the next call removes it.
pub const STAGING: &str = ".rust-crypto-helper-new";

/// What SQLite appends to the name of a database for the files that it keeps beside it.
pub const LOG: &str = "-wal";
pub const LOG_INDEX: &str = "-shm";
pub const JOURNAL: &str = "-journal";
pub const COMPANIONS: [&str; 3] = [LOG, LOG_INDEX, JOURNAL];

pub fn companion(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("{DATABASE}{suffix}"))
}

/// Identifies a file or a folder independently of its path, as long as it exists or is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// Windows does not move what is open.
    #[cfg(not(unix))]
    fn from(_: &Metadata) -> Self {
        Self {}
    }
}

/// Makes a file that nobody else can read at any time. SQLite gives its log the same mode.
pub fn create_private_file(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    Ok(file)
}

pub fn create_private_folder(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes a file that need not be there.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens a folder, so that its identity cannot be given to another one.
#[cfg(unix)]
pub fn open_folder(folder: &Path) -> io::Result<Option<(File, FileIdentity)>> {
    let open = File::open(folder)?;
    let identity = FileIdentity::from(&open.metadata()?);
    Ok(Some((open, identity)))
}

/// Windows does not open folders like this, and moves none in which something is open.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn open_folder(_folder: &Path) -> io::Result<Option<(File, FileIdentity)>> {
    Ok(None)
}

/// Makes the names in a folder survive a power cut.
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no such call: its file systems log names themselves.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)]
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
