//! The official conformance suite judges the bridge: each scenario is a server of the suite, and the client that it judges is
//! the official TypeScript SDK's over the built command (`tests/clients/conformance.mjs`).

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use support::process::Process;
use support::{COMMAND, install, scratch_file, tests_folder};

/// The suite gives its client 30 s; around that it starts two interpreters.
const BOUND: Duration = Duration::from_secs(120);

/// One scenario at a time: some of them judge by the clock.
static TURN: Mutex<()> = Mutex::new(());

#[test]
fn initialize() {
    passes("initialize");
}

#[test]
fn tools_call() {
    passes("tools_call");
}

#[test]
fn elicitation_defaults() {
    passes("elicitation-sep1034-client-defaults");
}

/// The resume must come when the server asked for it, 450 to 700 ms after the end of the stream, with its cursor.
#[test]
fn sse_retry() {
    passes("sse-retry");
}

/// The suite's OAuth scenarios: the bridge signs in by itself, with `curl` as its browser.
const OAUTH: [&str; 23] = [
    "auth/metadata-default",
    "auth/metadata-var1",
    "auth/metadata-var2",
    "auth/metadata-var3",
    "auth/basic-cimd",
    "auth/scope-from-www-authenticate",
    "auth/scope-from-scopes-supported",
    "auth/scope-omitted-when-undefined",
    "auth/scope-step-up",
    "auth/scope-retry-limit",
    "auth/token-endpoint-auth-basic",
    "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none",
    "auth/pre-registration",
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/2025-03-26-oauth-endpoint-fallback",
    "auth/resource-mismatch",
    "auth/iss-supported-missing",
    "auth/iss-wrong-issuer",
    "auth/iss-unexpected",
    "auth/iss-normalized",
    "auth/metadata-issuer-mismatch",
    "auth/client-credentials-basic",
];

#[test]
fn oauth() {
    for scenario in OAUTH {
        passes(scenario);
    }
}

/// The suite's OAuth scenarios of MCP 2026-07-28, whose servers take no `initialize`.
const OAUTH_MODERN: [&str; 5] = [
    "auth/offline-access-scope",
    "auth/offline-access-not-supported",
    "auth/authorization-server-migration",
    "auth/iss-supported",
    "auth/iss-not-advertised",
];

#[test]
fn oauth_modern() {
    for scenario in OAUTH_MODERN {
        let options = "--credentials-timeout 20s --oauth-tab-interval 1ms";
        passes_as(scenario, Some(Modern { era: "auto", bridge: Some(options) }));
    }
}

/// The suite's scenarios of MCP 2026-07-28 that sign in nowhere. Their servers speak no other version.
const MODERN: [&str; 7] = [
    "tools_call",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "sep-2322-client-request-state",
    "json-schema-ref-no-deref",
];

/// The client speaks it too: as many checks as without the bridge.
#[test]
fn modern() {
    for scenario in MODERN {
        let direct = passes_as(scenario, Some(DIRECT));
        let through = passes_as(scenario, Some(Modern { era: "auto", bridge: Some("") }));
        assert_eq!(through, direct, "{scenario}: not as many checks as without the bridge");
    }
}

/// The client speaks the versions before, and the bridge translates: at least as many checks as a client of MCP 2026-07-28 has without
/// the bridge (its own stream of notifications is judged too). The servers of the last two refuse `initialize` for headers that no version has on it, so that they must be asked with
/// `server/discover` first.
macro_rules! translated {
    ($($name:ident: $scenario:literal $options:literal),* $(,)?) => {
        $(#[test] fn $name() {
            let translated = passes_as($scenario, Some(Modern { era: "legacy", bridge: Some($options) }));
            assert!(translated >= passes_as($scenario, Some(DIRECT)), "not as many checks as without the bridge");
        })*
    };
}

translated! {
    translated_tools_call: "tools_call" "",
    translated_request_state: "sep-2322-client-request-state" "",
    translated_tools_call_after_discover: "tools_call" "--discover-first",
    translated_request_metadata: "request-metadata" "--discover-first",
    translated_standard_headers: "http-standard-headers" "--discover-first",
}

