"""The websocket to the server, in a thread of its own (docs/protocol.md). An execution outlives sockets and servers."""
import asyncio
import collections
import contextlib
import itertools
import json
import mmap
import struct
import threading
import time
import uuid
from concurrent.futures import Future
from typing import Any

import aiohttp
import torch

from .server import FlowstepError, Server

RETRY_SECONDS = 0.25
BEAT_SECONDS = 5.0  # Far below a server's patience of 20.
PART_BYTES = 1024 * 1024  # Of a tensor in one frame, for which a pong or a cancel waits.
MAX_TRIES = 4  # A server that is not reached in so many is not there, unless it has accepted the execution before.
AWAY_SECONDS = 3600.0  # Then it may be on its way back.
MAX_BREAKS = 4  # So many sockets that broke without an event: what is being sent does not get through.
STEADY_SECONDS = 60.0  # A socket that broke later than this, while nothing was being sent, served well.
MAX_RESTARTS = 4  # So many ends of the server without a step further, and it is the execution that ends it.
LOST = ("UNKNOWN_EXECUTION", "INTERRUPTED", "SERVER_STOPPING")  # Unless we cancelled, the server has ended or is ending.
Message = dict[str, Any]


class Execution:
    """One run of a node, or a question about it. `events` is read by ComfyUI's thread."""

    def __init__(self, node: str, values: Message, kind: str = "execute") -> None:
        self.events: collections.deque[Message] = collections.deque()
        self.tensors: list[torch.Tensor] = []
        self.is_cancelled, self.step, self.restarts = False, 0, 0
        inputs = json.loads(json.dumps(values, default=self._take))
        specs = [{"name": f"t{i}", "dtype": "float32", "shape": list(t.shape)} for i, t in enumerate(self.tensors)]
        self.request = {"type": kind, "node": node, "inputs": inputs, "tensors": specs}
        self.renew()

    def _take(self, value: Any) -> Message:
        """Puts a tensor aside; what only exists in this process, such as a ControlNet, is refused."""
        if not isinstance(value, torch.Tensor):
            raise FlowstepError(f"an input holds a {type(value).__name__}, which cannot be sent to the Flowstep server")
        self.tensors.append(value.detach().to("cpu", torch.float32).contiguous())
        return {"$tensor": f"t{len(self.tensors) - 1}"}

    def renew(self) -> None:
        """Makes it one that no server knows."""
        self.key, self.seq, self.is_sent = uuid.uuid4().hex, 0, False
        self.parts: dict[str, bytearray] = {}

    def tell(self, event: Message) -> None:
        """Keeps a part of a tensor; passes an event on unless it came before, on another socket."""
        if event["type"] == "tensor":
            self.parts.setdefault(event["name"], bytearray())[event["offset"] :] = event["data"]
        elif not 0 < event.get("seq", 0) <= self.seq:
            self.seq = max(self.seq, event.get("seq", 0))
            if event.get("step", 0) > self.step:
                self.step, self.restarts = event["step"], 0
            self.events.append(event)

    def moving(self) -> str | None:
        """What is being sent, in either direction."""
        if self.parts:
            return f"its result was received, {sum(map(len, self.parts.values())) / 1e6:.1f} MB so far"
        return f"inputs of {sum(t.nbytes for t in self.tensors) / 1e6:.1f} MB were sent" if self.seq == 0 else None

    def outputs(self, result: Message) -> Message:
        """By name, with their tensors. The protocol names types as PyTorch does; no tensor of a result is empty."""
        tensors = {
            spec["name"]: torch.frombuffer(self.parts[spec["name"]], dtype=getattr(torch, spec["dtype"])).reshape(spec["shape"])
            for spec in result["tensors"]
        }
        return json.loads(json.dumps(result["outputs"]), object_hook=lambda o: tensors[o["$tensor"]] if "$tensor" in o else o)


class SharedMemory:
    """A file that this process and a server of the same machine have open: we write to its first half, the server to its second."""

    def __init__(self, name: str) -> None:
        self._file = open(name, "r+b", buffering=0)
        self.content = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))

    def write(self, at: int, data: memoryview) -> Message | None:
        """Tells where the data are; None when there is no room. Written, as a map that finds memory full ends the process."""
        with contextlib.suppress(OSError):
            self._file.seek(at)
            if at + len(data) <= len(self.content) // 2 and self._file.write(data) == len(data):
                return {"file": self._file.name, "at": at, "length": len(data)}


