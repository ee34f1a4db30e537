//! Where credentials are kept: [`Store`] is what a place has to do, [`FileStore`] one file for each, which only its user can read,
//! replaced in one step.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Keeps the credentials of one user, each under a key (letters, digits and hyphens) as a text. The texts are secret. Methods may block.
///
/// What several processes share must be locked between processes: authorization servers take a refresh token once, and whoever
/// comes with it a second time loses the credential.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is stored. `None`: nothing is.
    ///
    /// # Errors
    ///
    /// What is wrong with the store: nothing is read from one that others can write.
    fn load(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Replaces what is stored, in one step: whoever reads finds the old text or the new one.
    ///
    /// # Errors
    ///
    /// Why it could not be written.
    fn save(&self, key: &str, text: &str) -> Result<(), StoreError>;

    /// Forgets a credential. False: there was none.
    ///
    /// # Errors
    ///
    /// Why it could not be removed.
    fn remove(&self, key: &str) -> Result<bool, StoreError>;

    /// Takes a lock, and waits until nobody else holds it.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken.
    fn lock(&self, key: &str, what: Locked) -> Result<Lock, StoreError>;

    /// The same without waiting. `None`: somebody else holds it.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken.
    fn try_lock(&self, key: &str, what: Locked) -> Result<Option<Lock>, StoreError>;

    /// When the credential was changed last, where that costs less than to load it. `None`: it is not known, or nothing is stored.
    fn modified(&self, key: &str) -> Option<SystemTime> {
        let _ = key;
        None
    }
}

/// What a lock of a [`Store`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Locked {
    /// A change of the credential: held for a refresh, seconds at most.
    Credential,
    /// A sign-in by a person: held for minutes.
    SignIn,
}

/// A lock of a [`Store`], held until this is dropped or the process ends.
pub struct Lock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl Lock {
    /// A lock that dropping this value gives back.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lock")
    }
}

/// Why a [`Store`] could not do what it was asked, for people. No secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError(String);

impl StoreError {
    /// An error with this text: what is wrong with what, and what to do.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for String {
    fn from(error: StoreError) -> Self {
        error.0
    }
}

/// The largest record that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A folder with one JSON file for each credential (0600, in a folder with 0700; on Windows in the user's profile). Processes
/// that share it share the credentials, and the locks beside them.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
    /// Whether what is saved is on the disk before it replaces the old.
    flushes: bool,
}

impl FileStore {
    /// A store in this folder, which is made when something is stored.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), flushes: true }
    }

    /// The same store for what need not outlive the machine's power: saving does not wait for the disk.
    pub fn without_flush(self) -> Self {
        Self { flushes: false, ..self }
    }

    /// The store that the command uses: `mcp-reconnect/oauth` in `$XDG_STATE_HOME` or `~/.local/state`, on macOS in
    /// `~/Library/Application Support`, on Windows in `%LOCALAPPDATA%`. `None` where there is no such place.
    pub fn of_user() -> Option<Self> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = if cfg!(windows) {
            absolute("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            absolute("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        };
        base.map(|base| Self::new(base.join("mcp-reconnect").join("oauth")))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a credential.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.json"))
    }

    fn lock_file(&self, key: &str, what: Locked) -> Result<(PathBuf, File), StoreError> {
        self.make_folder()?;
        let name = match what {
            Locked::Credential => "lock",
            Locked::SignIn => "sign-in.lock",
        };
        let path = self.folder.join(format!("{key}.{name}"));
        let file = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&path)
            .map_err(|error| problem(&path, &error))?;
        Ok((path, file))
    }

    fn make_folder(&self) -> Result<(), StoreError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder).map_err(|error| problem(&self.folder, &error))?;
        self.check_folder()
    }

    fn check_folder(&self) -> Result<(), StoreError> {
        let found = fs::metadata(&self.folder).map_err(|error| problem(&self.folder, &error))?;
        check_owner(&self.folder, &found)
    }
}

