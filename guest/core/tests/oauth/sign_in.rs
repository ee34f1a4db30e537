//! What a sign-in sends, and the other ways to a token.

use mcp_reconnect_core::oauth::{
    Client, Config, Description, Event, FailureKind, Grant, Input, Method, RedirectHost, Resource,
};
use serde_json::json;

use crate::world::{World, parameter};

fn query(world: &World) -> String {
    world.opened.last().unwrap().split_once('?').unwrap().1.to_owned()
}

#[test]
fn a_person_signs_in() {
    let mut world = World::standard();
    world.begin();
    let query = query(&world);
    for (name, value) in [
        ("keep", "1"),
        ("response_type", "code"),
        ("client_id", "client-1"),
        ("redirect_uri", "http://127.0.0.1:4321/callback"),
        ("code_challenge_method", "S256"),
        ("resource", "https://mcp.example/mcp"),
        ("scope", "read"),
    ] {
        assert_eq!(parameter(&query, name).as_deref(), Some(value), "{name} in {query}");
    }
    assert_eq!(parameter(&query, "state").unwrap().len(), 43);
    assert_ne!(parameter(&query, "state"), parameter(&query, "code_challenge"));
    let client = &world.servers.clients["client-1"];
    assert_eq!(client["redirect_uris"], json!(["http://127.0.0.1:4321/callback"]), "the port that is bound, exactly");
    assert_eq!(
        (&client["application_type"], &client["token_endpoint_auth_method"]),
        (&json!("native"), &json!("none"))
    );
    assert_eq!(client["grant_types"], json!(["authorization_code", "refresh_token"]));
    // Everybody who waits can tell what is to be opened.
    let pending = Description::of(world.store.as_ref().unwrap()).unwrap().pending.unwrap().0;
    assert_eq!(pending, world.opened[0]);
    let good = world.good_query();
    world.callback(&good);
    let sent = world.servers.calls("/token")[0].clone();
    assert_eq!((sent.method, sent.url.as_str()), (Method::Post, "https://as.example/token"));
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("redirect_uri", "http://127.0.0.1:4321/callback"),
        ("client_id", "client-1"),
        ("resource", "https://mcp.example/mcp"),
    ] {
        assert_eq!(parameter(&sent.body.0, name).as_deref(), Some(value), "{name}");
    }
    use base64::Engine;
    use sha2::Digest;
    let verifier = parameter(&sent.body.0, "code_verifier").unwrap();
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier.as_bytes()));
    assert_eq!(Some(hash), parameter(&query, "code_challenge"));
    let token = world.token();
    assert_eq!(world.result().unwrap().expires_at, Some(world.wall + 3600));
    // The next one needs nobody and no network.
    let requests = world.servers.requests.len();
    assert_eq!(world.acquire(None).unwrap().access.0, token);
    assert_eq!(world.servers.requests.len(), requests);
    let description = Description::of(world.store.as_ref().unwrap()).unwrap();
    assert!(
        description.has_token && description.refreshable && description.registered && description.pending.is_none()
    );
    assert_eq!((description.issuer.as_str(), description.scopes), ("https://as.example", vec!["read".to_owned()]));
    world.must_not_leak();
}

#[test]
fn what_the_options_change() {
    let mut config = Config::new("https://mcp.example/mcp");
    config.scopes = vec!["mine".into()];
    config.resource = Resource::Omitted;
    config.redirect_host = RedirectHost::Localhost;
    config.parameters = vec![("audience".into(), "a&b".into())];
    config.client = Some(Client { id: "configured".into(), secret: Some("s3cret".into()) });
    let mut world = World::new(config.clone());
    world.servers.metadata["scopes_supported"] = json!(["offline_access"]);
    world.sign_in();
    let query = query(&world);
    for (name, value) in [
        ("client_id", Some("configured")),
        ("redirect_uri", Some("http://localhost:4321/callback")),
        ("scope", Some("mine offline_access")),
        ("audience", Some("a&b")),
        ("resource", None),
    ] {
        assert_eq!(parameter(&query, name).as_deref(), value, "{name}");
    }
    assert!(world.servers.calls("/register").is_empty());
    let sent = world.servers.calls("/token")[0].clone();
    assert_eq!((parameter(&sent.body.0, "resource"), parameter(&sent.body.0, "client_secret")), (None, None));
    let basic = sent.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    assert_eq!(basic.1.0, "Basic Y29uZmlndXJlZDpzM2NyZXQ=");
    assert!(!world.store.as_ref().unwrap().0.contains("\"s3cret\""), "a configured secret is not stored");
    world.must_not_leak();
    assert_ne!(config.key(), Config::new("https://mcp.example/mcp").key());
}

