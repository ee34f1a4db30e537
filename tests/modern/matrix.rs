//! Each client with each server: once without the bridge, which shows what they do by themselves, and once with it, through a
//! `kill -9` between calls, one during a call, and a SIGTERM.

use std::time::Duration;

use serde_json::{Value, json};

use super::servers::{Kind, Server};
use super::support::client::{Client, Program};
use super::support::scratch_file;

/// Makes a test of each client with each server.
macro_rules! matrix {
    ($($client:ident: $program:ident),* $(,)?) => {
        $(mod $client {
            use super::*;
            #[test] fn python() { super::cell(Program::$program, Kind::Python); }
            #[test] fn fastmcp() { super::cell(Program::$program, Kind::FastMcp); }
            #[test] fn typescript() { super::cell(Program::$program, Kind::TypeScript); }
            #[test] fn typescript_only() { super::cell(Program::$program, Kind::TypeScriptOnly); }
            #[test] fn rust() { super::cell(Program::$program, Kind::Rust); }
            #[test] fn rust_only() { super::cell(Program::$program, Kind::RustOnly); }
            #[test] fn everything() { super::cell(Program::$program, Kind::Everything); }
        })*
    };
}

matrix! {
    python_auto: PythonAuto,
    typescript_auto: TypeScriptAuto,
    typescript_pin: TypeScriptPin,
    typescript_legacy: TypeScriptLegacy,
    typescript_one: TypeScriptOne,
    rust_auto: RustAuto,
    rust_library: RustLibrary,
}

/// The resource that the servers have.
const NOTE: &str = "memo://note";

/// What a client is told by itself after a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum News {
    /// Exactly once for everything that it listens to.
    Once,
    /// Once that the tools changed: it listens to nothing else.
    Tools,
    /// Nothing: it listens to nothing, and the era has no other news.
    Nothing,
}

/// What a pairing is able to do.
#[derive(Clone, Copy, Debug)]
struct Able {
    /// The client's calls are modern.
    modern: bool,
    /// `listen` is honoured. Otherwise the server answers -32601.
    listens: bool,
    /// The client hears that a tool was added.
    hears_tools: bool,
    /// The client hears that a resource changed.
    hears_resource: bool,
    /// The server hears that a call was cancelled.
    cancels: bool,
    /// A tool can ask the user.
    asks: bool,
    news: News,
}

fn able(program: Program, kind: Kind, is_direct: bool) -> Able {
    let is_modern = !matches!(program, Program::TypeScriptLegacy | Program::TypeScriptOne);
    match kind {
        // It has none of the tools.
        Kind::Everything | Kind::PythonLegacy => Able {
            modern: false,
            listens: true,
            hears_tools: false,
            hears_resource: false,
            cancels: false,
            asks: false,
            news: News::Once,
        },
        // Its changes come on the stream of the call that makes them, whether somebody listens or not.
        Kind::FastMcp => Able {
            modern: is_modern,
            listens: false,
            hears_tools: true,
            hears_resource: true,
            cancels: true,
            asks: is_modern,
            news: if is_modern { News::Nothing } else { News::Tools },
        },
        // A legacy client is translated for a server that speaks MCP 2026-07-28 only, and is able to do the same.
        _ if is_modern || kind.is_modern_only() => Able {
            modern: is_modern,
            listens: true,
            hears_tools: true,
            hears_resource: true,
            cancels: true,
            asks: true,
            news: News::Once,
        },
        // The server declares no changes of its tools in this era, so that one of the SDKs does not pass them on; the bridge,
        // which has changes to tell, declares them.
        Kind::Python => Able {
            modern: false,
            listens: false,
            hears_tools: !is_direct || program == Program::TypeScriptLegacy,
            hears_resource: true,
            cancels: true,
            asks: false,
            news: News::Tools,
        },
        // Its legacy part has sessions, streams and subscriptions.
        Kind::Rust => Able {
            modern: false,
            listens: true,
            hears_tools: true,
            hears_resource: true,
            cancels: true,
            asks: false,
            news: News::Once,
        },
        // Its legacy part has no session and no stream; the bridge listens in the other era.
        _ => Able {
            modern: false,
            listens: false,
            hears_tools: !is_direct,
            hears_resource: false,
            cancels: false,
            asks: false,
            news: News::Tools,
        },
    }
}