class Client:
    """Runs one execution at a time, as ComfyUI runs one node at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._turn = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="flowstep", daemon=True).start()

    def start(self, execution: Execution) -> Future[Message]:
        """The message `result`, its outputs with their tensors."""
        return asyncio.run_coroutine_threadsafe(self._run(execution), self._loop)

    def cancel(self, execution: Execution) -> None:
        """Asks the server to end it, which it does with an error INTERRUPTED."""
        execution.is_cancelled = True
        asyncio.run_coroutine_threadsafe(self._send({"type": "cancel", "key": execution.key}), self._loop)

    async def _run(self, execution: Execution) -> Message:
        async with self._turn:  # One that was given up may not have left the socket yet.
            return await self._execute(execution)

    async def _execute(self, execution: Execution) -> Message:
        breaks = 0
        while execution.restarts <= MAX_RESTARTS:
            await self._reach(execution)
            seq, start = execution.seq, time.monotonic()
            try:
                message = await self._exchange(execution)
                await self._send({"type": "done", "key": execution.key})
            except (aiohttp.ClientError, OSError) as error:
                is_steady = execution.moving() is None and time.monotonic() - start > STEADY_SECONDS
                self._socket, breaks = None, 1 if is_steady or execution.seq > seq else breaks + 1
                if breaks >= MAX_BREAKS or (breaks > 1 and execution.is_cancelled):
                    moving = execution.moving() or "it was waited for"
                    hint = "The server is there: look for what lies between, such as a proxy." if self._server.is_remote else ""
                    raise FlowstepError(f"the connection to the Flowstep server broke {breaks} times while {moving}: {error}", hint) from None
                # A socket that was dead before says nothing about the server.
                await asyncio.sleep(RETRY_SECONDS if breaks > 1 else 0)
                continue
            if message["type"] == "result":
                return {**message, "outputs": execution.outputs(message)}
            if execution.is_cancelled or message["code"] not in LOST:
                raise FlowstepError(message["message"], message.get("hint"))
            if execution.seq > 0:
                execution.tell({"type": "text", "text": "The Flowstep server was started again; the run goes on."})
            execution.restarts += 1
            execution.renew()
            await asyncio.sleep(RETRY_SECONDS)
        raise FlowstepError("the Flowstep server keeps ending", "ComfyUI's log has what it said.")

    async def _reach(self, execution: Execution) -> None:
        """Opens the socket; waits for a server that has accepted the execution and is gone."""
        start = time.monotonic()
        for tries in itertools.count(1):
            try:
                return await self._open()
            except (aiohttp.ClientError, OSError) as error:
                self._socket = None
                is_awaited = execution.seq > 0 and time.monotonic() - start < AWAY_SECONDS
                if (tries > 1 and execution.is_cancelled) or (tries >= MAX_TRIES and not is_awaited):
                    hint = "Is it up, and is FLOWSTEP_TOKEN its token?" if self._server.is_remote else ""
                    raise FlowstepError(f"the Flowstep server cannot be reached: {error}", hint) from None
                if tries == MAX_TRIES:
                    execution.tell({"type": "text", "text": "Waiting for the Flowstep server to come back."})
            await asyncio.sleep(RETRY_SECONDS)

    async def _exchange(self, execution: Execution) -> Message:
        """The end of the execution. Reads beside the sending: pings are answered, and a refusal is seen, in the middle of it."""
        parts = (self._begin(execution), self._read(execution), self._beat())
        sending, reading, _ = tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await sending  # What fails there ends the reading as well.
            return await reading
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, execution: Execution) -> Message:
        while (message := await self._receive(self._socket, execution.key))["type"] not in ("result", "error"):
            execution.tell(message)
        return message

    async def _beat(self) -> None:
        """Tells that we live, unasked: a ping may wait behind a large result, on its way to us."""
        with contextlib.suppress(aiohttp.ClientError, OSError):  # The reading finds that out, too.
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                await self._socket.pong()

    async def _open(self) -> None:
        if self._socket and not self._socket.closed:
            return
        self._session = self._session or aiohttp.ClientSession()
        url, token = await asyncio.to_thread(self._server.address)
        options = {"protocols": ("flowstep.v1",), "headers": {"Authorization": f"Bearer {token}"}}
        socket = await self._session.ws_connect(url, max_msg_size=0, heartbeat=20, **options)
        client, is_local = {"name": "comfyui", "version": "1"}, not self._server.is_remote
        await socket.send_json({"type": "hello", "protocol": 1, "client": client, "sharedFile": is_local})
        hello = await self._receive(socket)
        self._limits = hello["limits"]
        self._shared = SharedMemory(hello["sharedFile"]) if is_local and "sharedFile" in hello else None
        self._socket = socket  # Not before: who gives up in the middle leaves none that is not greeted.

    async def _begin(self, execution: Execution) -> None:
        """Attaches to what was sent on another socket, else sends it: of each tensor one frame at least."""
        start, size, key = 0, min(PART_BYTES, self._limits["chunkBytes"]), execution.key
        is_new, execution.is_sent = not execution.is_sent, True
        await self._send({**execution.request, "key": key} if is_new else {"type": "attach", "key": key, "after": execution.seq})
        if execution.is_cancelled:
            self.cancel(execution)
        for index, tensor in enumerate(execution.tensors if is_new else ()):
            data = memoryview(tensor.view(-1).view(torch.uint8).numpy())
            shared = self._shared if len(data) > self._limits["sharedFileBytes"] else None
            for offset in range(0, max(1, len(data)), size):
                header, part = {"kind": "tensor", "key": key, "name": f"t{index}", "offset": offset}, data[offset : offset + size]
                place = shared and shared.write(start + offset, part)
                await self._send({**header, "shared": place} if place else header, b"" if place else part)
            start += len(data)

    async def _send(self, message: Message, payload: bytes | memoryview | None = None) -> None:
        text = json.dumps(message)
        if self._socket and payload is None:
            await self._socket.send_str(text)
        elif self._socket:
            await self._socket.send_bytes(b"".join((struct.pack("<I", len(text)), text.encode(), payload)))

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse, key: str | None = None) -> Message:
        """The next message of an execution, or of the connection; a frame is its header, with its payload as `data`."""
        while True:
            received = await socket.receive()
            if received.type is aiohttp.WSMsgType.TEXT:
                message = json.loads(received.data)
            elif received.type is aiohttp.WSMsgType.BINARY:
                end = 4 + struct.unpack_from("<I", received.data)[0]
                header = json.loads(received.data[4:end])
                place = header.get("shared")
                data = self._shared.content[place["at"] :][: place["length"]] if place else memoryview(received.data)[end:]
                message = {**header, "type": header["kind"], "data": data}
            else:
                raise ConnectionError(f"it closed the connection ({socket.close_code})")
            if message["type"] == "error" and "key" not in message:
                raise FlowstepError(message["message"], message.get("hint"))
            # Another key is that of an execution that is over for us.
            if message.get("key") == key:
                return message
