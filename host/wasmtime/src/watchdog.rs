//! Ends a component that runs without pause: one that waits for the network pauses, one in an endless loop does not, and would
//! hold up its whole thread.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::{Engine, Store, UpdateDeadline};

/// How often is looked: seldom, since each look wakes up the processor.
const INTERVAL: Duration = Duration::from_secs(10);
/// Looks in a row that find the component in the same run, until it is ended. Its longest runs, over a message of the largest
/// size, take some seconds.
const LOOKS: u32 = 3;

/// Counts the runs of one component: from a call, or from the end of a wait, to the next wait or the call's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    /// Watches over what is called in this store.
    pub(crate) fn watch<T>(&self, store: &mut Store<T>) {
        store.set_epoch_deadline(1);
        let runs = Arc::clone(&self.0);
        let (mut run, mut looks) = (0, 0);
        store.epoch_deadline_callback(move |_| {
            let now = runs.load(Ordering::Relaxed);
            looks = if now == run { looks + 1 } else { 0 };
            run = now;
            if looks < LOOKS {
                return Ok(UpdateDeadline::Continue(1));
            }
            Err(wasmtime::Error::msg("it ran on and on without pause"))
        });
    }

    /// Makes a call into the component.
    pub(crate) async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        self.next();
        poll_fn(|context| {
            let poll = call.as_mut().poll(context);
            if poll.is_pending() {
                self.next();
            }
            poll
        })
        .await
    }

    fn next(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins to look, for as long as the process lives. A thread of its own: the others may be what an endless loop holds up.
pub(crate) fn start(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new().name("watchdog".into()).spawn(move || {
        loop {
            std::thread::sleep(interval());
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(())
}

fn interval() -> Duration {
    // A test need not wait for so long.
    #[cfg(feature = "test-component")]
    if let Some(milliseconds) = std::env::var("MCP_RECONNECT_TEST_WATCHDOG").ok().and_then(|text| text.parse().ok()) {
        return Duration::from_millis(milliseconds);
    }
    INTERVAL
}
