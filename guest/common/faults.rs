//! Failures on demand, in components built for the tests of hosts (feature `faults`): a message of the client that holds one of these
//! words has the component fail, as a defect would.

use core::arch::wasm32::unreachable;
use core::sync::atomic::{AtomicBool, Ordering};

/// Traps at once, before anything is sent.
const TRAP: &str = "faults/trap-now";
/// Traps when something comes of the network, so after the message was sent.
const TRAP_LATER: &str = "faults/trap-later";
/// Never ends.
const LOOP: &str = "faults/loop";

static ARMED: AtomicBool = AtomicBool::new(false);

/// The client sends this.
pub fn on_message(text: &str) {
    if text.contains(TRAP) {
        unreachable();
    }
    if text.contains(LOOP) {
        // Not empty, or the compiler might take it for one that cannot be.
        while !ARMED.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
    }
    if text.contains(TRAP_LATER) {
        ARMED.store(true, Ordering::Relaxed);
    }
}

/// Something has come of the network.
pub fn on_network() {
    if ARMED.load(Ordering::Relaxed) {
        unreachable();
    }
}
