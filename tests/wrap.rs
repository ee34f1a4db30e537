//! `mcp-reconnect wrap` and `unwrap` on configuration files as the clients write them.

#[path = "wrap/files.rs"]
mod files;
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use files::{CLAUDE_CODE, CODEX, CONTINUE, CURSOR, GOOSE, MINIFIED, OPENCODE, VS_CODE, WINDSURF, ZED};
use serde_json::{Value, json};
use support::bridge::Bridge;
use support::process::Process;
use support::script::Script;
use support::{COMMAND, PATIENCE, scratch_file};

/// A file of its own in a folder of its own.
struct Fixture {
    folder: PathBuf,
    file: PathBuf,
    /// The user's folder for state.
    state: PathBuf,
}

impl Fixture {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = scratch_file("configuration");
        fs::create_dir(&folder).expect("the scratch folder is writable");
        let file = folder.join(".mcp.json");
        fs::write(&file, text).expect("the scratch folder is writable");
        Self { folder, file, state: scratch_file("state") }
    }

    /// The command, for a user whose state is the fixture's.
    fn command(&self) -> Command {
        let mut command = Command::new(COMMAND);
        command.env("XDG_STATE_HOME", &self.state);
        command
    }

    /// The files as they were, the first first.
    fn backups(&self) -> Vec<PathBuf> {
        let Ok(found) = fs::read_dir(self.state.join("mcp-reconnect/wrapped")) else { return Vec::new() };
        let mut backups: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
        backups.sort();
        backups
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).expect("the file is there")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Runs the command on the file: exit code and what it says.
    fn run(&self, command: &str, more: &[&str]) -> (i32, String) {
        let path = self.file.display().to_string();
        let mut arguments = vec![command, &path];
        if command == "wrap" && !more.contains(&"--command") {
            arguments.extend(["--command", "mcp-reconnect"]);
        }
        arguments.extend(more);
        finish(self.command().args(arguments))
    }

    fn good(&self, command: &str, more: &[&str]) -> String {
        let (code, said) = self.run(command, more);
        assert_eq!(code, 0, "{said}");
        said
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_dir_all(&self.state);
    }
}

fn finish(command: &mut Command) -> (i32, String) {
    let mut process = Process::start(command);
    let (status, _) = process.wait(PATIENCE).expect("it ends");
    (status.code().expect("no signal"), process.stdout.text() + &process.stderr.text())
}

fn arguments(entry: &Value) -> Vec<&str> {
    entry["args"].as_array().expect("args").iter().map(|argument| argument.as_str().expect("a text")).collect()
}

#[test]
fn claude_code() {
    let fixture = Fixture::new(CLAUDE_CODE);
    let said = fixture.good("wrap", &[]);
    assert!(said.contains("jarvis: wrapped") && said.contains("billing: wrapped") && !said.contains("files"), "{said}");
    let servers = fixture.json()["mcpServers"].take();
    let jarvis = &servers["jarvis"];
    assert_eq!((&jarvis["type"], &jarvis["command"]), (&json!("stdio"), &json!("mcp-reconnect")));
    assert_eq!(
        arguments(jarvis),
        [
            "--transport",
            "sse",
            "--header-env",
            "Authorization=MCP_RECONNECT_HEADER_AUTHORIZATION",
            "--header-env",
            "X-Api-Key=MCP_RECONNECT_HEADER_X_API_KEY",
            "https://jarvis.internal/sse"
        ]
    );
    assert_eq!(jarvis["env"]["MCP_RECONNECT_HEADER_AUTHORIZATION"], "Bearer ${JARVIS_TOKEN}");
    assert_eq!(jarvis["env"]["MCP_RECONNECT_HEADER_X_API_KEY"], "s3cret-key");
    let billing = &servers["billing"];
    assert_eq!(
        arguments(billing),
        [
            "--transport",
            "http",
            "--header-command",
            "/opt/bin/billing-headers.sh --tenant 7",
            "--url-env",
            "MCP_RECONNECT_URL"
        ]
    );
    assert_eq!(billing["env"]["MCP_RECONNECT_URL"], "${BILLING:-https://billing.internal}/mcp?key=s3cret-query");
    assert_eq!(billing["env"]["CLAUDE_CODE_MCP_SERVER_NAME"], "billing");
    assert_eq!(billing["timeout"], 60000, "what is not understood stays");
    // The entry as it was is kept without its secrets, and without anything that the client would expand.
    for entry in [jarvis, billing] {
        let stored = entry["env"]["MCP_RECONNECT_WRAPPED"].as_str().expect("the entry as it was");
        assert!(!stored.contains("s3cret") && !stored.contains("${"), "{stored}");
    }
    assert!(fixture.text().contains("\n      \"args\": [\n        \"--transport\",\n"), "{}", fixture.text());
}

#[test]
fn cursor_and_windsurf_and_vs_code() {
    let fixture = Fixture::new(CURSOR);
    fixture.good("wrap", &[]);
    let jarvis = &fixture.json()["mcpServers"]["jarvis"];
    assert_eq!(jarvis.get("type"), None, "Cursor writes no type");
    assert_eq!(arguments(jarvis).last(), Some(&"https://jarvis.internal/mcp"));
    assert_eq!(jarvis["env"]["MCP_RECONNECT_HEADER_AUTHORIZATION"], "Bearer ${env:JARVIS_TOKEN}");
    assert!(
        fixture
            .text()
            .contains("\n            \"command\": \"mcp-reconnect\",\n            \"args\": [\n                \"")
    );

    let fixture = Fixture::new(WINDSURF);
    fixture.good("wrap", &[]);
    let jarvis = &fixture.json()["mcpServers"]["jarvis"];
    assert_eq!(jarvis["disabledTools"], json!(["nuke"]));
    assert_eq!(
        arguments(jarvis),
        ["--header-env", "API_KEY=MCP_RECONNECT_HEADER_API_KEY", "https://jarvis.internal/sse"]
    );
    assert_eq!(fixture.text().matches('\n').count(), fixture.text().matches("\r\n").count(), "CRLF stays CRLF");

    let fixture = Fixture::new(VS_CODE);
    fixture.good("wrap", &[]);
    let text = fixture.text();
    for kept in [
        "// Asked for once",
        "/* the one that restarts */",
        "\"password\": true },\n\t],",
        "\"mcp-server-fetch\"] },\n\t},\n}",
    ] {
        assert!(text.contains(kept), "{kept} is gone:\n{text}");
    }
    assert!(text.contains("\n\t\t\t\"type\": \"stdio\",\n\t\t\t\"command\": \"mcp-reconnect\","), "{text}");
    assert!(text.contains("\"MCP_RECONNECT_HEADER_AUTHORIZATION\": \"Bearer ${input:token}\""), "{text}");
    // There `http` may turn out to be HTTP+SSE.
    assert!(!text.contains("--transport"), "{text}");
}

