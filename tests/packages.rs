//! What people download, made of the built program as a release is made, and used from an empty folder: the npm packages, the
//! Python wheel, the archive. What takes a compiler is `just crates`; what is for other platforms, `just cross`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use mcp_reconnect_guests::{Guest, build, sha256, target_dir, workspace};
use serde_json::{Value, json};
use support::bridge::Bridge;
use support::servers::{Kind, Server};
use support::{NATIVE, install, npm_package, tests_folder};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The target of a release that this machine's packages are for. Its program is the one that was built for the tests.
fn target() -> &'static str {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "x86_64-unknown-linux-musl",
        ("linux", "aarch64") => "aarch64-unknown-linux-musl",
        ("macos", "x86_64") => "x86_64-apple-darwin",
        ("macos", "aarch64") => "aarch64-apple-darwin",
        (os, arch) => panic!("there are no packages for {os} on {arch}"),
    }
}

/// That program, without what debuggers want of it, as it is released.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = empty("program").join("mcp-reconnect");
        let mend = "install the tools of a C compiler, for instance `apt-get install binutils`";
        install::run(Command::new("strip").arg("-o").arg(&program).arg(NATIVE), mend);
        program
    })
}

/// What release/targets.json says of it.
fn platform(key: &str) -> String {
    let targets = fs::read(tests_folder().join("../release/targets.json")).expect("it is in the repository");
    let targets: Vec<Value> = serde_json::from_slice(&targets).expect("JSON");
    let found = targets.iter().find(|it| it["target"] == target()).expect("every target is in the table");
    found[key].as_str().expect("a text").to_owned()
}

/// A new, empty folder.
fn empty(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build folder is writable");
    folder
}

