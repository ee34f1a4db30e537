//! The examples of docs/embedding.md: hosts of the engine in other languages, and components that import the transport. All of
//! them are the same program, which calls a tool for each line of standard input; a real server is killed and restarted
//! under it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcp_reconnect_guests::{Guest, build, build_package, plug, target_dir, workspace};
use serde_json::{Value, json};
use support::process::{Lines, Process};
use support::servers::{Kind, Server};
use support::{PATIENCE, install, tests_folder};

/// The program under a server that dies with a call in flight, is away for another, and comes back.
fn survives(mut command: Command, kind: Kind) {
    let mut server = Server::started(kind);
    // No proxy of the environment's for a server on this machine.
    command.env("NO_PROXY", "127.0.0.1").arg(server.url());
    let mut program = Process::start(&mut command);
    let call = |program: &mut Process, params: Value| program.write(format!("{params}\n").as_bytes());

    call(&mut program, kind.echo("before"));
    expect(&program, "the first answer", &program.stdout, |line| is_echo(line, 1, "before"));
    call(&mut program, kind.unsafe_call("in-flight-mark"));
    server.wait_for_mark("in-flight-mark", 1);
    server.kill();
    expect(&program, "the loss", &program.stderr, |line| line.to_lowercase().contains("disconnected"));
    call(&mut program, kind.echo("while down"));
    server.start();
    expect(&program, "the call made during the outage", &program.stdout, |line| is_echo(line, 3, "while down"));
    expect(&program, "the call of unknown outcome", &program.stdout, |line| {
        message(line).is_some_and(|message| message["id"] == 2 && message["error"]["code"] == -31001)
    });
    expect(&program, "the return", &program.stderr, |line| line.to_lowercase().contains("reconnected"));
    server.restart();
    call(&mut program, kind.echo("after"));
    expect(&program, "a call after a restart that nobody saw", &program.stdout, |line| is_echo(line, 4, "after"));

    program.close_stdin();
    let (status, _) = program.wait(PATIENCE).unwrap_or_else(|| panic!("it does not end:\n{}", told(&program)));
    assert!(status.success(), "{status}:\n{}", told(&program));
    for id in 0..=4 {
        let answers = program.stdout.all().iter().filter(|(_, line)| answers(line, id)).count();
        assert_eq!(answers, 1, "answers to {id}:\n{}", told(&program));
    }
    assert_eq!(server.count("in-flight-mark"), 1, "a call ran twice");
}

fn expect(program: &Process, what: &str, lines: &Lines, mut is: impl FnMut(&str) -> bool) {
    // A Python interpreter that compiles a component may take its time.
    let found = lines.find(0, PATIENCE * 3, |_, line| is(line).then_some(()));
    assert!(found.is_some(), "waited in vain for {what}:\n{}", told(program));
}

fn told(program: &Process) -> String {
    format!("--- standard output:\n{}--- standard error:\n{}", program.stdout.text(), program.stderr.text())
}

fn message(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

fn answers(line: &str, id: u64) -> bool {
    message(line).is_some_and(|message| message["id"] == json!(id) && message.get("method").is_none())
}

fn is_echo(line: &str, id: u64, text: &str) -> bool {
    answers(line, id) && message(line).is_some_and(|message| message["result"].to_string().contains(text))
}

fn example(path: &str) -> PathBuf {
    tests_folder().join("embedding").join(path)
}

/// The Python host, loading the component `guest/engine`.
fn python_host() -> Command {
    let engine = build(&workspace(), &target_dir(), Guest::Engine).expect("the engine builds");
    let mut command = Command::new(install::python_embedding());
    command.arg(example("python/program.py")).arg(engine);
    command
}

/// The JavaScript host, loading what jco makes of the same component.
fn javascript_host(name: &str) -> Command {
    let engine = build(&workspace(), &target_dir(), Guest::Engine).expect("the engine builds");
    let folder = made(name);
    let mut jco = Command::new("node");
    jco.arg(example("javascript/transpile.mjs")).arg(install::node_package()).arg(engine).arg(&folder);
    install::run(&mut jco, "see the message above");
    let mut command = Command::new("node");
    command.arg(example("javascript/host.mjs")).arg(folder.join("engine.js"));
    command
}

/// The Rust host, loading what `wasmtime compile` makes of the component `guest/transport`.
fn rust_host() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rust-host"));
    command.arg(concat!(env!("OUT_DIR"), "/transport.cwasm"));
    command
}

