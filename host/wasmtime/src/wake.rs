//! The interrupt of a `receive` that waits: a pollable that the host makes ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use wasmtime_wasi::p2::Pollable;

/// Ready from [`Wake::set`] to [`Wake::clear`], however often it is polled meanwhile. One waits, many may set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ready: AtomicBool,
    notify: Notify,
}

impl Wake {
    /// Makes it ready: there is something to do.
    pub(crate) fn set(&self) {
        self.0.ready.store(true, Ordering::Release);
        self.0.notify.notify_one();
    }

    /// Makes it unready. To be called before looking for what there is to do, so that what comes later sets it again.
    pub(crate) fn clear(&self) {
        // Reads the flag, so that whatever was put in before it was set is seen by the caller.
        self.0.ready.swap(false, Ordering::AcqRel);
    }
}

#[async_trait::async_trait]
impl Pollable for Wake {
    async fn ready(&mut self) {
        // A notification of an earlier time may be left over, so the flag alone decides.
        while !self.0.ready.load(Ordering::Acquire) {
            self.0.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(flavor = "current_thread")]
    async fn stays_ready_until_cleared() {
        let (wake, mut pollable) = pair();
        wake.set();
        pollable.ready().await;
        pollable.ready().await;
        wake.clear();
        assert!(tokio::time::timeout(Duration::from_millis(20), pollable.ready()).await.is_err());
        wake.set();
        pollable.ready().await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn wakes_who_waits_also_after_an_abandoned_wait() {
        let (wake, mut pollable) = pair();
        // What a poll of several pollables does when another one is ready first.
        assert!(tokio::time::timeout(Duration::from_millis(1), pollable.ready()).await.is_err());
        let waiting = tokio::spawn(async move { pollable.ready().await });
        tokio::task::yield_now().await;
        wake.set();
        waiting.await.expect("the task ends");
    }

    fn pair() -> (Wake, Wake) {
        let wake = Wake::default();
        (wake.clone(), wake)
    }
}
