//! The rules of security, each as a table of what must not work.

use mcp_reconnect_core::oauth::{Config, FailureKind, Input, Oauth, Page, Resource};
use serde_json::json;

use crate::world::{World, parameter};

fn waiting() -> World {
    let mut world = World::standard();
    world.begin();
    world
}

/// A second tab, another site that guesses the redirect URI, a code that somebody else injects: the wait goes on, and the
/// right answer is still taken.
#[test]
fn an_answer_with_another_state_is_passed_over() {
    let mut world = waiting();
    let good = world.good_query();
    let state = parameter(&good, "state").unwrap();
    for wrong in [
        "".to_owned(),
        "code=stolen".into(),
        "code=stolen&state=".into(),
        format!("code=stolen&state={}", &state[..42]),
        format!("code=stolen&state={state}x"),
        format!("code=stolen&state=x&state={state}"),
        format!("code=stolen&state={state}&state={state}"),
        format!("{good}{}", "&x=".repeat(10_000)),
        "error=access_denied".into(),
        "error=access_denied&state=wrong".into(),
    ] {
        assert_eq!(world.callback(&wrong), Page::NotExpected, "{wrong}");
        assert!(world.listening && world.servers.calls("/token").is_empty());
    }
    assert_eq!(world.callback(&good), Page::Received);
    world.token();
    // Once.
    assert_eq!(world.callback(&good), Page::NotExpected);
    assert_eq!(world.servers.calls("/token").len(), 1);
}

/// RFC 9207: who answers is looked at before what is answered, also before an error.
#[test]
fn an_answer_of_another_issuer_is_not_used() {
    for says in [true, false] {
        for iss in [Some("https://evil.example"), Some("https://as.example/"), Some(""), None] {
            for rest in ["code=stolen", "error=access_denied&error_description=believe+me"] {
                let mut world = World::standard();
                world.servers.metadata["authorization_response_iss_parameter_supported"] = json!(says);
                world.begin();
                let state = parameter(&world.good_query(), "state").unwrap();
                let iss = iss.map(|iss| format!("&iss={iss}")).unwrap_or_default();
                world.callback(&format!("{rest}&state={state}{iss}"));
                if iss.is_empty() && !says {
                    continue;
                }
                let (kind, text) = world.result().unwrap_err();
                assert_eq!(kind, FailureKind::Untrusted, "{says} {iss} {rest}");
                assert!(!text.contains("believe me"), "{text}");
                assert!(world.servers.calls("/token").is_empty(), "the code went somewhere");
            }
        }
    }
}

#[test]
fn no_browser_without_pkce() {
    for methods in [json!(null), json!([]), json!(["plain"]), json!("S256")] {
        let mut world = World::standard();
        world.servers.metadata["code_challenge_methods_supported"] = methods.clone();
        world.begin();
        assert!(world.opened.is_empty());
        assert_eq!(world.result().unwrap_err().0, FailureKind::Unsupported, "{methods}");
    }
}

/// SSRF, and metadata that contradicts itself: nothing is asked of the place that was named.
#[test]
fn metadata_that_leads_elsewhere() {
    const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
    const SERVER: &str = "/.well-known/oauth-authorization-server";
    let evil = "https://169.254.169.254/latest";
    let cases = [
        (RESOURCE, json!({"resource": "https://evil.example/mcp", "authorization_servers": ["https://as.example"]})),
        (RESOURCE, json!({"resource": "https://mcp.example/mcp", "authorization_servers": [evil]})),
        (RESOURCE, json!({"resource": "https://mcp.example/mcp", "authorization_servers": ["http://as.example"]})),
        (RESOURCE, json!({"resource": "https://mcp.example/mcp", "authorization_servers": ["file:///etc/passwd"]})),
        (SERVER, json!({"issuer": "https://evil.example", "token_endpoint": "https://evil.example/token"})),
        (SERVER, json!({"issuer": "https://as.example/", "token_endpoint": "https://as.example/token"})),
        (SERVER, json!({"issuer": "https://as.example", "token_endpoint": evil})),
        (SERVER, json!({"issuer": "https://as.example", "authorization_endpoint": "javascript:alert(1)"})),
        (SERVER, json!({"issuer": "https://as.example", "registration_endpoint": "http://as.example/register"})),
    ];
    for (path, document) in cases {
        let mut world = World::standard();
        world.servers.script(path, &[(200, &document.to_string())]);
        world.begin();
        assert_eq!(world.result().unwrap_err().0, FailureKind::Untrusted, "{document}");
        assert!(world.opened.is_empty());
        for request in &world.servers.requests {
            assert!(
                request.url.starts_with("https://mcp.example/") || request.url.starts_with("https://as.example/"),
                "{}",
                request.url
            );
        }
    }
    for place in [evil, "http://127.0.0.1:1/x", "http://mcp.example/x", "file:///x"] {
        let mut world = World::standard();
        let challenge = format!("Bearer resource_metadata=\"{place}\"");
        assert_eq!(world.acquire(Some((401, &challenge))).unwrap_err().0, FailureKind::Untrusted, "{place}");
        assert!(world.servers.requests.is_empty(), "{place}");
    }
}

