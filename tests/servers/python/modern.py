"""A real MCP server for tests/modern.rs that speaks MCP 2026-07-28 and the versions before: the official Python SDK 2.3
(MCPServer), or fastmcp 4.2 on top of it.

    python modern.py --port 9000 --journal FILE [--fastmcp] [--key SECRET]

Request states are sealed with `--key`, or with a key of this process. Every execution of a tool that could do harm appends a
line to the journal.
"""

import argparse
import logging
import os

import anyio
import mcp_types as types
from mcp.server.request_state import RequestStateSecurity

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--journal", required=True)
arguments.add_argument("--fastmcp", action="store_true")
arguments.add_argument("--key")
options = arguments.parse_args()
logging.basicConfig(level=logging.WARNING)

security = RequestStateSecurity(keys=[options.key]) if options.key else RequestStateSecurity.ephemeral()
if options.fastmcp:
    from fastmcp import Context, FastMCP

    mcp = FastMCP("fastmcp-modern", version="1", request_state_security=security)
else:
    from mcp.server.mcpserver import Context, MCPServer

    mcp = MCPServer("python-modern", version="1", request_state_security=security)


def note(line: str) -> None:
    """Appends a line to the journal; on disk before the tool goes on."""
    with open(options.journal, "a", encoding="utf-8") as journal:
        journal.write(line + "\n")


@mcp.tool()
def echo(text: str) -> str:
    """Gives the text back."""
    return f"Echo: {text}"


@mcp.tool()
def append(mark: str) -> str:
    """Notes the mark: the side effect that must not happen twice."""
    note(f"append {mark}")
    return f"appended: {mark}"


@mcp.tool()
async def slow(seconds: float, mark: str) -> str:
    """Notes the mark, then takes its time; the server goes on serving."""
    note(f"slow {mark}")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        note(f"cancelled {mark}")
        raise
    return f"slept: {mark}"


@mcp.tool()
async def progress(steps: int, until: str, context: Context) -> str:
    """Reports progress, one notification a step. It ends when the file `until` is there: a client's SDK may lose what comes in
    one piece with the answer."""
    for step in range(1, steps + 1):
        await context.report_progress(step, steps)
    while not os.path.exists(until):
        await anyio.sleep(0.005)
    return f"steps: {steps}"


@mcp.tool()
async def confirm(mark: str, context: Context) -> str | types.InputRequiredResult:
    """Has the user confirm."""
    answer = (context.input_responses or {}).get("confirm")
    if answer is None:
        note(f"asked {mark}")
        schema = {"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}
        ask = types.ElicitRequestFormParams(message=f"Really {mark}?", requested_schema=schema)
        return types.InputRequiredResult(
            input_requests={"confirm": types.ElicitRequest(params=ask)}, request_state=mark
        )
    note(f"confirmed {mark}")
    return f"confirmed: {context.request_state}"


@mcp.tool()
async def add_tool(name: str, context: Context) -> str:
    """Adds a tool, and says so to whoever listens."""

    async def added() -> str:
        return name

    if options.fastmcp:
        mcp.add_tool(FunctionTool.from_function(added, name=name))
        await context.send_notification(types.ToolListChangedNotification())
    else:
        mcp.add_tool(added, name=name)
        await context.notify_tools_changed()
        await context.session.send_tool_list_changed()
    return f"added: {name}"


@mcp.tool()
async def touch(uri: str, context: Context) -> str:
    """Says that a resource changed."""
    if options.fastmcp:
        await context.send_notification(
            types.ResourceUpdatedNotification(params=types.ResourceUpdatedNotificationParams(uri=uri))
        )
    else:
        await context.notify_resource_updated(uri)
        await context.session.send_resource_updated(uri)
    return "touched"


@mcp.resource("memo://note")
def memo() -> str:
    """A resource that can be subscribed to."""
    return "a note"


if __name__ == "__main__":
    if options.fastmcp:
        from fastmcp.tools import FunctionTool

        mcp.run(transport="http", host="127.0.0.1", port=options.port, show_banner=False)
    else:
        mcp.run("streamable-http", host="127.0.0.1", port=options.port)
