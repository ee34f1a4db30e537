//! Bad input: a clear sentence, no loop, nothing thrown away that may still be good.

use mcp_reconnect_core::Instant;
use mcp_reconnect_core::oauth::{Event, FailureKind, Input, Secret};
use serde_json::json;

use crate::world::World;

#[test]
fn html_where_json_is_due() {
    for (path, text) in [
        ("/.well-known/oauth-protected-resource/mcp", "HTML where JSON is due"),
        ("/.well-known/oauth-authorization-server", "no usable metadata"),
        ("/register", "HTML where JSON is due"),
        ("/token", "HTML where JSON is due"),
    ] {
        let mut world = World::standard();
        world.servers.script(path, &[(200, "<!doctype html>")]);
        world.begin();
        if !world.opened.is_empty() {
            let query = world.good_query();
            world.callback(&query);
        }
        let (kind, said) = world.result().unwrap_err();
        assert_eq!(kind, FailureKind::Untrusted, "{path}");
        assert!(said.contains(text), "{path}: {said}");
    }
}

#[test]
fn token_answers_that_are_none() {
    for (answer, text) in [
        (json!({"access_token": "t", "token_type": "DPoP"}), "type DPoP"),
        (json!({"access_token": "t"}), "token_type"),
        (json!({"token_type": "bearer"}), "access_token"),
        (json!([]), "JSON object"),
    ] {
        let mut world = World::standard();
        world.servers.script("/token", &[(200, &answer.to_string())]);
        world.begin();
        let query = world.good_query();
        world.callback(&query);
        assert!(world.result().unwrap_err().1.contains(text), "{answer}");
    }
}

#[test]
fn lifetimes_of_all_kinds() {
    for (expires, refresh_after) in
        [(json!(null), None), (json!(0), None), (json!(315_360_000), Some(315_359_940)), (json!("100"), Some(50))]
    {
        let mut world = World::standard();
        world.servers.expires_in = expires;
        world.sign_in();
        let token = world.result().unwrap();
        assert_eq!(token.refresh_at.map(|at| at - world.wall), refresh_after);
    }
}

#[test]
fn a_store_that_cannot_be_used() {
    let mut world = World::standard();
    world.store = Some(Secret("{ damaged".into()));
    assert_eq!(world.acquire(None).unwrap_err().0, FailureKind::NoToken);
    assert!(matches!(&world.events[..], [Event::RecordUnusable(_)]));
    world.sign_in();
    // One of a later version is left as it is.
    let newer = Secret(r#"{"schema":99}"#.into());
    let mut world = World::standard();
    world.store = Some(newer.clone());
    world.begin();
    assert_eq!(world.result().unwrap_err().0, FailureKind::Store);
    assert_eq!(world.store, Some(newer));
    // The host says what is wrong.
    let mut oauth = World::standard().oauth;
    oauth.handle(Instant::ZERO, 0, Input::SignIn { by_person: true });
    oauth.handle(Instant::ZERO, 0, Input::StoreFailed("others can write it".into()));
    let outputs: Vec<_> = std::iter::from_fn(|| oauth.poll_output()).collect();
    assert!(format!("{outputs:?}").contains("others can write it"), "{outputs:?}");
}

/// A server that wants credentials of another kind is no matter of OAuth, and that is found out at once.
#[test]
fn a_server_without_oauth() {
    let mut world = World::standard();
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"] {
        world.servers.script(path, &[(404, "")]);
    }
    assert_eq!(world.acquire(Some((401, ""))).unwrap_err().0, FailureKind::NotOauth);
    assert!(world.servers.requests.len() <= 4 && world.opened.is_empty() && world.store.is_none());
}

#[test]
fn nobody_can_listen() {
    let mut world = World::standard();
    world.no_listener = Some("the port 1 is taken");
    world.begin();
    let (kind, text) = world.result().unwrap_err();
    assert_eq!(kind, FailureKind::Unsupported);
    assert!(text.contains("no browser can be waited for: the port 1 is taken"), "{text}");
    let mut machine = World::standard().oauth;
    machine.handle(Instant::ZERO, 0, Input::ListenFailed("the port 1 is taken".into()));
    assert!(machine.poll_output().is_none(), "nobody asked");
}

/// Any run ends: whatever each request is answered with.
#[test]
fn every_run_ends() {
    for status in [100, 200, 204, 302, 400, 401, 403, 404, 418, 500, 503] {
        for body in
            ["", "{}", "[]", "<html>", "null", "\"x\"", r#"{"error":7}"#, r#"{"resource":"https://mcp.example/mcp"}"#]
        {
            for sign_in in [false, true] {
                let mut world = World::standard();
                for path in [
                    "/mcp",
                    "/.well-known/oauth-protected-resource/mcp",
                    "/.well-known/oauth-protected-resource",
                    "/.well-known/oauth-authorization-server",
                    "/.well-known/openid-configuration",
                ] {
                    world.servers.script(path, &[(status, body)]);
                }
                if sign_in {
                    world.begin();
                } else {
                    world.input(Input::Acquire { rejected: Some((401, "Bearer".into())) });
                }
                world.pass(400);
                world.result().unwrap_err();
                assert!(world.servers.requests.len() < 30);
            }
        }
    }
}
