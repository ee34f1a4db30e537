#!/usr/bin/env bash
# Checks each published crate with the oldest compiler that its manifest promises (`rust-version`). `--tests` and all else is the
# business of the pinned toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."
for crate in mcp-reconnect-core mcp-reconnect-command mcp-reconnect-guests mcp-reconnect; do
  version=$(cargo metadata --no-deps --format-version 1 | python3 -c "
import json, sys
print(next(it['rust_version'] for it in json.load(sys.stdin)['packages'] if it['name'] == '$crate'))")
  echo "== $crate with Rust $version"
  rustup toolchain list | grep --quiet "^$version" || rustup toolchain install "$version" --profile minimal
  cargo "+$version" check --locked --package "$crate"
done
