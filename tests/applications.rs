//! Applications that people use, as they come from npm, reach a real server that is killed and started again: Claude Code in one
//! conversation, with the bridge and without; MCP Inspector, mcporter and opencode with the bridge. No account and no model: what
//! would be said by one comes from `tests/clients/messages_api.mjs`. Each runs in a network of its own, where there is nothing else.

#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::namespace::in_own_network;
use support::port::Port;
use support::process::Process;
use support::servers::{Kind, STARTUP, Server};
use support::{COMMAND, install, poll, scratch_file, tests_folder};

/// How long an application may take for a thing: some are 200 MB, and more are started at the same time.
const BOUND: Duration = Duration::from_secs(60);

/// A home of its own, and what is spoken with instead of a model.
struct Place {
    home: PathBuf,
    port: Port,
    model: Process,
}

impl Place {
    fn new() -> Self {
        let home = scratch_file("home");
        fs::create_dir_all(home.join("work")).expect("the scratch folder is writable");
        let port = Port::reserve();
        let mut command = Command::new(node());
        command.arg(tests_folder().join("clients/messages_api.mjs")).arg(port.number().to_string());
        let model = Process::start(&mut command);
        model.stdout.find(0, STARTUP, |_, line| line.contains("listening").then_some(())).expect("it listens");
        Self { home, port, model }
    }

    fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// A program with nothing in its environment but what a new user has, and no way out.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.home.join("work")).env("HOME", &self.home);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", node().parent().map_or_else(String::new, |p| p.display().to_string())));
        for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(name, self.api());
        }
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    /// The hosts that were asked for beside the server and the model.
    fn other_hosts(&self) -> Vec<String> {
        let line = |text: String| serde_json::from_str::<Value>(&text).ok()?["refused"].as_str().map(str::to_owned);
        self.model.stdout.all().into_iter().filter_map(|(_, text)| line(text)).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the model:\n{}{}", self.model.stdout.text(), self.model.stderr.text());
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Whether this is the network of the test's own; what is needed is installed before it.
fn is_inside(test: &str) -> bool {
    install::python();
    install::applications();
    in_own_network(module_path!(), test)
}

fn node() -> PathBuf {
    install::node_of(install::applications())
}

fn module(path: &str) -> PathBuf {
    install::applications().join("node_modules").join(path)
}

/// A native program, from its platform's package. npm does not keep the permission to run it.
fn native(names: [&str; 2]) -> PathBuf {
    let found = names.map(module).into_iter().find(|path| path.exists());
    let program =
        found.unwrap_or_else(|| panic!("none of {names:?} is installed: there is no package for this platform"));
    let executable: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable).expect("the build folder is writable");
    program
}

/// A conversation with Claude Code, whose only MCP server is called jarvis.
struct ClaudeCode {
    place: Place,
    process: Process,
}

