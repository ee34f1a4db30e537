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
