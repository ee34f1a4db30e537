//! The same for an application with the library, and with a store of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use mcp_reconnect::HttpOptions;
use mcp_reconnect::oauth::{Config, FailureKind, Lock, Locked, Notice, Session, Store, StoreError};

use crate::guarded::{Guarded, Kind, visit};

/// Credentials in the memory of one process.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    texts: Mutex<HashMap<String, String>>,
    held: Mutex<HashSet<(String, Locked)>>,
    given_back: Condvar,
}

/// Gives the lock back when it is dropped.
struct Held(Arc<Inner>, (String, Locked));

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.0.held).remove(&self.1);
        self.0.given_back.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked with it")
}

impl Store for Memory {
    fn load(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(lock(&self.0.texts).get(key).cloned())
    }

    fn save(&self, key: &str, text: &str) -> Result<(), StoreError> {
        lock(&self.0.texts).insert(key.to_owned(), text.to_owned());
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        Ok(lock(&self.0.texts).remove(key).is_some())
    }

    fn lock(&self, key: &str, what: Locked) -> Result<Lock, StoreError> {
        let name = (key.to_owned(), what);
        let free = |held: &mut HashSet<_>| held.contains(&name);
        let mut held = self.0.given_back.wait_while(lock(&self.0.held), free).expect("nobody panicked with it");
        held.insert(name.clone());
        Ok(Lock::new(Held(Arc::clone(&self.0), name)))
    }

    fn try_lock(&self, key: &str, what: Locked) -> Result<Option<Lock>, StoreError> {
        let name = (key.to_owned(), what);
        let taken = lock(&self.0.held).insert(name.clone());
        Ok(taken.then(|| Lock::new(Held(Arc::clone(&self.0), name))))
    }
}

fn session(server: &Guarded, store: &Memory) -> Session {
    Session::new(Config::new(server.url()), HttpOptions::default(), store.clone()).expect("the configuration is good")
}

async fn sign_in(session: &mut Session) {
    let tell = |notice: Notice| {
        if let Notice::Authorize { url, .. } = notice {
            std::thread::spawn(move || visit(&url));
        }
    };
    session.sign_in(true, tell, None).await.expect("somebody signs in");
}

#[tokio::test]
async fn a_store_of_the_applications_own() {
    let mut server = Guarded::started(Kind::Fastmcp);
    let store = Memory::default();
    let mut first = session(&server, &store);
    assert_eq!(first.acquire(None).await.expect_err("nobody signed in").kind, FailureKind::NoToken);
    sign_in(&mut first).await;
    let token = first.acquire(None).await.expect("it is stored");
    // Another session of the store has the same token, without a person.
    let mut second = session(&server, &store);
    assert_eq!(second.acquire(None).await.expect("it is stored").access, token.access);
    assert_eq!((server.count("oauth register"), server.count("oauth authorize")), (1, 1));
    assert!(second.describe().expect("it can be read").is_some_and(|stored| stored.has_token));
    // The server is killed and has forgotten its clients.
    server.restart();
    let rejected = Some((401, "Bearer error=\"invalid_token\"".to_owned()));
    assert_eq!(second.acquire(rejected).await.expect_err("it is forgotten").kind, FailureKind::SignInNeeded);
    sign_in(&mut second).await;
    assert_eq!((server.count("oauth register"), server.count("oauth authorize")), (2, 2));
    // The locks are given back.
    assert!(store.try_lock(second.key(), Locked::Credential).expect("it can be locked").is_some());
    assert!(store.remove(second.key()).expect("it can be removed"));
    assert_eq!(first.acquire(None).await.expect_err("it is removed").kind, FailureKind::NoToken);
}
