//! Credentials of a command in MCP 2026-07-28: a real server that takes one token at a time rejects a request, and the request is
//! sent once more with a fresh token. Nothing runs twice, no subscription is lost, and the versions are told apart all the same.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::bridge::{Bridge, text};
use super::support::scratch_file;
use super::{SUBSCRIPTION, acknowledged, bridge, listen, modern, tool};

const UPDATED: &str = "notifications/resources/updated";

/// A token that the server takes, and one that a command gives.
struct Vault {
    taken: PathBuf,
    given: PathBuf,
    runs: PathBuf,
}

impl Vault {
    fn with(token: &str) -> Self {
        let vault = Self { taken: scratch_file("taken"), given: scratch_file("given"), runs: scratch_file("runs") };
        vault.take(token);
        vault.give(token);
        vault
    }

    /// What the server takes from now on.
    fn take(&self, token: &str) {
        replace(&self.taken, token);
    }

    /// What the command prints from now on.
    fn give(&self, token: &str) {
        replace(&self.given, &json!({"authorization": format!("Bearer {token}")}).to_string());
    }

    fn change(&self, token: &str) {
        self.take(token);
        self.give(token);
    }

    /// Notes each run with its cause, and prints the headers.
    fn command(&self) -> String {
        format!("echo \"run:$MCP_RECONNECT_STATUS\" >> '{}'; cat '{}'", self.runs.display(), self.given.display())
    }

    /// The causes of its runs so far: the status that the server rejected the headers with, or nothing.
    fn runs(&self) -> Vec<String> {
        let runs = std::fs::read_to_string(&self.runs).unwrap_or_default();
        runs.lines().map(|line| line.trim_start_matches("run:").to_owned()).collect()
    }