impl ClaudeCode {
    fn start(server: Value) -> Self {
        let place = Place::new();
        let program =
            native(["@anthropic-ai/claude-code-linux-x64/claude", "@anthropic-ai/claude-code-linux-arm64/claude"]);
        let config = json!({"mcpServers": {"jarvis": server}}).to_string();
        let mut command = place.command(program);
        command
            .args(["-p", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json"])
            .args(["--model", "claude-sonnet-4-5", "--tools", "", "--allowedTools", "mcp__jarvis__echo"])
            .args(["--strict-mcp-config", "--mcp-config", &config])
            .env("ANTHROPIC_BASE_URL", place.api())
            .env("ANTHROPIC_API_KEY", "none")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1");
        let process = Process::start(&mut command);
        Self { place, process }
    }

    /// Has it call the tool; gives the number of lines that it has written before.
    fn ask(&mut self, text: &str) -> usize {
        let mark = self.process.stdout.all().len();
        let order = format!("CALL:mcp__jarvis__echo:text={text}");
        let message =
            json!({"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": order}]}});
        self.process.write(format!("{message}\n").as_bytes());
        mark
    }

    /// What the call came to, once the turn has ended.
    fn answer(&self, mark: usize) -> Result<String, String> {
        let mut result = None;
        let ended = self.process.stdout.find(mark, BOUND, |_, line| {
            let line: Value = serde_json::from_str(line).ok()?;
            if let Some(block) = tool_result(&line) {
                let content = &block["content"];
                let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
                result = Some(if block["is_error"] == true { Err(text) } else { Ok(text) });
            }
            (line["type"] == "result").then_some(())
        });
        assert!(ended.is_some(), "the turn does not end:\n{}", self.process.stdout.text());
        result.unwrap_or_else(|| panic!("no call was made:\n{}", self.process.stdout.text()))
    }

    fn call(&mut self, text: &str) -> Result<String, String> {
        let mark = self.ask(text);
        self.answer(mark)
    }

    /// Has the server killed and started again under a client without the bridge: the call meanwhile fails. Gives the errors of the
    /// calls after it, until one is answered.
    fn restarted(&mut self, server: &mut Server) -> Vec<String> {
        let before = self.call("before");
        assert!(is_echo(&before, "before"), "{before:?}");
        server.kill();
        let down = self.call("down").expect_err("nobody holds it");
        assert!(
            ["ECONNREFUSED", "Connection closed", "not connected"].iter().any(|sign| down.contains(sign)),
            "{down}"
        );
        server.start();
        let (start, mut failed) = (Instant::now(), Vec::new());
        while let Err(error) = self.call("after") {
            assert!(start.elapsed() < BOUND, "it does not connect again: {failed:?}");
            failed.push(error);
        }
        eprintln!("after {:?} and {} errors its calls are answered again: {failed:?}", start.elapsed(), failed.len());
        failed
    }

    /// Waits until its bridge holds a call, as the bridge itself says.
    fn holds_a_call(&self) {
        poll("the bridge holds the call", BOUND, || {
            let mut status = Process::start(self.place.command(COMMAND).args(["status", "--json"]));
            status.wait(BOUND).expect("it ends");
            let bridges: Value = serde_json::from_str(&status.stdout.text()).expect("a JSON array");
            (bridges[0]["queued"] == 1).then_some(())
        });
    }

    fn finish(mut self) {
        self.process.close_stdin();
        let (status, _) = self.process.wait(BOUND).expect("it ends");
        assert!(status.success(), "{status}\n{}", self.process.stderr.text());
        let others = self.place.other_hosts();
        assert!(others.is_empty(), "it wanted to speak with {others:?}");
    }
}

fn tool_result(line: &Value) -> Option<&Value> {
    let blocks = line["message"]["content"].as_array().filter(|_| line["type"] == "user")?;
    blocks.iter().find(|block| block["type"] == "tool_result")
}

fn is_echo(answer: &Result<String, String>, text: &str) -> bool {
    answer.as_ref().is_ok_and(|answer| answer.contains(&format!("Echo: {text}")))
}

/// The reason for all this: a server over HTTP+SSE is killed in the middle of a conversation, and comes back. Each call is
/// answered, and the one that is made meanwhile waits.
#[test]
fn claude_code_over_the_bridge() {
    if !is_inside("claude_code_over_the_bridge") {
        return;
    }
    let mut server = Server::started(Kind::PythonSse);
    let told = scratch_file("told");
    let hook = format!("cat >> '{}'", told.display());
    let mut claude = ClaudeCode::start(json!({"command": COMMAND, "args": ["--on-event", hook, server.url()]}));
    let before = claude.call("before");
    assert!(is_echo(&before, "before"), "{before:?}");
    for round in 0..2 {
        let events = || fs::read_to_string(&told).unwrap_or_default().matches("McpServerDisconnected").count();
        server.kill();
        poll("the bridge knows", BOUND, || (events() > round).then_some(()));
        let text = format!("down-{round}");
        let held = claude.ask(&text);
        claude.holds_a_call();
        server.start();
        let answer = claude.answer(held);
        assert!(is_echo(&answer, &text), "{answer:?}");
        let after = claude.call(&format!("after-{round}"));
        assert!(is_echo(&after, &format!("after-{round}")), "{after:?}");
    }
    claude.finish();
    let _ = fs::remove_file(told);
}

/// What the README says of Claude Code by itself, over HTTP+SSE: the call while the server is down fails, and the one after it too,
/// until Claude Code has connected again by itself.
#[test]
fn claude_code_without_it_over_sse() {
    if !is_inside("claude_code_without_it_over_sse") {
        return;
    }
    let mut server = Server::started(Kind::PythonSse);
    let mut claude = ClaudeCode::start(json!({"type": "sse", "url": server.url()}));
    // Now and then it connects again in the moment before the call.
    let failed = (0..5).find_map(|_| claude.restarted(&mut server).into_iter().next());
    let failed = failed.expect("in five restarts the call after it fails at least once");
    let signs = ["404", "-32602", "Invalid request parameters", "not connected", "Connection closed"];
    assert!(signs.iter().any(|sign| failed.contains(sign)), "{failed}");
    claude.finish();
}

