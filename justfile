# Every task of a contributor, one line each. `just` lists them.

_default:
    @just --list

# The whole story in a terminal: a server, a client, kill -9, a restart
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# The command, optimised, and the components with their hashes
build:
    cargo build --release && cargo run --quiet --package mcp-reconnect-guests

# The components alone, in target/components
components:
    cargo run --quiet --package mcp-reconnect-guests

# Renew the components that the package carries, so that a first build need not build them. The last step of a change to guest/
carry:
    cargo run --quiet --package mcp-reconnect-guests --no-default-features -- carry

# All that a release consists of, for the platforms that this machine can build for, in target/release-files
release *TARGETS:
    python3 release/release.py all {{TARGETS}}

# The packages for crates.io: each built from itself, the command installed from them in an empty folder. Minutes
crates:
    release/crates.sh

# The programs for other platforms, each run: by qemu-user, by wine. Half an hour
cross *TARGETS:
    release/cross.sh {{TARGETS}}

# Type-check for macOS, anywhere
check-macos:
    release/check_macos.sh

# Each published crate with the oldest compiler that it promises to build with
msrv:
    release/msrv.sh

# Everything that is tested, real servers included (installed on first use)
test *ARGS:
    cargo test {{ARGS}}

# The engine alone: seconds, no I/O
test-core:
    cargo test -p mcp-reconnect-core

# The npm package, in host/node/dist (`release/release.py npm` packs it)
build-node:
    cd host/node && npm ci --ignore-scripts && npm run build

# The npm package's tests: all, or those named (`just test-node restart`)
test-node *NAMES: build-node
    cd host/node && npm test -- {{NAMES}}

# Run N random simulations of engine, server and hostile network
simulate N="100000":
    cargo run --release -p mcp-reconnect-core --example simulate -- --seeds {{N}}

# Which lines of the engine its own tests reach; fails below 98 %. `just coverage lines` shows the others
coverage *SHOW:
    .ci/coverage {{SHOW}}

# Form and lints, as the CI has them (`just lint quick`: as .ci/run has them)
lint *QUICK:
    .ci/lint {{QUICK}}

# The documentation of the Rust crates
doc:
    cargo doc --no-deps --open

# The WIT package as a file, target/mcp-reconnect-transport.wasm (needs `cargo install wkg`)
wit:
    cd wit && wkg build -d . -o ../target/mcp-reconnect-transport.wasm

# docs/wit.md, from the documentation in wit/
docs-wit:
    WIT_DOCS=write cargo test -p mcp-reconnect --test wit documentation

# The tables of options in docs/cli.md, from the command's own help
docs-cli:
    CLI_DOCS=write cargo test --test documentation options

# docs/demo.svg, the README's recording of the demo (needs Python 3)
docs-demo:
    cargo build --release && python3 docs/record-demo.py docs/demo.svg target/release/mcp-reconnect demo

# Keep wit/ as it is in a release, for the compatibility test (`just wit-release 0.1.0`)
wit-release VERSION:
    mkdir -p tests/wit/released/{{VERSION}} && cp wit/*.wit tests/wit/released/{{VERSION}}/

# Calls without end while servers are killed, on the native command, the npm command and the component at once
soak MINUTES="10":
    SOAK_MINUTES={{MINUTES}} cargo test --test soak -- --nocapture

# So many bridges, each a process, before one server that is killed and comes back: how spread out they return
herd N="500":
    HERD_PROCESSES={{N}} cargo test --test liveness all_processes -- --nocapture

# What the CI runs
ci:
    .ci/run

# What the bridge costs: a Markdown table, measured here and now
bench:
    cargo bench

# Fuzz one of: sse, scan, envelope, engine, diagnosis (needs a nightly compiler and cargo-fuzz)
fuzz TARGET SECONDS="300":
    cd guest/core && mkdir -p fuzz/corpus/{{TARGET}} && cargo +nightly fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -max_total_time={{SECONDS}}

# Mutation tests of the engine, all mutants in one build, in target/mutants: hours. `just mutants src/wire` for a part (needs cargo-mutants)
mutants *PREFIXES:
    cargo run --release --manifest-path guest/core/mutants/Cargo.toml -- target/mutants {{PREFIXES}}

# The model checker with wider bounds, states printed
model:
    MODEL=large cargo test -p mcp-reconnect-core --test model -- --nocapture
