//! Installs what is measured: the peers from lock files, ours from the sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{install, npm_package, tests_folder};

/// The version of the crate that is measured.
pub const MCP_STDIO_PROXY: &str = "0.2.10";

/// The version of Wasmtime that runs the composed component, where none of its line is on the PATH.
const WASMTIME: &str = "48.0.8";

/// The program of an npm package, and its version.
pub fn node_peer(package: &str, program: &str) -> (PathBuf, String) {
    let folder = install::node_modules_of("bench-npm", &folder().join("npm")).join("node_modules").join(package);
    let manifest = fs::read_to_string(folder.join("package.json")).expect("the package is installed");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest");
    (folder.join(program), manifest["version"].as_str().expect("a version").to_owned())
}

/// The Python of an environment with this package, and the package's version.
pub fn python_peer(package: &str) -> (PathBuf, String) {
    let lock = folder().join("python").join(format!("{package}.txt"));
    let text = fs::read_to_string(&lock).expect("the lock file is in the repository");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{package}=="))).expect("it names its package");
    let version = line.split([' ', '\\']).next().unwrap_or_default().to_owned();
    (install::virtual_environment_of(&format!("bench-{package}"), &lock), version)
}

/// The crate's program. Its own lock file is obeyed.
pub fn mcp_stdio_proxy() -> Result<PathBuf, String> {
    // One of its dependencies downloads the files of a web page that the bridge never shows, unless it is given an archive.
    let page = target().join("bench-swagger-ui");
    let dist = page.join("swagger-ui/dist");
    fs::create_dir_all(&dist).map_err(|error| error.to_string())?;
    fs::write(dist.join("swagger-initializer.js"), "// Not shown.\n").map_err(|error| error.to_string())?;
    let archive = page.join("swagger-ui.zip");
    let zip = ["-m", "zipfile", "-c", "swagger-ui.zip", "swagger-ui/"];
    run(Command::new("python3").args(zip).current_dir(&page))?;
    cargo_install(
        "mcp-stdio-proxy",
        MCP_STDIO_PROXY,
        "mcp-proxy",
        &[("SWAGGER_UI_DOWNLOAD_URL", format!("file://{}", archive.display()))],
    )
}

/// A stock Wasmtime: that of the PATH if it is of the right line.
pub fn wasmtime() -> Result<PathBuf, String> {
    let line = WASMTIME.split('.').next().unwrap_or_default();
    let version = Command::new("wasmtime").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    if String::from_utf8_lossy(&version).starts_with(&format!("wasmtime {line}.")) {
        return Ok("wasmtime".into());
    }
    cargo_install("wasmtime-cli", WASMTIME, "wasmtime", &[])
}

/// The command as a component, from this repository.
pub fn composed() -> Result<PathBuf, String> {
    let component = target().join("components/mcp-reconnect.wasm");
    let arguments = ["run", "--quiet", "--locked", "--package", "mcp-reconnect-guests"];
    run(Command::new(env!("CARGO")).args(arguments).current_dir(workspace()))?;
    if component.is_file() { Ok(component) } else { Err(format!("{} was not built", component.display())) }
}

/// The npm package's command, built from this repository.
pub fn npm_command() -> PathBuf {
    npm_package::build().join("dist/cli.js")
}

/// The native command of another revision, as it would be released. That takes minutes, once for each.
pub fn native_at(revision: &str) -> Result<PathBuf, String> {
    let name = format!("{revision}^{{commit}}");
    let found = Command::new("git").args(["rev-parse", "--verify", "--quiet", &name]).current_dir(workspace()).output();
    let commit = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if commit.is_empty() {
        return Err(format!("{revision} is neither a program nor a revision"));
    }
    let root = target().join("bench-compare");
    let (sources, program) = (root.join("sources"), root.join(&commit));
    if !program.is_file() {
        eprintln!("the command of {revision} is built, once, in some minutes …");
        let tree = format!("git archive {commit} | tar -x -C \"$SOURCES\"");
        let _ = fs::remove_dir_all(&sources);
        fs::create_dir_all(&sources).map_err(|error| error.to_string())?;
        run(Command::new("sh").args(["-c", &tree]).env("SOURCES", &sources).current_dir(workspace()))?;
        let build = ["build", "--quiet", "--locked", "--profile", "dist", "--bin", "mcp-reconnect"];
        let built = root.join("target");
        run(Command::new(env!("CARGO")).args(build).env("CARGO_TARGET_DIR", &built).current_dir(&sources))?;
        fs::copy(built.join("dist/mcp-reconnect"), &program).map_err(|error| error.to_string())?;
    }
    Ok(program)
}

/// Gives the program, installed with its own lock file if it is not there yet. That takes minutes, once.
fn cargo_install(
    package: &str,
    version: &str,
    program: &str,
    environment: &[(&str, String)],
) -> Result<PathBuf, String> {
    let root = target().join("bench-peers").join(format!("{package}-{version}"));
    let path = root.join("bin").join(program);
    if !path.is_file() {
        eprintln!("{package} {version} is built, once, in some minutes …");
        let mut command = Command::new(env!("CARGO"));
        command.args(["install", "--quiet", "--locked", &format!("{package}@{version}"), "--root"]).arg(&root);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        run(&mut command)?;
    }
    Ok(path)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("`{name}` cannot be run: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`{name}` failed: {}", complaint.trim())) }
}

fn folder() -> PathBuf {
    tests_folder().join("benches/peers")
}

fn workspace() -> PathBuf {
    tests_folder().parent().expect("the workspace").to_path_buf()
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder").to_path_buf()
}