/// There and back again, byte for byte; doing a thing twice is doing it once.
#[test]
fn there_and_back() {
    for original in [CLAUDE_CODE, CURSOR, VS_CODE, WINDSURF, MINIFIED, ZED, OPENCODE, &format!("\u{feff}{CURSOR}")] {
        let fixture = Fixture::new(original);
        fixture.good("wrap", &[]);
        let wrapped = fixture.text();
        assert_ne!(wrapped, original);
        let said = fixture.good("wrap", &[]);
        assert!(said.contains("jarvis: is wrapped already") && said.contains("nothing to do"), "{said}");
        assert_eq!(fixture.text(), wrapped);
        assert_eq!(fixture.names(), [".mcp.json"], "no backup in a project's folder");
        assert_eq!(fixture.backups().len(), 1, "no backup where nothing changes");
        fixture.good("unwrap", &[]);
        assert_eq!(fixture.text(), original);
        fixture.good("unwrap", &[]);
        assert_eq!(fixture.text(), original);
        fixture.good("wrap", &[]);
        assert_eq!(fixture.text(), wrapped, "the same again");
    }
}

#[test]
fn no_secret_in_any_argument_or_output() {
    for original in [CLAUDE_CODE, WINDSURF, MINIFIED] {
        let fixture = Fixture::new(original);
        for arguments in [&["wrap", "--dry-run"][..], &["wrap"], &["unwrap", "--dry-run"]] {
            let said = fixture.good(arguments[0], &arguments[1..]);
            assert!(!said.contains("s3cret"), "{arguments:?}: {said}");
        }
        for (name, entry) in fixture.json()["mcpServers"].as_object().unwrap() {
            assert!(!entry["args"].to_string().contains("s3cret"), "{name}: {entry}");
        }
    }
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let fixture = Fixture::new(CLAUDE_CODE);
    let said = fixture.good("wrap", &["--dry-run"]);
    assert_eq!(fixture.text(), CLAUDE_CODE);
    assert_eq!(fixture.names(), [".mcp.json"]);
    for line in [
        "-      \"type\": \"sse\",",
        "+      \"command\": \"mcp-reconnect\",",
        "2 would be wrapped; nothing was changed",
    ] {
        assert!(said.contains(line), "{line} is missing: {said}");
    }
}

