//! The resource `recovery`.

use alloc::string::String;
use core::cell::RefCell;

use mcp_reconnect_core::Recovery;

use crate::bindings::exports::mcp_reconnect::transport::sans_io as wit;

/// What implements it.
pub struct RecoveryResource(RefCell<Recovery>);

impl wit::GuestRecovery for RecoveryResource {
    fn new() -> Self {
        Self(RefCell::new(Recovery::new()))
    }

    fn from_client(&self, message: String, posts: u64) {
        self.0.borrow_mut().from_client(&message, posts);
    }

    fn to_client(&self, message: String) {
        self.0.borrow_mut().to_client(&message);
    }

    fn on_session(&self, epoch: u64) {
        self.0.borrow_mut().on_session(epoch);
    }

    fn fail(&self, posts: u64) -> wit::Lost {
        let lost = self.0.borrow_mut().fail(posts);
        wit::Lost { messages: lost.messages, unknown: lost.unknown }
    }

    fn state(&self) -> Option<String> {
        self.0.borrow().state()
    }
}
