"""A host for guest/engine: asyncio waits, httpx speaks HTTP, the component decides.

    component = Component("engine.wasm")
    async with Connection(component, Options(url), on_event) as connection:
        connection.send('{"jsonrpc":"2.0","id":1,"method":"initialize",...}')
"""

import asyncio
import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx
import wasmtime
from wasmtime.component import Linker, Record, Variant

TYPES = "mcp-reconnect:transport/types@0.1.0"
SANS_IO = "mcp-reconnect:transport/sans-io@0.1.0"


class Component:
    """The component, compiled once for all connections."""

    def __init__(self, path: str) -> None:
        self.engine = wasmtime.Engine()
        self.code = wasmtime.component.Component.from_file(self.engine, path)


@dataclass
class Options:
    """Where the server is. `set` holds other options by their names in wit/client.wit, each with its arguments:
    `{"set-transport": ["http-sse"], "set-hold-timeout": [60_000_000_000]}`."""

    url: str
    headers: Iterable[tuple[str, str]] = ()
    set: dict[str, list] | None = None


class Refused(Exception):
    """The engine does not take this URL, header, option or message."""


class Connection:
    """One MCP connection. `on_event` is called with each event: a `Variant` of `tag` and `payload`, see wit/client.wit."""

    def __init__(self, component: Component, options: Options, on_event: Callable[[Variant], None]) -> None:
        self._engine = Engine(component, options)
        self._on_event = on_event
        # No timeouts, no limit on connections: the engine has all the timers, and a stream may be silent for hours.
        self._http = httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None), follow_redirects=False)
        self._exchanges: dict[int, asyncio.Task] = {}
        self._may_read: dict[int, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()

    def send(self, message: str) -> None:
        """Takes a JSON-RPC message. What becomes of a request its answer tells."""
        self._handle("message", message)

    def set_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Fresh credentials, from the next request on."""
        self._handle("set-headers", list(headers))

    def reconnect(self) -> None:
        """Begins a new session now."""
        self._handle("reconnect")

    def probe(self) -> None:
        """Finds out now whether the connection is alive: the machine woke up, or its network changed."""
        self._handle("probe")

    async def close(self) -> None:
        """Answers what is in flight, says goodbye to the server and closes, within a second."""
        self._handle("close")
        try:
            await asyncio.shield(self._closed)
        finally:
            await self._http.aclose()

    def _handle(self, tag: str, payload: object = None) -> None:
        """Gives the engine an input and does what comes of it."""
        if self._closed.done():
            if tag == "message":
                raise Refused("the connection is closed")
            return
        try:
            self._engine.handle(Variant(tag, payload))
            for output in self._engine.outputs():
                self._do(output)
            self._arm()
        except wasmtime.WasmtimeError as error:
            # A trap: the engine is of no use any more.
            self._end(error)

    def _do(self, output: Variant) -> None:
        if output.tag == "start":
            request = output.payload
            self._may_read[request.exchange] = may_read = asyncio.Event()
            may_read.set()
            self._exchanges[request.exchange] = asyncio.create_task(self._exchange(request, may_read))
        elif output.tag == "cancel":
            self._may_read.pop(output.payload, None)
            if task := self._exchanges.pop(output.payload, None):
                task.cancel()
        elif output.tag == "pause":
            if may_read := self._may_read.get(output.payload):
                may_read.clear()
        elif output.tag == "resume":
            if may_read := self._may_read.get(output.payload):
                may_read.set()
        elif output.tag == "event":
            # On its own, so that it may call `send`, and its errors are not taken for the network's.
            asyncio.get_running_loop().call_soon(self._on_event, output.payload)
        elif output.tag == "closed":
            self._end()

    def _arm(self) -> None:
        """Sets the one timer to the engine's deadline."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if self._closed.done() or (deadline := self._engine.deadline()) is None:
            return
        delay = max(0, deadline - time.monotonic_ns()) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay, self._handle, "tick")

    def _end(self, error: Exception | None = None) -> None:
        if self._timer:
            self._timer.cancel()
        for task in self._exchanges.values():
            task.cancel()
        self._exchanges.clear()
        if error:
            self._closed.set_exception(error)
        else:
            self._closed.set_result(None)

    def _report(self, tag: str, exchange: int, **fields: object) -> None:
        """Tells the engine of an exchange, unless it was cancelled."""
        if exchange not in self._exchanges:
            return
        if tag in ("end", "failed"):
            del self._exchanges[exchange], self._may_read[exchange]
        self._handle(tag, record(exchange=exchange, **fields) if fields else exchange)

    async def _exchange(self, request: Record, may_read: asyncio.Event) -> None:
        """Makes a request and reports all that becomes of it. Cancelling the task closes the connection."""
        exchange = request.exchange
        headers_sent = False

        async def trace(event: str, _: dict) -> None:
            nonlocal headers_sent
            if event.endswith("send_request_headers.complete"):
                headers_sent = True
            elif event.endswith("send_request_body.complete"):
                self._report("sent", exchange)

        try:
            response = await self._http.send(http_request(request, trace), stream=True)
            try:
                headers = [(name.decode("latin-1"), value) for name, value in response.headers.raw]
                self._report("response", exchange, status=response.status_code, headers=headers)
                async for chunk in response.aiter_bytes():
                    self._report("body", exchange, bytes=chunk)
                    await may_read.wait()
            finally:
                await response.aclose()
        except Exception as error:
            failure, detail = fault(error, headers_sent)
            self._report("failed", exchange, failure=failure, detail=detail)
        else:
            self._report("end", exchange)


