"""A client program on the official Python SDK 2.3 (Client), which probes `server/discover` before it falls back to
`initialize`. See typescript.mjs for its language."""

import json
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import ToolListChangedNotification


def say(result: dict) -> None:
    print(json.dumps(result), flush=True)


async def run(client: Client, command: dict) -> None:
    tag = command["tag"]
    try:
        if command["do"] == "tools":
            tools = (await client.list_tools(cache_mode="bypass")).tools
            say({"tag": tag, "tools": [tool.name for tool in tools]})
        else:
            result = await client.call_tool(command["name"], command["arguments"], read_timeout_seconds=60)
            say({"tag": tag, "text": "".join(getattr(part, "text", "") for part in result.content)})
    except MCPError as error:
        say({"tag": tag, "code": error.code, "error": error.message})


async def heard(message: object) -> None:
    if isinstance(message, Exception):
        say({"failed": repr(message)})
    elif isinstance(message, ToolListChangedNotification):
        say({"changed": "tools"})


async def main() -> None:
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with Client(server, message_handler=heard) as client, anyio.create_task_group() as tasks:
        info = client.server_info
        say({"connected": {"name": info.name, "version": info.version}})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            tasks.start_soon(run, client, json.loads(line))
        tasks.cancel_scope.cancel()


anyio.run(main)