/// What it was is kept where nobody else reads it and no project shares it, permissions are kept, a link stays a link.
#[test]
fn the_file_and_its_backups() {
    let fixture = Fixture::new(CLAUDE_CODE);
    fs::set_permissions(&fixture.file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = fixture.folder.join("link.json");
    symlink(&fixture.file, &link).unwrap();
    let (code, said) = finish(fixture.command().arg("wrap").arg(&link));
    assert_eq!(code, 0, "{said}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fixture.text().contains("MCP_RECONNECT_WRAPPED"));
    let wrapped = fixture.text();
    assert_eq!(fs::metadata(&fixture.file).unwrap().permissions().mode() & 0o777, 0o640);
    fixture.good("unwrap", &[]);
    let backups = fixture.backups();
    let texts: Vec<_> = backups.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, [CLAUDE_CODE.to_owned(), wrapped], "none is overwritten");
    assert!(said.contains(&backups[0].display().to_string()), "{said}");
    for path in &backups {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(name.contains("configuration_.mcp.json."), "{name}: it tells whose copy it is");
    }
    assert_eq!(fs::metadata(backups[0].parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fixture.names(), [".mcp.json", "link.json"], "nothing is left in the folder");
}

/// A link that leads through others, one that leads nowhere, one that leads to itself; and a file with two names.
#[test]
fn links() {
    let fixture = Fixture::new(CLAUDE_CODE);
    let wrap = |path: &Path| finish(fixture.command().arg("wrap").arg(path));
    let link = |name: &str, to: &Path| {
        let path = fixture.folder.join(name);
        symlink(to, &path).unwrap();
        path
    };
    let first = link("first", &fixture.file);
    let second = link("second", &first);
    assert_eq!(wrap(&second).0, 0);
    assert!(fixture.text().contains("MCP_RECONNECT_WRAPPED"));
    assert!([&first, &second].iter().all(|path| fs::symlink_metadata(path).unwrap().is_symlink()));
    fixture.good("unwrap", &[]);

    let (code, said) = wrap(&link("nowhere", &fixture.folder.join("gone")));
    assert!(code == 1 && said.contains("does not exist"), "{said}");
    let (code, said) = wrap(&link("itself", &fixture.folder.join("itself")));
    assert!(code == 1 && said.contains("cannot be read"), "{said}");
    let (code, said) = wrap(&link("folder", &fixture.folder));
    assert!(code == 1 && said.contains("is no file"), "{said}");

    // The other name goes on to be what it was: it may be somebody's copy.
    let other = fixture.folder.join("other");
    fs::hard_link(&fixture.file, &other).unwrap();
    assert_eq!(wrap(&fixture.file).0, 0);
    assert_eq!(fs::read_to_string(&other).unwrap(), CLAUDE_CODE);
}

/// Whoever made it read-only wants it to stay as it is, or something else writes it.
#[test]
fn a_file_that_is_read_only() {
    let fixture = Fixture::new(CLAUDE_CODE);
    fs::set_permissions(&fixture.file, fs::Permissions::from_mode(0o444)).unwrap();
    let (code, said) = fixture.run("wrap", &[]);
    assert!(code == 1 && said.contains("is read-only") && said.contains("nothing was changed"), "{said}");
    assert!(!said.contains("jarvis: wrapped"), "it was not: {said}");
    assert_eq!(fixture.text(), CLAUDE_CODE);
    assert_eq!(fixture.names(), [".mcp.json"]);
    fixture.good("wrap", &["--dry-run"]);
}

/// Many at once: what one says that it has done no other undoes.
#[test]
fn many_at_once() {
    let name = |number: usize| format!("server-{number}");
    let servers: serde_json::Map<String, Value> =
        (0..12).map(|number| (name(number), json!({"type": "http", "url": format!("http://h{number}/mcp")}))).collect();
    let fixture = Fixture::new(serde_json::to_string_pretty(&json!({"mcpServers": servers})).unwrap());
    let runs: Vec<_> = (0..12)
        .map(|number| {
            let mut command = fixture.command();
            command.arg("wrap").arg(&fixture.file).args(["--only", &name(number)]);
            std::thread::spawn(move || finish(&mut command))
        })
        .collect();
    for run in runs {
        let (code, said) = run.join().expect("no panic");
        assert_eq!(code, 0, "{said}");
    }
    let json = fixture.json();
    for number in 0..12 {
        assert!(json["mcpServers"][name(number)]["command"].is_string(), "{} is not wrapped: {json:#}", name(number));
    }
    assert_eq!(fixture.names(), [".mcp.json"]);
}

/// Without a place for a copy nothing is changed.
#[test]
fn no_home() {
    let fixture = Fixture::new(CLAUDE_CODE);
    let (code, said) =
        finish(fixture.command().env_remove("XDG_STATE_HOME").env_remove("HOME").arg("wrap").arg(&fixture.file));
    assert!(code == 1 && said.contains("set HOME") && said.contains("nothing was changed"), "{said}");
    assert_eq!(fixture.text(), CLAUDE_CODE);
}

/// A file in TOML.
fn codex(text: &str) -> Fixture {
    named("config.toml", text)
}

/// A file in YAML.
fn yaml(text: &str) -> Fixture {
    named("config.yaml", text)
}

fn named(name: &str, text: &str) -> Fixture {
    let mut fixture = Fixture::new("");
    let file = fixture.folder.join(name);
    fs::rename(&fixture.file, &file).unwrap();
    fs::write(&file, text).unwrap();
    fixture.file = file;
    fixture
}

#[test]
fn codex_there_and_back() {
    for original in [CODEX.to_owned(), CODEX.replace('\n', "\r\n"), format!("\u{feff}{CODEX}")] {
        for command in ["mcp-reconnect", "npx -y mcp-reconnect"] {
            let fixture = codex(&original);
            let shown = fixture.good("wrap", &["--dry-run", "--command", command]);
            assert!(!shown.contains("s3cret"), "{shown}");
            assert_eq!(fixture.text(), original);
            let said = fixture.good("wrap", &["--command", command]);
            assert!(said.contains("jarvis: wrapped") && said.contains("hosted one: wrapped"), "{said}");
            assert!(!said.contains("files:"), "{said}");
            let wrapped = fixture.text();
            let said = fixture.good("wrap", &[]);
            assert!(said.contains("jarvis: is wrapped already") && said.contains("nothing to do"), "{said}");
            let shown = fixture.good("unwrap", &["--dry-run"]);
            assert!(!shown.contains("s3cret"), "{shown}");
            fixture.good("unwrap", &[]);
            assert_eq!(fixture.text(), original);
            fixture.good("wrap", &["--command", command]);
            assert_eq!(fixture.text(), wrapped, "the same again");
        }
    }
}

#[test]
fn codex_starts_the_bridge() {
    let fixture = codex(CODEX);
    fixture.good("wrap", &[]);
    let text = fixture.text();
    for kept in [
        "model = \"gpt-5\" # mine\n",
        "# The one that restarts.\n[mcp_servers.jarvis]\n",
        "tool_timeout_sec = 60\n",
        "enabled = true\n",
        "\n\n# Below the servers.\n[tui]\ntheme = \"dark\"\n",
        "args = [\"-y\", \"@modelcontextprotocol/server-filesystem\"]",
        "\ncommand = \"mcp-reconnect\"\n",
        "\"--header\", \"Authorization: Bearer ${JARVIS_TOKEN}\"",
        "\"--header-env\", \"X-User=HOSTED_USER\"",
        "\nenv_vars = [\"JARVIS_TOKEN\"]\n",
        "\nenv_vars = [\"HOSTED_USER\"]\n",
        "\n[mcp_servers.\"hosted one\".env]\n",
        "\nMCP_RECONNECT_HEADER_X_API_KEY = \"s3cret-key\"\n",
        "\nMCP_RECONNECT_URL = \"https://jarvis.internal/mcp?key=s3cret-query\"\n",
    ] {
        assert!(text.contains(kept), "{kept} is missing:\n{text}");
    }
    for line in text.lines().filter(|line| line.starts_with("args") || line.contains("WRAPPED")) {
        assert!(!line.contains("s3cret"), "{line}");
    }
    assert!(
        !text.contains("bearer_token_env_var = \"") && !text.contains("\n[mcp_servers.jarvis.http_headers]"),
        "{text}"
    );

    // A new token is not lost; what else was changed is not thrown away.
    fs::write(&fixture.file, text.replace("= \"s3cret-key\"", "= \"s3cret-rotated\"")).unwrap();
    fixture.good("unwrap", &[]);
    assert_eq!(fixture.text(), CODEX.replace("s3cret-key", "s3cret-rotated"));
    let edited = text.replacen("tool_timeout_sec = 60", "tool_timeout_sec = 90", 1);
    fs::write(&fixture.file, &edited).unwrap();
    let (code, said) = fixture.run("unwrap", &["--only", "jarvis"]);
    assert!(code == 1 && said.contains("would be lost"), "{said}");
    assert_eq!(fixture.text(), edited);
}

#[test]
fn what_codex_writes_otherwise_is_left_alone() {
    let text = "[mcp_servers]\ninline = { url = \"https://a.internal/mcp\" }\ndotted.url = \"https://a.internal/mcp\"\n\n\
                [mcp_servers.deep]\nurl = \"https://a.internal/mcp\"\n[mcp_servers.deep.tools.x]\napproval = \"never\"\n\n\
                [mcp_servers.apart]\nurl = \"https://a.internal/mcp\"\n[tui]\na = 1\n\
                [mcp_servers.apart.http_headers]\nX-A = \"1\"\n\n[mcp_servers.number]\nurl = 7\n\n[mcp_servers.empty]\n";
    let fixture = codex(text);
    let said = fixture.good("wrap", &[]);
    for name in ["inline", "dotted", "deep", "apart", "number", "empty"] {
        assert!(said.contains(&format!("{name}: left alone: ")), "{name}: {said}");
    }
    assert_eq!(fixture.text(), text);
    for (text, named) in [("[mcp_servers", "TOML"), ("a = 1\n", "mcp_servers"), ("mcp_servers = 1\n", "mcp_servers")] {
        let fixture = codex(text);
        let (code, said) = fixture.run("wrap", &[]);
        assert!(code == 1 && said.contains(named) && said.lines().count() == 1, "{said}");
    }
}

/// `command` is one program; what more there is goes before the arguments, and comes back out.
#[test]
fn a_command_of_several_words() {
    for original in [CLAUDE_CODE, OPENCODE] {
        let fixture = Fixture::new(original);
        fixture.good("wrap", &["--command", "npx -y mcp-reconnect"]);
        assert!(fixture.text().contains("MCP_RECONNECT_WRAPPED"));
        if original == CLAUDE_CODE {
            let jarvis = &fixture.json()["mcpServers"]["jarvis"];
            assert_eq!(jarvis["command"], "npx");
            assert_eq!(arguments(jarvis)[..3], ["-y", "mcp-reconnect", "--transport"]);
        } else {
            assert!(
                fixture.text().contains("\"npx\",\n        \"-y\",\n        \"mcp-reconnect\",\n"),
                "{}",
                fixture.text()
            );
        }
        fixture.good("unwrap", &[]);
        assert_eq!(fixture.text(), original);
        // Options that somebody added there are not lost.
        fixture.good("wrap", &["--command", "npx -y mcp-reconnect"]);
        let edited = fixture.text().replace("\"mcp-reconnect\",", "\"mcp-reconnect\", \"--heartbeat-strict\",");
        fs::write(&fixture.file, &edited).unwrap();
        let (code, said) = fixture.run("unwrap", &[]);
        assert!(code == 1 && said.contains("would be lost"), "{code}: {said}");
        assert_eq!(fixture.text(), edited);
    }
    // A path with spaces is one word if it is there.
    let fixture = Fixture::new(CURSOR);
    let program = fixture.folder.join("a program");
    fs::write(&program, "").unwrap();
    fixture.good("wrap", &["--command", program.to_str().unwrap()]);
    assert_eq!(fixture.json()["mcpServers"]["jarvis"]["command"], program.to_str().unwrap());
}

/// A header whose variable would be an option of the bridge, which runs or reads what is in it.
#[test]
fn headers_with_the_names_of_options() {
    let names = ["Command", "Env", "File", "Timeout"];
    let headers: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), json!("x"))).collect();
    let config = json!({"mcpServers": {"a": {"type": "http", "url": "https://a.internal/mcp", "headers": headers}}});
    let fixture = Fixture::new(serde_json::to_string_pretty(&config).unwrap());
    fixture.good("wrap", &[]);
    let env = fixture.json()["mcpServers"]["a"]["env"].take();
    for name in names {
        let upper = name.to_uppercase();
        assert!(env.get(format!("MCP_RECONNECT_HEADER_{upper}")).is_none(), "{env}");
        assert_eq!(env[format!("MCP_RECONNECT_HEADER_{upper}_2")], "x");
    }
    fixture.good("unwrap", &[]);
    assert_eq!(fixture.json(), config);
}