/// A refresh token goes to the recorded endpoint of the recorded issuer, a code to that of the issuer that gave it, and an
/// access token nowhere from here.
#[test]
fn secrets_go_where_they_belong() {
    let mut world = World::standard();
    world.sign_in();
    world.pass(3590);
    world.acquire(None).unwrap();
    world.rejected().unwrap();
    for request in &world.servers.requests {
        let text = format!(
            "{}{}{:?}",
            request.url,
            request.body.0,
            request.headers.iter().map(|(_, v)| &v.0).collect::<Vec<_>>()
        );
        if request.url != "https://as.example/token" {
            assert!(!text.contains("s3cret") || request.url.contains("mcp.example"), "{text}");
        }
        assert!(!text.contains("s3cret-access"), "{text}");
    }
    world.must_not_leak();
}

#[test]
fn a_redirect_of_an_endpoint_is_not_followed() {
    for path in ["/token", "/register"] {
        let mut world = World::standard();
        world.servers.script(path, &[(307, "")]);
        world.begin();
        if let Some(query) = (!world.opened.is_empty()).then(|| world.good_query()) {
            world.callback(&query);
        }
        assert_eq!(world.result().unwrap_err().0, FailureKind::Untrusted);
        assert!(world.result().unwrap_err().1.contains("redirect"));
    }
}

#[test]
fn answers_are_bounded() {
    let mut world = World::standard();
    let huge = format!("{{\"resource\":\"{}\"}}", "x".repeat(70_000));
    world.servers.script("/.well-known/oauth-protected-resource/mcp", &[(200, &huge)]);
    world.begin();
    let (kind, text) = world.result().unwrap_err();
    assert!(kind == FailureKind::Untrusted && text.contains("65536"), "{text}");
}

#[test]
fn what_a_server_says_gives_a_terminal_no_orders() {
    let mut world = waiting();
    let state = parameter(&world.good_query(), "state").unwrap();
    let query = format!(
        "error=access_denied%1b[2J&error_description=a%1b]0;x%07%0d%0a{}&state={state}&iss=https://as.example",
        "b".repeat(5000)
    );
    assert_eq!(world.callback(&query), Page::Refused);
    let (kind, text) = world.result().unwrap_err();
    assert_eq!(kind, FailureKind::Denied);
    assert!(!text.chars().any(char::is_control) && text.len() < 1000, "{text}");
    let stored = world.record()["sign_in"]["failed"].as_str().unwrap().to_owned();
    assert!(!stored.chars().any(char::is_control));
}

#[test]
fn what_is_not_asked_for_is_passed_over() {
    let mut world = World::standard();
    for input in [
        Input::Loaded(None),
        Input::Locked(None),
        Input::Listening(1),
        Input::Tick,
        Input::StoreFailed("x".into()),
        Input::Callback("code=x&state=y".to_owned().into()),
    ] {
        world.input(input);
    }
    assert!(world.done.is_empty() && world.servers.requests.is_empty());
}

#[test]
fn a_wrong_configuration_is_refused() {
    let with = |change: fn(&mut Config)| {
        let mut config = Config::new("https://mcp.example/mcp");
        change(&mut config);
        Oauth::new(config, [0; 32]).is_ok()
    };
    assert!(with(|_| {}));
    assert!(!with(|config| config.server_url = "nonsense".into()));
    assert!(!with(|config| config.resource = Resource::Fixed("x#y".into())));
    assert!(!with(|config| config.server_metadata_url = Some("http://elsewhere/".into())));
    assert!(!with(|config| config.client_metadata_url = Some("https://no.path/".into())));
}
