//! What a running bridge tells of itself, for `mcp-reconnect status`: a file of its own in the user's folder for state. Files need no
//! other code on Windows, as a socket would, and reading one asks nothing of the bridge. That the bridge lives is told by a lock,
//! which ends with its process whatever becomes of it; ids of processes are used again.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use mcp_reconnect::oauth::{FileStore, Lock, Locked, Store};
use mcp_reconnect::{Event, Sender, State, Status};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Messages are counted at most this often; a change of the state is told soon.
const INTERVAL: Duration = Duration::from_secs(1);
/// What happens within this time is one change.
const TOGETHER: Duration = Duration::from_millis(50);
/// No more files are looked at, and a bridge beside so many others tells nothing.
const MAX_FILES: usize = 1000;
/// A lock without a file is of a bridge that begins, or was left behind.
const BEGINNING: Duration = Duration::from_secs(60);
/// No file of ours is longer, in characters: texts of servers are cut.
const MAX_TEXT: usize = 500;

/// A bridge, as its file shows it. No session's id, no query and no header is in it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Of the process.
    pub pid: u32,
    /// The user's name for the server, or empty.
    pub name: String,
    /// The server's URL without its query.
    pub url: String,
    /// idle, connecting, ready, waiting, needs credentials, closed.
    pub state: String,
    /// When this state began, RFC 3339.
    pub since: String,
    /// When the bridge began.
    pub started: String,
    /// The current session, if there is one.
    pub session: Option<Session>,
    /// Messages waiting to be sent.
    pub queued: u32,
    /// Requests of the client that wait for their answer.
    pub in_flight: u32,
    /// Sessions begun after the first.
    pub reconnects: u64,
    /// Requests sent a second time.
    pub replays: u64,
    /// The last failure, or empty.
    pub last_error: String,
    /// Of mcp-reconnect.
    pub version: String,
}

/// A session without its id.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Counts the sessions of the bridge.
    pub number: u64,
    /// When it began.
    pub since: String,
    /// The server's name, or empty.
    pub server_name: String,
    /// The server's version, or empty.
    pub server_version: String,
    /// As people call it.
    pub transport: String,
    /// The negotiated version of MCP.
    pub protocol_version: String,
}

/// Tells that a message went by.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Notify>);

impl Activity {
    /// One did. Never waits.
    pub fn happened(&self) {
        self.0.notify_one();
    }
}

/// Keeps the file of this bridge.
pub struct Running {
    changed: Arc<Notify>,
    activity: Activity,
    worker: JoinHandle<()>,
    place: Arc<std::sync::OnceLock<Place>>,
}

/// Where the file is, while its lock is held.
#[derive(Debug)]
struct Place {
    store: FileStore,
    key: String,
    _lock: Lock,
}

