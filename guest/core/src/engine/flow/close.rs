//! The end: what is under way may go on for a moment, the rest is answered, and the server is told.

use alloc::vec::Vec;
use core::time::Duration;

use crate::engine::Engine;
use crate::engine::state::connection::ConnectionState;
use crate::engine::state::timers::Timer;
use crate::{Event, Output};

/// How long requests may go on after [`crate::Input::Close`].
const DRAIN: Duration = Duration::from_millis(500);
/// How long the DELETE of a close may take.
const CLOSE_DELETE_TIME: Duration = Duration::from_millis(300);

impl Engine {
    pub(crate) fn on_close(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.timers.set(Timer::Drain, self.now + DRAIN);
        let connected = matches!(
            self.connection.state(),
            ConnectionState::Ready
                | ConnectionState::Probing(_)
                | ConnectionState::AwaitInitialized
                | ConnectionState::Handshake(_)
                | ConnectionState::Headers
        );
        if !connected && !self.modern.is_up() {
            self.finish_close();
        }
    }

    pub(crate) fn finish_if_drained(&mut self) {
        let closed = self.connection.has_taken_leave();
        let busy = self.requests.of_client().any(|(_, request)| !request.is_listen())
            || !self.outbox.is_empty()
            || self.notifications.is_under_way();
        if self.closing && !closed && !busy {
            self.finish_close();
        }
    }

    /// Answers what is left and takes leave of the server.
    pub(crate) fn finish_close(&mut self) {
        self.end_listens();
        let left: Vec<_> = self.requests.of_client().map(|(key, _)| *key).collect();
        for key in left {
            self.answer_closed(key);
        }
        self.outbox.clear();
        for exchange in self.exchanges.take_ids() {
            self.outputs.push_back(Output::Cancel(exchange));
        }
        self.timers.clear_all();
        // A session that may be dead is not worth the wait.
        if (!self.outage.is_on() || self.connection.is_unready()) && self.delete_session().is_some() {
            self.connection.change(ConnectionState::Closing);
            self.timers.set(Timer::Delete, self.now + CLOSE_DELETE_TIME);
        } else {
            self.closed();
        }
    }

    pub(crate) fn closed(&mut self) {
        for exchange in self.exchanges.take_ids() {
            self.outputs.push_back(Output::Cancel(exchange));
        }
        self.timers.clear_all();
        self.requests.clear();
        self.session.take();
        self.connection.change(ConnectionState::Closed);
        self.emit(Event::Closed);
    }
}
