"""Calls a tool for each line of standard input, whatever happens to the server.

    python program.py ENGINE.wasm URL

A line holds the parameters of a `tools/call`. Messages go to standard output, what happens to the connection to standard
error.
"""

import asyncio
import json
import sys

from wasmtime.component import Variant

from mcp_reconnect import Component, Connection, Options

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "python-example", "version": "0.1.0"},
}


async def main(component: str, url: str) -> None:
    def on_event(event: Variant) -> None:
        if event.tag == "message":
            print(event.payload, flush=True)
            if json.loads(event.payload).get("id") == 0:
                connection.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        else:
            print(event.tag, vars(event.payload) if event.payload else "", file=sys.stderr, flush=True)

    async with Connection(Component(component), Options(url), on_event) as connection:
        connection.send(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}))
        number = 0
        while line := await asyncio.to_thread(sys.stdin.readline):
            number += 1
            call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": json.loads(line)}
            connection.send(json.dumps(call))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