/// Makes packages of the program, as a release does.
fn released(what: &str, out: &Path) {
    let mut command = Command::new("python3");
    command.arg(tests_folder().join("../release/release.py")).args([what, "--no-sbom", "--out"]).arg(out);
    command.arg("--program").arg(format!("{}={}", target(), program().display()));
    command.env("MCP_RECONNECT_NPM_FOLDER", install::node_package());
    install::run(&mut command, "see the message above");
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it can be run");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The command before a real server that is killed and restarted: a call before, one while the server is away, one after.
fn bridges_a_restart(mut command: Command) {
    let kind = Kind::EverythingHttp;
    let mut server = Server::started(kind);
    command.env("NO_PROXY", "127.0.0.1").arg(server.url());
    let mut bridge = Bridge::command(&mut command);
    bridge.initialize(json!({}));
    bridge.notify("notifications/initialized", json!({}));
    assert!(bridge.tool(kind.echo("before")).contains("before"));
    server.kill();
    let held = bridge.request("tools/call", kind.echo("while away"));
    server.start();
    assert!(support::bridge::text(&bridge.result(&held)).contains("while away"));
    assert!(bridge.tool(kind.echo("after")).contains("after"));
    bridge.finish();
}

/// Installs the packed npm packages, those named, as a user without network and cache would.
fn npm_installed(name: &str, packages: &[String]) -> PathBuf {
    npm_package::build();
    let (packed, user) = (empty(&format!("{name}-packed")), empty(name));
    released("npm", &packed);
    fs::write(user.join("package.json"), "{}").expect("the build folder is writable");
    let mut npm = Command::new("npm");
    npm.args(["install", "--offline", "--no-audit", "--no-fund", "--cache"]).arg(user.join("cache"));
    npm.args(packages.iter().map(|package| packed.join(package))).current_dir(&user);
    install::run(&mut npm, "see the message above");
    user
}

fn npx(user: &Path) -> Command {
    let mut command = Command::new("npx");
    command
        .args(["--offline", "--no", "--", "mcp-reconnect"])
        .current_dir(user)
        .env("npm_config_cache", user.join("cache"));
    command
}

fn main_package() -> String {
    format!("mcp-reconnect-{VERSION}.tgz")
}

fn native_package() -> String {
    format!("mcp-reconnect-{}-{VERSION}.tgz", platform("npm"))
}

#[test]
fn npx_starts_the_native_program_where_its_package_is_installed() {
    let user = npm_installed("npm-native", &[main_package(), native_package()]);
    let native = format!("mcp-reconnect {VERSION} (native, ");
    assert!(output(npx(&user).arg("--version")).starts_with(&native));
    let chosen = output(npx(&user).arg("--version").env("MCP_RECONNECT_IMPLEMENTATION", "wasm"));
    assert!(chosen.starts_with(&format!("mcp-reconnect {VERSION} (WebAssembly, Node ")), "{chosen}");
    bridges_a_restart(npx(&user));
    // Its own commands too.
    for command in ["check", "status", "wrap", "demo"] {
        assert!(output(npx(&user).args([command, "--help"])).contains(&format!("Usage: mcp-reconnect {command}")));
    }
    // The exit code is the program's own.
    let refused = npx(&user).arg("--nope").output().expect("it runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn npx_starts_the_webassembly_one_where_there_is_no_package_for_the_platform() {
    let user = npm_installed("npm-wasm", &[main_package()]);
    assert!(output(npx(&user).arg("--version")).starts_with(&format!("mcp-reconnect {VERSION} (WebAssembly, Node ")));
    bridges_a_restart(npx(&user));
    let checked = npx(&user).args(["check", "http://127.0.0.1:9/"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.code() == Some(3) && said.contains("The server cannot be reached."), "{said}");
    // What it has not is refused with the name of the package that has it.
    let refused = npx(&user).args(["status"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("@mcp-reconnect/"), "{said}");
    let native = npx(&user).arg("--version").env("MCP_RECONNECT_IMPLEMENTATION", "native").output().expect("it runs");
    assert_eq!(native.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&native.stderr).contains("is not installed"));
}

#[test]
fn the_engine_in_the_npm_package_is_the_released_component() {
    let provenance = fs::read(npm_package::build().join("dist/provenance.json")).expect("the build has written it");
    let provenance: Value = serde_json::from_slice(&provenance).expect("JSON");
    let engine = build(&workspace(), &target_dir(), Guest::Engine).expect("it builds");
    assert_eq!(provenance["component"]["sha256"], sha256(&fs::read(engine).expect("it was built")));
}

#[test]
fn the_wheel_brings_the_command() {
    let packed = empty("wheel-packed");
    released("wheels", &packed);
    let wheel = packed.join(format!("mcp_reconnect-{VERSION}-py3-none-{}.whl", platform("wheel")));
    let user = empty("wheel");
    install::run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&user), "install Python with venv");
    let mut pip = Command::new(user.join("venv/bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-index", "--no-cache-dir", "--disable-pip-version-check"]);
    install::run(pip.arg(&wheel), "see the message of pip above");
    let command = user.join("venv/bin/mcp-reconnect");
    assert_eq!(output(Command::new(&command).arg("--version")), output(Command::new(program()).arg("--version")));
    bridges_a_restart(Command::new(command));
}

#[test]
fn uvx_and_pipx_run_the_wheel() {
    let packed = empty("tools-packed");
    released("wheels", &packed);
    let wheel = packed.join(format!("mcp_reconnect-{VERSION}-py3-none-{}.whl", platform("wheel")));
    let tools = install::virtual_environment_of("packages", &tests_folder().join("packages/requirements.txt"));
    let user = empty("tools");
    let mut uvx = Command::new(tools.with_file_name("uvx"));
    uvx.args(["--offline", "--python"]).arg(&tools).arg("--from").arg(&wheel).arg("mcp-reconnect");
    uvx.current_dir(&user).env("UV_CACHE_DIR", user.join("uv-cache"));
    bridges_a_restart(uvx);
    let mut pipx = Command::new(tools.with_file_name("pipx"));
    pipx.args(["run", "--pip-args=--no-index", "--spec"]).arg(&wheel).args(["mcp-reconnect", "--version"]);
    pipx.current_dir(&user).env("PIPX_HOME", user.join("pipx"));
    assert_eq!(output(&mut pipx), output(Command::new(program()).arg("--version")));
}

#[test]
fn the_archive_has_the_program_its_manual_and_completions() {
    let packed = empty("archive");
    released("archives", &packed);
    let name = format!("mcp-reconnect-{VERSION}-{}", target());
    install::run(Command::new("tar").arg("-xzf").arg(format!("{name}.tar.gz")).current_dir(&packed), "see above");
    let folder = packed.join(name);
    let command = folder.join("mcp-reconnect");
    assert!(fs::read(&command).expect("it is there") == fs::read(program()).expect("it was built"));
    assert_eq!(output(Command::new(&command).arg("--version")), output(Command::new(program()).arg("--version")));
    for file in ["LICENSE", "man/mcp-reconnect.1", "man/mcp-reconnect-check.1", "completions/_mcp-reconnect"] {
        assert!(fs::metadata(folder.join(file)).is_ok_and(|file| file.len() > 100), "{file}");
    }
    let first =
        fs::read(packed.join(format!("{}.tar.gz", folder.file_name().unwrap().display()))).expect("it is there");
    released("archives", &packed);
    let second =
        fs::read(packed.join(format!("{}.tar.gz", folder.file_name().unwrap().display()))).expect("it is there");
    assert!(first == second, "the same program gives another archive");
    released("sums", &packed);
    let sums = fs::read_to_string(packed.join("SHA256SUMS")).expect("it was written");
    assert!(sums.contains(&sha256(&first)), "{sums}");
}

#[test]
fn all_versions_are_the_same() {
    let read = |path: &str| fs::read_to_string(tests_folder().join("..").join(path)).expect("it is in the repository");
    let workspace = read("Cargo.toml");
    let stated = workspace.matches(&format!("version = \"{VERSION}\"")).count();
    assert_eq!(stated, 4, "the workspace's version, and that of each member which others depend on");
    assert!(read("host/node/package.json").contains(&format!("\"version\": \"{VERSION}\"")));
    assert!(read("wit/world.wit").contains(&format!("package mcp-reconnect:transport@{VERSION};")));
    let changes = read("CHANGELOG.md");
    assert!(
        changes.contains("## [Unreleased]") || changes.contains(&format!("## [{VERSION}]")),
        "CHANGELOG.md has this version"
    );
}
