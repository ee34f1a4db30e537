//! The resource `oversized`.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use mcp_reconnect_core::oversized_message;
use mcp_reconnect_core::scan::Scanner;

use crate::bindings::exports::mcp_reconnect::transport::sans_io as wit;

/// What implements it.
pub struct OversizedResource(RefCell<Scanner>);

impl wit::GuestOversized for OversizedResource {
    fn new() -> Self {
        Self(RefCell::new(Scanner::new()))
    }

    fn feed(&self, bytes: Vec<u8>) {
        self.0.borrow_mut().feed(&bytes);
    }

    fn answer(&self, limit: u64) -> Option<String> {
        let scanned = self.0.borrow().clone().finish();
        oversized_message(&scanned, usize::try_from(limit).unwrap_or(usize::MAX))
    }
}
