//! The table of restarts: what a server forgets when it is killed, and what must not be thrown away because it is away.

use mcp_reconnect_core::SECOND;
use mcp_reconnect_core::oauth::{Config, Event, FailureKind, Input, Page};

use crate::world::World;

fn signed_in() -> World {
    let mut world = World::standard();
    world.sign_in();
    world.acquire(None).unwrap();
    world.pass(60);
    world
}

/// 401 after a restart, with a token that has not expired: one refresh, `invalid_client`, and the sign-in registers anew.
#[test]
fn a_forgotten_registration() {
    let mut world = signed_in();
    world.servers.restart();
    let (kind, text) = world.rejected().unwrap_err();
    assert_eq!(kind, FailureKind::SignInNeeded);
    assert!(text.contains("forgotten this client (a restart?)"), "{text}");
    assert!(world.events.contains(&Event::ClientForgotten));
    assert_eq!(world.servers.calls("/token").len(), 2, "one for the sign-in, one refresh");
    assert!(world.record()["client"].is_null() && world.record()["tokens"].is_null());
    let registered = world.servers.calls("/register").len();
    world.sign_in();
    assert_eq!(world.servers.calls("/register").len(), registered + 1);
    let client = world.record()["client"]["id"].as_str().unwrap().to_owned();
    assert!(world.opened.last().unwrap().contains(&client) && world.servers.clients.contains_key(&client));
}

/// Nobody is ever sent to a page that says that the client is not known, also when nobody asked the server before.
#[test]
fn each_sign_in_registers_anew() {
    let mut world = signed_in();
    world.servers.restart();
    world.sign_in();
    assert_eq!(world.servers.calls("/register").len(), 2);
}

#[test]
fn forgotten_tokens() {
    let mut world = signed_in();
    world.servers.refresh_tokens.clear();
    let (kind, text) = world.rejected().unwrap_err();
    assert!(kind == FailureKind::SignInNeeded && text.contains("invalid_grant"), "{text}");
    assert!(world.record()["tokens"].is_null());
    world.sign_in();
}

/// Away, or speaking through a proxy that does: everything is kept, and the old token is used for as long as it holds.
#[test]
fn the_authorization_server_is_away_during_a_refresh() {
    for answer in [0, 500, 502, 503, 429, 408] {
        let mut world = signed_in();
        let token = world.token();
        if answer == 0 {
            world.servers.away.insert("/token".into());
        } else {
            world.servers.script("/token", &[(answer, "<html>")]);
        }
        let before = world.record();
        // It ends within a minute (an acquire here lets 30 s pass).
        world.pass(3600 - 90 - 50);
        let used = world.acquire(None).unwrap();
        assert!(used.stale && used.access.0 == token);
        assert_eq!(world.record(), before);
        // It has ended.
        world.pass(3600);
        assert_eq!(world.acquire(None).unwrap_err().0, FailureKind::Unreachable);
        assert_eq!(world.rejected().unwrap_err().0, FailureKind::Unreachable);
        assert_eq!(world.record(), before);
        assert!(world.events.iter().any(|event| matches!(event, Event::Retrying(_))));
        world.servers.away.clear();
        world.servers.scripted.clear();
        assert_ne!(world.acquire(None).unwrap().access.0, token);
    }
}

/// What a proxy says with a 400 is no word of the authorization server.
#[test]
fn a_refusal_in_nobodys_words() {
    let mut world = signed_in();
    world.servers.script("/token", &[(400, "<html>")]);
    assert_eq!(world.rejected().unwrap_err().0, FailureKind::Unreachable);
    assert!(world.record()["tokens"].is_object());
}

#[test]
fn the_mcp_server_is_away() {
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"] {
        let mut world = signed_in();
        world.servers.away.insert(path.into());
        let before = world.record();
        assert_eq!(world.rejected().unwrap_err().0, FailureKind::Unreachable);
        assert_eq!(world.record(), before);
    }
}

