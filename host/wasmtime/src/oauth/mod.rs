//! Access tokens by OAuth 2.1, as MCP wants them ("Authorization"): a [`Session`] gets the token of one MCP server, refreshes it,
//! and has a person sign in where that is needed. Every decision is `mcp_reconnect_core::oauth`'s; here are the network,
//! the browser, the listener and the store.
//!
//! Join it to a connection by its events: on [`crate::Event::HeadersNeeded`] call [`Session::acquire`] with the status and
//! the challenge of the [`crate::Event::CredentialsNeeded`] before it, and give the token to [`crate::Sender::set_headers`].
//!
//! ```no_run
//! use mcp_reconnect::oauth::{Config, FileStore, Notice, Session};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = FileStore::of_user().ok_or("no place for credentials")?;
//! let mut session = Session::new(Config::new("https://mcp.example/mcp"), Default::default(), store)?;
//! let token = match session.acquire(None).await {
//!     Ok(token) => token,
//!     Err(_) => {
//!         let tell = |notice: Notice| println!("{notice}");
//!         session.sign_in(true, tell, None).await.map_err(|failure| failure.text)?
//!     }
//! };
//! println!("the token ends at {:?}", token.expires_at);
//! # Ok(())
//! # }
//! ```

pub mod browser;
mod http;
mod listener;
mod store;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use mcp_reconnect_core::oauth::{
    Client, Config, Description, Event, Failure, FailureKind, Grant, RedirectHost, Resource, Secret, Token,
};
use mcp_reconnect_core::oauth::{Input, Oauth, Output, Page, Request};
use rustls::crypto::ring;
pub use store::{FileStore, Lock, Locked, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use self::http::Http;
use self::listener::{Listener, Visit};
use crate::HttpOptions;

/// Gets the access tokens of one MCP server.
#[derive(Debug)]
pub struct Session {
    config: Config,
    machine: Oauth,
    http: Http,
    store: Arc<dyn Store>,
    key: String,
    origin: Instant,
    /// The port to listen on for the browser; 0: a free one.
    port: u16,
    lock: Option<Lock>,
    listener: Option<Listener>,
    /// Where the answer to the browser goes.
    visitor: Option<oneshot::Sender<Page>>,
}

/// Why a [`Session`] cannot be had with its configuration, for people. No secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// What a sign-in has to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// This is to be opened in a browser. The port is that of this machine's listener, to which the browser must come back.
    Authorize {
        /// The URL.
        url: String,
        /// The port.
        port: u16,
    },
    /// A code is to be entered on any device.
    UserCode {
        /// Where.
        url: String,
        /// The code.
        code: String,
        /// For how long.
        expires_in: Duration,
    },
    /// A pasted text was not the answer that is waited for.
    NotExpected,
    /// Something worth a line in a log.
    Event(Event),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authorize { url, .. } => write!(f, "open this in a browser to sign in: {url}"),
            Self::UserCode { url, code, .. } => write!(f, "open {url} on any device and enter the code {code}"),
            Self::NotExpected => f.write_str("that is not the address that the browser was sent back to"),
            Self::Event(event) => event.fmt(f),
        }
    }
}

/// What a run waits for beside its own requests.
enum Waited {
    Time,
    Visit(Visit),
    Pasted(String),
}

impl Session {
    /// Checks the configuration; does no I/O.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, for people.
    pub fn new(config: Config, http: HttpOptions, store: impl Store + 'static) -> Result<Self, ConfigError> {
        let machine = machine(&config).map_err(ConfigError)?;
        let http = Http::new(http, &config.server_url).map_err(ConfigError)?;
        let key = config.key();
        Ok(Self {
            config,
            machine,
            http,
            store: Arc::new(store),
            key,
            origin: Instant::now(),
            port: 0,
            lock: None,
            listener: None,
            visitor: None,
        })
    }

    /// The port for the browser to come back to. Default: a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The credential's name in the store.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What is stored, for people. `None`: nothing.
    ///
    /// # Errors
    ///
    /// Why the store cannot be read.
    pub fn describe(&self) -> Result<Option<Description>, StoreError> {
        let text = self.store.load(&self.key)?;
        Ok(text.and_then(|text| Description::of(&Secret(text))))
    }

    /// Gets a token without a person: a stored one, or one from a refresh or from the client's own credentials. `rejected`: the
    /// status (401 or 403) and the `WWW-Authenticate` that a request was rejected with. A call that was cancelled is begun anew by
    /// the next one; but do not cancel it for impatience: a refresh that the authorization server has made meanwhile is lost then.
    ///
    /// # Errors
    ///
    /// Why there is none; [`FailureKind::SignInNeeded`]: [`Session::sign_in`] can help.
    pub async fn acquire(&mut self, rejected: Option<(u16, String)>) -> Result<Token, Failure> {
        self.run(Input::Acquire { rejected }, &mut |notice| tracing_notice(&notice), &mut None).await
    }

    /// Has a person sign in, and gives the token. `by_person`: the person wants it; otherwise it is left undone if another
    /// process has done it, or if a browser was opened only a short time ago. `tell` is given what the person must see, and
    /// opens the browser. From `pasted` come addresses that the person's browser was sent back to.
    ///
    /// Hold the store's lock [`Locked::SignIn`] meanwhile, so that one process of this user does it at a time.
    ///
    /// # Errors
    ///
    /// Why there is no token.
    pub async fn sign_in(
        &mut self,
        by_person: bool,
        mut tell: impl FnMut(Notice) + Send,
        pasted: Option<mpsc::Receiver<String>>,
    ) -> Result<Token, Failure> {
        let mut pasted = pasted;
        self.run(Input::SignIn { by_person }, &mut tell, &mut pasted).await
    }

