//! A network of a test's own, with nothing in it but the loopback interface.

use std::process::Command;

use super::npm_package::BUILT_FOR;

const INSIDE: &str = "MCP_RECONNECT_TEST_NETWORK";

/// Runs a test of the module again, in a network of its own, with mounts of its own: true is returned there.
pub fn in_own_network(module: &str, test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        ip(&["link", "set", "lo", "up"]);
        return true;
    }
    let name = module.split_once("::").map_or_else(|| test.to_owned(), |(_, inner)| format!("{inner}::{test}"));
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--mount"]).arg(std::env::current_exe().expect("its path"));
    command.args(["--exact", &name, "--nocapture"]).env(INSIDE, "1").env(BUILT_FOR, std::process::id().to_string());
    let output = command.output().expect("`unshare` is there: install util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "needs Linux's namespaces (run it as root where others may not make any):\n{said}"
    );
    assert!(said.contains("1 passed"), "{said}");
    false
}

/// Runs `ip` with these arguments.
pub fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

/// Runs a program that must be there and succeed; gives what it wrote.
pub fn run(command: &mut Command) -> String {
    let program = command.get_program().display().to_string();
    let output = command.output().unwrap_or_else(|_| panic!("`{program}` is there: install iproute2"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