/// There and back again, byte for byte, in each way of ending a line, with the bridge started in either way.
#[test]
fn yaml_there_and_back() {
    let forms = |text: &str| {
        [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{text}"), text.trim_end().to_owned()]
    };
    for original in forms(GOOSE).into_iter().chain(forms(CONTINUE)) {
        let ways = if original == GOOSE { &["mcp-reconnect", "npx -y mcp-reconnect"][..] } else { &["mcp-reconnect"] };
        for command in ways {
            let fixture = yaml(&original);
            let shown = fixture.good("wrap", &["--dry-run", "--command", command]);
            assert!(!shown.contains("s3cret"), "{shown}");
            assert_eq!(fixture.text(), original);
            let said = fixture.good("wrap", &["--command", command]);
            assert!(said.contains("jarvis: wrapped") && !said.contains("left alone"), "{said}");
            assert!(!said.contains("files: ") && !said.contains("developer"), "{said}");
            let wrapped = fixture.text();
            assert_eq!(wrapped.matches('\n').count() == wrapped.matches("\r\n").count(), original.contains("\r\n"));
            for kept in
                ["# The one that restarts.", "# Below the extensions.", "# mine", "# Since March.", "models: []"]
            {
                assert_eq!(wrapped.contains(kept), original.contains(kept), "{kept}:\n{wrapped}");
            }
            fixture.good("wrap", &["--command", command]);
            assert_eq!(fixture.text(), wrapped, "twice is once");
            let shown = fixture.good("unwrap", &["--dry-run"]);
            assert!(!shown.contains("s3cret"), "{shown}");
            fixture.good("unwrap", &[]);
            assert_eq!(fixture.text(), original);
            assert_eq!(fixture.backups().len(), 2);
        }
    }
}

/// What YAML says, as another reader has it.
fn read_yaml(text: &str) -> Value {
    let program = "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.stdin.buffer)))";
    let mut process = Process::run(support::install::python_oauth(), &["-c", program]);
    process.write(text.as_bytes());
    process.close_stdin();
    process.wait(PATIENCE).expect("it ends");
    serde_json::from_str(&process.stdout.text()).unwrap_or_else(|_| panic!("{}\n{text}", process.stderr.text()))
}

#[test]
fn goose() {
    let fixture = yaml(GOOSE);
    fixture.good("wrap", &[]);
    let all = read_yaml(&fixture.text())["extensions"].take();
    let jarvis = &all["jarvis"];
    assert_eq!((&jarvis["type"], &jarvis["cmd"]), (&json!("stdio"), &json!("mcp-reconnect")), "{jarvis:#}");
    assert_eq!(
        arguments(jarvis),
        [
            "--header",
            "Authorization: Bearer ${JARVIS_TOKEN}",
            "--header",
            "X-Tenant: ${TENANT}",
            "--transport",
            "sse",
            "--header-env",
            "X-Api-Key=MCP_RECONNECT_HEADER_X_API_KEY",
            "--header-env",
            "X-Plain=MCP_RECONNECT_HEADER_X_PLAIN",
            "--url-env",
            "MCP_RECONNECT_URL"
        ]
    );
    let envs = &jarvis["envs"];
    assert_eq!(
        (&envs["TENANT"], &envs["MCP_RECONNECT_HEADER_X_API_KEY"]),
        (&json!("s3cret-tenant"), &json!("s3cret-'key"))
    );
    assert_eq!(envs["MCP_RECONNECT_URL"], "https://jarvis.internal/sse?key=s3cret-query");
    let stored = envs["MCP_RECONNECT_WRAPPED"].as_str().expect("the entry as it was");
    assert!(!stored.contains("s3cret") && !stored.contains("${"), "{stored}");
    for gone in ["uri", "headers"] {
        assert!(jarvis.get(gone).is_none(), "{jarvis:#}");
    }
    let before = read_yaml(GOOSE)["extensions"].take();
    for kept in ["available_tools", "bundled", "description", "enabled", "env_keys", "name", "timeout"] {
        assert_eq!(jarvis[kept], before["jarvis"][kept], "{kept}");
    }
    assert_eq!((&all["files"], &all["developer"]), (&before["files"], &before["developer"]));
    let hosted = &all["hosted"];
    assert_eq!((&hosted["cmd"], &hosted["enabled"]), (&json!("mcp-reconnect"), &json!(true)));
    assert_eq!(hosted["envs"]["MCP_RECONNECT_HEADER_X_KEY"], "s3cret-flow");
    assert_eq!(arguments(&all["bare"]), ["--transport", "http", "https://bare.internal/mcp"]);
    assert!(all["bare"].as_object().is_some_and(|bare| bare["description"].is_null()), "{:#}", all["bare"]);
}

/// What Goose writes itself, with a new token: comments and quotes are its own then, and so are the columns.
#[test]
fn goose_after_it_has_written_its_file() {
    let fixture = yaml(GOOSE);
    fixture.good("wrap", &[]);
    let program = "import sys,yaml; d=yaml.safe_load(sys.stdin.buffer); \
        d['extensions']['jarvis']['envs']['MCP_RECONNECT_HEADER_X_PLAIN']='s3cret: new'; \
        d['extensions']['jarvis']['envs']['TENANT']='s3cret-other'; \
        print(yaml.safe_dump(d, indent=4, sort_keys=True), end='')";
    let mut process = Process::run(support::install::python_oauth(), &["-c", program]);
    process.write(fixture.text().as_bytes());
    process.close_stdin();
    process.wait(PATIENCE).expect("it ends");
    fs::write(&fixture.file, process.stdout.text()).unwrap();
    let said = fixture.good("unwrap", &[]);
    assert!(!said.contains("s3cret"), "{said}");
    let mut expected = read_yaml(GOOSE);
    expected["extensions"]["jarvis"]["headers"]["X-Plain"] = json!("s3cret: new");
    expected["extensions"]["jarvis"]["envs"]["TENANT"] = json!("s3cret-other");
    assert_eq!(read_yaml(&fixture.text()), expected, "{}", fixture.text());
}

#[test]
fn continues_servers() {
    let fixture = yaml(CONTINUE);
    fixture.good("wrap", &[]);
    let servers = read_yaml(&fixture.text())["mcpServers"].take();
    let jarvis = &servers[0];
    assert_eq!((&jarvis["name"], &jarvis["type"]), (&json!("jarvis"), &json!("stdio")));
    assert_eq!(
        arguments(jarvis),
        [
            "--transport",
            "sse",
            "--header-env",
            "Authorization=MCP_RECONNECT_HEADER_AUTHORIZATION",
            "--header-env",
            "X-Api-Key=MCP_RECONNECT_HEADER_X_API_KEY",
            "https://jarvis.internal/sse"
        ]
    );
    // Continue goes on filling these in.
    assert_eq!(jarvis["env"]["MCP_RECONNECT_HEADER_AUTHORIZATION"], "Bearer ${{ secrets.JARVIS }}");
    assert_eq!(servers[1]["env"]["MCP_RECONNECT_URL"], "https://${{ inputs.HOST }}/mcp");
    assert_eq!(jarvis["connectionTimeout"], 5000);
    for server in [jarvis, &servers[1]] {
        let stored = server["env"]["MCP_RECONNECT_WRAPPED"].as_str().expect("the entry as it was");
        assert!(!stored.contains("${{") && !stored.contains("s3cret"), "{stored}");
    }
    assert_eq!(servers[2], read_yaml(CONTINUE)["mcpServers"][2]);
    let said = fixture.good("unwrap", &["--only", "hosted one"]);
    assert!(said.contains("hosted one: unwrapped") && !said.contains("jarvis"), "{said}");
}

#[test]
fn yaml_that_cannot_be_carried_over() {
    let text = r#"extensions:
  anchored: &a
    type: sse
    uri: https://a.internal/sse
  aliased: *a
  merged:
    <<: *a
    name: merged
  twice:
    type: sse
    uri: https://a.internal/sse
    uri: https://b.internal/sse
  variable: {type: sse, uri: "https://$HOST/sse"}
  mixed:
    type: sse
    uri: https://a.internal/sse
    headers:
      X-A: s3cret-$TOKEN
  block:
    type: sse
    uri: >-
      https://a.internal/sse
  socket:
    type: streamable_http
    uri: https://a.internal/mcp
    socket: "@egress"
  user:
    type: sse
    uri: https://user:s3cret@a.internal/sse
  escaped:
    type: sse
    uri: https://a.internal/sse
    headers:
      X-A: "\x41"
  same:
    type: sse
    uri: https://a.internal/sse
  "same":
    type: sse
    uri: https://a.internal/sse
  good:
    type: sse
    uri: https://a.internal/sse
"#;
    let fixture = yaml(text);
    let said = fixture.good("wrap", &[]);
    for name in ["anchored", "merged", "twice", "variable", "mixed", "block", "socket", "user", "escaped", "same"] {
        assert!(said.contains(&format!("{name}: left alone: ")), "{name}: {said}");
    }
    assert!(said.contains("good: wrapped") && said.contains("1 wrapped") && !said.contains("s3cret"), "{said}");
    assert!(fixture.text().starts_with(text.split("  good:").next().unwrap()), "{}", fixture.text());
    let (code, said) = fixture.run("unwrap", &[]);
    assert!(code == 1 && said.contains("good: unwrapped") && said.contains("4 could not be unwrapped"), "{said}");
    assert_eq!(fixture.text(), text);

    let deep = "[".repeat(5000);
    for (text, said) in [
        ("extensions:\n  a: {", "not valid YAML"),
        ("extensions:\n\ta: 1", "not valid YAML"),
        (&*deep, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "several documents"),
        ("", "it is empty"),
        ("theme: dark\n", "neither Goose's"),
        ("extensions: []\n", "neither Goose's"),
    ] {
        let fixture = yaml(text);
        let (code, output) = fixture.run("wrap", &[]);
        assert!(code == 1 && output.contains(said) && output.contains("nothing was changed"), "{said}: {output}");
        assert_eq!(fixture.text(), text);
    }
}

/// What would be lost is named, and the file stays as it is.
#[test]
fn yaml_that_was_edited_is_not_unwrapped() {
    for (from, to, said) in [
        ("\"--transport\"", "\"--heartbeat-strict\", \"--transport\"", "would be lost"),
        ("name: jarvis\n    timeout: 300", "name: jarvis\n    timeout: 301", "would be lost"),
        ("MCP_RECONNECT_HEADER_X_PLAIN:", "OTHER:", "MCP_RECONNECT_HEADER_X_PLAIN"),
    ] {
        let fixture = yaml(GOOSE);
        fixture.good("wrap", &["--only", "jarvis"]);
        let edited = fixture.text().replacen(from, to, 1);
        assert_ne!(edited, fixture.text(), "{from}");
        fs::write(&fixture.file, &edited).unwrap();
        let (code, output) = fixture.run("unwrap", &[]);
        assert!(code == 1 && output.contains(said) && output.contains("backup"), "{from}: {output}");
        assert_eq!(fixture.text(), edited);
    }
}

/// The same care as for the other formats: links, permissions, files that are read-only.
#[test]
fn yaml_files_and_their_backups() {
    let fixture = yaml(GOOSE);
    fs::set_permissions(&fixture.file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = fixture.folder.join("link.yaml");
    symlink(&fixture.file, &link).unwrap();
    let (code, said) = finish(fixture.command().arg("wrap").arg(&link));
    assert_eq!(code, 0, "{said}");
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && fixture.text().contains("MCP_RECONNECT_WRAPPED"));
    assert_eq!(fs::metadata(&fixture.file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_to_string(&fixture.backups()[0]).unwrap(), GOOSE);
    let wrapped = fixture.text();
    fs::set_permissions(&fixture.file, fs::Permissions::from_mode(0o444)).unwrap();
    let (code, said) = fixture.run("unwrap", &[]);
    assert!(code == 1 && said.contains("is read-only"), "{said}");
    assert_eq!(fixture.text(), wrapped);
    assert_eq!(fixture.names(), ["config.yaml", "link.yaml"]);
}

#[test]
fn zed_and_opencode() {
    let fixture = Fixture::new(ZED);
    let said = fixture.good("wrap", &[]);
    assert!(said.contains("jarvis: wrapped") && !said.contains("files"), "{said}");
    let text = fixture.text();
    for kept in ["// Zed settings", "\"theme\": \"One Dark\", // mine", "\"command\": { \"path\": \"npx\""] {
        assert!(text.contains(kept), "{kept} is gone:\n{text}");
    }
    assert!(text.contains("\"command\": \"mcp-reconnect\","), "{text}");
    assert!(text.contains("\"MCP_RECONNECT_HEADER_AUTHORIZATION\": \"Bearer s3cret-token\""), "{text}");

    let fixture = Fixture::new(OPENCODE);
    let said = fixture.good("wrap", &[]);
    assert!(said.contains("jarvis: wrapped") && said.contains("hosted: wrapped") && !said.contains("files:"), "{said}");
    let entry = &fixture.json()["mcp"]["jarvis"];
    assert_eq!((&entry["type"], &entry["enabled"]), (&json!("local"), &json!(true)));
    let words: Vec<_> = entry["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(
        words,
        [
            "mcp-reconnect",
            "--header-env",
            "Authorization=MCP_RECONNECT_HEADER_AUTHORIZATION",
            "--oauth",
            "off",
            "https://jarvis.internal/mcp"
        ]
    );
    assert_eq!(entry["environment"]["MCP_RECONNECT_HEADER_AUTHORIZATION"], "Bearer {env:JARVIS_TOKEN}");
    let hosted = &fixture.json()["mcp"]["hosted"];
    assert_eq!(hosted["environment"]["MCP_RECONNECT_URL"], "https://{env:HOSTED}/mcp");
    for entry in [entry, hosted] {
        let stored = entry["environment"]["MCP_RECONNECT_WRAPPED"].as_str().expect("the entry as it was");
        assert!(!stored.contains("{env:"), "the client would expand it: {stored}");
    }
}

/// What the user does to the file after `wrap` is theirs: a new token, other servers, other settings.
#[test]
fn edits_in_between_are_kept() {
    let fixture = Fixture::new(CLAUDE_CODE);
    fixture.good("wrap", &[]);
    let mut edited: Value = fixture.json();
    edited["mcpServers"]["jarvis"]["env"]["MCP_RECONNECT_HEADER_X_API_KEY"] = json!("s3cret-rotated");
    edited["mcpServers"]["jarvis"]["disabled"] = json!(true);
    edited["mcpServers"]["billing"]["timeout"] = json!(5);
    edited["mcpServers"]["new"] = json!({"type": "http", "url": "https://new.internal/mcp"});
    fs::write(&fixture.file, serde_json::to_string_pretty(&edited).unwrap()).unwrap();
    fixture.good("unwrap", &[]);
    let mut expected: Value = serde_json::from_str(CLAUDE_CODE).unwrap();
    expected["mcpServers"]["jarvis"]["headers"]["X-Api-Key"] = json!("s3cret-rotated");
    expected["mcpServers"]["jarvis"]["disabled"] = json!(true);
    expected["mcpServers"]["billing"]["timeout"] = json!(5);
    expected["mcpServers"]["new"] = json!({"type": "http", "url": "https://new.internal/mcp"});
    assert_eq!(fixture.json(), expected);
}

#[test]
fn a_wrapped_entry_whose_variable_is_gone_is_left_alone() {
    let fixture = Fixture::new(WINDSURF);
    fixture.good("wrap", &[]);
    let mut edited = fixture.json();
    edited["mcpServers"]["jarvis"]["env"].as_object_mut().unwrap().remove("MCP_RECONNECT_HEADER_API_KEY");
    let edited = edited.to_string();
    fs::write(&fixture.file, &edited).unwrap();
    let (code, said) = fixture.run("unwrap", &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("MCP_RECONNECT_HEADER_API_KEY") && said.contains("backup"), "{said}");
    assert_eq!(fixture.text(), edited);
}

#[test]
fn an_entry_whose_arguments_were_edited_is_not_unwrapped() {
    let fixture = Fixture::new(WINDSURF);
    fixture.good("wrap", &[]);
    let mut edited = fixture.json();
    let args = edited["mcpServers"]["jarvis"]["args"].as_array_mut().unwrap();
    args.extend([json!("--on-event"), json!("notify.sh")]);
    let edited = edited.to_string();
    fs::write(&fixture.file, &edited).unwrap();
    let (code, said) = fixture.run("unwrap", &[]);
    assert!(code == 1 && said.contains("would be lost"), "{code}: {said}");
    assert_eq!(fixture.text(), edited);
}

#[test]
fn what_cannot_be_carried_over_is_named_and_left_alone() {
    let config = json!({"mcpServers": {
        "login": {"type": "http", "url": "https://a.internal/mcp", "oauth": {"clientId": "x", "xaa": true}},
        "cursor-login": {"url": "https://a.internal/mcp", "auth": {"CLIENT_ID": "x"}},
        "socket": {"type": "ws", "url": "wss://a.internal/mcp"},
        "user": {"type": "http", "url": "https://user:s3cret@a.internal/mcp"},
        "helper": {"type": "http", "url": "https://a.internal/mcp", "headersHelper": "echo ${TOKEN}"},
        "number": {"type": "http", "url": "https://a.internal/mcp", "headers": {"X-A": 1}},
        "empty": {},
        "odd": 7,
        "good": {"type": "http", "url": "https://a.internal/mcp", "headers": {"Accept": "x/y", "X-A": "1", "x-a": "2"}}
    }});
    let fixture = Fixture::new(serde_json::to_string_pretty(&config).unwrap());
    let said = fixture.good("wrap", &[]);
    for name in ["login", "cursor-login", "socket", "user", "helper", "number", "empty"] {
        assert!(said.contains(&format!("{name}: left alone: ")), "{name}: {said}");
        assert_eq!(fixture.json()["mcpServers"][name], config["mcpServers"][name]);
    }
    assert!(!said.contains("s3cret"), "{said}");
    // The bridge sets `Accept` itself; two spellings of one name are two headers.
    let good = &fixture.json()["mcpServers"]["good"];
    let expected = ["--header-env", "X-A=MCP_RECONNECT_HEADER_X_A", "--header-env", "x-a=MCP_RECONNECT_HEADER_X_A_2"];
    assert_eq!(arguments(good)[2..6], expected);
    fixture.good("unwrap", &[]);
    assert_eq!(fixture.json(), config);
}

/// The client's own sign-in becomes the bridge's, as the same client of the authorization server.
#[test]
fn the_sign_in_of_claude_code() {
    let config = json!({"mcpServers": {"hosted": {
        "type": "http",
        "url": "https://a.internal/mcp",
        "oauth": {
            "clientId": "x",
            "callbackPort": 8080,
            "scopes": "read write",
            "authServerMetadataUrl": "https://as.internal/.well-known/openid-configuration"
        }
    }}});
    let fixture = Fixture::new(serde_json::to_string_pretty(&config).unwrap());
    fixture.good("wrap", &[]);
    let entry = fixture.json()["mcpServers"]["hosted"].clone();
    let expected = [
        "--oauth-metadata-url",
        "https://as.internal/.well-known/openid-configuration",
        "--oauth-port",
        "8080",
        "--oauth-redirect-host",
        "localhost",
        "--oauth-client-id",
        "x",
        "--oauth-scope",
        "read write",
        "https://a.internal/mcp",
    ];
    assert_eq!(arguments(&entry)[2..], expected);
    assert!(entry.get("oauth").is_none(), "{entry}");
    fixture.good("unwrap", &[]);
    assert_eq!(fixture.json(), config);
}

#[test]
fn only_the_named() {
    let fixture = Fixture::new(CLAUDE_CODE);
    fixture.good("wrap", &["--only", "billing"]);
    assert_eq!(fixture.json()["mcpServers"]["jarvis"]["type"], "sse");
    assert_eq!(fixture.json()["mcpServers"]["billing"]["type"], "stdio");
    let before = fixture.text();
    let (code, said) = fixture.run("wrap", &["--only", "jarvs"]);
    assert!(code == 1 && said.contains("'jarvs'"), "{said}");
    assert_eq!(fixture.text(), before);
}

/// Claude Code's own file: one's servers in all projects, and those in one project.
#[test]
fn the_scopes_of_claude_code() {
    let home = Fixture::new("{}");
    let project = home.folder.canonicalize().unwrap().join("work");
    let below = project.join("src");
    fs::create_dir_all(&below).unwrap();
    let server = |name: &str| json!({"type": "sse", "url": format!("https://{name}.internal/sse")});
    let state = json!({
        "numStartups": 12,
        "mcpServers": {"everywhere": server("everywhere")},
        "projects": {
            (project.to_str().unwrap()): {"allowedTools": [], "mcpServers": {"here": server("here")}},
            "/somewhere/else": {"mcpServers": {"there": server("there")}}
        }
    });
    let file = home.folder.join(".claude.json");
    let text = serde_json::to_string_pretty(&state).unwrap();
    fs::write(&file, &text).unwrap();
    let run = |arguments: &[&str], folder: &Path| {
        let mut command = home.command();
        command
            .args(arguments)
            .current_dir(folder)
            .env("HOME", &home.folder)
            .env_remove("CLAUDE_CONFIG_DIR")
            .env_remove("PWD");
        finish(&mut command)
    };
    let types = || {
        let state: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let of = |entry: &Value| entry["type"].as_str().unwrap().to_owned();
        let projects = &state["projects"];
        [
            of(&state["mcpServers"]["everywhere"]),
            of(&projects[project.to_str().unwrap()]["mcpServers"]["here"]),
            of(&projects["/somewhere/else"]["mcpServers"]["there"]),
        ]
    };
    let (code, said) = run(&["wrap", "--scope", "local"], &below);
    assert_eq!((code, types()), (0, ["sse", "stdio", "sse"].map(str::to_owned)), "{said}");
    let (code, said) = run(&["wrap", "--scope", "user"], &below);
    assert_eq!((code, types()), (0, ["stdio", "stdio", "sse"].map(str::to_owned)), "{said}");
    let (code, said) = run(&["unwrap", "--scope", "local"], &project);
    assert_eq!((code, types()), (0, ["stdio", "sse", "sse"].map(str::to_owned)), "{said}");
    let (code, said) = run(&["unwrap", "--scope", "user"], &project);
    assert_eq!((code, fs::read_to_string(&file).unwrap()), (0, text), "{said}");
    let (code, said) = run(&["wrap", "--scope", "local"], &home.folder);
    assert!(code == 1 && said.contains("project"), "{said}");
}

#[test]
fn files_that_are_no_configuration() {
    let deep = format!("{{\"mcpServers\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!("{{\"mcpServers\": {{\"a\": \"{}\"}}}}", "x".repeat(65 << 20));
    let cases: [(&[u8], &str); 9] = [
        (b"", "JSON"),
        (b"hello", "JSON"),
        (b"{\"mcpServers\": {", "JSON"),
        (b"{\"mcpServers\": {\"a\": {'url': 'http://h/'}}}", "JSON"),
        (b"[1, 2]", "object"),
        (b"{\"theme\": \"dark\"}", "mcpServers"),
        (b"{\"mcpServers\": {\"a\": \"\xff\"}}", "UTF-8"),
        (deep.as_bytes(), "JSON"),
        (huge.as_bytes(), "MiB"),
    ];
    for (text, named) in cases {
        let fixture = Fixture::new(text);
        for command in ["wrap", "unwrap"] {
            let (code, said) = fixture.run(command, &[]);
            let start = String::from_utf8_lossy(&text[..text.len().min(40)]);
            assert_eq!(code, 1, "{start}: {said}");
            assert!(said.contains(named) && said.lines().count() == 1, "{start}: {said}");
        }
        assert!(fs::read(&fixture.file).unwrap() == text, "untouched");
        assert_eq!(fixture.names(), [".mcp.json"]);
    }
    let fixture = Fixture::new("{}");
    for missing in [fixture.folder.join("none.json"), fixture.folder.clone()] {
        let (code, said) = finish(Command::new(COMMAND).arg("wrap").arg(missing));
        assert!(code == 1 && said.lines().count() == 1, "{said}");
    }
}

/// A wrapped entry is started as a client starts it, and reaches a real server with its headers; the process list shows no
/// secret.
#[test]
fn a_wrapped_entry_works() {
    let server = Script::http().authorization("Bearer s3cret-token").start();
    let config = json!({"mcpServers": {"jarvis": {
        "type": "http",
        "url": format!("{}?tenant=${{TENANT}}", server.url()),
        "headers": {"Authorization": "Bearer ${JARVIS_TOKEN}", "X-Api-Key": "s3cret-key"}
    }}});
    let fixture = Fixture::new(config.to_string());
    fixture.good("wrap", &["--command", COMMAND]);
    // What Claude Code does with `command`, `args` and `env`.
    let expand = |value: &Value| {
        value.as_str().expect("a text").replace("${JARVIS_TOKEN}", "s3cret-token").replace("${TENANT}", "s3cret-tenant")
    };
    let entry = &fixture.json()["mcpServers"]["jarvis"];
    let mut command = Command::new(expand(&entry["command"]));
    command.args(entry["args"].as_array().unwrap().iter().map(expand));
    command.envs(entry["env"].as_object().unwrap().iter().map(|(name, value)| (name, expand(value))));
    let mut bridge = Bridge::command(&mut command);
    bridge.initialize(json!({}));
    let list = fs::read(format!("/proc/{}/cmdline", bridge.process().id())).expect("Linux has a process list");
    let list = String::from_utf8_lossy(&list).into_owned();
    assert!(list.contains("--header-env") && !list.contains("s3cret"), "{list}");
    bridge.call("tools/list", json!({}));
    assert!(!bridge.stderr().contains("s3cret"), "{}", bridge.stderr());
    bridge.finish();
    for record in server.records() {
        assert_eq!(record.http.header("x-api-key"), Some("s3cret-key"), "{:?}", record.kind);
        assert!(record.http.target.ends_with("?tenant=s3cret-tenant"), "{}", record.http.target);
    }
}
