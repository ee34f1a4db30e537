//! Answers the transport when it asks for fresh headers: before each session, and when a request was rejected.

use mcp_reconnect::oauth::Secret;
use mcp_reconnect::{Event, Sender, SetHeadersError};
use tokio::sync::mpsc;

use super::header::Header;
use super::header_sources::HeaderSources;
use super::oauth::{Answer, Tokens};

/// A task that gets headers, one run at a time.
pub struct Credentials {
    questions: mpsc::Sender<Rejection>,
    /// What the last rejected request was rejected with.
    challenge: String,
}

/// The status and the challenge of a rejection; none: a session is to be made.
type Rejection = Option<(u16, String)>;

impl Credentials {
    /// Begins to wait for questions; with `tokens` comes the one that is in use already. Call inside the runtime.
    pub fn start(sources: HeaderSources, tokens: Option<(Tokens, Option<Secret>)>, sender: Sender) -> Self {
        // What is asked meanwhile has the same answer, so one place is enough.
        let (questions, asked) = mpsc::channel(1);
        let (tokens, token) = tokens.unzip();
        let task = Task { sources, tokens, token: token.flatten().map(|token| token.0), sender };
        tokio::spawn(task.run(asked));
        Self { questions, challenge: String::new() }
    }

    /// Takes note of an event. Never waits.
    pub fn tell(&mut self, event: &Event) {
        match event {
            Event::CredentialsNeeded { challenge, .. } => self.challenge.clone_from(challenge),
            Event::HeadersNeeded { status } => {
                let rejection = status.map(|status| (status, std::mem::take(&mut self.challenge)));
                let _ = self.questions.try_send(rejection);
            }
            _ => {}
        }
    }
}

struct Task {
    sources: HeaderSources,
    tokens: Option<Tokens>,
    /// The `Authorization` that OAuth gives.
    token: Option<String>,
    sender: Sender,
}

impl Task {
    async fn run(mut self, mut asked: mpsc::Receiver<Rejection>) {
        loop {
            let due = async {
                match &mut self.tokens {
                    Some(tokens) => tokens.due().await,
                    None => std::future::pending().await,
                }
            };
            let done = tokio::select! {
                rejection = asked.recv() => match rejection {
                    Some(rejection) => self.answer(rejection, &mut asked).await,
                    None => return,
                },
                () = due => self.look().await,
            };
            match done {
                Ok(()) => {}
                Err(SetHeadersError::InvalidHeader(problem)) => {
                    tracing::warn!("the new headers are not used: {problem}")
                }
                Err(_) => return,
            }
        }
    }

    async fn answer(
        &mut self,
        rejection: Rejection,
        asked: &mut mpsc::Receiver<Rejection>,
    ) -> Result<(), SetHeadersError> {
        self.sources.refresh(rejection.as_ref().map(|(status, _)| *status)).await;
        if let Some(tokens) = &mut self.tokens
            // The user's own goes before.
            && !is_authorized(&self.sources.headers())
        {
            match tokens.get(rejection, &self.sender).await? {
                Answer::Token(access) => self.token = Some(access.0),
                Answer::None => {}
                // The headers come when somebody has signed in; until then what waits for them waits, within its time.
                Answer::Wait => return Ok(()),
            }
        }
        // Asked before these headers were there.
        while asked.try_recv().is_ok() {}
        // Also where there are no others: then nobody waits any longer.
        self.send().await
    }

    async fn look(&mut self) -> Result<(), SetHeadersError> {
        let Some(tokens) = &mut self.tokens else { return Ok(()) };
        match tokens.look(&self.sender).await? {
            Some(Answer::Token(access)) => self.token = Some(access.0),
            Some(Answer::None) => {}
            Some(Answer::Wait) | None => return Ok(()),
        }
        self.send().await
    }

    async fn send(&self) -> Result<(), SetHeadersError> {
        let mut headers = self.sources.headers();
        if let Some(token) = &self.token
            && !is_authorized(&headers)
        {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        self.sender.set_headers(headers).await
    }
}

/// Whether the user gives an `Authorization`.
pub fn is_authorized(headers: &[Header]) -> bool {
    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}
