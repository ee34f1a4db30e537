#!/usr/bin/env python3
"""Tries a program as it was built for another platform: its version, the demo over both transports, and the bridge before a server
that is killed and restarted, with a hook, ended by Ctrl-C.

    try_program.py SERVER PROGRAM...

SERVER is a program for this machine, which serves; PROGRAM is what is tried, with what runs it before it (`wine`, `qemu-aarch64`).
"""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# Wine starts a server of its own on first use; an emulated processor is slow.
PATIENCE = 120


def main():
    server, program = sys.argv[1], sys.argv[2:]
    windows = program[-1].endswith(".exe")
    version = subprocess.run([*program, "--version"], check=True, stdout=subprocess.PIPE, text=True, timeout=PATIENCE).stdout.strip()
    print(version)
    assert version.startswith("mcp-reconnect ") and "(native, " in version, version
    for transport in ("sse", "http"):
        # Each exits with 0 only if every call got exactly one answer.
        subprocess.run([*program, "demo", "--transport", transport], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        print(f"demo --transport {transport}: good")
    with tempfile.TemporaryDirectory() as folder:
        bridge(server, program, Path(folder), windows)


def bridge(server, program, folder, windows):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    events = folder / "events"
    # The command gets the event as JSON on its stdin.
    hook = f'findstr x* >> "Z:{events}"' if windows else f"cat >> '{events}'"
    running = serve(server, port)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "WINEDEBUG": "-all"}
    command = [*program, "--transport", "http", "--on-event", hook, f"http://127.0.0.1:{port}/mcp"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in child.stdout], daemon=True).start()
    try:
        send(child, 1, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "try", "version": "1"}})
        answer(lines, 1)
        send(child, None, "notifications/initialized", {})
        call(child, 2)
        answer(lines, 2)
        print("a call: answered")
        running.kill()
        running.wait()
        call(child, 3)
        running = serve(server, port)
        answer(lines, 3)
        print("a call made while the server was away: answered")
        found = wait(lambda: events.exists() and "Reconnected" in events.read_text(errors="replace"))
        assert found, f"no hook told of the return: {events.read_text(errors='replace') if events.exists() else 'there is no file'}"
        print("hooks: told of the return")
        # What the terminal sends for Ctrl-C, to the whole group.
        os.killpg(child.pid, signal.SIGINT)
        code = child.wait(PATIENCE)
        assert code == 0, f"Ctrl-C: exit code {code}"
        print("Ctrl-C: ended with 0")
    finally:
        running.kill()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def serve(server, port):
    command = [server, "demo-server", "--transport", "http", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    assert line.startswith("listening on "), line
    return process


def send(child, id_, method, params):
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    if id_ is not None:
        message["id"] = id_
    child.stdin.write(json.dumps(message) + "\n")
    child.stdin.flush()


def call(child, id_):
    send(child, id_, "tools/call", {"name": "append", "arguments": {"line": "tried"}})


def answer(lines, id_):
    deadline = time.monotonic() + PATIENCE
    while True:
        message = json.loads(lines.get(timeout=max(0.1, deadline - time.monotonic())))
        if message.get("id") == id_ and "method" not in message:
            assert "result" in message, message
            return


def wait(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


if __name__ == "__main__":
    main()
