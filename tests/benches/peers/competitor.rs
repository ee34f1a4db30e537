//! Who is measured, and how each is started: with its transport named and its log off, which is the fastest for all.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::peers;
use crate::support::COMMAND;
use crate::transport::Transport;

/// What a competitor runs on: an aim compares those of one runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// A program of its own.
    Native,
    /// Node.js.
    Node,
    /// Python.
    Python,
    /// Wasmtime.
    Wasm,
    /// The load generator itself.
    Direct,
}

/// Somebody who is measured.
pub struct Competitor {
    /// The heading of its row; also what `--only` takes.
    pub name: &'static str,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub runtime: Runtime,
    /// Whether it is one of ours.
    pub ours: bool,
    /// Its command line but for the program's folder and the URL, for the document.
    pub shown: &'static str,
    arguments: fn(Transport) -> Vec<&'static str>,
    program: PathBuf,
    before: Vec<PathBuf>,
}

/// The name of the limit.
pub const DIRECT: &str = "direct";

/// The name of our native command.
pub const NATIVE: &str = "mcp-reconnect";

impl Competitor {
    /// The command for a server.
    pub fn command(&self, transport: Transport, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.before);
        for argument in (self.arguments)(transport) {
            command.arg(argument.replace("URL", &transport.url(port)));
        }
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.env("MCP_REMOTE_CONFIG_DIR", env!("CARGO_TARGET_TMPDIR"));
        command.current_dir(env!("CARGO_TARGET_TMPDIR"));
        command
    }

    /// Whether it is the limit and no bridge.
    pub fn is_direct(&self) -> bool {
        self.runtime == Runtime::Direct
    }
}

/// All that `wanted` names; those are installed. Beside them: who cannot be, and why, which is said loudly.
pub fn all(wanted: impl Fn(&str) -> bool) -> (Vec<Competitor>, Vec<String>) {
    let (mut competitors, mut missing) = (Vec::new(), Vec::new());
    for (name, make) in LIST {
        if wanted(name) {
            match make(name) {
                Ok(competitor) => competitors.push(competitor),
                Err(why) => {
                    eprintln!("\n!!! {name} IS NOT MEASURED: {why}\n");
                    missing.push(format!("{name}: {why}"));
                }
            }
        }
    }
    (competitors, missing)
}

/// Our native command at another revision: a tag or commit, or the path of a program. Its row has a name of its own.
pub fn other(revision: &str) -> Result<Competitor, String> {
    let program = if Path::new(revision).is_file() { revision.into() } else { peers::native_at(revision)? };
    let name = format!("{NATIVE} ({})", Path::new(revision).file_name().unwrap_or_default().display());
    Ok(Competitor { program, version: revision.to_owned(), ..native(name.leak())? })
}

type Make = fn(&'static str) -> Result<Competitor, String>;

const LIST: [(&str, Make); 9] = [
    (DIRECT, direct),
    (NATIVE, native),
    ("mcp-reconnect (npm)", npm),
    ("mcp-reconnect.wasm", composed),
    ("mcp-remote", mcp_remote),
    ("supergateway", supergateway),
    ("mcp-stdio-proxy", mcp_stdio_proxy),
    ("mcp-proxy (Python)", mcp_proxy),
    ("fastmcp", fastmcp),
];

fn direct(name: &'static str) -> Result<Competitor, String> {
    Ok(Competitor {
        name,
        version: String::new(),
        runtime: Runtime::Direct,
        ours: false,
        shown: "no bridge: the load generator's own HTTP client (hyper)",
        arguments: |_| Vec::new(),
        program: PathBuf::new(),
        before: Vec::new(),
    })
}

fn native(name: &'static str) -> Result<Competitor, String> {
    Ok(Competitor {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime: Runtime::Native,
        ours: true,
        shown: "mcp-reconnect --log off --max-event-bytes 64M --transport T URL",
        arguments: ours,
        program: COMMAND.into(),
        before: Vec::new(),
    })
}

fn npm(name: &'static str) -> Result<Competitor, String> {
    Ok(Competitor {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime: Runtime::Node,
        ours: true,
        shown: "node dist/cli.js --log off --max-event-bytes 64M --transport T URL",
        arguments: ours,
        program: "node".into(),
        before: vec![peers::npm_command()],
    })
}

fn composed(name: &'static str) -> Result<Competitor, String> {
    Ok(Competitor {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime: Runtime::Wasm,
        ours: true,
        shown: "wasmtime run -S http mcp-reconnect.wasm --log off --max-event-bytes 64M --transport T URL",
        arguments: ours,
        program: peers::wasmtime()?,
        before: vec!["run".into(), "-S".into(), "http".into(), peers::composed()?],
    })
}

fn ours(transport: Transport) -> Vec<&'static str> {
    let name = if transport.is_streamable() { "http" } else { "sse" };
    vec!["--log", "off", "--max-event-bytes", "64M", "--transport", name, "URL"]
}

