"""What the host in mcp_reconnect.py makes of the ways in which a request can fail. Exits with 0 if all are judged rightly."""

import asyncio
import socket
import struct
import sys

from mcp_reconnect import Component, Connection, Options, record

SECRET = "a secret"


def read(connection: socket.socket) -> None:
    """Reads a request to its end. In vain if it is no HTTP."""
    text = b"?"
    while text and not text.endswith(b"{}") and not text.startswith(b"?\x16"):
        text += (new := connection.recv(65536))
        text = text if new else b""


def reset(connection: socket.socket) -> None:
    read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut_off(connection: socket.socket) -> None:
    read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")


def second_reset(connection: socket.socket) -> None:
    read(connection)
    connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
    reset(connection)


class Judge(Connection):
    """A connection whose engine only listens."""

    def _handle(self, tag: str, payload: object = None) -> None:
        self.heard = tag, payload

    async def judge(self, port: int, host: str = "127.0.0.1", https: bool = False, headers: list = []) -> str:
        self._exchanges[1] = asyncio.current_task()
        request = {"method": "post", "https": https, "authority": f"{host}:{port}", "path": "/", "headers": headers}
        self._may_read[1] = may_read = asyncio.Event()
        may_read.set()
        await self._exchange(record(exchange=1, body=b"{}", **request), may_read)
        tag, payload = self.heard
        assert SECRET not in str(vars(payload) if tag == "failed" else ""), "a secret is told"
        return payload.failure if tag == "failed" else tag


class Listening:
    def __init__(self, behaviour) -> None:
        self._behaviour = behaviour
        self._socket = socket.create_server(("127.0.0.1", 0))

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._behaviour(connection)

    async def __aenter__(self) -> int:
        self._task = asyncio.create_task(asyncio.to_thread(self._serve))
        return self._socket.getsockname()[1]

    async def __aexit__(self, *_) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        await self._task


async def main(component: str) -> None:
    judge = Judge(Component(component), Options("http://127.0.0.1/"), lambda _: None)
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        assert await judge.judge(refusing.getsockname()[1]) == "connect"
    assert await judge.judge(80, host="nowhere.invalid") == "dns"
    assert await judge.judge(99_999) == "lost", "what nobody knows proves nothing"
    for behaviour, expected in [(reset, ["lost"]), (cut_off, ["lost"]), (second_reset, ["end", "lost"])]:
        async with Listening(behaviour) as port:
            # The second one goes over a connection that has been used.
            judged = [await judge.judge(port) for _ in expected]
            assert judged == expected, (behaviour, judged)
    async with Listening(cut_off) as port:
        assert await judge.judge(port, https=True) == "tls"
        assert await judge.judge(port, headers=[("authorization", f"{SECRET}\r\n")]) == "unsendable"


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
