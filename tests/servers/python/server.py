"""A real MCP server for the tests: the official Python SDK (FastMCP), both HTTP transports.

    python server.py --transport streamable-http --port 9000 --journal FILE

Every execution of a tool that could do harm appends a line to the journal, so that a test can prove how often it ran.
"""

import argparse
import json
import os
import time

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import ResourcesCapability, SamplingMessage, TextContent, ToolAnnotations
from pydantic import AnyUrl, BaseModel

arguments = argparse.ArgumentParser()
arguments.add_argument("--transport", choices=["streamable-http", "sse"], required=True)
arguments.add_argument("--host", default="127.0.0.1")
arguments.add_argument("--port", type=int, required=True)
arguments.add_argument("--journal", required=True)
arguments.add_argument("--calls")
options = arguments.parse_args()


class Journaled(FastMCP):
    """Notes each call that it begins to run in the file of `--calls`: `call NAME ARGUMENTS`."""

    async def call_tool(self, name, given):
        if options.calls:
            with open(options.calls, "a", encoding="utf-8") as calls:
                calls.write(f"call {name} {json.dumps(given)}\n")
        return await super().call_tool(name, given)


mcp = Journaled("python-test-server", instructions="For tests.", host=options.host, port=options.port)


def note(line: str) -> None:
    """Appends a line to the journal; on disk before the tool goes on."""
    with open(options.journal, "a", encoding="utf-8") as journal:
        journal.write(line + "\n")


@mcp.tool()
def echo(text: str) -> str:
    """Gives the text back."""
    return f"Echo: {text}"


@mcp.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


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
def block(seconds: float, mark: str) -> str:
    """Notes the mark, then blocks the whole server."""
    note(f"block {mark}")
    time.sleep(seconds)
    return f"blocked: {mark}"


@mcp.tool()
def block_until(path: str, mark: str) -> str:
    """Notes the mark, then blocks the whole server until the file is there, for a minute at most."""
    note(f"block {mark}")
    end = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)
    return f"released: {mark}"


@mcp.tool()
def append(mark: str, padding: str = "") -> str:
    """Notes the mark: the side effect that must not happen twice."""
    note(f"append {mark}")
    return f"appended: {mark}"


@mcp.tool(annotations=ToolAnnotations(readOnlyHint=True, idempotentHint=True, destructiveHint=False))
async def look(seconds: float, mark: str) -> str:
    """Like slow, and annotated as safe to repeat."""
    note(f"look {mark}")
    await anyio.sleep(seconds)
    return f"looked: {mark}"


@mcp.tool()
async def progress(steps: int, context: Context) -> str:
    """Reports progress, one notification a step."""
    for step in range(1, steps + 1):
        await context.report_progress(step, steps, f"step {step}")
    return f"steps: {steps}"


@mcp.tool()
async def log(level: str, text: str, context: Context) -> str:
    """Sends a log message."""
    await context.session.send_log_message(level, text, "test", related_request_id=context.request_id)
    return "logged"


@mcp.tool()
async def sample(prompt: str, context: Context) -> str:
    """Asks the client's model."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    result = await context.session.create_message([message], max_tokens=10, related_request_id=context.request_id)
    return f"sampled: {result.content.text}"


class Colour(BaseModel):
    """What `elicit` asks for."""

    colour: str


@mcp.tool()
async def elicit(question: str, context: Context) -> str:
    """Asks the user."""
    result = await context.elicit(question, Colour)
    if result.action == "accept":
        return f"accepted: {result.data.colour}"
    return f"not accepted: {result.action}"


@mcp.tool()
async def roots(context: Context) -> str:
    """Asks for the client's roots."""
    result = await context.session.list_roots()
    return "roots: " + " ".join(str(root.uri) for root in result.roots)


@mcp.tool()
async def touch(uri: str, context: Context) -> str:
    """Says that a resource changed."""
    await context.session.send_resource_updated(AnyUrl(uri))
    return "touched"


@mcp.resource("memo://note")
def memo() -> str:
    """A resource that can be subscribed to."""
    return "a note"


@mcp.prompt()
def greet(name: str) -> str:
    """A prompt."""
    return f"Say hello to {name}."


server = mcp._mcp_server


@server.set_logging_level()
async def set_logging_level(level: str) -> None:
    note(f"level {level}")


@server.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    note(f"subscribe {uri}")


@server.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    note(f"unsubscribe {uri}")


# The SDK always declares `subscribe: false`, whatever handlers there are.
declared = server.get_capabilities


def capabilities(*arguments_, **keywords):
    """What the server can really do."""
    result = declared(*arguments_, **keywords)
    result.resources = ResourcesCapability(subscribe=True, listChanged=result.resources.listChanged)
    return result


server.get_capabilities = capabilities

if __name__ == "__main__":
    mcp.run(options.transport)