/// What each client does with each server, all without the bridge.
mod direct {
    use super::*;

    fn direct(kind: Kind) {
        let server = Server::started(kind);
        for program in [
            Program::PythonAuto,
            Program::TypeScriptAuto,
            Program::TypeScriptPin,
            Program::TypeScriptLegacy,
            Program::TypeScriptOne,
            Program::RustAuto,
        ] {
            let mut client = Client::direct(program, &server.url());
            let able = able(program, kind, true);
            match (program, kind) {
                (Program::TypeScriptPin, Kind::Everything) => drop(client.refused()),
                (Program::TypeScriptLegacy, Kind::TypeScriptOnly | Kind::RustOnly) => drop(client.refused()),
                // It ends with an exception.
                (Program::TypeScriptOne, Kind::TypeScriptOnly | Kind::RustOnly) => {}
                _ => {
                    able.check_version(&client);
                    // The TypeScript SDK says of what the server refuses that the transport failed.
                    if able.listens || matches!(program, Program::PythonAuto | Program::RustAuto) {
                        able.check_listen(&mut client);
                    }
                    able.check_calls(&mut client, &server, &format!("{program:?}"));
                    client.leave();
                }
            }
        }
    }

    #[test]
    fn python() {
        direct(Kind::Python);
    }

    #[test]
    fn fastmcp() {
        direct(Kind::FastMcp);
    }

    #[test]
    fn typescript() {
        direct(Kind::TypeScript);
    }

    #[test]
    fn typescript_only() {
        direct(Kind::TypeScriptOnly);
    }

    #[test]
    fn rust() {
        direct(Kind::Rust);
    }

    #[test]
    fn rust_only() {
        direct(Kind::RustOnly);
    }

    #[test]
    fn everything() {
        direct(Kind::Everything);
    }
}

impl Able {
    fn check_version(self, client: &Client) {
        let server = client.handshake();
        // The TypeScript SDK 1 does not tell.
        if let Some(version) = server["protocol"].as_str() {
            assert_eq!(version, if self.modern { super::MODERN } else { "2025-11-25" }, "{server}");
        }
    }

    fn check_listen(self, client: &mut Client) {
        let answer = client.listen(&[NOTE]);
        if self.listens {
            assert_eq!(answer["listening"], json!([NOTE]), "{answer}");
        } else {
            assert_eq!(answer["code"], -32601, "{answer}");
        }
    }

    /// A list, and each tool once.
    fn check_calls(self, client: &mut Client, server: &Server, mark: &str) {
        let tools = client.tools();
        assert!(tools.as_array().is_some_and(|tools| tools.contains(&Value::from("echo"))), "{tools}");
        echo(client, server.kind, mark);
        if server.kind == Kind::Everything {
            return;
        }
        let until = scratch_file("until");
        let progress = client.begin_tool("progress", json!({"steps": 5, "until": until}));
        client.wait_for_line(0, "progress", |line| line["tag"] == progress && line["progress"] == 5.0);
        std::fs::write(&until, "").expect("the scratch folder is writable");
        assert_eq!(client.end(progress)["text"], "steps: 5");
        assert_eq!(client.progress(progress), [1.0, 2.0, 3.0, 4.0, 5.0]);

        self.check_changes(client, &format!("tool-{mark}"));

        let slow = format!("cancel-{mark}");
        let (name, arguments) = server.kind.slow(&slow);
        let call = client.begin_tool(name, arguments);
        server.wait_for_mark(&format!("slow {slow}"), 1);
        client.cancel(call);
        if self.cancels {
            server.wait_for_mark(&format!("cancelled {slow}"), 1);
        }

        let confirm = client.begin_tool("confirm", json!({"mark": mark}));
        if self.asks {
            client.answer();
            assert_eq!(client.end(confirm)["text"], format!("confirmed: {mark}"));
            assert_eq!(server.count(&format!("confirmed {mark}\n")), 1);
        } else {
            assert!(client.end(confirm)["error"].is_string());
        }
    }

