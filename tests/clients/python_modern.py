"""A client program on the official Python SDK 2.3 (Client), which probes `server/discover` before it falls back to
`initialize`. See typescript_modern.mjs for its language; where the server's URL takes the place of the command, it connects to
that itself."""

import json
import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitResult, ResourceUpdatedNotification, ToolListChangedNotification

LEGACY = "2025-11-25"


def say(result: dict) -> None:
    print(json.dumps(result), flush=True)


calls: dict[int, anyio.CancelScope] = {}
answers_in, answers_out = anyio.create_memory_object_stream[None](100)


async def ask(_context: object, parameters: object) -> ElicitResult:
    """The user says yes, when the test says so."""
    say({"asked": parameters.message})
    await answers_out.receive()
    return ElicitResult(action="accept", content={"confirm": True})


async def call(client: Client, command: dict) -> None:
    tag = command["tag"]

    async def progressed(progress: float, _total: float | None, _message: str | None) -> None:
        say({"tag": tag, "progress": progress})

    with anyio.CancelScope() as calls[tag]:
        result = await client.call_tool(
            command["name"], command["arguments"], read_timeout_seconds=60, progress_callback=progressed
        )
        text = "".join(getattr(part, "text", "") for part in result.content)
        say({"tag": tag, "error": text} if result.is_error else {"tag": tag, "text": text})
        return
    say({"tag": tag, "cancelled": True})


async def listen(client: Client, command: dict) -> None:
    tag, uris = command["tag"], command["uris"]
    if client.protocol_version <= LEGACY:
        for uri in uris:
            await client.subscribe_resource(uri)
        say({"tag": tag, "listening": uris})
        return
    try:
        async with client.listen(tools_list_changed=True, resource_subscriptions=uris) as subscription:
            say({"tag": tag, "listening": subscription.honored.resource_subscriptions or []})
            async for event in subscription:
                say({"event": type(event).__name__})
        say({"ended": "gracefully"})
    except SubscriptionLost as lost:
        say({"ended": str(lost)})


async def run(client: Client, command: dict) -> None:
    tag = command["tag"]
    try:
        match command["do"]:
            case "tools":
                tools = (await client.list_tools(cache_mode="bypass")).tools
                say({"tag": tag, "tools": [tool.name for tool in tools]})
            case "call":
                await call(client, command)
            case "cancel":
                calls[command["of"]].cancel()
            case "answer":
                await answers_in.send(None)
            case "listen":
                await listen(client, command)
    except MCPError as error:
        say({"tag": tag, "code": error.code, "error": error.message})


async def heard(message: object) -> None:
    if isinstance(message, Exception):
        say({"failed": repr(message)})
    elif isinstance(message, ToolListChangedNotification):
        say({"changed": "tools"})
    elif isinstance(message, ResourceUpdatedNotification):
        say({"updated": str(message.params.uri)})


async def main() -> None:
    command, *rest = sys.argv[1:]
    server = command if command.startswith("http") else StdioServerParameters(command=command, args=rest)
    async with (
        Client(server, message_handler=heard, elicitation_callback=ask) as client,
        anyio.create_task_group() as tasks,
    ):
        info = client.server_info
        version = client.protocol_version
        say({"connected": {"name": info.name, "version": info.version, "protocol": version}})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            tasks.start_soon(run, client, json.loads(line))
        tasks.cancel_scope.cancel()


anyio.run(main)
