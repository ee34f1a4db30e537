#!/usr/bin/env bash
# Type-checks the program for macOS on a machine that has no macOS: ring's C code is compiled by zig (pip install ziglang).
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools/zig
if [ ! -x "$tools/bin/python" ]; then
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check ziglang==0.17.1
fi
for target in x86_64-apple-darwin aarch64-apple-darwin; do
  rustup target add "$target"
  compiler=$PWD/target/tools/cc-$target
  cat > "$compiler" <<SCRIPT
#!/usr/bin/env bash
# zig names targets in its own way, and does not take these of clang's arguments.
arguments=()
for argument in "\$@"; do
  case \$argument in --target=* | -mmacosx-version-min=* | -gfull) ;; *) arguments+=("\$argument") ;; esac
done
exec "$tools/bin/python" -m ziglang cc -target ${target%%-*}-macos "\${arguments[@]}"
SCRIPT
  chmod +x "$compiler"
  name=${target//-/_}
  env "CC_$name=$compiler" "AR_$name=ar" cargo check --locked --package mcp-reconnect --features cross --target "$target"
done