impl Store for FileStore {
    fn load(&self, key: &str) -> Result<Option<String>, StoreError> {
        let path = self.path(key);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(problem(&path, &error)),
        };
        self.check_folder()?;
        if !found.is_file() {
            return Err(StoreError(format!("{} is no regular file", path.display())));
        }
        check_owner(&path, &found)?;
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Ok(_) if text.len() as u64 > MAX_BYTES => {
                Err(StoreError(format!("{} is over {MAX_BYTES} bytes", path.display())))
            }
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(problem(&path, &error)),
        }
    }

    fn save(&self, key: &str, text: &str) -> Result<(), StoreError> {
        self.make_folder()?;
        let path = self.path(key);
        // The lock is held, so no other process of this user writes; what is left of one that was killed is replaced.
        let new = self.folder.join(format!("{key}.new"));
        let write = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&new)?;
            file.write_all(text.as_bytes())?;
            if self.flushes {
                file.sync_all()?;
            }
            fs::rename(&new, &path)
        };
        write().map_err(|error| problem(&path, &error))
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(problem(&path, &error)),
        }
    }

    fn lock(&self, key: &str, what: Locked) -> Result<Lock, StoreError> {
        let (path, file) = self.lock_file(key, what)?;
        file.lock().map_err(|error| problem(&path, &error))?;
        Ok(Lock::new(file))
    }

    fn try_lock(&self, key: &str, what: Locked) -> Result<Option<Lock>, StoreError> {
        let (path, file) = self.lock_file(key, what)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(problem(&path, &error)),
        }
    }

    fn modified(&self, key: &str) -> Option<SystemTime> {
        fs::metadata(self.path(key)).and_then(|found| found.modified()).ok()
    }
}

fn problem(path: &Path, error: &io::Error) -> StoreError {
    StoreError(format!("{}: {error}", path.display()))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

/// The profile of a user is the user's alone.
#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whoever can write a credential can have this user's requests go out as somebody else.
#[cfg(unix)]
fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;
    if found.mode() & 0o022 != 0 {
        return Err(StoreError(format!(
            "others can write {}, so it is not used; run: chmod go-w '{}'",
            path.display(),
            path.display()
        )));
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(StoreError(format!("{} belongs to another user, so it is not used", path.display())));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: &Path, _found: &fs::Metadata) -> Result<(), StoreError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("mcp-reconnect-store-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            Self(folder)
        }

        fn mode(&self, name: &str) -> u32 {
            fs::metadata(self.0.join(name)).unwrap().permissions().mode() & 0o777
        }

        fn set_mode(&self, name: &str, mode: u32) {
            fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_its_user_can_read_it() {
        let folder = Folder::new("modes");
        let store = FileStore::new(folder.0.join("a/b"));
        assert_eq!(store.load("k"), Ok(None));
        let lock = store.lock("k", Locked::Credential).unwrap();
        store.save("k", "one").unwrap();
        store.save("k", "two").unwrap();
        drop(lock);
        assert_eq!(store.load("k"), Ok(Some("two".into())));
        assert_eq!((folder.mode("a/b"), folder.mode("a/b/k.json"), folder.mode("a/b/k.lock")), (0o700, 0o600, 0o600));
        assert!(!store.folder().join("k.new").exists());
        assert_eq!((store.remove("k"), store.remove("k")), (Ok(true), Ok(false)));
    }

    #[test]
    fn one_that_others_can_write_is_refused() {
        let folder = Folder::new("others");
        let store = FileStore::new(&folder.0);
        store.save("k", "one").unwrap();
        for (name, mode) in [("k.json", 0o620), ("k.json", 0o602), ("", 0o770), ("", 0o702)] {
            folder.set_mode(name, mode);
            let error = store.load("k").unwrap_err().to_string();
            assert!(error.contains("others can write") && error.contains("chmod"), "{error}");
            folder.set_mode(name, if name.is_empty() { 0o700 } else { 0o600 });
        }
        folder.set_mode("", 0o777);
        assert!(store.save("k", "two").is_err() && store.lock("k", Locked::Credential).is_err());
        folder.set_mode("", 0o700);
        fs::remove_file(store.path("k")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", store.path("k")).unwrap();
        assert!(store.load("k").unwrap_err().to_string().contains("no regular file"));
    }

    #[test]
    fn a_lock_is_held_once() {
        let folder = Folder::new("locks");
        let store = FileStore::new(&folder.0);
        let lock = store.lock("k", Locked::SignIn).unwrap();
        assert!(store.try_lock("k", Locked::SignIn).unwrap().is_none());
        assert!(store.try_lock("other", Locked::SignIn).unwrap().is_some());
        assert!(store.try_lock("k", Locked::Credential).unwrap().is_some(), "the other lock is another one");
        drop(lock);
        assert!(store.try_lock("k", Locked::SignIn).unwrap().is_some());
    }
}
