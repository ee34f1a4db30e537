#!/usr/bin/env python3
"""Builds what a release consists of, in target/release-files. docs/releasing.md says when each command is used.

    release.py all [TARGET...]        everything below, for the targets, or for those that this machine can build
    release.py programs [TARGET...]   the programs, by cargo in the profile `dist`
    release.py archives [TARGET...]   an archive for each program: with manual pages, completions, licence, SBOM
    release.py wheels [TARGET...]     a Python wheel for each program
    release.py npm [TARGET...]        the npm package, and one with the program for each target
    release.py crates                 the packages for crates.io, each built from itself as a test
    release.py components             the WebAssembly components and the WIT package
    release.py sums                   SHA256SUMS over all of it
    release.py publish-crates         publishes the packages for crates.io, one after the other

Python's own library is all it needs, so that it runs wherever a release is built. The wheels are written here and not by maturin,
which would compile the program once more: all packages of a platform hold the same file, of which tests/packages.rs makes sure.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parent.parent
TARGETS = {it["target"]: it for it in json.loads((WORKSPACE / "release/targets.json").read_text())}
MANIFEST = dict(re.findall(r'^(version|license|repository) = "(.+)"$', (WORKSPACE / "Cargo.toml").read_text(), re.MULTILINE))
VERSION = MANIFEST["version"]
DESCRIPTION = "A reconnecting MCP client transport: keeps a client connected while its server restarts"
# What a release is built in. Another one is for trying a platform in less time.
PROFILE = os.environ.get("RELEASE_PROFILE", "dist")
# In the order in which they are published: each after those that it depends on.
CRATES = ["mcp-reconnect-core", "mcp-reconnect-command", "mcp-reconnect-guests", "mcp-reconnect"]
COMPLETIONS = {"bash": "mcp-reconnect.bash", "zsh": "_mcp-reconnect", "fish": "mcp-reconnect.fish", "powershell": "_mcp-reconnect.ps1"}
MANUALS = ["check", "wrap", "unwrap", "demo"]
CYCLONEDX = "0.5.9"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = ["all", "programs", "archives", "wheels", "npm", "crates", "components", "sums", "publish-crates"]
    parser.add_argument("command", choices=commands)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--out", type=Path, default=WORKSPACE / "target/release-files", help="the folder for the files")
    parser.add_argument("--program", action="append", default=[], metavar="TARGET=FILE", help="package this file instead of what `programs` built; repeatable")
    parser.add_argument("--no-verify", action="store_true", help="do not build the crates from their packages")
    parser.add_argument("--no-sbom", action="store_true", help="leave the SBOM out of the archives")
    arguments = parser.parse_args()
    given = dict(it.split("=", 1) for it in arguments.program)
    targets = arguments.targets or list(given) or [target for target in TARGETS if buildable(target)]
    for target in targets:
        if target not in TARGETS:
            fail(f"there is no target {target}; there are {', '.join(TARGETS)}")
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    every = arguments.command == "all"
    if every or arguments.command == "components":
        components(out)
    if every or arguments.command == "programs":
        programs(targets)
    files = {}
    if arguments.command in ("all", "archives", "wheels", "npm"):
        files = {target: program(target, given) for target in targets}
    if every or arguments.command == "archives":
        texts = documents(files)
        for target, file in files.items():
            archive(out, target, file, texts, None if arguments.no_sbom else sbom(target))
    if every or arguments.command == "wheels":
        for target, file in files.items():
            wheel(out, target, file)
    if every or arguments.command == "npm":
        npm(out, files)
    if every or arguments.command == "crates":
        crates(out, not arguments.no_verify)
    if every or arguments.command == "sums":
        sums(out)
    if arguments.command == "publish-crates":
        carry()
        for crate in CRATES:
            cargo("publish", "--locked", "--package", crate)


def buildable(target):
    """A program for macOS needs the linker and libraries of macOS."""
    return "apple" not in target or sys.platform == "darwin"


def programs(targets):
    environment = dict(os.environ)
    for target in targets:
        # Only one that is missing, since rustup asks its server otherwise.
        run(["rustup", "target", "add", target], quiet=True)
    # The linker of the target's own C library for Windows; Rust brings all that a static Linux program needs, but for a linker
    # that knows the other processor.
    if sys.platform == "linux":
        environment.setdefault("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld")
        for target, compiler in (("x86_64_unknown_linux_musl", "musl-gcc"), ("aarch64_unknown_linux_musl", "aarch64-linux-gnu-gcc")):
            environment.setdefault(f"CC_{target}", compiler)
    selected = [argument for target in targets for argument in ("--target", target)]
    # The compiler for all processors takes longer to build.
    features = [] if all(target.startswith(platform.machine()) for target in targets) else ["--features", "cross"]
    cargo("build", "--locked", "--profile", PROFILE, "--package", "mcp-reconnect", "--bin", "mcp-reconnect", *features, *selected, environment=environment)


def program(target, given):
    name = "mcp-reconnect.exe" if "windows" in target else "mcp-reconnect"
    file = Path(given.get(target) or target_folder() / target / ("debug" if PROFILE == "dev" else PROFILE) / name)
    if not file.is_file():
        fail(f"there is no program {file}: build it with `release.py programs {target}`")
    return file


def target_folder():
    return Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target"))


def documents(files):
    """Manual pages and completions, which a program writes that runs on this machine."""
    for target, file in files.items():
        for runner in [[], ["wine"]] if "windows" in target else [[], ["qemu-aarch64"]] if "aarch64" in target else [[]]:
            try:
                texts = {"man/mcp-reconnect.1": output([*runner, file, "man"])}
                for name in MANUALS:
                    texts[f"man/mcp-reconnect-{name}.1"] = output([*runner, file, "man", name])
                for shell, name in COMPLETIONS.items():
                    texts[f"completions/{name}"] = output([*runner, file, "completions", shell])
                return texts
            except OSError:
                continue
    fail("none of the programs runs on this machine, and one has to write the manual pages")


def archive(out, target, file, texts, bill):
    folder = f"mcp-reconnect-{VERSION}-{target}"
    entries = {file.name if file.name.endswith(".exe") else "mcp-reconnect": (file.read_bytes(), 0o755)}
    for name in ("LICENSE", "README.md", "CHANGELOG.md"):
        entries[name] = ((WORKSPACE / name).read_bytes(), 0o644)
    for name, text in texts.items():
        entries[name] = (text, 0o644)
    if bill is not None:
        entries["mcp-reconnect.cdx.json"] = (bill, 0o644)
    path = out / f"{folder}.{TARGETS[target]['archive']}"
    if path.suffix == ".zip":
        write_zip(path, {f"{folder}/{name}": entry for name, entry in entries.items()})
    else:
        write_tar(path, {f"{folder}/{name}": entry for name, entry in entries.items()})
    said(path)


def wheel(out, target, file):
    """The binary distribution format of PEP 427, with the program as a script of the environment it is installed in."""
    name = f"mcp_reconnect-{VERSION}"
    script = f"{name}.data/scripts/mcp-reconnect" + (".exe" if "windows" in target else "")
    tags = [f"py3-none-{tag}" for tag in TARGETS[target]["wheel"].split(".")]
    metadata = "\n".join([
        "Metadata-Version: 2.4",
        "Name: mcp-reconnect",
        f"Version: {VERSION}",
        f"Summary: {DESCRIPTION}",
        f"License-Expression: {MANIFEST['license']}",
        "License-File: LICENSE",
        "Keywords: mcp,reconnect,sse,streamable-http",
        f"Project-URL: Repository, {MANIFEST['repository']}",
        "Requires-Python: >=3.8",
        "Description-Content-Type: text/markdown",
        "",
        (WORKSPACE / "release/pypi.md").read_text(),
    ])
    wheel_file = "\n".join(["Wheel-Version: 1.0", "Generator: mcp-reconnect release.py", "Root-Is-Purelib: false", *(f"Tag: {tag}" for tag in tags), ""])
    entries = {
        script: (file.read_bytes(), 0o755),
        f"{name}.dist-info/METADATA": (metadata.encode(), 0o644),
        f"{name}.dist-info/WHEEL": (wheel_file.encode(), 0o644),
        f"{name}.dist-info/licenses/LICENSE": ((WORKSPACE / "LICENSE").read_bytes(), 0o644),
    }
    record = f"{name}.dist-info/RECORD"
    lines = [f"{path},sha256={urlsafe(content)},{len(content)}" for path, (content, _) in entries.items()]
    entries[record] = ("\n".join([*lines, f"{record},,", ""]).encode(), 0o644)
    path = out / f"{name}-py3-none-{TARGETS[target]['wheel']}.whl"
    write_zip(path, entries)
    said(path)


def urlsafe(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def npm(out, files):
    folder = Path(os.environ.get("MCP_RECONNECT_NPM_FOLDER", WORKSPACE / "host/node"))
    if not (folder / "dist/launcher.js").is_file():
        run([npm_program(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=folder)
        run([npm_program(), "run", "build"], folder=folder)
    programs_ = [f"{target}={file.resolve()}" for target, file in files.items()]
    environment = {**os.environ, "MCP_RECONNECT_WORKSPACE": str(WORKSPACE)}
    run(["node", "scripts/pack.mjs", "--out", str(out), *programs_], folder=folder, environment=environment)


def npm_program():
    return shutil.which("npm") or "npm"


def crates(out, verify):
    carry()
    cargo("package", "--locked", *([] if verify else ["--no-verify"]), *[argument for crate in CRATES for argument in ("--package", crate)])
    for crate in CRATES:
        path = target_folder() / f"package/{crate}-{VERSION}.crate"
        shutil.copy(path, out)
        said(out / path.name)


def carry():
    """Puts the component where the package takes it from."""
    cargo("run", "--quiet", "--locked", "--package", "mcp-reconnect-guests", "--no-default-features", "--", "carry")


def components(out):
    cargo("run", "--quiet", "--locked", "--package", "mcp-reconnect-guests")
    for path in sorted((WORKSPACE / "target/components").glob("*.wasm")):
        shutil.copy(path, out)
        said(out / path.name)


def sbom(target):
    """What the program is made of, as CycloneDX."""
    tools = target_folder() / "tools"
    if not shutil.which("cargo-cyclonedx", path=tools / "bin"):
        cargo("install", "--quiet", "--locked", "--root", str(tools), "--version", CYCLONEDX, "cargo-cyclonedx")
    environment = {**os.environ, "PATH": f"{tools / 'bin'}{os.pathsep}{os.environ['PATH']}", "SOURCE_DATE_EPOCH": str(epoch())}
    name = f"mcp-reconnect-{target}.cdx"
    command = ["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target, "--override-filename", name]
    cargo(*command, "--manifest-path", str(WORKSPACE / "host/wasmtime/Cargo.toml"), environment=environment)
    content = (WORKSPACE / f"host/wasmtime/{name}.json").read_bytes()
    # One for each member of the workspace.
    for part in ("guest", "host", "tests"):
        for path in (WORKSPACE / part).rglob(f"{name}.json"):
            path.unlink()
    return content


def sums(out):
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    (out / "SHA256SUMS").write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files))
    said(out / "SHA256SUMS")


def epoch():
    """The time that files are said to be of: the same commit gives the same archives."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    return int(output(["git", "-C", WORKSPACE, "log", "-1", "--format=%ct"]))


def write_tar(path, entries):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, (bytes_, mode) in sorted(entries.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(bytes_), mode, epoch()
            tar.addfile(info, io.BytesIO(bytes_))
    path.write_bytes(gzip.compress(content.getvalue(), mtime=0))


def write_zip(path, entries):
    date = time.gmtime(max(epoch(), 315532800))[:6]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zip_:
        for name, (bytes_, mode) in entries.items():
            info = zipfile.ZipInfo(name, date)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100000 | mode) << 16
            zip_.writestr(info, bytes_)


def cargo(*arguments, environment=None):
    run(["cargo", *arguments], environment=environment)


def run(command, folder=WORKSPACE, environment=None, quiet=False):
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL if quiet else None)
    except FileNotFoundError:
        fail(f"{command[0]} is missing")
    if done.returncode != 0:
        fail(f"`{' '.join(map(str, command))}` failed with exit status {done.returncode}")


def output(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def said(path):
    print(f"{path.name}  {path.stat().st_size} bytes", flush=True)


def fail(message):
    print(f"release.py: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
