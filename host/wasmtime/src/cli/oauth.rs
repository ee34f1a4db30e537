//! OAuth of a bridge: tokens when the transport asks for headers, and a sign-in in the background when only a person can help.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use mcp_reconnect::oauth::{self, Description, Failure, FailureKind, Secret, Session, Token};
use mcp_reconnect::{SendError, Sender};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::args::connection::ConnectionArgs;

/// How often the store is looked at while a person signs in, here or elsewhere. (To be told by the system of a changed file
/// takes a crate for each system; this costs one `stat`.)
const LOOK: Duration = Duration::from_millis(500);
/// How soon another attempt is made to replace a token, when the authorization server was away.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// The tokens of one bridge.
pub struct Tokens {
    session: Session,
    /// For a `login` in the background, and for the command that a person is shown.
    login: Login,
    /// The token in use.
    token: Option<Token>,
    /// When to replace it.
    replace_at: Option<Instant>,
    /// Whether a person has to sign in.
    waiting: Option<Waiting>,
}

/// How to sign in.
#[derive(Clone, Debug)]
pub struct Login {
    arguments: Vec<std::ffi::OsString>,
    /// For a person.
    command: String,
}

/// A sign-in that somebody has to make.
struct Waiting {
    child: Option<Child>,
    /// When the store was changed last, as it was seen last.
    changed: Option<SystemTime>,
    /// What the engine was told to have opened.
    url: Option<String>,
    /// Why the last sign-in failed, as far as it was told.
    failed: Option<String>,
    next_look: Instant,
}

/// What became of a question for a token.
pub enum Answer {
    /// This is to be sent.
    Token(Secret),
    /// There is none, and nothing to wait for.
    None,
    /// A person has been asked to sign in.
    Wait,
}

impl Login {
    /// The `login` that signs in to the same server as these arguments say.
    pub fn of(connection: &ConnectionArgs) -> Self {
        let brief = connection.login_arguments(true);
        let words = brief.iter().map(|word| quoted(&word.to_string_lossy()));
        let command = format!("mcp-reconnect login {}", words.collect::<Vec<_>>().join(" "));
        Self { arguments: connection.login_arguments(false), command }
    }