    async fn run(
        &mut self,
        first: Input,
        tell: &mut (dyn FnMut(Notice) + Send),
        pasted: &mut Option<mpsc::Receiver<String>>,
    ) -> Result<Token, Failure> {
        if !self.machine.is_idle() {
            // A run that was cancelled in the middle.
            (self.lock, self.listener, self.visitor) = (None, None, None);
            self.machine = machine(&self.config).map_err(|problem| Failure::new(FailureKind::Unsupported, problem))?;
        }
        self.handle(first);
        loop {
            let mut done = None;
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Done(result) => done = Some(result),
                    output => self.perform(output, tell).await,
                }
            }
            if let Some(result) = done {
                return result;
            }
            let waited = self.wait(pasted).await;
            match waited {
                Waited::Time => self.handle(Input::Tick),
                Waited::Visit((query, visitor)) => {
                    self.visitor = Some(visitor);
                    self.handle(Input::Callback(Secret(query)));
                }
                Waited::Pasted(line) => {
                    let query = line.trim().split_once('?').map_or("", |(_, query)| query);
                    self.handle(Input::Callback(Secret(query.split('#').next().unwrap_or_default().to_owned())));
                }
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.machine.handle(mcp_reconnect_core::Instant::from_nanos(now), self::now(), input);
    }

    async fn wait(&mut self, pasted: &mut Option<mpsc::Receiver<String>>) -> Waited {
        let until = self.machine.deadline().map(|at| self.origin + Duration::from_nanos(at.as_nanos()));
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let visit = async {
            match &mut self.listener {
                Some(listener) => listener.visit().await,
                None => None,
            }
        };
        let paste = async {
            match pasted {
                Some(lines) => lines.recv().await,
                None => None,
            }
        };
        tokio::select! {
            () = time => Waited::Time,
            Some(visit) = visit => Waited::Visit(visit),
            Some(line) = paste => Waited::Pasted(line),
        }
    }

    async fn perform(&mut self, output: Output, tell: &mut (dyn FnMut(Notice) + Send)) {
        match output {
            Output::Load => {
                let input = match self.store.load(&self.key) {
                    Ok(text) => Input::Loaded(text.map(Secret)),
                    Err(why) => Input::StoreFailed(why.to_string()),
                };
                self.handle(input);
            }
            Output::Lock => {
                let (store, key) = (Arc::clone(&self.store), self.key.clone());
                let taken = tokio::task::spawn_blocking(move || store.lock(&key, Locked::Credential)).await;
                let taken = taken.unwrap_or_else(|error| Err(StoreError::new(error.to_string())));
                let input = match taken.and_then(|lock| Ok((lock, self.store.load(&self.key)?))) {
                    Ok((lock, text)) => {
                        self.lock = Some(lock);
                        Input::Locked(text.map(Secret))
                    }
                    Err(why) => Input::StoreFailed(why.to_string()),
                };
                self.handle(input);
            }
            Output::Store(text) => {
                if let Err(why) = self.store.save(&self.key, &text.0) {
                    // The token is good all the same, in this process.
                    tracing::warn!("the credential could not be stored: {why}");
                }
            }
            Output::Unlock => self.lock = None,
            Output::Send(request) => self.send(request).await,
            Output::Listen => {
                let input = match Listener::start(self.port).await {
                    Ok(listener) => Input::Listening(self.listener.insert(listener).port()),
                    Err(why) => Input::ListenFailed(why),
                };
                self.handle(input);
            }
            Output::StopListening => {
                if let Some(listener) = self.listener.take() {
                    listener.stop().await;
                }
            }
            Output::Answer(page) => match self.visitor.take() {
                Some(visitor) => drop(visitor.send(page)),
                None if page == Page::NotExpected => tell(Notice::NotExpected),
                None => {}
            },
            Output::Authorize(url) => {
                let port = self.listener.as_ref().map(Listener::port).unwrap_or_default();
                tell(Notice::Authorize { url, port });
            }
            Output::UserCode { url, code, expires_in } => {
                tell(Notice::UserCode { url, code, expires_in: Duration::from_secs(expires_in) });
            }
            Output::Event(event) => tell(Notice::Event(event)),
            Output::Done(_) => {}
        }
    }

    async fn send(&mut self, request: Request) {
        let id = request.id;
        let input = match self.http.send(request).await {
            Ok(response) => Input::Response(id, response),
            Err(failed) => Input::Failed { request: id, detail: failed.detail, for_good: failed.for_good },
        };
        self.handle(input);
    }
}

/// Seconds since 1970 by the clock that tokens are judged by. It never runs back while the process lives, and not slower than time passes:
/// a token whose end a clock that was set back has moved away would otherwise not be replaced before it ends.
pub fn now() -> u64 {
    static LAST: Mutex<Option<(Instant, Duration)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (instant, wall) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let least = last.map_or(wall, |(then, wall)| wall + instant.saturating_duration_since(then));
    let wall = wall.max(least);
    *last = Some((instant, wall));
    wall.as_secs()
}

fn machine(config: &Config) -> Result<Oauth, String> {
    let mut seed = [0; 32];
    let random = ring::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| "the system gives no random numbers".to_owned())?;
    Oauth::new(config.clone(), seed).map_err(|problem| problem.to_string())
}

fn tracing_notice(notice: &Notice) {
    match notice {
        Notice::Event(Event::Refreshed) => tracing::info!("{notice}"),
        Notice::Event(_) => tracing::warn!("{notice}"),
        _ => {}
    }
}