impl Running {
    /// Begins to keep it. Call inside the runtime.
    pub fn start(name: String, url: String, sender: Sender) -> Self {
        let (changed, activity) = (Arc::new(Notify::new()), Activity(Arc::new(Notify::new())));
        let place = Arc::default();
        let now = now(Duration::ZERO);
        let first = Record {
            pid: std::process::id(),
            name: cut(&name),
            url: cut(&url),
            state: State::Idle.to_string(),
            since: now.clone(),
            started: now,
            session: None,
            queued: 0,
            in_flight: 0,
            reconnects: 0,
            replays: 0,
            last_error: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let worker = tokio::spawn(keep(Arc::clone(&place), first, sender, Arc::clone(&changed), activity.clone()));
        Self { changed, activity, worker, place }
    }

    /// What tells of messages.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Something happened to the connection. Never waits.
    pub fn tell(&self, event: &Event) {
        if !matches!(event, Event::Message(_) | Event::Diagnostic { .. }) {
            self.changed.notify_one();
        }
    }

    /// Removes the file, until the deadline. What is left of it then is removed by the next who looks.
    pub async fn finish(self, deadline: Instant) {
        self.worker.abort();
        let place = self.place;
        let remove = spawn_blocking(move || place.get().map(|place| remove(&place.store, &place.key)));
        let _ = timeout_at(deadline, remove).await;
    }
}

/// Writes the file whenever something changes. Nothing waits for it, and files are written on other threads.
async fn keep(
    place: Arc<std::sync::OnceLock<Place>>,
    mut record: Record,
    sender: Sender,
    changed: Arc<Notify>,
    activity: Activity,
) {
    match spawn_blocking(take_place).await {
        Ok(Ok(taken)) => drop(place.set(taken)),
        Ok(Err(problem)) => return tracing::debug!("`mcp-reconnect status` will not show this bridge: {problem}"),
        Err(_) => return,
    }
    let mut failed = false;
    // Ends with the connection.
    while let Ok(status) = sender.status().await {
        let soonest = Instant::now() + INTERVAL;
        record.take(&status);
        let (place, text) = (Arc::clone(&place), serde_json::to_string(&record).unwrap_or_default());
        let saved = spawn_blocking(move || place.get().map_or(Ok(()), |place| place.store.save(&place.key, &text)));
        if let Ok(Err(problem)) = saved.await
            && !std::mem::replace(&mut failed, true)
        {
            tracing::debug!("`mcp-reconnect status` does not see this bridge's state: {problem}");
        }
        tokio::select! {
            () = changed.notified() => sleep(TOGETHER).await,
            () = activity.0.notified() => tokio::select! {
                () = changed.notified() => sleep(TOGETHER).await,
                () = sleep_until(soonest) => {}
            },
        }
    }
}

impl Record {
    fn take(&mut self, status: &Status) {
        let state = status.state.to_string();
        if self.state != state {
            self.since = now(Duration::ZERO);
            self.state = state;
        }
        let before = self.session.take();
        self.session = status.session.as_ref().map(|info| Session {
            number: info.epoch,
            // What it was, for as long as it is the same.
            since: before
                .filter(|before| before.number == info.epoch)
                .map_or_else(|| now(status.session_age), |before| before.since),
            server_name: cut(&info.server_name),
            server_version: cut(&info.server_version),
            transport: info.transport.to_string(),
            protocol_version: cut(&info.protocol_version),
        });
        (self.queued, self.in_flight) = (status.queued, status.in_flight);
        (self.reconnects, self.replays) = (status.reconnects, status.replays);
        self.last_error = cut(&status.last_error);
    }
}

fn now(ago: Duration) -> String {
    let time = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The folder of the files, beside the credentials: clients pass on HOME, and seldom XDG_RUNTIME_DIR.
fn store() -> Result<FileStore, String> {
    let folder: Option<PathBuf> = FileStore::of_user().and_then(|store| Some(store.folder().parent()?.join("running")));
    let store = folder.map(|folder| FileStore::new(folder).without_flush());
    store.ok_or_else(|| "there is no folder for it; set HOME".to_owned())
}

/// Takes a name that no other bridge had.
fn take_place() -> Result<Place, String> {
    let store = store()?;
    // What was left behind by others that were killed goes on the way.
    if records(&store)?.len() >= MAX_FILES {
        return Err(format!("{MAX_FILES} others are shown already"));
    }
    let key = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple());
    let lock = store.try_lock(&key, Locked::Credential)?.ok_or_else(|| "its lock is taken".to_owned())?;
    Ok(Place { store, key, _lock: lock })
}

/// The bridges that run.
pub fn all() -> Result<Vec<Record>, String> {
    let mut all = records(&store()?)?;
    all.sort_by(|one, other| (&one.started, one.pid).cmp(&(&other.started, other.pid)));
    Ok(all)
}

/// What the files say of bridges that run. The files of others are removed.
fn records(store: &FileStore) -> Result<Vec<Record>, String> {
    let folder = match fs::read_dir(store.folder()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", store.folder().display())),
    };
    let mut all = Vec::new();
    for file in folder.flatten().take(4 * MAX_FILES) {
        let name = file.file_name().into_string().unwrap_or_default();
        if let Some(key) = name.strip_suffix(".json") {
            // Whoever holds the lock lives.
            match store.try_lock(key, Locked::Credential) {
                Ok(Some(lock)) => {
                    remove(store, key);
                    drop(lock);
                }
                Ok(None) if all.len() < MAX_FILES => {
                    all.extend(store.load(key)?.and_then(|text| serde_json::from_str(&text).ok()));
                }
                Ok(None) => {}
                Err(problem) => return Err(problem.into()),
            }
        } else if let Some(key) = name.strip_suffix(".lock") {
            let age = file.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
            let is_old = age.is_some_and(|age| age > BEGINNING) && !store.path(key).exists();
            if is_old && let Ok(Some(lock)) = store.try_lock(key, Locked::Credential) {
                remove(store, key);
                drop(lock);
            }
        }
    }
    Ok(all)
}

/// Removes what belongs to a name. Call it with the lock held.
fn remove(store: &FileStore, key: &str) {
    let _ = store.remove(key);
    for end in ["new", "lock"] {
        let _ = fs::remove_file(store.folder().join(format!("{key}.{end}")));
    }
}