#[test]
fn a_credential_has_a_name_that_tells_nothing() {
    let key = |change: fn(&mut Config)| {
        let mut config = Config::new("https://MCP.example:443/mcp?key=1");
        change(&mut config);
        config.key()
    };
    let usual = key(|_| {});
    assert!(usual.len() == 32 && usual.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(
        usual,
        Config::new("https://mcp.example/mcp").key(),
        "the query may hold a secret, and is no part of it"
    );
    let others = [
        key(|config| config.profile = "work".into()),
        key(|config| config.resource = Resource::Omitted),
        key(|config| config.client = Some(Client { id: "c".into(), secret: None })),
        key(|config| config.server_url = "https://mcp.example/other".into()),
        key(|config| config.grant = Grant::ClientCredentials),
    ];
    for (at, other) in others.iter().enumerate() {
        assert!(*other != usual && !others[..at].contains(other));
    }
}

#[test]
fn a_client_metadata_document() {
    let mut config = Config::new("https://mcp.example/mcp");
    config.client_metadata_url = Some("https://me.example/client.json".into());
    for (takes, id) in [(true, "https://me.example/client.json"), (false, "client-1")] {
        let mut world = World::new(config.clone());
        world.servers.metadata["client_id_metadata_document_supported"] = json!(takes);
        world.begin();
        assert_eq!(parameter(&query(&world), "client_id").as_deref(), Some(id));
    }
    config.client_metadata_url = Some("http://me.example/client.json".into());
    assert!(mcp_reconnect_core::oauth::Oauth::new(config, [0; 32]).is_err());
}

#[test]
fn registration_in_another_spelling() {
    let mut world = World::standard();
    let refused = (400, r#"{"error":"invalid_redirect_uri"}"#);
    world.servers.script("/register", &[refused, (0, "")]);
    world.begin();
    assert_eq!(parameter(&query(&world), "redirect_uri").as_deref(), Some("http://localhost:4321/callback"));
    let mut world = World::standard();
    world.servers.script("/register", &[refused, (400, r#"{"error":"invalid_client_metadata"}"#), (0, "")]);
    world.begin();
    assert_eq!(parameter(&query(&world), "redirect_uri").as_deref(), Some("http://127.0.0.1:4321/callback"));
    assert_eq!(world.servers.clients.values().next().unwrap()["token_endpoint_auth_method"], "client_secret_post");
    let mut world = World::standard();
    world.servers.script("/register", &[refused]);
    world.begin();
    assert_eq!(world.servers.calls("/register").len(), 3);
    assert!(world.opened.is_empty());
    let (kind, text) = world.result().unwrap_err();
    assert_eq!(kind, FailureKind::Unsupported);
    assert!(text.contains("--oauth-client-id"), "{text}");
}

#[test]
fn client_credentials() {
    let mut config = Config::new("https://mcp.example/mcp");
    config.grant = Grant::ClientCredentials;
    config.client = Some(Client { id: "configured".into(), secret: Some("s3cret".into()) });
    let mut world = World::new(config.clone());
    world.servers.metadata["code_challenge_methods_supported"] = json!([]);
    let first = world.rejected().expect("nobody is needed").access.0.clone();
    assert!(world.record()["tokens"]["refresh"].is_null());
    world.pass(10);
    let second = world.rejected().expect("again").access.0.clone();
    assert_ne!(first, second);
    assert!(world.opened.is_empty());
    world.input(Input::SignIn { by_person: true });
    assert_eq!(world.result().unwrap_err().0, FailureKind::Unsupported);
    world.must_not_leak();
    config.client = None;
    assert!(mcp_reconnect_core::oauth::Oauth::new(config, [0; 32]).is_err());
}

fn device() -> World {
    let mut config = Config::new("https://mcp.example/mcp");
    config.grant = Grant::Device;
    World::new(config)
}

#[test]
fn a_code_on_another_device() {
    let mut world = device();
    world.servers.device_answers = ["authorization_pending", "slow_down", "ok"].into();
    world.begin();
    assert_eq!(world.codes, [("https://as.example/d".to_owned(), "ABCD".to_owned())]);
    assert_eq!(Description::of(world.store.as_ref().unwrap()).unwrap().pending.unwrap().1.as_deref(), Some("ABCD"));
    let polls = |world: &World| world.servers.calls("/token").len();
    for (seconds, count) in [(4, 0), (1, 1), (4, 1), (1, 2), (9, 2), (1, 3)] {
        world.pass(seconds);
        assert_eq!(polls(&world), count);
    }
    world.token();
    world.must_not_leak();
}

fn without_a_browser() -> World {
    let mut config = Config::new("https://mcp.example/mcp");
    config.prefers_device = true;
    World::new(config)
}

#[test]
fn where_nobody_sees_a_browser_a_code_is_asked_for_if_there_are_any() {
    let mut world = without_a_browser();
    world.servers.device_answers = ["ok"].into();
    world.begin();
    assert_eq!((world.codes.len(), world.opened.len()), (1, 0));
    world.pass(5);
    world.token();
    // No codes are given, or not to this client.
    for refuses in ["no endpoint", "/register", "/device"] {
        let mut world = without_a_browser();
        match refuses {
            "no endpoint" => {
                drop(world.servers.metadata.as_object_mut().unwrap().remove("device_authorization_endpoint"))
            }
            "/register" => world.servers.script(refuses, &[(400, r#"{"error":"invalid_request"}"#), (0, "")]),
            _ => world.servers.script(refuses, &[(400, r#"{"error":"unauthorized_client"}"#)]),
        }
        world.begin();
        assert_eq!((world.codes.len(), world.opened.len()), (0, 1), "{refuses}");
        let good = world.good_query();
        world.callback(&good);
        world.token();
        let registered = &world.servers.calls("/register").last().unwrap().body.0;
        assert!(registered.contains("authorization_code"), "{refuses}");
    }
}

#[test]
fn a_code_that_nobody_enters() {
    for (answers, kind) in [
        (vec!["expired_token"], FailureKind::TimedOut),
        (vec!["access_denied"], FailureKind::Denied),
        (vec![], FailureKind::TimedOut),
    ] {
        let mut world = device();
        world.servers.device_answers = answers.into();
        world.begin();
        world.pass(1000);
        assert_eq!(world.result().unwrap_err().0, kind);
        assert!(Description::of(world.store.as_ref().unwrap()).unwrap().failed.is_some());
    }
    let mut world = device();
    world.servers.metadata.as_object_mut().unwrap().remove("device_authorization_endpoint");
    world.begin();
    assert_eq!(world.result().unwrap_err().0, FailureKind::Unsupported);
}

#[test]
fn more_scopes() {
    const MORE: &str = r#"Bearer error="insufficient_scope", scope="write""#;
    let mut world = World::standard();
    let token = world.sign_in();
    world.acquire(None).unwrap();
    assert_eq!(world.acquire(Some((403, MORE))).unwrap_err().0, FailureKind::SignInNeeded);
    assert_eq!(world.record()["tokens"]["access"], token, "it is good for everything else");
    let mut login = world.beside(Config::new("https://mcp.example/mcp"));
    login.input(Input::SignIn { by_person: false });
    assert_eq!(parameter(&query(&login), "scope").as_deref(), Some("read write"));
    let good = login.good_query();
    login.callback(&good);
    let more = login.token();
    std::mem::swap(&mut login.servers, &mut world.servers);
    world.store = login.store;
    assert_eq!(world.acquire(Some((403, MORE))).unwrap().access.0, more);
    // The server is not content with what it asked for.
    assert_eq!(world.acquire(Some((403, MORE))).unwrap_err().0, FailureKind::SignInNeeded);
    assert_eq!(world.acquire(Some((403, MORE))).unwrap_err().0, FailureKind::Forbidden);
    // No matter of OAuth.
    assert_eq!(world.acquire(Some((403, "Bearer"))).unwrap_err().0, FailureKind::Forbidden);
}

#[test]
fn a_server_without_metadata() {
    for without_metadata in [false, true] {
        let mut config = Config::new("https://mcp.example/mcp");
        config.without_metadata = without_metadata;
        let mut world = World::new(config);
        for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"] {
            world.servers.script(path, &[(404, "")]);
        }
        world.begin();
        if without_metadata {
            assert!(world.opened[0].starts_with("https://mcp.example/authorize?"), "{:?}", world.opened);
        } else {
            assert_eq!(world.result().unwrap_err().0, FailureKind::NotOauth);
        }
    }
}

/// MCP 2025-03-26: the server is its own authorization server.
#[test]
fn metadata_at_the_origin() {
    let mut world = World::standard();
    world.servers.script("/.well-known/oauth-protected-resource/mcp", &[(404, "")]);
    let text = world.servers.metadata.to_string().replace("as.example", "mcp.example");
    world.servers.script("/.well-known/oauth-authorization-server", &[(200, &text)]);
    world.begin();
    assert!(world.opened[0].starts_with("https://mcp.example/authorize?"));
    assert_eq!(parameter(&query(&world), "resource").as_deref(), Some("https://mcp.example/mcp"));
}

#[test]
fn another_authorization_server() {
    let mut world = World::standard();
    let old = world.sign_in();
    world.acquire(None).unwrap();
    world.servers.issuer = "https://new.example".into();
    world.servers.metadata =
        serde_json::from_str(&world.servers.metadata.to_string().replace("as.example", "new.example")).unwrap();
    world.pass(60);
    let before = world.servers.requests.len();
    assert_eq!(world.rejected().unwrap_err().0, FailureKind::SignInNeeded);
    let event = Event::IssuerChanged("https://as.example".into(), "https://new.example".into());
    assert!(world.events.contains(&event));
    for request in &world.servers.requests[before..] {
        assert!(!request.body.0.contains("refresh") && !request.url.contains("/token"), "{}", request.url);
    }
    assert!(world.record()["tokens"].is_null() && world.record()["client"].is_null());
    let new = world.sign_in();
    assert_ne!(old, new);
    assert_eq!(world.record()["issuer"], "https://new.example");
    assert!(world.opened.last().unwrap().starts_with("https://new.example/"));
}
