#!/usr/bin/env bash
# Whether the working tree can be released as this version: one version everywhere, a section of the changelog, and the component of
# the sources in the package.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
fail() { echo "release/check.sh: $1" >&2; exit 1; }
grep -q "^version = \"$version\"$" Cargo.toml || fail "Cargo.toml has another version than $version"
grep -q "\"version\": \"$version\"" host/node/package.json || fail "host/node/package.json has another version than $version"
grep -q "package mcp-reconnect:transport@$version;" wit/world.wit || fail "wit/ has another version than $version"
[ -n "$(release/notes.sh "$version")" ] || fail "CHANGELOG.md says nothing of $version"
cargo run --quiet --locked --package mcp-reconnect-guests --no-default-features -- carry
git diff --exit-code --stat -- host/wasmtime/carried || fail "the package carries an older component: just carry, and commit"