/// Over Streamable HTTP the call while the server is down fails too. The one after it has a new session, or fails until Claude Code
/// has connected again.
#[test]
fn claude_code_without_it_over_http() {
    if !is_inside("claude_code_without_it_over_http") {
        return;
    }
    let mut server = Server::started(Kind::PythonHttp);
    let mut claude = ClaudeCode::start(json!({"type": "http", "url": server.url()}));
    claude.restarted(&mut server);
    claude.finish();
}

/// The server is killed while a call runs that is safe to repeat, and comes back: the application gets its answer.
fn is_answered(place: &Place, server: &mut Server, mark: &str, command: &mut Command) -> String {
    let mut process = Process::start(command);
    // opencode reads it to its end.
    process.close_stdin();
    poll("the call runs", BOUND, || {
        if let Some(status) = process.exited() {
            process.stderr.ended(BOUND);
            panic!("it ended ({status}):\n{}{}", process.stdout.text(), process.stderr.text());
        }
        (server.count(mark) > 0).then_some(())
    });
    server.restart();
    let ended = process.wait(BOUND);
    let said = process.stdout.text();
    let (status, _) = ended.unwrap_or_else(|| panic!("it does not end:\n{said}{}", process.stderr.text()));
    assert!(status.success(), "{status}:\n{said}{}{:?}", process.stderr.text(), place.other_hosts());
    assert!(said.contains(&format!("looked: {mark}")), "{said}{}", process.stderr.text());
    assert_eq!(server.count(mark), 2, "it was sent again");
    said
}

#[test]
fn inspector() {
    if !is_inside("inspector") {
        return;
    }
    let mut server = Server::started(Kind::PythonSse);
    let place = Place::new();
    let mut command = place.command(node());
    command.arg(module("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));
    command.args(["--cli", COMMAND, "--trust-annotations", &server.url(), "--method", "tools/call"]);
    command.args(["--tool-name", "look", "--tool-arg", "seconds=1", "--tool-arg", "mark=of-inspector"]);
    is_answered(&place, &mut server, "of-inspector", &mut command);
}

#[test]
fn mcporter() {
    if !is_inside("mcporter") {
        return;
    }
    let mut server = Server::started(Kind::PythonHttp);
    let place = Place::new();
    let config = json!({"mcpServers": {"jarvis": {"command": COMMAND, "args": ["--trust-annotations", server.url()]}}});
    let file = place.home.join("mcporter.json");
    write(&file, &config);
    let mut command = place.command(node());
    command.arg(module("mcporter/dist/cli.js")).arg("--config").arg(&file);
    command.args(["call", "jarvis.look", "seconds=1", "mark=of-mcporter"]);
    is_answered(&place, &mut server, "of-mcporter", &mut command);
}

#[test]
fn opencode() {
    if !is_inside("opencode") {
        return;
    }
    let mut server = Server::started(Kind::PythonSse);
    let place = Place::new();
    let model = json!({"name": "stand-in", "limit": {"context": 100_000, "output": 1000}});
    let config = json!({
        "autoupdate": false,
        "share": "disabled",
        "enabled_providers": ["anthropic"],
        "provider": {"anthropic": {
            "options": {"baseURL": format!("{}/v1", place.api()), "apiKey": "none"},
            "models": {"stand-in": model}
        }},
        "model": "anthropic/stand-in",
        "small_model": "anthropic/stand-in",
        "mcp": {"jarvis": {"type": "local", "command": [COMMAND, "--trust-annotations", server.url()]}}
    });
    write(&place.home.join("work/opencode.json"), &config);
    let mut command = place.command(native(["opencode-linux-x64/bin/opencode", "opencode-linux-arm64/bin/opencode"]));
    for switch in ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS"] {
        command.env(format!("OPENCODE_DISABLE_{switch}"), "1");
    }
    command.args(["run", "--format", "json", "CALL:jarvis_look:seconds=1:mark=of-opencode"]);
    is_answered(&place, &mut server, "of-opencode", &mut command);
}

fn write(path: &Path, config: &Value) {
    fs::write(path, config.to_string()).expect("the scratch folder is writable");
}
