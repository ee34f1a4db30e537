"""A client program on the official Python SDK 1.30 (stdio_client and ClientSession). See typescript.mjs for its language."""

import json
import sys
from datetime import timedelta

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client
from mcp.types import ServerNotification, ToolListChangedNotification


def say(result: dict) -> None:
    print(json.dumps(result), flush=True)


async def run(session: ClientSession, command: dict) -> None:
    tag = command["tag"]
    try:
        if command["do"] == "tools":
            tools = (await session.list_tools()).tools
            say({"tag": tag, "tools": [tool.name for tool in tools]})
        else:
            result = await session.call_tool(command["name"], command["arguments"], timedelta(seconds=60))
            say({"tag": tag, "text": "".join(getattr(part, "text", "") for part in result.content)})
    except McpError as error:
        say({"tag": tag, "code": error.error.code, "error": error.error.message})


async def heard(message: object) -> None:
    if isinstance(message, Exception):
        say({"failed": repr(message)})
    elif isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
        say({"changed": "tools"})


async def main() -> None:
    server = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with (
        stdio_client(server) as (read, write),
        ClientSession(read, write, message_handler=heard) as session,
        anyio.create_task_group() as tasks,
    ):
        info = (await session.initialize()).serverInfo
        say({"connected": {"name": info.name, "version": info.version}})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            tasks.start_soon(run, session, json.loads(line))
        tasks.cancel_scope.cancel()


anyio.run(main)