    /// The server changes, and the client hears of it once.
    fn check_changes(self, client: &mut Client, tool: &str) {
        let mark = client.mark();
        assert_eq!(client.tool("add_tool", json!({"name": tool}))["text"], format!("added: {tool}"));
        if self.hears_tools {
            client.changed(mark);
        }
        assert_eq!(client.tool("touch", json!({"uri": NOTE}))["text"], "touched");
        if self.hears_resource {
            client.wait_for_line(mark, "the news that the resource changed", |line| line["updated"] == NOTE);
        }
        let expected = (usize::from(self.hears_tools), usize::from(self.hears_resource));
        assert_eq!(heard(client, mark), expected, "a change was told more than once, or to one who cannot know");
    }

    /// After a restart, before the server changes again.
    fn check_news(self, client: &mut Client, kind: Kind, mark: usize) {
        let (tools, resource) = match self.news {
            News::Once => (1, 1),
            News::Tools => (1, 0),
            News::Nothing => (0, 0),
        };
        if tools > 0 {
            client.changed(mark);
        }
        if resource > 0 {
            client.wait_for_line(mark, "the news that the resource may have changed", |line| line["updated"] == NOTE);
        }
        // What comes in excess would have come by then.
        echo(client, kind, "a barrier");
        assert_eq!(heard(client, mark), (tools, resource), "the client must hear of a restart once");
    }
}

/// How often the client was told, after a mark, that tools and that the resource changed.
fn heard(client: &Client, mark: usize) -> (usize, usize) {
    (client.count(mark, |line| line["changed"] == "tools"), client.count(mark, |line| line["updated"] == NOTE))
}

fn echo(client: &mut Client, kind: Kind, text: &str) {
    let (name, arguments) = kind.echo(text);
    let answer = client.tool(name, arguments);
    assert!(answer["text"].as_str().is_some_and(|said| said.contains(text)), "{answer}");
}

/// One client with one server through the bridge.
fn cell(program: Program, kind: Kind) {
    let mut server = Server::started(kind);
    let url = server.url();
    let mut client = Client::through(program, &[&url, "--log", "debug"]);
    if (program, kind) == (Program::TypeScriptPin, Kind::Everything) {
        // There is no version that both speak.
        let why = client.refused();
        assert!(why.as_str().is_some_and(|why| why.contains("2026-07-28")), "{why}");
        return;
    }
    let able = able(program, kind, false);
    able.check_version(&client);
    able.check_listen(&mut client);
    able.check_calls(&mut client, &server, "first");

    // Killed between two calls.
    let mark = client.mark();
    server.restart();
    echo(&mut client, kind, "after a kill");
    able.check_news(&mut client, kind, mark);
    if kind != Kind::Everything {
        able.check_changes(&mut client, "after-a-kill");
    }

    // Killed during a call; another one is made while it is down.
    let mark = client.mark();
    let (name, arguments) = kind.slow("in-flight-mark");
    let running = client.begin_tool(name, arguments);
    server.wait_for_mark("in-flight-mark", 1);
    server.kill();
    let (name, arguments) = kind.echo("while it is down");
    let held = client.begin_tool(name, arguments);
    // Where events have ids, a resume could still bring the answer.
    if able.modern || !matches!(kind, Kind::Everything | Kind::Rust) {
        let lost = client.end(running);
        assert_eq!(lost["code"], -31001, "{lost}");
    }
    assert!(!client.has_ended(held), "a call was answered by a server that is down");
    server.start();
    let lost = client.end(running);
    assert_eq!(lost["code"], -31001, "{lost}");
    let answer = client.end(held);
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("while it is down")), "{answer}");
    able.check_news(&mut client, kind, mark);
    if kind != Kind::Everything {
        able.check_changes(&mut client, "after-a-lost-call");
    }

    // Asked to end: our streams must not keep it.
    let mark = client.mark();
    server.ask_to_end();
    let (name, arguments) = kind.echo("while it ends");
    let held = client.begin_tool(name, arguments);
    let took = server.ended();
    assert!(took < LEAVE, "the server took {took:?} to end after the bridge was refused");
    server.start();
    let answer = client.end(held);
    assert!(answer["text"].as_str().is_some_and(|text| text.contains("while it ends")), "{answer}");
    able.check_news(&mut client, kind, mark);
    able.check_calls(&mut client, &server, "last");

    let lost = if kind == Kind::Everything { "in-flight-mark" } else { "slow in-flight-mark" };
    assert_eq!(server.count(lost), 1, "a call ran twice");
    client.finish();
}

/// How long a server may take to end once the bridge knows: a second, and what a busy machine takes.
const LEAVE: Duration = Duration::from_secs(2);