/// How the client of a scenario of MCP 2026-07-28 connects.
struct Modern {
    /// The negotiation of the TypeScript SDK.
    era: &'static str,
    /// With the bridge and these options, or to the server itself.
    bridge: Option<&'static str>,
}

/// A client of that version, connected to the server itself.
const DIRECT: Modern = Modern { era: "auto", bridge: None };

/// Runs a scenario with the client of the version before MCP 2026-07-28.
fn passes(scenario: &str) {
    passes_as(scenario, None);
}

/// Runs a scenario, and gives the number of checks. The suite's word is not enough: a scenario that checked nothing has not
/// passed.
fn passes_as(scenario: &str, modern: Option<Modern>) -> usize {
    let suite = install::conformance();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = scratch_file("conformance");
    fs::create_dir(&folder).expect("the scratch folder is writable");
    // The suite needs a newer Node.js than many systems have.
    let node = install::node_of(suite);
    let mut command = Command::new(&node);
    command.arg(suite.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    // The suite hands the command to a shell: through the environment, paths with spaces survive.
    command.args(["client", "--command", r#""$TEST_NODE" "$TEST_CLIENT""#, "--scenario", scenario, "-o", "results"]);
    let client = match modern {
        Some(_) => "clients/conformance_modern.mjs",
        None if scenario.starts_with("auth/") => "clients/conformance_auth.mjs",
        None => "clients/conformance.mjs",
    };
    command.env("TEST_NODE", &node).env("TEST_CLIENT", tests_folder().join(client)).env("STATE", folder.join("state"));
    if modern.as_ref().is_none_or(|modern| modern.bridge.is_some()) {
        command.env("BRIDGE", COMMAND);
    }
    if let Some(modern) = &modern {
        command.args(["--spec-version", "2026-07-28"]).env("ERA", modern.era);
        command.env("BRIDGE_OPTIONS", modern.bridge.unwrap_or_default()).env("BROWSER", "curl -sL");
        command.env("SDK_FOLDER", install::node_modern().join("node_modules"));
    } else {
        command.env("SDK_FOLDER", suite.join("node_modules/@modelcontextprotocol/sdk"));
    }
    let mut process = Process::start(command.current_dir(&folder));
    let ended = process.wait(BOUND);
    let results = results(&folder);
    let report = || {
        let (said, errors) = (process.stdout.text(), process.stderr.text());
        let client = results.as_deref().map(|folder| fs::read_to_string(folder.join("stderr.txt")));
        let client = client.and_then(Result::ok).unwrap_or_default();
        format!("--- the suite:\n{said}{errors}--- standard error of the client and the bridge:\n{client}")
    };
    let (status, _) = ended.unwrap_or_else(|| panic!("{scenario} did not end within {BOUND:?}\n{}", report()));
    assert!(status.success(), "{scenario} failed ({status})\n{}", report());
    let file = results.as_deref().expect("the suite leaves its results").join("checks.json");
    let checks: Vec<Value> = serde_json::from_slice(&fs::read(file).expect("the checks")).expect("a list of checks");
    // There is no `initialize` in MCP 2026-07-28, whose headers could be looked at.
    let is_of_another_era = |check: &Value| {
        let is_initialize =
            check["name"].as_str().is_some_and(|name| name.ends_with("_initialize") || name.ends_with("_initialized"));
        modern.is_some() && is_initialize && check["status"] == "SKIPPED"
    };
    let made: Vec<_> = checks.iter().filter(|check| check["status"] != "INFO" && !is_of_another_era(check)).collect();
    assert!(!made.is_empty(), "{scenario} checked nothing\n{}", report());
    for check in &made {
        assert_eq!(check["status"], "SUCCESS", "{scenario}: {check}\n{}", report());
    }
    println!("{scenario}: {} checks passed", made.len());
    fs::remove_dir_all(&folder).expect("the scratch folder is writable");
    made.len()
}

/// The one folder that the suite makes in `results`, or, for a scenario with a path, below that.
fn results(folder: &Path) -> Option<PathBuf> {
    let mut found = folder.join("results");
    while !found.join("checks.json").exists() {
        found = fs::read_dir(&found).ok()?.next()?.ok()?.path();
    }
    Some(found)
}
