#!/usr/bin/env bash
# The programs for the platforms that this machine (Linux on x86_64) can build for, each run: static Linux as it is, aarch64 by
# qemu-user, Windows by wine. macOS is type-checked; nothing of it can be run here. Half an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=()
for tool in x86_64-w64-mingw32-gcc aarch64-linux-gnu-gcc musl-gcc qemu-aarch64 wine; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "release/cross.sh: missing: ${missing[*]}; on Debian: apt-get install gcc-mingw-w64-x86-64 gcc-aarch64-linux-gnu musl-tools qemu-user wine64" >&2
  exit 1
fi
targets=${*:-x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu}
python3 release/release.py programs x86_64-unknown-linux-musl $targets
out=${CARGO_TARGET_DIR:-target}
profile=${RELEASE_PROFILE:-dist}
server=$out/x86_64-unknown-linux-musl/${profile/dev/debug}/mcp-reconnect
export WINEPREFIX=${WINEPREFIX:-$PWD/target/wine} WINEDEBUG=-all
for target in $targets; do
  echo "== $target"
  case $target in
    x86_64-unknown-linux-musl) run=() ; program=mcp-reconnect ;;
    aarch64-unknown-linux-musl) run=(qemu-aarch64) ; program=mcp-reconnect ;;
    x86_64-pc-windows-gnu) run=(wine) ; program=mcp-reconnect.exe ;;
  esac
  # From the archive, as a user has it.
  python3 release/release.py archives "$target" --no-sbom --out target/cross
  folder=$(mktemp -d)
  case $target in
    *windows*) python3 -m zipfile -e target/cross/mcp-reconnect-*-"$target".zip "$folder" ;;
    *) tar -xzf target/cross/mcp-reconnect-*-"$target".tar.gz -C "$folder" ;;
  esac
  python3 release/try_program.py "$server" "${run[@]}" "$folder"/*/"$program"
  rm -rf "$folder"
done
