"""Calls a tool for each line of standard input, whatever happens to the server. A line holds the parameters of a
`tools/call`. Messages go to standard output, what happens to the connection to standard error."""

import json
import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import environment, stdin
from wit_world.imports.client import Connection, ReceiveError_Closed
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import Event_Message, Options

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "componentize-py-example", "version": "0.1.0"},
}


class Run(exports.Run):
    def run(self) -> None:
        with Connection.open(Options(environment.get_arguments()[1])) as connection, stdin.get_stdin() as lines:
            connection.send(json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}))
            # A pollable must go before its stream does: hence the inner block.
            with lines.subscribe() as readable:
                serve(connection, lines, readable)


def serve(connection, lines, readable) -> None:
    # What may interrupt the wait for events. Nothing else does, and nothing moves outside of `receive`.
    until = readable
    text, calls = b"", 0
    while (events := receive(connection, until)) is not None:
        for event in events:
            if isinstance(event, Event_Message):
                print(event.value, flush=True)
                if json.loads(event.value).get("id") == 0:
                    connection.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            else:
                print(event, file=sys.stderr, flush=True)
        if until and until.ready():
            if (new := read(lines)) is None:
                until = None
                connection.close()
                continue
            *whole, text = (text + new).split(b"\n")
            for line in whole:
                calls += 1
                call = {"jsonrpc": "2.0", "id": calls, "method": "tools/call", "params": json.loads(line)}
                connection.send(json.dumps(call))


def receive(connection, until):
    """The next events; None: the connection is closed, and has said all that it had to say."""
    try:
        return connection.receive(0, until)
    except Err as error:
        if isinstance(error.value, ReceiveError_Closed):
            return None
        raise


def read(lines):
    """What there is to read, perhaps nothing; None at the end."""
    try:
        return lines.read(64 * 1024)
    except Err as error:
        if isinstance(error.value, StreamError_Closed):
            return None
        raise