/// A component plugged together with `guest/transport`, in a stock Wasmtime.
fn composed(name: &str, consumer: &Path) -> Command {
    let consumer = fs::read(consumer).expect("it was built");
    let composed = plug(&consumer, mcp_reconnect::component_wasm()).expect("they fit");
    let file = made(name);
    fs::write(&file, composed).expect("the build folder is writable");
    let mut command = Command::new(install::python_embedding());
    command.arg(example("python/run.py")).arg(file);
    command
}

fn rust_consumer() -> PathBuf {
    build_package(&workspace(), &target_dir(), "rust-consumer").expect("the consumer builds")
}

fn python_consumer() -> PathBuf {
    let file = made("python-consumer.wasm");
    let mut tool = Command::new(install::python_embedding().with_file_name("componentize-py"));
    tool.arg("-d").arg(tests_folder().join("../wit")).arg("-d").arg(example("wit"));
    tool.args(["-w", "example:consumer/command", "componentize", "consumer", "-o"]).arg(&file);
    install::run(tool.arg("-p").arg(example("python-consumer")), "see the message above");
    file
}

/// A file or folder that a test makes anew each time, under the same name, since some are large.
fn made(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedding");
    fs::create_dir_all(&folder).expect("the build folder is writable");
    folder.join(name)
}

#[test]
fn a_python_host_over_streamable_http() {
    survives(python_host(), Kind::EverythingHttp);
}

#[test]
fn a_python_host_over_http_sse() {
    survives(python_host(), Kind::PythonSse);
}

#[test]
fn a_javascript_host_over_streamable_http() {
    survives(javascript_host("javascript-http"), Kind::RustHttp);
}

#[test]
fn a_javascript_host_over_http_sse() {
    survives(javascript_host("javascript-sse"), Kind::EverythingSse);
}

#[test]
fn a_rust_host_over_streamable_http() {
    survives(rust_host(), Kind::PythonHttp);
}

#[test]
fn a_rust_host_over_http_sse() {
    survives(rust_host(), Kind::RustSse);
}

#[test]
fn a_component_in_rust_over_streamable_http() {
    survives(composed("rust-http.wasm", &rust_consumer()), Kind::PythonHttp);
}

#[test]
fn a_component_in_rust_over_http_sse() {
    survives(composed("rust-sse.wasm", &rust_consumer()), Kind::RustSse);
}

#[test]
fn a_component_in_python_over_streamable_http() {
    survives(composed("python-http.wasm", &python_consumer()), Kind::RustHttp);
}

/// Above all, that it says "not sent" of nothing that may have been sent.
#[test]
fn the_python_host_judges_failures() {
    let engine = build(&workspace(), &target_dir(), Guest::Engine).expect("the engine builds");
    let mut command = Command::new(install::python_embedding());
    install::run(command.arg(example("python/faults.py")).arg(engine), "see the message above");
}

/// What a document shows is what was tested: a block after `<!-- file: PATH -->` is that file. `MCP_RECONNECT_REGENERATE=1`
/// writes the blocks anew.
#[test]
fn the_documents_show_these_files() {
    for document in ["docs/embedding.md", "docs/wasm.md"] {
        let path = workspace().join(document);
        let text = fs::read_to_string(&path).expect("the document is in the repository");
        let shown = with_files(&text);
        if std::env::var_os("MCP_RECONNECT_REGENERATE").is_some() {
            fs::write(&path, shown).expect("the document is writable");
        } else {
            assert!(
                text == shown,
                "{document} shows an old file: MCP_RECONNECT_REGENERATE=1 cargo test --test embedding"
            );
        }
        assert!(text.contains(MARK), "{document} shows no file");
    }
}

const MARK: &str = "<!-- file: ";

/// The document with the present content in each marked block.
fn with_files(document: &str) -> String {
    let mut parts = document.split(MARK);
    let mut result = parts.next().expect("split gives one part at least").to_owned();
    for part in parts {
        let (path, rest) = part.split_once(" -->\n\n```").expect("a block of code follows the mark");
        let (language, rest) = rest.split_once('\n').expect("the block is on lines of its own");
        let (_, after) = rest.split_once("\n```\n").expect("the block ends");
        let file = fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        result += &format!("{MARK}{path} -->\n\n```{language}\n{}\n```\n{after}", file.trim_end());
    }
    result
}

/// What `docs/wasm.md` promises of the smallest example.
#[test]
fn the_smallest_component_is_small() {
    let file = fs::read_to_string(example("rust-consumer/src/main.rs")).expect("it is in the repository");
    assert!(file.lines().count() < 60, "{} lines", file.lines().count());
}
