//! A configuration file for options: where it is found, what goes before it, and what is refused.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use support::bridge::Bridge;
use support::process::Process;
use support::servers::{Kind, Server};
use support::{COMMAND, PATIENCE, poll, scratch_file};

/// A user with a configuration file in the usual place.
struct User(PathBuf);

impl User {
    fn new(text: &str) -> Self {
        let user = Self(scratch_file("config"));
        fs::create_dir_all(user.0.join("mcp-reconnect")).unwrap();
        user.write(text);
        user
    }

    fn file(&self) -> PathBuf {
        self.0.join("mcp-reconnect/config.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
        fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(COMMAND);
        command.args(arguments).env("XDG_CONFIG_HOME", &self.0);
        command
    }

    /// What a bridge to the server writes to stderr.
    fn said(&self, server: &Server, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let url = server.url();
        let mut bridge = Bridge::command(self.command(arguments).arg(url).envs(variables.iter().copied()));
        bridge.initialize(json!({}));
        assert!(bridge.tool(server.kind.echo("x")).contains('x'));
        let stderr = bridge.process().stderr.clone();
        bridge.finish();
        stderr.text()
    }

    /// What is wrong, in one line, with the exit code for that.
    fn refused(&self, arguments: &[&str]) -> String {
        let mut process = Process::start(&mut self.command(arguments));
        let (status, _) = process.wait(PATIENCE).expect("it ends");
        let said = process.stderr.text();
        assert_eq!((status.code(), said.lines().count()), (Some(2), 1), "{said}");
        said
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command line goes before the environment, that before the server's table, and that before what is for all.
#[test]
fn what_goes_before_what() {
    let server = Server::started(Kind::RustHttp);
    let user = User::new("log = 'off'\n");
    assert_eq!(user.said(&server, &[], &[]), "");
    user.write(&format!("log = 'off'\n[servers.'{}']\nlog = 'info'\n", server.url()));
    let said = user.said(&server, &[], &[]);
    assert!(said.contains("connected: ") && !said.contains("debug: "), "{said}");
    let debug = [("MCP_RECONNECT_LOG", "debug")];
    assert!(user.said(&server, &[], &debug).contains("debug: "));
    let said = user.said(&server, &["--log", "json"], &debug);
    assert!(said.lines().all(|line| line.starts_with("{\"")) && !said.is_empty(), "{said}");
    // By the name that the user gives, and not at all.
    user.write("log = 'info'\n[servers.jarvis]\nlog = 'off'\n");
    assert_eq!(user.said(&server, &["--name", "jarvis"], &[]), "");
    assert!(user.said(&server, &["--config", "off", "--name", "jarvis"], &[]).contains("connected: "));
    assert!(user.said(&server, &[], &[("MCP_RECONNECT_CONFIG", "off")]).contains("connected: "));
    // Another file.
    let other = user.0.join("other.toml");
    fs::write(&other, "log = 'off'\n").unwrap();
    assert_eq!(user.said(&server, &["--config", other.to_str().unwrap()], &[]), "");
}

/// A hook from the file runs; from a file that others can write nothing does.
#[test]
fn a_hook() {
    let server = Server::started(Kind::RustHttp);
    let user = User::new("");
    let told = user.0.join("told");
    user.write(&format!("on-event = \"cat >> '{}'\"\nevent = ['McpServerConnected']\n", told.display()));
    user.said(&server, &[], &[]);
    poll("the hook has run", PATIENCE, || fs::read_to_string(&told).ok()?.contains("McpServerConnected").then_some(()));
    for mode in [0o620, 0o606] {
        fs::set_permissions(user.file(), fs::Permissions::from_mode(mode)).unwrap();
        let said = user.refused(&[&server.url()]);
        assert!(said.contains("config.toml, line 1: ") && said.contains("others can write"), "{said}");
    }
    // `check` runs no hook, and neither does it take commands for headers from such a file.
    assert!(user.refused(&["check", &server.url()]).contains("others can write"));
}

#[test]
fn what_is_refused() {
    let user = User::new("\nhold-timout = '1m'\n");
    let said = user.refused(&["http://127.0.0.1:9/"]);
    assert!(
        said.contains("config.toml, line 2: there is no option 'hold-timout'; did you mean 'hold-timeout'?"),
        "{said}"
    );
    user.write("heartbeat = 'soon'\n");
    let said = user.refused(&["http://127.0.0.1:9/"]);
    assert!(said.contains("'soon'") && said.contains("config.toml too: heartbeat"), "{said}");
    user.write("a =\n");
    assert!(user.refused(&["http://127.0.0.1:9/"]).contains("config.toml, line 1: it is not valid TOML"));
    let said = user.refused(&["--config", "/nowhere.toml", "http://127.0.0.1:9/"]);
    assert!(said.contains("/nowhere.toml cannot be read"), "{said}");
    // What needs no options needs no file.
    for arguments in [&["--version"][..], &["--help"], &["man"], &["status"]] {
        let mut process = Process::start(&mut user.command(arguments));
        let (status, _) = process.wait(PATIENCE).expect("it ends");
        assert!(status.success(), "{arguments:?}: {}", process.stderr.text());
    }
}
