//! Ends a component that runs without end: it would hold up its whole thread.

use std::time::Duration;

use wasmtime::{Engine, Store};

/// How often is looked: seldom, since each look wakes up the processor.
const INTERVAL: Duration = Duration::from_secs(10);
/// The look that finds a call still running and ends it. The longest calls, over a message of the largest size, take some seconds.
const LOOKS: u64 = 4;

/// Watches over what is called in this store.
pub(crate) fn watch<T>(store: &mut Store<T>) {
    store.epoch_deadline_callback(|_| Err(wasmtime::Error::msg("it ran on and on without pause")));
}

/// A call begins.
pub(crate) fn begin_call<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(LOOKS);
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
