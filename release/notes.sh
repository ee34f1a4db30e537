#!/usr/bin/env bash
# What CHANGELOG.md says of a version, for the page of its release.
set -euo pipefail
cd "$(dirname "$0")/.."
awk -v version="$1" '/^## /{ on = index($2, version) == 1 || $2 == "[" version "]" } on && !/^## /' CHANGELOG.md
