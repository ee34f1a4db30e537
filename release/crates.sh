#!/usr/bin/env bash
# The packages for crates.io, as they would be published: packed, each built from itself, and the command installed from them in an
# empty folder, by a cargo that has no network and a toolchain that has no WebAssembly target as far as the build can see. Minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
workspace=$PWD
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
# What `cargo package` would do to verify them is done below, and more.
python3 release/release.py crates --no-verify --out target/release-files
user=$(mktemp -d)
trap 'rm -rf "$user"' EXIT
cd "$user"
for crate in mcp-reconnect-core mcp-reconnect-command mcp-reconnect-guests mcp-reconnect; do
  tar -xzf "$workspace/target/release-files/$crate-$version.crate"
done
test -f "mcp-reconnect-$version/carried/transport.wasm"
test -f "mcp-reconnect-$version/carried/engine.wasm"
# What crates.io will have: here, the packages beside it.
patch=()
for crate in core command guests; do
  patch+=(--config "patch.crates-io.mcp-reconnect-$crate.path='$user/mcp-reconnect-$crate-$version'")
done
# A rustup that fails would show that a target was asked for.
mkdir bin && printf '#!/bin/sh\necho "no rustup here" >&2\nexit 1\n' > bin/rustup && chmod +x bin/rustup
export PATH="$user/bin:$PATH"
CARGO_TARGET_DIR=${CRATES_TARGET_DIR:-$user/target} cargo "${patch[@]}" install --offline --debug ${CRATES_TARGET:+--target "$CRATES_TARGET"} --path "mcp-reconnect-$version" --root "$user/installed"
"$user/installed/bin/mcp-reconnect" --version
"$user/installed/bin/mcp-reconnect" demo
# As docs.rs does.
CARGO_TARGET_DIR=${CRATES_TARGET_DIR:-$user/target} DOCS_RS=1 RUSTDOCFLAGS="--cfg docsrs" \
  cargo "${patch[@]}" doc --offline ${CRATES_TARGET:+--target "$CRATES_TARGET"} --no-deps --features cli,rmcp --lib --manifest-path "mcp-reconnect-$version/Cargo.toml"
echo "the packages for crates.io work"
