"""The websocket to the server, in a thread of its own (docs/protocol.md). An execution outlives sockets and servers."""
import asyncio
import collections
import contextlib
import json
import mmap
import struct
import threading
import uuid
from concurrent.futures import Future
from typing import Any

import aiohttp
import torch

from .server import FlowstepError, Server

RETRY_SECONDS = 0.25
MAX_TRIES = 4  # To reach a server that has accepted nothing yet, and of sockets that break without an event.
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
            if "counts" not in event and event.get("step", 0) > self.step:
                self.step, self.restarts = event["step"], 0
            self.events.append(event)

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
        self._limits: Message | None = None
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
        tries = breaks = 0
        while execution.restarts <= MAX_RESTARTS:
            is_open = False
            try:
                is_open = await self._open()
                await self._begin(execution)
                if execution.is_cancelled:
                    self.cancel(execution)
                while (message := await self._receive(execution.key))["type"] not in ("result", "error"):
                    execution.tell(message)
                    tries, breaks = (tries, breaks) if message["type"] == "tensor" else (0, 0)
                await self._send({"type": "done", "key": execution.key})
                if message["type"] == "result":
                    return {**message, "outputs": execution.outputs(message)}
                if execution.is_cancelled or message["code"] not in LOST:
                    raise FlowstepError(message["message"], message.get("hint"))
                if execution.seq > 0:
                    execution.tell({"type": "text", "text": "The Flowstep server was started again; the run goes on."})
                execution.restarts += 1
                execution.renew()
            except (aiohttp.ClientError, OSError) as error:
                self._socket, tries, breaks = None, tries + 1, breaks + is_open
                if (tries > 1 and execution.is_cancelled) or breaks >= MAX_TRIES or (tries >= MAX_TRIES and execution.seq == 0):
                    what = "the connection to the Flowstep server keeps breaking" if is_open else "the Flowstep server cannot be reached"
                    hint = "Does a proxy between limit it?" if is_open else "Is it up, and is FLOWSTEP_TOKEN its token?"
                    raise FlowstepError(f"{what}: {error}", hint if self._server.is_remote else "") from None
                if tries == MAX_TRIES:
                    execution.tell({"type": "text", "text": "Waiting for the Flowstep server to come back."})
            await asyncio.sleep(RETRY_SECONDS if tries != 1 else 0)  # A socket that was dead before says nothing of the server.
        raise FlowstepError("the Flowstep server keeps ending", "ComfyUI's log has what it said.")

    async def _open(self) -> bool:
        if self._limits and self._socket and not self._socket.closed:  # Without limits it was given up before the greeting.
            return True
        self._session = self._session or aiohttp.ClientSession()
        url, token = await asyncio.to_thread(self._server.address)
        options = {"protocols": ("flowstep.v1",), "headers": {"Authorization": f"Bearer {token}"}}
        self._limits, self._socket = None, await self._session.ws_connect(url, max_msg_size=0, heartbeat=20, **options)
        client, is_local = {"name": "comfyui", "version": "1"}, not self._server.is_remote
        await self._send({"type": "hello", "protocol": 1, "client": client, "sharedFile": is_local})
        hello = await self._receive()
        self._limits = hello["limits"]
        self._shared = SharedMemory(hello["sharedFile"]) if is_local and "sharedFile" in hello else None
        return True

    async def _begin(self, execution: Execution) -> None:
        """Attaches to what was sent on another socket, else sends it: of each tensor one frame at least."""
        start, size, key = 0, self._limits["chunkBytes"], execution.key
        if execution.is_sent:
            return await self._send({"type": "attach", "key": key, "after": execution.seq})
        execution.is_sent = True
        await self._send({**execution.request, "key": key})
        for index, tensor in enumerate(execution.tensors):
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

    async def _receive(self, key: str | None = None) -> Message:
        """The next message of an execution, or of the connection; a frame is its header, with its payload as `data`."""
        while True:
            received = await self._socket.receive()
            if received.type is aiohttp.WSMsgType.TEXT:
                message = json.loads(received.data)
            elif received.type is aiohttp.WSMsgType.BINARY:
                end = 4 + struct.unpack_from("<I", received.data)[0]
                header = json.loads(received.data[4:end])
                place = header.get("shared")
                data = self._shared.content[place["at"] :][: place["length"]] if place else memoryview(received.data)[end:]
                message = {**header, "type": header["kind"], "data": data}
            else:
                raise ConnectionError(f"it closed the connection ({self._socket.close_code})")
            if message["type"] == "error" and "key" not in message:
                raise FlowstepError(message["message"], message.get("hint"))
            if message.get("key") == key:  # Another is that of an execution that is over for us.
                return message
