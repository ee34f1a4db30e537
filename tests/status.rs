//! `mcp-reconnect status` on bridges that run, that were killed, and whose server was.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::bridge::Bridge;
use support::process::Process;
use support::servers::{Kind, Server};
use support::{COMMAND, PATIENCE, poll, scratch_file};

/// A user with a folder for state.
struct User(PathBuf);

impl User {
    fn new() -> Self {
        Self(scratch_file("state"))
    }

    fn bridge(&self, arguments: &[&str]) -> Bridge {
        Bridge::command(Command::new(COMMAND).args(arguments).env("XDG_STATE_HOME", &self.0))
    }

    /// What the command says.
    fn status(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(COMMAND);
        command.arg("status").args(arguments).env("XDG_STATE_HOME", &self.0);
        let mut process = Process::start(&mut command);
        let (status, _) = process.wait(PATIENCE).expect("it ends");
        assert!(status.success(), "{}", process.stderr.text());
        process.stdout.text()
    }

    fn all(&self) -> Vec<Value> {
        serde_json::from_str(&self.status(&["--json"])).expect("a JSON array")
    }

    /// Waits until the bridge with this name is so.
    fn wait_for(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            poll(&format!("{name} is so"), PATIENCE, || {
                last = self.all().into_iter().find(|bridge| bridge["name"] == name)?;
                condition(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("{name} stays {last:#}"))
    }

    fn folder(&self) -> PathBuf {
        self.0.join("mcp-reconnect/running")
    }

    fn files(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder()) else { return Vec::new() };
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn two_bridges() {
    let user = User::new();
    assert_eq!(user.status(&[]), "no bridge of this user is running\n");
    assert_eq!(user.all(), Vec::<Value>::new());

    let mut server = Server::started(Kind::RustSse);
    let url = format!("{}?key=s3cret-query", server.url());
    let mut jarvis = user.bridge(&["--name", "jarvis", &url]);
    jarvis.initialize(json!({}));
    let ready = user.wait_for("jarvis", |bridge| bridge["state"] == "ready");
    assert_eq!((&ready["url"], &ready["pid"]), (&json!(server.url()), &json!(jarvis.process().id())), "{ready:#}");
    assert_eq!(ready["session"]["number"], 1, "{ready:#}");
    assert!(ready["session"]["transport"] == "HTTP+SSE" && ready["session"].get("id").is_none(), "{ready:#}");

    // Another one, to a server that is not there.
    let nowhere = Server::reserved(Kind::RustHttp);
    let mut other = user.bridge(&["--name", "other", "--start-timeout", "off", &nowhere.url()]);
    other.begin_initialize(json!({}));
    let waiting = user.wait_for("other", |bridge| bridge["inFlight"] == 1);
    assert!(waiting["session"].is_null() && waiting["state"] != "ready", "{waiting:#}");
    let tried = user.wait_for("other", |bridge| bridge["lastError"] != "");
    assert!(tried["lastError"].as_str().is_some_and(|error| error.contains("refused")), "{tried:#}");

    // A call that runs, while nothing else happens.
    let running = jarvis.request("tools/call", server.kind.unsafe_call("of-status"));
    server.wait_for_mark("of-status", 1);
    let counted = user.wait_for("jarvis", |bridge| bridge["inFlight"] == 1);
    assert_eq!((&counted["state"], &counted["since"]), (&json!("ready"), &ready["since"]), "{counted:#}");

    // The server is gone: the call that waits is counted, and so is the new session.
    server.kill();
    let gone = user.wait_for("jarvis", |bridge| bridge["state"] != "ready");
    assert_ne!(gone["since"], ready["since"]);
    jarvis.error(&running);
    let held = jarvis.request("tools/call", server.kind.echo("held"));
    let held_as = user.wait_for("jarvis", |bridge| bridge["queued"] == 1);
    assert_eq!(held_as["inFlight"], 1, "{held_as:#}");
    server.start();
    jarvis.result(&held);
    let back = user.wait_for("jarvis", |bridge| bridge["state"] == "ready" && bridge["inFlight"] == 0);
    assert_eq!((&back["session"]["number"], &back["reconnects"], &back["queued"]), (&json!(2), &json!(1), &json!(0)));

    let said = user.status(&[]);
    let url = server.url();
    for part in
        ["jarvis: ", &url, "ready for ", "session 2 for ", "1 reconnects", "other: ", "no session", "1 in flight"]
    {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!(mode(&user.folder()), 0o700);
    for file in user.files() {
        let path = user.folder().join(file);
        assert_eq!(mode(&path), 0o600, "{path:?}");
        assert!(!fs::read_to_string(&path).unwrap().contains("s3cret"), "{path:?}");
    }

    // One is killed: its file is left behind, and is seen for what it is. The other one ends as it should.
    let id = other.process().id();
    other.kill();
    let names: Vec<_> = user.all().iter().map(|bridge| bridge["name"].clone()).collect();
    assert_eq!(names, ["jarvis"]);
    assert!(user.files().iter().all(|file| !file.starts_with(&format!("{id}-"))), "{:?}", user.files());
    jarvis.finish();
    assert_eq!((user.status(&[]), user.files()), ("no bridge of this user is running\n".to_owned(), Vec::new()));
}

/// Who begins removes what others left, and what is no file of a bridge harms nobody.
#[test]
fn what_is_left_behind() {
    let user = User::new();
    let mut server = Server::started(Kind::RustHttp);
    let mut killed = user.bridge(&["--name", "killed", &server.url()]);
    killed.initialize(json!({}));
    user.wait_for("killed", |bridge| bridge["state"] == "ready");
    killed.kill();
    fs::write(user.folder().join("1-odd.json"), "{\"pid\": ").unwrap();
    fs::write(user.folder().join("notes"), "mine").unwrap();
    let mut next = user.bridge(&["--name", "next", &server.url()]);
    next.initialize(json!({}));
    user.wait_for("next", |bridge| bridge["state"] == "ready");
    let mut files = user.files();
    let id = next.process().id();
    files.retain(|file| !file.starts_with(&format!("{id}-")));
    assert_eq!(files, ["notes"], "what was left is gone");
    // Nobody says anything, and its server dies.
    server.kill();
    user.wait_for("next", |bridge| bridge["state"] != "ready" && bridge["lastError"] != "");
    next.finish();
}

/// A folder that cannot be used is no reason for anything but a line.
#[test]
fn a_folder_that_cannot_be_written() {
    let user = User::new();
    let server = Server::started(Kind::RustHttp);
    fs::create_dir_all(user.0.join("mcp-reconnect")).unwrap();
    for prepare in [(|folder: &Path| fs::write(folder, "a file").unwrap()) as fn(&Path), |folder| {
        fs::remove_file(folder).unwrap();
        fs::create_dir(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }] {
        prepare(&user.folder());
        let mut bridge = user.bridge(&["--log", "debug", &server.url()]);
        bridge.initialize(json!({}));
        bridge.wait_for_log(0, &["will not show this bridge"]);
        assert!(bridge.tool(server.kind.echo("all the same")).contains("all the same"));
        let said = bridge.stderr();
        assert_eq!(said.matches("mcp-reconnect status").count(), 1, "{said}");
        bridge.finish();
    }
    // In silence, unless somebody wants to know.
    let mut bridge = user.bridge(&[&server.url()]);
    bridge.initialize(json!({}));
    assert!(bridge.tool(server.kind.echo("on")).contains("on"));
    assert!(!bridge.stderr().contains("status"), "{}", bridge.stderr());
    bridge.finish();
}
