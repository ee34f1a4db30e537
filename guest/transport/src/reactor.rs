//! A futures executor whose only wait is `wasi:io/poll.poll`.
//!
//! Tasks wait for [`Source`]s, each of which owns a pollable for as long as what it watches lives. [`Reactor::wait`]
//! polls all pollables that some task waits for, with those of the caller, in one call, and wakes the tasks whose
//! turn has come.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

use crate::bindings::wasi::io::poll::{Pollable, poll};

/// The pollables of all tasks.
#[derive(Clone, Default)]
pub struct Reactor(Rc<RefCell<Slots>>);

#[derive(Default)]
struct Slots {
    next: u64,
    slots: BTreeMap<u64, Slot>,
}

struct Slot {
    /// Shared with a `wait` under way, so that no borrow of the slots is held across it.
    pollable: Rc<Pollable>,
    state: Readiness,
}

enum Readiness {
    /// No task waits for it.
    Unasked,
    /// A task waits for it.
    Awaited(Waker),
    /// It was ready, and the task was woken.
    Ready,
}

/// One pollable, watched. Dropping it drops the pollable: drop it before what it watches.
pub struct Source {
    reactor: Reactor,
    key: u64,
}

impl Reactor {
    /// Takes a pollable under watch.
    pub fn watch(&self, pollable: Pollable) -> Source {
        let mut slots = self.0.borrow_mut();
        let key = slots.next;
        slots.next += 1;
        slots.slots.insert(key, Slot { pollable: Rc::new(pollable), state: Readiness::Unasked });
        Source { reactor: self.clone(), key }
    }

    /// Blocks until something that a task waits for, or one of the caller's own pollables, is ready. Wakes the tasks and
    /// tells which of `own` are ready. `None`, at once: there is nothing to wait for.
    pub fn wait<const N: usize>(&self, own: [Option<&Pollable>; N]) -> Option<[bool; N]> {
        let mut ready = [false; N];
        let awaited: Vec<(u64, Rc<Pollable>)> = (self.0.borrow().slots.iter())
            .filter(|(_, slot)| matches!(slot.state, Readiness::Awaited(_)))
            .map(|(key, slot)| (*key, Rc::clone(&slot.pollable)))
            .collect();
        let own_present: Vec<(usize, &Pollable)> =
            own.iter().enumerate().filter_map(|(index, pollable)| Some((index, (*pollable)?))).collect();
        let list: Vec<&Pollable> =
            own_present.iter().map(|(_, pollable)| *pollable).chain(awaited.iter().map(|(_, p)| &**p)).collect();
        if list.is_empty() {
            return None;
        }

        let fired = poll(&list);

        let mut slots = self.0.borrow_mut();
        for index in fired {
            let index = index as usize;
            if let Some((own_index, _)) = own_present.get(index) {
                ready[*own_index] = true;
            } else if let Some((key, _)) = awaited.get(index - own_present.len())
                && let Some(slot) = slots.slots.get_mut(key)
                && let Readiness::Awaited(waker) = core::mem::replace(&mut slot.state, Readiness::Ready)
            {
                waker.wake();
            }
        }
        Some(ready)
    }
}

impl Source {
    /// Waits until the pollable is ready. Always takes a turn of the reactor, so that one busy stream cannot keep its
    /// task from letting others run.
    pub async fn ready(&self) {
        poll_fn(|context| {
            let mut slots = self.reactor.0.borrow_mut();
            let Some(slot) = slots.slots.get_mut(&self.key) else { return Poll::Ready(()) };
            if matches!(slot.state, Readiness::Ready) {
                slot.state = Readiness::Unasked;
                return Poll::Ready(());
            }
            slot.state = Readiness::Awaited(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.reactor.0.borrow_mut().slots.remove(&self.key);
    }
}

/// A future and whether it wants to run.
pub struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Woken>,
    waker: Waker,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Task {
    /// A task that wants to run.
    pub fn new(future: impl Future<Output = ()> + 'static) -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&woken)), woken }
    }

    /// Whether it wants to run.
    pub fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Runs the task as far as it gets, if it was woken. Tells whether it is over.
    pub fn run(&mut self) -> bool {
        self.woken.0.swap(false, Ordering::Relaxed)
            && self.future.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready()
    }
}
