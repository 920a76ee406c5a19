"""A server of the protocol that does what a test tells it: one script a connection."""
from __future__ import annotations

import asyncio
import json
import ssl
import struct
import threading
from pathlib import Path
from typing import Any, Awaitable, Callable

from aiohttp import WSMsgType, web

Script = Callable[["Peer"], Awaitable[None]]
TOKEN = "the-token"


class Peer:
    """The server's end of one connection, after the client's `hello`."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self.hello: dict[str, Any] = {}

    async def read(self) -> dict[str, Any]:
        """The next message; of a frame the header, with the payload as `data`."""
        message = await self._socket.receive()
        if message.type == WSMsgType.TEXT:
            return json.loads(message.data)
        assert message.type == WSMsgType.BINARY, message
        end = 4 + struct.unpack_from("<I", message.data)[0]
        return {**json.loads(message.data[4:end]), "data": message.data[end:]}

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_json({"type": kind, **fields})

    async def frame(self, payload: bytes = b"", **header: Any) -> None:
        head = json.dumps(header).encode()
        await self._socket.send_bytes(struct.pack("<I", len(head)) + head + payload)

    async def result(self, key: str, seq: int, outputs: Any = None, **fields: Any) -> None:
        values = {"outputs": outputs or {}, "blocked": {}, "files": [], "tensors": [], **fields}
        await self.send("result", key=key, seq=seq, **values)
        assert await self.read() == {"type": "done", "key": key}

    async def error(self, key: str, code: str, seq: int = 0, **fields: Any) -> None:
        await self.send("error", key=key, seq=seq, code=code, retryable=False, **{"message": "no", **fields})
        assert await self.read() == {"type": "done", "key": key}


class FakeServer:
    """Stands for `Server` of the shim as well: `address` is where it listens. A script that fails fails the test."""

    def __init__(self, *scripts: Script, is_remote: bool = False, shared: Path | None = None, chunk: int = 64, ssl_context: ssl.SSLContext | None = None) -> None:
        self.is_remote, self._token = is_remote, TOKEN
        self._scripts = list(scripts)
        self._hello = {
            "type": "hello",
            "protocol": 1,
            "limits": {"chunkBytes": chunk, "sharedFileBytes": 1024},
            **({"sharedFile": str(shared)} if shared else {}),
        }
        self.failure: BaseException | None = None
        self._ssl_context = ssl_context
        self._url = ""
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        assert started.wait(10)

    def address(self) -> tuple[str, str]:
        return self._url, self._token

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self.failure:
            raise self.failure
        assert not self._scripts, f"{len(self._scripts)} connections too few"

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/ws", self._connect)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(self._runner.setup())
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._ssl_context)
        self._loop.run_until_complete(site.start())
        self._url = f"{'wss' if self._ssl_context else 'ws'}://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/ws"  # type: ignore[union-attr]
        started.set()
        self._loop.run_forever()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            return web.Response(status=401)
        socket = web.WebSocketResponse(protocols=("flowstep.v1",), max_msg_size=0)
        await socket.prepare(request)
        peer = Peer(socket)
        try:
            peer.hello = await peer.read()
            assert (peer.hello["type"], peer.hello["protocol"]) == ("hello", 1)
            await socket.send_json(self._hello)
            await self._scripts.pop(0)(peer)
        except Exception as error:
            self.failure = self.failure or error
        await socket.close()
        return socket
