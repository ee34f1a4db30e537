"""The official Python SDK's client transports, without a session above them: what they hand on of what a server writes. The same
lines on stdin and stdout as transports.mjs."""

import json
import logging
import sys

import anyio
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

PATIENCE = 6
logging.disable(logging.CRITICAL)


async def converse(read, write, messages: list, errors: list) -> None:
    answered: dict = {}

    async def collect() -> None:
        async for item in read:
            if isinstance(item, Exception):
                errors.append(repr(item))
                continue
            message = item.message.model_dump(by_alias=True, mode="json", exclude_unset=True)
            messages.append(message)
            if "method" not in message and message.get("id") in answered:
                answered[message["id"]].set()

    async def send(message: dict) -> None:
        await write.send(SessionMessage(JSONRPCMessage.model_validate({"jsonrpc": "2.0", **message})))

    async def ask(id: int, method: str, params: dict) -> None:
        answered[id] = anyio.Event()
        await send({"id": id, "method": method, "params": params})
        await answered[id].wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect)
        with anyio.fail_after(PATIENCE):
            client = {"name": "transports", "version": "1"}
            await ask(1, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
            await send({"method": "notifications/initialized"})
            # What is written in answer to this is what the case is about. The server answers the next ones once that has been read.
            await send({"id": 2, "method": "tools/call", "params": {"name": "x", "arguments": {}}})
            await ask(3, "tools/list", {})
            await ask(4, "tools/list", {})
        tasks.cancel_scope.cancel()


async def run(url: str, sse: bool) -> dict:
    messages: list = []
    errors: list = []
    try:
        with anyio.fail_after(PATIENCE + 1):
            if sse:
                async with sse_client(url) as (read, write):
                    await converse(read, write, messages, errors)
            else:
                async with streamable_http_client(url) as (read, write, _):
                    await converse(read, write, messages, errors)
    except BaseException as error:  # noqa: BLE001: groups of errors too; what it was is told
        errors.append(repr(error))
    return {"messages": messages, "errors": errors}


for line in sys.stdin:
    case = json.loads(line)
    print(json.dumps(anyio.run(run, case["url"], case["sse"])), flush=True)
