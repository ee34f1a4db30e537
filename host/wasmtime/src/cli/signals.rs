//! What signals ask for.

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalRequest {
    /// SIGTERM, SIGINT: end.
    End,
    /// SIGHUP: begin a new session.
    Reconnect,
    /// SIGUSR1: show the status.
    Status,
}

/// The signals of this process, from now on.
#[cfg(unix)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Takes the signals over. Call inside the runtime.
    pub fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// What the next signal asks for. Cancel safe.
    pub async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::End,
            _ = self.interrupt.recv() => SignalRequest::End,
            _ = self.hang_up.recv() => SignalRequest::Reconnect,
            _ = self.user.recv() => SignalRequest::Status,
        }
    }
}

/// The signals of this process, from now on.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Takes Ctrl-C over.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// What the next signal asks for. Cancel safe.
    pub async fn next(&mut self) -> SignalRequest {
        match tokio::signal::ctrl_c().await {
            Ok(()) => SignalRequest::End,
            Err(_) => std::future::pending().await,
        }
    }
}
