//! What single parameters, bounds and texts are.

use mcp_reconnect_core::SECOND;
use mcp_reconnect_core::oauth::{Client, Config, Description, Event, Failure, FailureKind, Grant, Input, Page, Secret};
use serde_json::{Value, json};

use crate::world::{World, parameter};

const MCP: &str = "https://mcp.example/mcp";
const UNAUTHORIZED: Option<(u16, &str)> = Some((401, "Bearer"));

fn configured(change: impl FnOnce(&mut Config)) -> World {
    let mut config = Config::new(MCP);
    config.client = Some(Client { id: "configured".into(), secret: Some("s3cret".into()) });
    change(&mut config);
    World::new(config)
}

fn last_form(world: &World) -> String {
    world.servers.calls("/token").last().expect("a token was asked for").body.0.clone()
}

/// Changes what is stored, as another process would.
fn change(store: &mut Option<Secret>, change: impl FnOnce(&mut Value)) {
    let mut record = serde_json::from_str(&store.as_ref().expect("something is stored").0).expect("JSON");
    change(&mut record);
    *store = Some(Secret(record.to_string()));
}

#[test]
fn each_grant_names_its_scopes_and_the_resource() {
    let mut world = World::standard();
    world.sign_in();
    assert_eq!(world.servers.clients["client-1"]["scope"], "read");
    world.pass(60);
    world.rejected().expect("refreshed");
    assert_eq!(parameter(&last_form(&world), "grant_type").as_deref(), Some("refresh_token"));
    assert_eq!(parameter(&last_form(&world), "resource").as_deref(), Some(MCP));
    let mut world = configured(|config| config.grant = Grant::ClientCredentials);
    world.acquire(Some((401, r#"Bearer scope="read""#))).expect("nobody is needed");
    assert_eq!(parameter(&last_form(&world), "scope").as_deref(), Some("read"));
    assert_eq!(parameter(&last_form(&world), "resource").as_deref(), Some(MCP));
    let mut world = World::new(Config::new(MCP).with(|o| o.grant = Grant::Device));
    world.begin();
    let form = world.servers.calls("/device")[0].body.0.clone();
    assert_eq!(parameter(&form, "scope").as_deref(), Some("read"));
    assert_eq!(parameter(&form, "resource").as_deref(), Some(MCP));
}

#[test]
fn a_secret_goes_where_the_server_wants_it() {
    for (methods, in_form) in [(json!(["client_secret_post"]), true), (json!(["client_secret_basic"]), false)] {
        let mut world = configured(|_| {});
        world.servers.metadata["token_endpoint_auth_methods_supported"] = methods;
        world.sign_in();
        let sent = world.servers.calls("/token")[0];
        assert_eq!(parameter(&sent.body.0, "client_secret").is_some(), in_form);
        assert_eq!(sent.headers.iter().any(|(name, _)| name == "authorization"), !in_form);
    }
}

#[test]
fn consent_is_asked_for_where_a_refresh_token_is() {
    for (offered, prompt) in [(json!(["offline_access"]), Some("consent")), (json!(["read"]), None)] {
        let mut world = World::standard();
        world.servers.metadata["scopes_supported"] = offered;
        world.begin();
        assert_eq!(parameter(&world.opened[0], "prompt").as_deref(), prompt);
    }
}

#[test]
fn an_input_that_begins_a_run_waits_for_the_end_of_the_one_under_way() {
    let mut world = World::standard();
    world.begin();
    assert!(!world.oauth.is_idle());
    world.input(Input::Acquire { rejected: None });
    world.input(Input::SignIn { by_person: true });
    assert_eq!((world.opened.len(), world.done.len()), (1, 0));
    let query = world.good_query();
    assert_eq!(world.callback(&query), Page::Received);
    world.token();
}

#[test]
fn no_two_requests_have_one_number() {
    let mut world = World::standard();
    world.sign_in();
    let mut numbers: Vec<_> = world.servers.requests.iter().map(|request| request.id).collect();
    assert!(numbers.len() >= 4);
    numbers.dedup();
    assert_eq!(numbers.len(), world.servers.requests.len());
}

/// A token is of no use once it was rejected within five seconds, twice in a row.
#[test]
fn a_token_that_was_good_for_five_seconds_was_good() {
    let mut world = World::standard();
    world.sign_in();
    world.acquire(None).unwrap();
    for _ in 0..6 {
        world.now += 5 * SECOND;
        world.wall += 5;
        world.input(Input::Acquire { rejected: Some((401, "Bearer".into())) });
        world.result().expect("it is refreshed");
    }
}

#[test]
fn a_token_that_cannot_be_refreshed_is_used_to_its_end() {
    let mut world = World::standard();
    world.servers.script("/token", &[(200, r#"{"access_token":"a","token_type":"Bearer","expires_in":100}"#)]);
    world.sign_in();
    world.pass(60);
    assert!(world.acquire(None).is_ok_and(|token| token.access.0 == "a" && !token.stale));
    world.pass(10);
    let before = world.servers.requests.len();
    assert_eq!(world.acquire(None).unwrap_err().0, FailureKind::NoToken);
    assert_eq!(world.servers.requests.len(), before, "nobody is asked");
    assert_eq!(world.acquire(UNAUTHORIZED).unwrap_err(), (FailureKind::SignInNeeded, "there is no token"));
    assert!(world.record()["tokens"].is_null(), "it was rejected, and is of no use to anybody");
}

#[test]
fn a_client_id_that_cannot_be_used_is_none() {
    for id in ["", "a\u{202e}b", &"x".repeat(5000)] {
        let mut world = World::standard();
        world.servers.script("/register", &[(201, &json!({ "client_id": id }).to_string())]);
        world.begin();
        assert_eq!(world.result().unwrap_err().0, FailureKind::Untrusted, "{id:.10}");
        assert!(world.opened.is_empty());
    }
}

#[test]
fn a_rejected_token_is_looked_up_before_it_is_refreshed() {
    let mut world = World::standard();
    world.sign_in();
    world.acquire(None).unwrap();
    let metadata = |world: &World| world.servers.calls("/.well-known/oauth-authorization-server").len();
    let before = metadata(&world);
    world.pass(3600);
    world.acquire(None).expect("refreshed");
    assert_eq!(metadata(&world), before, "it has ended: where it was got from is known");
    world.pass(3600);
    world.acquire(UNAUTHORIZED).expect("refreshed");
    assert_eq!(metadata(&world), before + 1);
}

/// What another process has stored since the last look at it, seen when the lock is there.
#[test]
fn a_sign_in_of_another_process_that_was_made_meanwhile() {
    let mut login = World::standard();
    let token = login.sign_in();
    let store = login.store.clone();
    let meanwhile = |edit: fn(&mut Value)| {
        let mut store = store.clone();
        change(&mut store, edit);
        let mut world = World::standard();
        world.meanwhile = Some(Box::new(move |stored, _| *stored = store));
        world
    };
    let mut world = meanwhile(|_| {});
    assert_eq!(world.acquire(UNAUTHORIZED).unwrap().access.0, token);
    // It is of another authorization server; it has ended; there is none.
    for edit in [
        |record: &mut Value| record["issuer"] = json!("https://other.example"),
        |record: &mut Value| record["tokens"]["obtained_at"] = json!(1),
        |record: &mut Value| record["tokens"] = Value::Null,
    ] {
        let mut world = meanwhile(edit);
        assert_eq!(world.acquire(UNAUTHORIZED).unwrap_err().0, FailureKind::SignInNeeded);
        assert_eq!(world.record()["wanted"]["step_up"], false);
    }
}

#[test]
fn more_scopes_that_another_process_has_got_meanwhile() {
    const MORE: Option<(u16, &str)> = Some((403, r#"Bearer error="insufficient_scope", scope="write""#));
    for (scopes, enough) in [(json!(["read", "write"]), true), (json!(["read", "other"]), false)] {
        let mut world = World::standard();
        world.sign_in();
        world.acquire(None).unwrap();
        world.meanwhile = Some(Box::new(move |stored, _| {
            change(stored, |record| {
                record["tokens"]["access"] = json!("another");
                record["tokens"]["scopes"] = scopes;
            });
        }));
        let got = world.acquire(MORE);
        match enough {
            true => assert_eq!(got.unwrap().access.0, "another"),
            false => assert_eq!(got.unwrap_err().0, FailureKind::SignInNeeded),
        }
        assert_eq!(world.record()["wanted"]["step_up"], !enough);
    }
}

/// A refresh token is shown to nobody but the server that gave it.
#[test]
fn another_process_has_changed_the_authorization_server_meanwhile() {
    for edit in [
        |record: &mut Value| record["issuer"] = json!("https://other.example"),
        |record: &mut Value| record["client"] = Value::Null,
    ] {
        let mut world = World::standard();
        world.sign_in();
        world.acquire(None).unwrap();
        world.pass(3600);
        world.meanwhile = Some(Box::new(move |stored, _| change(stored, edit)));
        let before = world.servers.calls("/token").len();
        assert_eq!(world.acquire(UNAUTHORIZED).unwrap_err().0, FailureKind::SignInNeeded);
        assert_eq!(world.servers.calls("/token").len(), before);
    }
}

#[test]
fn when_a_browser_was_opened_is_kept_from_whoever_knows_better() {
    let mut world = World::standard();
    world.begin();
    let query = world.good_query();
    world.meanwhile = Some(Box::new(|stored, _| change(stored, |record| record["opened_at"] = json!(1234))));
    world.callback(&query);
    world.token();
    assert_eq!(world.record()["opened_at"], 1234);
}

#[test]
fn a_browser_may_be_opened_again_after_exactly_five_minutes_and_for_more_scopes_at_once() {
    let mut world = World::standard();
    world.input(Input::SignIn { by_person: false });
    world.pass(400);
    assert_eq!((world.opened.len(), world.result().unwrap_err().0), (1, FailureKind::TimedOut));
    for (after, opened) in [(299, false), (300, true)] {
        let mut again = World::standard();
        again.store.clone_from(&world.store);
        again.wall = 1_800_000_000 + after;
        again.input(Input::SignIn { by_person: false });
        assert_eq!(!again.opened.is_empty(), opened, "after {after} s");
    }
    let mut more = World::standard();
    more.store.clone_from(&world.store);
    change(&mut more.store, |record| record["wanted"] = json!({"step_up": true, "scopes": ["write"]}));
    more.input(Input::SignIn { by_person: false });
    assert_eq!(more.opened.len(), 1);
}

/// The scopes that a challenge of a 401 named say nothing of whether a token is good.
#[test]
fn a_token_is_enough_unless_more_scopes_are_wanted() {
    for (step_up, scopes, enough) in
        [(false, json!(["other"]), true), (true, json!(["other"]), false), (true, json!(["read"]), true)]
    {
        let mut world = World::standard();
        world.sign_in();
        change(&mut world.store, |record| record["wanted"] = json!({"step_up": step_up, "scopes": scopes}));
        world.opened.clear();
        world.input(Input::SignIn { by_person: false });
        assert_eq!(world.opened.is_empty(), enough, "{step_up} {scopes}");
    }
}

#[test]
fn three_attempts_with_pauses_that_double() {
    let mut world = World::standard();
    world.servers.away.insert("/mcp".into());
    world.begin();
    let mut pauses = Vec::new();
    while let Some(at) = world.oauth.deadline() {
        pauses.push((at - world.now).as_millis() / 500);
        world.now = at;
        world.input(Input::Tick);
    }
    assert_eq!((pauses, world.servers.calls("/mcp").len()), (vec![2, 4], 3));
    let (kind, text) = world.result().unwrap_err();
    assert_eq!(kind, FailureKind::Unreachable);
    assert!(text.contains("the MCP server https://mcp.example cannot be reached (connection refused)"), "{text}");
    // A wish is obeyed, but not any.
    for (wish, calls) in [("10", 3), ("11", 1)] {
        let mut world = World::standard();
        world.servers.script("/mcp", &[(503, "")]);
        world.servers.retry_after = Some(wish);
        world.begin();
        world.pass(60);
        assert_eq!(world.servers.calls("/mcp").len(), calls, "{wish}");
    }
}

#[test]
fn who_cannot_be_reached_is_named() {
    for (path, who) in [
        ("/mcp", "the MCP server https://mcp.example"),
        ("/.well-known/oauth-protected-resource/mcp", "the MCP server https://mcp.example"),
        ("/.well-known/oauth-authorization-server", "the authorization server https://as.example"),
        ("/register", "the authorization server https://as.example"),
    ] {
        let mut world = World::standard();
        world.servers.away.insert(path.into());
        world.begin();
        world.pass(60);
        let text = world.result().unwrap_err().1;
        assert!(text.starts_with(&format!("{who} cannot be reached")), "{path}: {text}");
    }
}

#[test]
fn an_answer_may_fill_its_bound() {
    for (longer, good) in [(0, true), (1, false)] {
        let filled =
            |text: &str, filler: &str, bound: usize| text.to_owned() + &filler.repeat(bound + longer - text.len());
        let mut world = World::standard();
        let body = filled(r#"{"access_token":"a","token_type":"Bearer"}"#, " ", 64 << 10);
        world.servers.script("/token", &[(200, &body)]);
        world.begin();
        let query = world.good_query();
        world.callback(&query);
        assert_eq!(world.result().is_ok(), good);
        let mut world = World::standard();
        world.begin();
        let query = filled(&(world.good_query() + "&x="), "x", 16 << 10);
        assert_eq!(world.callback(&query) == Page::Received, good);
    }
}

#[test]
fn texts_for_people_say_something_and_debug_texts_say_what_it_is() {
    let mut world = World::standard();
    world.sign_in();
    assert!(format!("{:?}", world.oauth).contains("https://mcp.example"));
    let request = format!("{:?}", world.servers.requests[0]);
    assert!(request.contains("https://mcp.example/mcp") && !request.contains("s3cret"), "{request}");
    assert_eq!(Event::SignedIn.to_string(), "signed in");
    assert!(Event::TokensForgotten("why".into()).to_string().contains("why"));
    let failure = Failure::new(FailureKind::Store, "it is full");
    assert_eq!(failure.to_string(), "it is full");
}

#[test]
fn what_each_grant_needs_of_the_authorization_server() {
    let mut world = World::new(Config::new(MCP).with(|o| o.grant = Grant::Device));
    world.servers.metadata.as_object_mut().unwrap().remove("device_authorization_endpoint");
    world.begin();
    assert!(world.result().unwrap_err().1.contains("RFC 8628"));
    assert!(world.servers.calls("/register").is_empty());
    // A code on another device needs no browser here.
    let mut world = World::new(Config::new(MCP).with(|o| o.grant = Grant::Device));
    for member in ["authorization_endpoint", "code_challenge_methods_supported"] {
        world.servers.metadata.as_object_mut().unwrap().remove(member);
    }
    world.begin();
    assert_eq!((world.codes.len(), world.code_life), (1, 300));
    let mut world = World::standard();
    world.servers.metadata.as_object_mut().unwrap().remove("authorization_endpoint");
    world.begin();
    assert!(world.result().unwrap_err().1.contains("no authorization endpoint"));
}

#[test]
fn only_a_registration_that_is_refused_for_its_form_is_made_in_another() {
    for (status, error, calls) in
        [(400, "invalid_client_metadata", 3), (403, "invalid_client_metadata", 1), (400, "access_denied", 1)]
    {
        let mut world = World::standard();
        world.servers.script("/register", &[(status, &json!({ "error": error }).to_string())]);
        world.begin();
        assert_eq!(world.servers.calls("/register").len(), calls, "{status} {error}");
    }
}

#[test]
fn who_answers_is_said_where_the_server_says_that_it_does() {
    for (says, good) in [(false, true), (true, false)] {
        let mut world = World::standard();
        world.servers.metadata["authorization_response_iss_parameter_supported"] = json!(says);
        world.begin();
        let query = world.good_query();
        let without = query.split('&').filter(|part| !part.starts_with("iss=")).collect::<Vec<_>>().join("&");
        assert_eq!(world.callback(&without) == Page::Received, good);
        if !good {
            let text = world.result().unwrap_err().1;
            assert!(text.contains("says who it is in its answers"), "{text}");
        }
    }
}

#[test]
fn an_answer_without_a_code_is_none() {
    for code in ["", "code=&", "code=a&code=b&"] {
        let mut world = World::standard();
        world.begin();
        let state = parameter(&world.opened[0], "state").unwrap();
        assert_eq!(world.callback(&format!("{code}state={state}&iss=https://as.example")), Page::Refused, "{code}");
        assert!(world.servers.calls("/token").is_empty() && world.result().unwrap_err().1.contains("without a code"));
    }
}

#[test]
fn a_browser_that_comes_back_with_a_forgotten_client_begins_anew_once() {
    let mut world = World::standard();
    world.begin();
    for opened in [2, 2] {
        let state = parameter(world.opened.last().unwrap(), "state").unwrap();
        world.callback(&format!("error=invalid_client&state={state}&iss=https://as.example"));
        assert_eq!(world.opened.len(), opened);
    }
    assert_eq!(world.result().unwrap_err().0, FailureKind::Denied);
}

#[test]
fn a_configured_client_that_is_not_known_is_not_tried_again() {
    let mut world = configured(|_| {});
    world.servers.script("/token", &[(401, r#"{"error":"invalid_client"}"#)]);
    world.begin();
    let query = world.good_query();
    world.callback(&query);
    assert_eq!((world.opened.len(), world.result().unwrap_err().0), (1, FailureKind::ClientRefused));
}

#[test]
fn of_several_authorization_servers_the_known_one_is_asked() {
    let mut world = World::standard();
    world.sign_in();
    world.acquire(None).unwrap();
    let both = json!({"resource": MCP, "authorization_servers": ["https://new.example", "https://as.example"]});
    world.servers.script("/.well-known/oauth-protected-resource/mcp", &[(200, &both.to_string())]);
    world.pass(60);
    world.rejected().expect("refreshed by the one that gave it");
    assert!(!world.events.iter().any(|event| matches!(event, Event::IssuerChanged(..))));
}

#[test]
fn metadata_is_looked_for_in_every_place_once() {
    let mut world = World::standard();
    let metadata = world.servers.metadata.to_string();
    let resource = json!({"resource": "https://mcp.example", "authorization_servers": ["https://as.example"]});
    world.servers.script("/.well-known/oauth-protected-resource/mcp", &[(404, "")]);
    world.servers.script("/.well-known/oauth-protected-resource", &[(200, &resource.to_string())]);
    world.servers.script("/mcp", &[(401, "")]);
    world.servers.script("/.well-known/oauth-authorization-server", &[(404, "")]);
    world.servers.script("/.well-known/openid-configuration", &[(200, &metadata)]);
    world.sign_in();
    for place in ["oauth-protected-resource/mcp", "oauth-protected-resource", "oauth-authorization-server"] {
        assert_eq!(world.servers.calls(&format!("/.well-known/{place}")).len(), 1, "{place}");
    }
    let description = Description::of(world.store.as_ref().unwrap()).unwrap();
    assert_eq!(description.issuer, "https://as.example");
}

#[test]
fn the_name_of_a_credential_tells_grants_apart_that_nobody_signs_in_for() {
    let key = |grant| Config::new(MCP).with(|o| o.grant = grant).key();
    // What is stored must be found by every later version.
    assert_eq!(Config::new(MCP).key(), "6e217415704b8e7f8c3b3b24e2b53768");
    assert_eq!(key(Grant::Device), Config::new(MCP).key(), "the same person signs in");
    assert_ne!(key(Grant::ClientCredentials), key(Grant::Device));
}
