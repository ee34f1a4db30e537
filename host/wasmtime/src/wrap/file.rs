//! Reading a file whole and replacing it whole: nobody ever sees half of it, and what it was is kept.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcp_reconnect::oauth::FileStore;

/// The largest file that is read, in bytes: Claude Code's state file may have megabytes.
const MAX_BYTES: u64 = 64 << 20;
/// The most backups of one file that are kept.
const MAX_BACKUPS: u32 = 1000;
/// The longest name of a backup, in characters: file systems take 255 bytes.
const LONGEST_NAME: usize = 200;

/// A file as it was read.
#[derive(Debug)]
pub struct Original {
    /// Its path, with symbolic links followed.
    path: PathBuf,
    metadata: Metadata,
    /// Its text.
    pub text: String,
}

/// Where the files as they were are kept, beside the credentials; `None`: there is no home.
fn backups() -> Option<PathBuf> {
    Some(FileStore::of_user()?.folder().parent()?.join("wrapped"))
}

/// How long another run is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Makes sure that no other run of `wrap` or `unwrap` is between reading a file and replacing it, until the value is dropped: of two
/// that read the same, one would undo what the other did. Without a home there is no place for it, and none for a backup.
pub fn lock() -> Result<Option<File>, String> {
    let Some(folder) = FileStore::of_user().and_then(|store| Some(store.folder().parent()?.to_owned())) else {
        return Ok(None);
    };
    let open = || {
        create_folder(&folder)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(folder.join("wrap.lock"))
    };
    // What is wrong with the folder the backup says.
    let Ok(file) = open() else { return Ok(None) };
    let end = Instant::now() + LOCK_LIMIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::WouldBlock) => {
                return Err("another mcp-reconnect is changing a configuration file; try again".to_owned());
            }
            // Some file systems have none.
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// For nobody else to read.
fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Writes a file that does not exist yet, for nobody else to read.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Original, String> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("{} does not exist; name the client's configuration file", path.display()),
        _ => format!("{} cannot be read: {error}", path.display()),
    };
    // The link stays a link: what it leads to is replaced.
    let path_followed = path.canonicalize().map_err(failed)?;
    let file = File::open(&path_followed).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("{} is larger than {} MiB", path.display(), MAX_BYTES >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    Ok(Original { path: path_followed, metadata, text })
}

impl Original {
    /// Replaces the file by `text`, with the same permissions; gives the path of the backup.
    pub fn replace(&self, text: &str) -> Result<PathBuf, String> {
        let failed =
            |what: &str, error: std::io::Error| format!("{what} cannot be written: {error}; nothing was changed");
        // A file beside it could take its place all the same, against the will of whoever made it so.
        if self.metadata.permissions().readonly() {
            return Err(format!("{} is read-only; make it writable first, nothing was changed", self.path.display()));
        }
        let backup = self.back_up().map_err(|error| failed("a backup", error))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = self.path.with_file_name(format!(".{name}.mcp-reconnect-{}", std::process::id()));
        let result =
            self.write_new(&temporary, text).map_err(|error| failed("a file beside it", error)).and_then(|()| {
                // A client may have written meanwhile, as Claude Code does to its state file.
                match fs::read(&self.path) {
                    Ok(now) if now == self.text.as_bytes() => {
                        fs::rename(&temporary, &self.path).map_err(|error| failed("it", error))
                    }
                    _ => {
                        Err("the file was changed by another program meanwhile; nothing was changed, try again"
                            .to_owned())
                    }
                }
            });
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
            let _ = fs::remove_file(&backup);
        }
        result.map(|()| backup).map_err(|problem| format!("{}: {problem}", self.path.display()))
    }

    /// Copies it to a name that is free in the user's own folder: it may hold secrets, and a project's folder is shared.
    fn back_up(&self) -> std::io::Result<PathBuf> {
        let folder = backups().ok_or_else(|| std::io::Error::other("set HOME: there is no place for it"))?;
        create_folder(&folder)?;
        // The whole path, so that it can be told whose copy it is.
        let path = self.path.display().to_string();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        let name: String = path.chars().rev().take(LONGEST_NAME).map(plain).collect();
        let name: String = name.chars().rev().collect();
        for number in 1..=MAX_BACKUPS {
            let path = folder.join(format!("{}.{number}", name.trim_start_matches('_')));
            match create(&path, &self.text) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(path),
            }
        }
        Err(std::io::Error::other(format!("there are {MAX_BACKUPS} in {} already", folder.display())))
    }

    /// Writes a file that does not exist yet. It may hold secrets: from its first moment nobody may read it who may not
    /// read the original.
    fn write_new(&self, path: &Path, text: &str) -> std::io::Result<()> {
        create(path, text)?;
        let given = self.give_permissions(path);
        if given.is_err() {
            let _ = fs::remove_file(path);
        }
        given
    }

    fn give_permissions(&self, path: &Path) -> std::io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let new = fs::metadata(path)?;
            if (new.uid(), new.gid()) != (self.metadata.uid(), self.metadata.gid()) {
                // Only root may give files away; for anyone else the file is their own from now on, and nobody else's.
                if std::os::unix::fs::chown(path, Some(self.metadata.uid()), Some(self.metadata.gid())).is_err() {
                    let own = self.metadata.mode() & 0o700;
                    return fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(own));
                }
            }
        }
        fs::set_permissions(path, self.metadata.permissions())
    }
}