fn mcp_remote(name: &'static str) -> Result<Competitor, String> {
    let (program, version) = peers::node_peer("mcp-remote", "dist/proxy.js");
    Ok(Competitor {
        name,
        version,
        runtime: Runtime::Node,
        ours: false,
        shown: "node mcp-remote/dist/proxy.js URL --silent --transport T",
        arguments: |transport| {
            let name = if transport.is_streamable() { "http-only" } else { "sse-only" };
            vec!["URL", "--silent", "--transport", name]
        },
        program: "node".into(),
        before: vec![program],
    })
}

fn supergateway(name: &'static str) -> Result<Competitor, String> {
    let (program, version) = peers::node_peer("supergateway", "dist/index.js");
    Ok(Competitor {
        name,
        version,
        runtime: Runtime::Node,
        ours: false,
        shown: "node supergateway/dist/index.js --streamableHttp|--sse URL --logLevel none",
        arguments: |transport| {
            let name = if transport.is_streamable() { "--streamableHttp" } else { "--sse" };
            vec![name, "URL", "--logLevel", "none"]
        },
        program: "node".into(),
        before: vec![program],
    })
}

fn mcp_stdio_proxy(name: &'static str) -> Result<Competitor, String> {
    Ok(Competitor {
        name,
        version: peers::MCP_STDIO_PROXY.to_owned(),
        runtime: Runtime::Native,
        ours: false,
        shown: "mcp-proxy convert URL -q --protocol T",
        arguments: |transport| {
            let name = if transport.is_streamable() { "stream" } else { "sse" };
            vec!["convert", "URL", "-q", "--protocol", name]
        },
        program: peers::mcp_stdio_proxy()?,
        before: Vec::new(),
    })
}

fn mcp_proxy(name: &'static str) -> Result<Competitor, String> {
    let (python, version) = peers::python_peer("mcp-proxy");
    Ok(Competitor {
        name,
        version,
        runtime: Runtime::Python,
        ours: false,
        shown: "mcp-proxy --log-level ERROR --transport T URL",
        arguments: |transport| {
            let name = if transport.is_streamable() { "streamablehttp" } else { "sse" };
            vec!["--log-level", "ERROR", "--transport", name, "URL"]
        },
        program: beside(&python, "mcp-proxy"),
        before: Vec::new(),
    })
}

fn fastmcp(name: &'static str) -> Result<Competitor, String> {
    let (python, version) = peers::python_peer("fastmcp");
    Ok(Competitor {
        name,
        version,
        runtime: Runtime::Python,
        ours: false,
        shown: "fastmcp run URL --no-banner --log-level ERROR (it takes the transport from the URL's path)",
        arguments: |_| vec!["run", "URL", "--no-banner", "--log-level", "ERROR"],
        program: beside(&python, "fastmcp"),
        before: Vec::new(),
    })
}

fn beside(python: &Path, program: &str) -> PathBuf {
    python.with_file_name(program)
}