    fn server(&self, kind: Kind) -> Server {
        Server::with(kind, &["--token", self.taken.display().to_string().leak()])
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        for file in [&self.taken, &self.given, &self.runs] {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// In one step: somebody may read it at any time.
fn replace(file: &PathBuf, text: &str) {
    let whole = file.with_extension("new");
    std::fs::write(&whole, text).and_then(|()| std::fs::rename(&whole, file)).expect("the scratch folder is writable");
}

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// Its requests pass through.
    Modern,
    /// It sends `initialize`, and the server knows none: its requests are translated.
    Translated,
}

impl Client {
    fn connect(self, server: &Server, options: &[&str]) -> Bridge {
        let mut bridge = bridge(&server.url(), options);
        match self {
            Self::Modern => drop(bridge.call("server/discover", modern(json!({})))),
            Self::Translated => drop(bridge.initialize(json!({}))),
        }
        bridge
    }

    fn append(self, mark: &str) -> Value {
        match self {
            Self::Modern => tool("append", json!({"mark": mark})),
            Self::Translated => json!({"name": "append", "arguments": {"mark": mark}}),
        }
    }

    fn subscribe(self, bridge: &mut Bridge) {
        match self {
            Self::Modern => {
                bridge.request_as(r#""listen-1""#, "subscriptions/listen", listen(&["memo://note"]));
                acknowledged(bridge, r#""listen-1""#);
            }
            Self::Translated => drop(bridge.call("resources/subscribe", json!({"uri": "memo://note"}))),
        }
    }

    /// Waits until it was told that the resource changed, or may have.
    fn hears(self, bridge: &Bridge, mark: usize) {
        bridge.wait_after(mark, "the news of the resource", |message| {
            let id = &message["params"]["_meta"][SUBSCRIPTION];
            message["method"] == UPDATED && (self == Self::Translated || id == "listen-1")
        });
    }

    /// The server makes the change.
    fn touch(self, bridge: &mut Bridge) {
        let mark = bridge.mark();
        let params = json!({"name": "touch", "arguments": {"uri": "memo://note"}});
        let params = if self == Self::Modern { modern(params) } else { params };
        assert_eq!(text(&bridge.call("tools/call", params)), "touched");
        self.hears(bridge, mark);
    }

    fn leave(self, mut bridge: Bridge) {
        if self == Self::Modern {
            bridge.cancel(r#""listen-1""#);
        }
        bridge.finish();
    }
}

const ALL: [(Client, Kind); 3] = [
    (Client::Modern, Kind::TypeScript),
    (Client::Modern, Kind::TypeScriptOnly),
    (Client::Translated, Kind::TypeScriptOnly),
];

#[test]
fn rejected_calls_are_sent_once_more_with_the_headers_of_one_more_run() {
    for (client, kind) in ALL {
        let vault = Vault::with("s3cret-one");
        let server = vault.server(kind);
        let mut bridge = client.connect(&server, &["--header-command", &vault.command()]);
        client.subscribe(&mut bridge);
        assert_eq!(vault.runs(), [""], "{client:?}");
        vault.change("s3cret-two");
        let marks = ["a", "b", "c"];
        let calls = marks.map(|mark| bridge.request("tools/call", client.append(mark)));
        for (call, mark) in calls.iter().zip(marks) {
            assert_eq!(text(&bridge.result(call)), format!("appended: {mark}"));
            assert_eq!(server.count(&format!("append {mark}\n")), 1, "{client:?}: {mark} ran more or less than once");
        }
        assert_eq!(vault.runs(), ["", "401"], "{client:?}: one run serves all of them");
        client.touch(&mut bridge);
        assert!(!bridge.stderr().contains("s3cret"), "a token is in the log");
        client.leave(bridge);
    }
}

/// The new process takes another token: what the client subscribed to is subscribed to again with it.
#[test]
fn a_token_that_changes_with_a_restart() {
    for (client, kind) in ALL {
        let vault = Vault::with("one");
        let mut server = vault.server(kind);
        let mut bridge = client.connect(&server, &["--header-command", &vault.command()]);
        client.subscribe(&mut bridge);
        let mark = bridge.mark();
        // The command may run as soon as the server is gone.
        vault.give("two");
        server.kill();
        vault.take("two");
        server.start();
        client.hears(&bridge, mark);
        let call = bridge.call("tools/call", client.append("after"));
        assert_eq!(text(&call), "appended: after");
        assert_eq!(server.count("append after\n"), 1);
        assert_eq!(vault.runs(), ["", ""], "{client:?}: one run for the restart, and nothing was rejected");
        client.touch(&mut bridge);
        client.leave(bridge);
    }
}

/// A 401 says nothing of the versions that a server speaks.
#[test]
fn a_rejected_question_is_no_answer() {
    for (client, kind) in ALL {
        let vault = Vault::with("right");
        let server = vault.server(kind);
        let first = r#"echo '{"authorization": "Bearer stale"}'"#;
        let command = format!("if [ -z \"$MCP_RECONNECT_STATUS\" ]; then {first}; else {}; fi", vault.command());
        let mut bridge = client.connect(&server, &["--header-command", &command]);
        assert_eq!(text(&bridge.call("tools/call", client.append("first"))), "appended: first");
        assert_eq!((vault.runs(), server.count("append first\n")), (vec!["401".to_owned()], 1), "{client:?}");
        assert!(server.count("401 POST") > 0, "{client:?}: nothing was rejected");
        client.subscribe(&mut bridge);
        client.leave(bridge);
    }
}

/// The command has nothing better: the client is told so, and the request did not run.
#[test]
fn a_token_that_stays_wrong() {
    for (client, kind) in ALL {
        let vault = Vault::with("one");
        let server = vault.server(kind);
        let mut bridge = client.connect(&server, &["--header-command", &vault.command()]);
        client.subscribe(&mut bridge);
        vault.take("two");
        let call = bridge.request("tools/call", client.append("refused"));
        let error = bridge.error(&call);
        assert_eq!(error["code"], -31004, "{client:?}: {error}");
        assert_eq!(server.count("append refused"), 0, "{client:?}");
        assert_eq!(vault.runs(), ["", "401"], "{client:?}");
        client.leave(bridge);
    }
}