    /// The command for a person. No secret is in it.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Starts it in a process group of its own: what ends the bridge does not end it.
    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("login").arg("--background").args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(windows)]
        {
            const DETACHED_PROCESS: u32 = 0x0000_0008;
            const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
            command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
        }
        command.spawn()
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl Tokens {
    /// Knows how to get tokens, and has none yet.
    pub fn new(session: Session, login: Login) -> Self {
        Self { session, login, token: None, replace_at: None, waiting: None }
    }

    /// The stored token, for the first request, where it can be used as it is. One that has to be replaced is left to the
    /// rejection of the first request: to wait here would hold up the client, and to give up in the middle of a refresh would lose
    /// the new refresh token.
    pub async fn stored(&mut self) -> Option<Secret> {
        let stored = match self.session.describe() {
            Ok(stored) => stored?,
            Err(problem) => {
                tracing::warn!("OAuth: the credential store cannot be used: {problem}");
                return None;
            }
        };
        let now = oauth::now();
        if !stored.has_token || stored.refresh_at.is_some_and(|at| at <= now) {
            return None;
        }
        let token = self.session.acquire(None).await.ok()?;
        let access = token.access.clone();
        self.keep(token);
        Some(access)
    }

    /// A token for the next requests. `rejected`: status and challenge of the rejection that made it necessary.
    pub async fn get(&mut self, rejected: Option<(u16, String)>, sender: &Sender) -> Result<Answer, SendError> {
        let result = self.session.acquire(rejected.clone()).await;
        self.judge(result, rejected.is_some(), sender).await
    }

    async fn judge(
        &mut self,
        result: Result<Token, Failure>,
        rejected: bool,
        sender: &Sender,
    ) -> Result<Answer, SendError> {
        let failure = match result {
            Ok(token) => return self.use_token(token, sender).await,
            Err(failure) => failure,
        };
        match failure.kind {
            FailureKind::NoToken | FailureKind::NotOauth => tracing::debug!("OAuth: {failure}"),
            FailureKind::SignInNeeded if rejected => {
                tracing::warn!("{failure}; a person has to sign in: {}", self.login.command);
                self.begin_sign_in(sender).await?;
                return Ok(Answer::Wait);
            }
            _ => tracing::warn!("OAuth: {failure}"),
        }
        if rejected
            && matches!(failure.kind, FailureKind::Rejected | FailureKind::Forbidden | FailureKind::ClientRefused)
        {
            // What is wrong is said above; a sign-in with other options may help.
            sender.set_sign_in(Some((self.login.command.clone(), None))).await?;
        }
        Ok(Answer::None)
    }

    async fn use_token(&mut self, token: Token, sender: &Sender) -> Result<Answer, SendError> {
        if self.waiting.take().is_some() {
            tracing::info!("signed in");
        }
        sender.set_sign_in(None).await?;
        let access = token.access.clone();
        self.keep(token);
        Ok(Answer::Token(access))
    }

    fn keep(&mut self, token: Token) {
        let now = oauth::now();
        let left = token.refresh_at.map(|at| at.saturating_sub(now));
        self.replace_at = match left {
            _ if token.stale => Some(Instant::now() + TRY_AGAIN),
            // It cannot be replaced, or not yet.
            Some(0) if self.token.as_ref().is_some_and(|old| old.access == token.access) => {
                let rest = token.expires_at.map_or(0, |at| at.saturating_sub(now)).max(1);
                Some(Instant::now() + TRY_AGAIN.min(Duration::from_secs(rest)))
            }
            // Before it ends, also without work: some servers revoke the refresh token of whoever comes with an ended token. A
            // clock that runs away is no reason for a timer beyond all measure.
            Some(left) => Some(Instant::now() + Duration::from_secs(left.clamp(1, 30 * 86400))),
            None => None,
        };
        self.token = Some(token);
    }

    /// Has a person sign in, unless that is under way.
    async fn begin_sign_in(&mut self, sender: &Sender) -> Result<(), SendError> {
        let changed = self.session.store().modified(self.session.key());
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            child: None,
            changed,
            url: None,
            failed: self.session.describe().ok().flatten().and_then(|stored| stored.failed),
            next_look: Instant::now() + LOOK,
        });
        if waiting.child.is_none() {
            match self.login.start() {
                Ok(child) => waiting.child = Some(child),
                Err(error) => tracing::warn!("the sign-in could not be started: {error}"),
            }
        }
        sender.set_sign_in(Some((self.login.command.clone(), waiting.url.clone()))).await
    }

    /// Waits until there is something to do by itself: the token is to be replaced, or a person may have signed in. Then
    /// [`Tokens::look`] is to be called. Cancel safe.
    pub async fn due(&mut self) {
        let replace_at = self.replace_at;
        let replace = async {
            match replace_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let person = async {
            let Some(waiting) = &mut self.waiting else { return std::future::pending().await };
            let look = tokio::time::sleep_until(waiting.next_look);
            match &mut waiting.child {
                Some(child) => tokio::select! {
                    () = look => {}
                    _ = child.wait() => {
                        waiting.child = None;
                        // Also what was stored before it was watched is looked at.
                        waiting.changed = None;
                    }
                },
                None => look.await,
            }
        };
        tokio::select! {
            () = replace => {}
            () = person => {}
        }
    }

    /// Does what is due. A token that comes of it is to be sent; with none, what waits for one is not to wait any longer.
    pub async fn look(&mut self, sender: &Sender) -> Result<Option<Answer>, SendError> {
        if let Some(waiting) = &mut self.waiting {
            waiting.next_look = Instant::now() + LOOK;
            let changed = self.session.store().modified(self.session.key());
            if changed != waiting.changed {
                waiting.changed = changed;
                let description = self.session.describe().ok().flatten().unwrap_or_default();
                if self.tell(&description, sender).await? {
                    return Ok(Some(Answer::None));
                }
                if description.has_token
                    && let Ok(token) = self.session.acquire(None).await
                    // One that the server wants more of, or that another bridge found wanting, is no news.
                    && self.token.as_ref().is_none_or(|old| old.access != token.access)
                {
                    return self.use_token(token, sender).await.map(Some);
                }
            }
            return Ok(None);
        }
        if self.replace_at.take().is_some_and(|at| at <= Instant::now()) {
            let old = self.token.as_ref().map(|token| token.access.clone());
            if let Answer::Token(access) = self.get(None, sender).await?
                && old.as_ref() != Some(&access)
            {
                return Ok(Some(Answer::Token(access)));
            }
        }
        Ok(None)
    }

    /// Tells the engine, and the log, what a person is to open. True: the sign-in has failed.
    async fn tell(&mut self, description: &Description, sender: &Sender) -> Result<bool, SendError> {
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        let failed = description.failed.is_some() && waiting.failed != description.failed;
        waiting.failed.clone_from(&description.failed);
        if failed && let Some(why) = &description.failed {
            tracing::warn!("the sign-in has failed: {why}; to try again: {}", self.login.command);
        }
        let (url, code) = match &description.pending {
            Some((url, code)) => (Some(url.clone()), code.clone()),
            None => (None, None),
        };
        if url != waiting.url {
            waiting.url.clone_from(&url);
            if let (Some(url), Some(code)) = (&url, &code) {
                tracing::warn!("to sign in, open {url} on any device and enter the code {code}");
            } else if url.is_some() {
                tracing::warn!("a browser is opened for the sign-in; without one: {}", self.login.command);
            }
            let command = match code {
                Some(code) => format!("{} (code {code})", self.login.command),
                None => self.login.command.clone(),
            };
            sender.set_sign_in(Some((command, url))).await?;
        }
        Ok(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        for (word, expected) in
            [("https://h/mcp", "https://h/mcp"), ("a b", "'a b'"), ("a'b", r"'a'\''b'"), ("", "''"), ("$(x)", "'$(x)'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }
}
