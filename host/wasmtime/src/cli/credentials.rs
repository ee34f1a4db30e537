//! Answers the transport when it asks for fresh headers: before each session, and when a request was rejected.

use mcp_reconnect::{Event, Sender, SetHeadersError};
use tokio::sync::mpsc;

use super::header_sources::HeaderSources;

/// A task that gets headers, one run at a time.
pub struct Credentials {
    wishes: mpsc::Sender<Option<u16>>,
}

impl Credentials {
    /// Begins to wait for questions. Call inside the runtime.
    pub fn start(sources: HeaderSources, sender: Sender) -> Self {
        // What is asked meanwhile has the same answer, so one place is enough.
        let (wishes, asked) = mpsc::channel(1);
        tokio::spawn(answer(sources, sender, asked));
        Self { wishes }
    }

    /// Takes note of an event. Never waits.
    pub fn tell(&self, event: &Event) {
        if let Event::HeadersNeeded { status } = event {
            let _ = self.wishes.try_send(*status);
        }
    }
}

async fn answer(mut sources: HeaderSources, sender: Sender, mut asked: mpsc::Receiver<Option<u16>>) {
    while let Some(status) = asked.recv().await {
        sources.refresh(status).await;
        // Asked before these headers were there.
        while asked.try_recv().is_ok() {}
        // Also where there are no others: then nobody waits any longer.
        match sender.set_headers(sources.headers()).await {
            Ok(()) => {}
            Err(SetHeadersError::InvalidHeader(problem)) => tracing::warn!("the new headers are not used: {problem}"),
            Err(_) => return,
        }
    }
}