class Engine:
    """The component's resource `engine`, and the clock that it is told."""

    def __init__(self, component: Component, options: Options) -> None:
        self._store = wasmtime.Store(component.engine)
        self._instance = Linker(component.engine).instantiate(self._store, component.code)
        filled = self._call(TYPES, "[constructor]options", options.url)
        settings = {"set-headers": [list(options.headers)], **(options.set or {})}
        for name, arguments in settings.items():
            self._call(TYPES, f"[method]options.{name}", filled, *arguments)
        # The seed spreads the reconnects of many clients: each engine needs its own.
        opened = self._call(SANS_IO, "[static]engine.open", filled, secrets.randbits(64), time.monotonic_ns())
        if isinstance(opened, Variant):
            raise Refused(opened.payload)
        self._engine = opened

    def handle(self, input: Variant) -> None:
        refusal = self._method("handle", time.monotonic_ns(), input)
        if refusal is not None:
            raise Refused(refusal.payload)

    def outputs(self) -> list[Variant]:
        return self._method("poll-outputs", 0)

    def deadline(self) -> int | None:
        return self._method("deadline")

    def _method(self, name: str, *arguments: object) -> object:
        return self._call(SANS_IO, f"[method]engine.{name}", self._engine, *arguments)

    def _call(self, interface: str, name: str, *arguments: object) -> object:
        index = self._instance.get_export_index(self._store, interface)
        function = self._instance.get_func(self._store, self._instance.get_export_index(self._store, name, index))
        result = function(self._store, *arguments)
        function.post_return(self._store)
        return result


def http_request(request: Record, trace: Callable) -> httpx.Request:
    """The engine's request, with its headers and no other but `host` and `content-length`."""
    url = f"{'https' if request.https else 'http'}://{request.authority}{request.path}"
    headers = [(name.encode(), value.encode()) for name, value in request.headers]
    content = request.body if request.method == "post" else None
    return httpx.Request(request.method.upper(), url, headers=headers, content=content, extensions={"trace": trace})


def fault(error: Exception, headers_sent: bool) -> tuple[str, str]:
    """What an error proves, and what it says. "Not sent" is believed of errors that precede the request only: the engine may
    send such a request again, whatever it is. All others leave it open."""
    cause = innermost(error)
    said = os.strerror(cause.errno).lower() if isinstance(cause, OSError) and (cause.errno or 0) > 0 else str(cause)
    said = said or type(cause).__name__
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
        if isinstance(cause, socket.gaierror):
            return "dns", f"the name lookup failed: {cause.strerror.lower()}"
        if isinstance(cause, ssl.SSLError):
            return "tls", f"the TLS handshake failed: {cause.reason or cause}"
        return "connect", said
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)) and not headers_sent:
        # Not in its own words: they repeat the header.
        return "unsendable", "the HTTP client does not accept the request"
    return "lost", said


def innermost(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def record(**fields: object) -> Record:
    made = Record()
    vars(made).update(fields)
    return made
