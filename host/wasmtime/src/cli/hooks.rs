//! `--on-event`: a command of the user is run for each event of the connection, one at a time and in order, apart from the
//! messages. Events wait in a queue; when it is full, the oldest goes, since the newest says how things are.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_reconnect::Event;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::child::{self, Job};
use super::hook_event::{HookEvent, HookName, Origin};

/// Events that may wait.
const QUEUE: usize = 64;

/// What to run, and when.
#[derive(Clone, Debug)]
pub struct HookOptions {
    /// For the shell.
    pub command: String,
    /// The events to run it for; empty: all.
    pub names: Vec<HookName>,
    /// Whether it is run for each attempt to reconnect that is reported, and not only for an outage's first.
    pub all_attempts: bool,
    /// How long one run may take.
    pub timeout: Duration,
    /// The user's name for the server, or empty.
    pub name: String,
}

/// A running hook.
pub struct Hooks {
    names: Vec<HookName>,
    outage: Option<Outage>,
    shared: Arc<Shared>,
    worker: JoinHandle<()>,
}

/// Tells the first attempt of an outage from those that follow.
#[derive(Debug, Default)]
struct Outage {
    /// An attempt was reported since the connection last worked.
    tried: bool,
}

impl Outage {
    /// Whether the event is one attempt more of an outage of which one was reported already.
    fn repeats(&mut self, name: HookName) -> bool {
        match name {
            HookName::Reconnecting => std::mem::replace(&mut self.tried, true),
            HookName::Connected | HookName::Disconnected | HookName::Reconnected => {
                self.tried = false;
                false
            }
            _ => false,
        }
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Events so far, dropped ones included.
    count: u64,
    /// Events dropped since the last one that was taken.
    dropped: u64,
    closed: bool,
}

struct Waiting {
    event: HookEvent,
    sequence: u64,
}

impl Hooks {
    /// Begins to wait for events. `origin` is told to the hook, so it holds no secret. Call inside the runtime.
    pub fn start(options: HookOptions, origin: Origin) -> Self {
        let shared = Arc::new(Shared::default());
        let names = options.names.clone();
        let outage = (!options.all_attempts).then(Outage::default);
        let worker = tokio::spawn(Worker { options, origin, shared: shared.clone(), told: None }.run());
        Self { names, outage, shared, worker }
    }

    /// Queues an event, if the hook is to hear of it. Never waits.
    pub fn tell(&mut self, event: &Event) {
        let Some(event) = HookEvent::of(event) else { return };
        if self.outage.as_mut().is_some_and(|outage| outage.repeats(event.name())) {
            return;
        }
        if !self.names.is_empty() && !self.names.contains(&event.name()) {
            return;
        }
        self.shared.lock().push(event);
        self.shared.changed.notify_one();
    }

    /// Lets what is queued be told until the deadline; the rest is not told, and a command that still runs is killed.
    pub async fn finish(mut self, deadline: Instant) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if timeout_at(deadline, &mut self.worker).await.is_ok() {
            return;
        }
        let left = self.shared.lock().waiting.len();
        tracing::warn!("the bridge ends: --on-event is stopped, and not run for {left} more events");
        self.worker.abort();
        // The worker's end kills the command.
        let _ = self.worker.await;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next event, and how many were dropped before it. `None` after the last one.
    async fn next(&self) -> Option<(Waiting, u64)> {
        loop {
            {
                let mut queue = self.lock();
                if let Some(waiting) = queue.waiting.pop_front() {
                    return Some((waiting, std::mem::take(&mut queue.dropped)));
                }
                if queue.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

impl Queue {
    fn push(&mut self, event: HookEvent) {
        self.count += 1;
        if self.waiting.len() == QUEUE {
            self.waiting.pop_front();
            self.dropped += 1;
            if self.dropped == 1 {
                tracing::warn!("--on-event does not keep up: {QUEUE} events wait for it, the oldest are dropped");
            }
        }
        self.waiting.push_back(Waiting { event, sequence: self.count });
    }
}

/// Runs the command.
struct Worker {
    options: HookOptions,
    origin: Origin,
    shared: Arc<Shared>,
    /// The failure that was told last.
    told: Option<String>,
}

impl Worker {
    async fn run(mut self) {
        while let Some((Waiting { event, sequence }, dropped)) = self.shared.next().await {
            if dropped > 0 {
                tracing::warn!("--on-event was not run for {dropped} events: it did not keep up");
            }
            let input = event.to_json(&self.origin, sequence, dropped);
            let failure = self.run_once(&input).await;
            self.report(failure);
        }
    }

    /// Runs it for one event: why it failed, if it did.
    async fn run_once(&self, input: &str) -> Option<String> {
        let job = Job {
            command: &self.options.command,
            environment: &[],
            input: input.as_bytes(),
            max_output: None,
            limit: self.options.timeout,
        };
        match job.run().await {
            Ok(finished) if finished.status.success() => None,
            Ok(finished) => {
                let said = child::excerpt(&finished.stderr);
                let said = if said.is_empty() { said } else { format!(": {said}") };
                Some(format!("failed ({}){said}", finished.status))
            }
            Err(failure) => Some(failure.to_string()),
        }
    }

    /// The same failure again and again is told once.
    fn report(&mut self, failure: Option<String>) {
        match &failure {
            Some(failure) if self.told.as_ref() != Some(failure) => tracing::warn!("--on-event {failure}"),
            Some(failure) => tracing::debug!("--on-event {failure}"),
            None => {}
        }
        self.told = failure;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(epoch: u64) -> HookEvent {
        HookEvent::of(&Event::Disconnected { epoch, reason: "test".into() }).unwrap()
    }

    #[tokio::test]
    async fn the_oldest_go_and_are_counted() {
        let shared = Shared::default();
        for epoch in 0..QUEUE as u64 + 3 {
            shared.lock().push(event(epoch));
        }
        let (first, dropped) = shared.next().await.unwrap();
        assert_eq!((first.sequence, dropped), (4, 3));
        let (second, dropped) = shared.next().await.unwrap();
        assert_eq!((second.sequence, dropped), (5, 0));
        shared.lock().closed = true;
        for _ in 2..QUEUE {
            assert!(shared.next().await.is_some());
        }
        assert!(shared.next().await.is_none());
    }
}