/// The servers restart while a person signs in: the code is refused, and the sign-in begins anew, once.
#[test]
fn a_sign_in_pending_during_a_restart() {
    for forgets_clients in [true, false] {
        let mut world = World::standard();
        world.begin();
        let stale = world.good_query();
        world.servers.codes.clear();
        if forgets_clients {
            world.servers.clients.clear();
        }
        assert_eq!(world.callback(&stale), Page::Received);
        assert_eq!(world.opened.len(), 2);
        assert_eq!(world.servers.calls("/register").len(), 2);
        let good = world.good_query();
        world.callback(&good);
        world.token();
        // A second time it is said.
        let mut world = World::standard();
        world.begin();
        for _ in 0..2 {
            let stale = world.good_query();
            world.servers.restart();
            world.callback(&stale);
        }
        assert_eq!(world.opened.len(), 2);
        world.result().unwrap_err();
    }
}

/// Many processes, one refresh token: whoever comes second uses what the first has got.
#[test]
fn one_refresh_for_all() {
    let mut world = signed_in();
    let mut other = world.beside(Config::new("https://mcp.example/mcp"));
    other.acquire(None).unwrap();
    let fresh = other.rejected().unwrap().access.0.clone();
    let store = other.store.clone();
    world.servers = other.servers;
    // It takes the lock when the other has let it go.
    world.meanwhile = Some(Box::new(move |stored, _| *stored = store));
    let before = world.servers.calls("/token").len();
    assert_eq!(world.rejected().unwrap().access.0, fresh);
    assert_eq!(world.servers.calls("/token").len(), before);
}

/// The same when the first one found out that a sign-in is needed, and it has been made already.
#[test]
fn one_sign_in_for_all() {
    let mut world = signed_in();
    world.servers.restart();
    let mut login = world.beside(Config::new("https://mcp.example/mcp"));
    let fresh = login.sign_in();
    world.store = login.store.clone();
    world.servers = login.servers;
    assert_eq!(world.rejected().unwrap().access.0, fresh);
    // A sign-in that was begun without a person's command finds that there is nothing to do.
    let mut late = world.beside(Config::new("https://mcp.example/mcp"));
    late.input(Input::SignIn { by_person: false });
    assert!(late.opened.is_empty() && late.token() == fresh);
}

/// At most one browser in five minutes, unless a person wants it.
#[test]
fn no_storm_of_tabs() {
    let mut world = World::standard();
    let config = || Config::new("https://mcp.example/mcp");
    let mut opened = 0;
    for seconds in 0..600 {
        let mut login = world.beside(config());
        login.input(Input::SignIn { by_person: false });
        if !login.opened.is_empty() {
            opened += 1;
            login.pass(0);
            let state = crate::world::parameter(login.opened[0].split_once('?').unwrap().1, "state").unwrap();
            login.callback(&format!("error=access_denied&state={state}&iss=https://as.example"));
            assert_eq!(login.result().unwrap_err().0, FailureKind::Denied);
        } else {
            assert_eq!(login.result().unwrap_err().0, FailureKind::TooSoon, "after {seconds} s");
        }
        world.store = login.store;
        world.servers = login.servers;
        world.wall += 1;
    }
    assert_eq!(opened, 2);
    world.begin();
    assert_eq!(world.opened.len(), 1, "a person may");
}

#[test]
fn nobody_signs_in() {
    let mut world = World::standard();
    world.begin();
    world.pass(299);
    assert!(world.listening);
    world.pass(1);
    assert_eq!(world.result().unwrap_err().0, FailureKind::TimedOut);
}

/// New tokens that are rejected at once: no loop.
#[test]
fn new_tokens_that_are_rejected() {
    let mut world = signed_in();
    let mut refreshes = 0;
    for _ in 0..10 {
        world.input(Input::Acquire { rejected: Some((401, "Bearer".into())) });
        match world.result() {
            Ok(_) => refreshes += 1,
            Err((kind, _)) => {
                assert_eq!(kind, FailureKind::Rejected);
                break;
            }
        }
    }
    assert_eq!(refreshes, 2);
}

/// A token that lives for two seconds is no bad one.
#[test]
fn tokens_of_two_seconds() {
    let mut world = World::standard();
    world.servers.expires_in = serde_json::json!(2);
    let mut last = world.sign_in();
    world.acquire(None).unwrap();
    for _ in 0..20 {
        world.now += 2 * SECOND;
        world.wall += 2;
        world.input(Input::Acquire { rejected: Some((401, "Bearer".into())) });
        assert_ne!(world.token(), last);
        last = world.token();
    }
}
