"""A resumable MCP server on the Python SDK (FastMCP with an event store), the sibling of ../node/polling.mjs: it ends response
streams in the middle of a call and gives the rest on a GET with the cursor.

    python resumable.py --port 9000

Every execution of a tool writes a line to standard output.
"""

import argparse

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage

arguments = argparse.ArgumentParser()
arguments.add_argument("--port", type=int, required=True)
options = arguments.parse_args()


class Resumes:
    """The number of resumes so far, and a way to wait for the next."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = anyio.Event()

    def add(self) -> None:
        self.count += 1
        self.changed.set()
        self.changed = anyio.Event()

    async def wait_for(self, count: int) -> None:
        while self.count < count:
            await self.changed.wait()


resumes = Resumes()


class Store(EventStore):
    """Keeps the events of all streams in memory; an event's id is its index."""

    def __init__(self) -> None:
        self.events: list[tuple[str, JSONRPCMessage | None]] = []
        self.resuming: set[str] = set()

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.events.append((stream_id, message))
        # A new cursor, an event without a message: the SDK connects the resumed stream next.
        if message is None and stream_id in self.resuming:
            self.resuming.remove(stream_id)
            resumes.add()
        return str(len(self.events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        stream_id = self.events[last][0]
        for index, (owner, message) in enumerate(self.events[last + 1 :], last + 1):
            if owner == stream_id and message is not None:
                await send_callback(EventMessage(message, str(index)))
        self.resuming.add(stream_id)
        return stream_id


async def resumed(before: int, context: Context) -> None:
    """Waits until the client is back, and until events go there again, which the SDK does not announce."""
    await resumes.wait_for(before + 1)
    session = context.request_context.request.headers["mcp-session-id"]
    streams = mcp.session_manager._server_instances[session]._request_streams
    while str(context.request_id) not in streams:
        await anyio.sleep(0.005)


mcp = FastMCP("resumable", host="127.0.0.1", port=options.port, event_store=Store(), retry_interval=500)


@mcp.tool()
async def interrupted(mark: str, closes: int, away: bool, context: Context) -> str:
    """Ends its response stream several times; see polling.mjs."""
    print(f"ran {mark}", flush=True)
    await context.info(f"{mark}: begun")
    for close in range(1, closes + 1):
        before = resumes.count
        await context.close_sse_stream()
        await context.info(f"{mark}: closed {close}")
        if close < closes or not away:
            await resumed(before, context)
    await context.info(f"{mark}: done")
    return f"finished: {mark}"


@mcp.tool(name="until-resumed")
async def until_resumed(mark: str, times: int, context: Context) -> str:
    """Ends when the client has come back so many times."""
    print(f"ran {mark}", flush=True)
    for back in range(times):
        before = resumes.count
        await context.info(f"{mark}: waits {back}")
        await resumed(before, context)
    await context.info(f"{mark}: done")
    return f"finished: {mark}"


if __name__ == "__main__":
    mcp.run("streamable-http")
