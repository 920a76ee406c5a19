"""The client against a server that does what the test says: tensors, faults, and a server that comes back."""
from __future__ import annotations

import os
import ssl
import struct
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PACK
from fake_server import TOKEN, FakeServer, Peer, Script
from pack.comfyui.client import MAX_TRIES, MAX_RESTARTS, Client, Execution
from pack.comfyui.server import FlowstepError

WAIT = 20.0


def run(server: FakeServer, values: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result and the events before it."""
    execution = Execution("Node", values)
    try:
        result = Client(server).start(execution).result(WAIT)
    finally:
        server.close()
    return result, events_of(execution)


def events_of(execution: Execution) -> list[dict[str, Any]]:
    return list(execution.events)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


SPEC = {"name": "out", "dtype": "float32", "shape": [2, 1]}


def test_tensors_cross_at_any_depth_as_float32_and_in_chunks() -> None:
    latent = torch.arange(40, dtype=torch.bfloat16).reshape(4, 10)
    pooled = torch.tensor([0.5], dtype=torch.float64)

    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert request["inputs"] == {
            "seed": 7,
            "latent": {"samples": {"$tensor": "t0"}, "batch_index": [3]},
            "positive": [[{"$tensor": "t1"}, {"pooled_output": {"$tensor": "t2"}}]],
        }
        assert [(spec["dtype"], spec["shape"]) for spec in request["tensors"]] == [
            ("float32", [4, 10]), ("float32", [2]), ("float32", [1]),
        ]
        frames = [await peer.read() for _ in range(5)]
        assert [(frame["name"], frame["offset"]) for frame in frames] == [("t0", 0), ("t0", 64), ("t0", 128), ("t1", 0), ("t2", 0)]
        assert b"".join(frame["data"] for frame in frames[:3]) == floats(*range(40))
        assert frames[4]["data"] == floats(0.5)
        await peer.frame(floats(1.5), kind="tensor", key=request["key"], name="out", offset=0)
        await peer.frame(floats(-2.0), kind="tensor", key=request["key"], name="out", offset=4)
        await peer.result(request["key"], 1, {"latent": {"samples": {"$tensor": "out"}, "kept": [1]}}, tensors=[SPEC])

    conditioning = [[torch.ones(4)[::2], {"pooled_output": pooled}]]
    result, _ = run(FakeServer(script), {"seed": 7, "latent": {"samples": latent, "batch_index": [3]}, "positive": conditioning})
    assert result["outputs"]["latent"]["kept"] == [1]
    assert torch.equal(result["outputs"]["latent"]["samples"], torch.tensor([[1.5], [-2.0]]))
    result["outputs"]["latent"]["samples"] += 1  # Nodes may write to it.


def test_a_conditioning_comes_back_as_comfyui_has_it() -> None:
    async def script(peer: Peer) -> None:
        key = (await peer.read())["key"]
        for name, data in (("out", floats(1.0, 2.0)), ("pooled", floats(3.0, 4.0))):
            await peer.frame(data, kind="tensor", key=key, name=name, offset=0)
        texts = [[{"$tensor": "out"}, {"pooled_output": {"$tensor": "pooled"}, "strength": 0.5}], [{"$tensor": "out"}, {"pooled_output": None}]]
        await peer.result(key, 1, {"positive": texts}, tensors=[SPEC, {**SPEC, "name": "pooled", "shape": [1, 2]}])

    result, _ = run(FakeServer(script), {})
    (first, options), (second, without) = result["outputs"]["positive"]
    assert first.tolist() == second.tolist() == [[1.0], [2.0]]
    assert options["pooled_output"].tolist() == [[3.0, 4.0]]
    assert (options["strength"], without) == (0.5, {"pooled_output": None})


def test_a_tensor_without_elements_is_sent_too() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert request["tensors"] == [{"name": "t0", "dtype": "float32", "shape": [0, 4]}]
        assert (await peer.read())["data"] == b""
        await peer.result(request["key"], 1)

    run(FakeServer(script), {"latent": torch.zeros(0, 4)})


HALF = 4096


def shared_file(folder: Path) -> Path:
    """As the server makes it."""
    file = folder / "flowstep-0"
    file.touch(0o600)
    os.truncate(file, 2 * HALF)
    return file


def test_large_tensors_go_through_memory_there_and_back_again_and_again(tmp_path: Path) -> None:
    file = shared_file(tmp_path)
    first, second = torch.rand(300), torch.rand(400)

    async def one(peer: Peer, expected: list[torch.Tensor], answer: bytes) -> None:
        request, end = await peer.read(), 0
        for tensor in expected:
            frame = await peer.read()
            assert (frame["data"], frame["shared"]) == (b"", {"file": str(file), "at": end, "length": 4 * len(tensor)})
            with file.open("rb") as opened:
                opened.seek(end)
                assert opened.read(4 * len(tensor)) == tensor.numpy().tobytes()
            end += 4 * len(tensor)
        assert "shared" not in await peer.read()  # It is small.
        with file.open("r+b") as opened:
            opened.seek(HALF)
            opened.write(answer)
        shared = {"file": str(file), "at": HALF, "length": len(answer)}
        await peer.frame(kind="tensor", key=request["key"], name="out", offset=0, shared=shared)
        await peer.result(request["key"], 1, {"image": {"$tensor": "out"}}, tensors=[SPEC])

    async def script(peer: Peer) -> None:
        assert peer.hello["sharedFile"] is True
        await one(peer, [first, second], floats(3.0, 4.0))
        await one(peer, [second], floats(5.0, 6.0))

    server = FakeServer(script, shared=file, chunk=10_000)
    client, small = Client(server), torch.zeros(2)
    before = client.start(Execution("Node", {"a": first, "b": second, "c": small})).result(WAIT)["outputs"]
    after = client.start(Execution("Node", {"b": second, "c": small})).result(WAIT)["outputs"]
    server.close()
    assert before["image"].tolist() == [[3.0], [4.0]]  # What came later has left it alone.
    assert after["image"].tolist() == [[5.0], [6.0]]


def test_what_does_not_fit_in_memory_goes_over_the_socket(tmp_path: Path) -> None:
    file, tensor = shared_file(tmp_path), torch.rand(HALF // 4 + 1)

    async def script(peer: Peer) -> None:
        request = await peer.read()
        first, second = await peer.read(), await peer.read()
        assert (first["shared"]["length"], first["data"]) == (3000, b"")
        assert (second["offset"], "shared" in second) == (3000, False)
        assert second["data"] == tensor.numpy().tobytes()[3000:]
        await peer.result(request["key"], 1)

    run(FakeServer(script, shared=file, chunk=3000), {"a": tensor})


def test_a_remote_server_shares_no_memory_even_if_it_names_a_file(tmp_path: Path) -> None:
    file = shared_file(tmp_path)

    async def script(peer: Peer) -> None:
        assert peer.hello["sharedFile"] is False
        request = await peer.read()
        assert (await peer.read())["data"] == bytes(4 * 300)
        await peer.result(request["key"], 1)

    run(FakeServer(script, is_remote=True, shared=file, chunk=10_000), {"a": torch.zeros(300)})
    assert file.read_bytes() == bytes(2 * HALF)


def test_what_exists_in_this_process_only_is_refused() -> None:
    with pytest.raises(FlowstepError, match="holds a set"):
        Execution("Node", {"positive": [[torch.zeros(1), {"control": {1}}]]})


def test_an_error_of_the_server_is_its_message_and_hint() -> None:
    async def script(peer: Peer) -> None:
        await peer.error((await peer.read())["key"], "MODEL_INVALID", 2, message="it is no model", hint="Take another.")

    with pytest.raises(FlowstepError) as caught:
        run(FakeServer(script), {})
    assert str(caught.value) == "it is no model\nTake another."


def test_a_cut_connection_is_attached_again_and_nothing_comes_twice() -> None:
    keys: list[str] = []

    async def first(peer: Peer) -> None:
        keys.append((await peer.read())["key"])
        await peer.send("progress", key=keys[0], seq=4, step=10)
        await peer.frame(floats(9.0), kind="tensor", key=keys[0], name="out", offset=0)

    async def second(peer: Peer) -> None:
        assert await peer.read() == {"type": "attach", "key": keys[0], "after": 4}
        await peer.send("progress", key=keys[0], seq=4, step=10)
        await peer.send("text", key=keys[0], seq=5, text="here")
        await peer.frame(floats(1.0, 2.0), kind="tensor", key=keys[0], name="out", offset=0)
        await peer.result(keys[0], 6, {"image": {"$tensor": "out"}}, tensors=[SPEC])

    result, events = run(FakeServer(first, second), {})
    assert [event["seq"] for event in events] == [4, 5]
    assert result["outputs"]["image"].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("code", ["UNKNOWN_EXECUTION", "INTERRUPTED", "SERVER_STOPPING"])
def test_a_server_that_has_lost_the_execution_gets_it_again_under_a_new_key(code: str) -> None:
    keys: list[str] = []

    async def first(peer: Peer) -> None:
        keys.append((await peer.read())["key"])
        await peer.send("started", key=keys[0], seq=1)

    async def second(peer: Peer) -> None:
        assert (await peer.read())["type"] == "attach"
        await peer.error(keys[0], code)
        request = await peer.read()
        assert request["type"] == "execute" and request["key"] != keys[0]
        assert (await peer.read())["data"] == floats(5.0)
        await peer.result(request["key"], 1)

    _, events = run(FakeServer(first, second), {"x": torch.tensor([5.0])})
    assert [event["type"] for event in events] == ["started", "text"]
    assert "started again" in events[1]["text"]


def lose(steps: int) -> Script:
    """A server that reports so many steps, and then does not know the execution."""

    async def script(peer: Peer) -> None:
        while True:
            try:
                key = (await peer.read())["key"]
            except AssertionError:  # The client has given up.
                return
            await peer.send("progress", key=key, seq=1, step=steps)
            await peer.error(key, "UNKNOWN_EXECUTION")

    return script


def test_an_execution_that_ends_every_server_at_the_same_step_is_given_up() -> None:
    with pytest.raises(FlowstepError, match="keeps ending"):
        run(FakeServer(lose(5)), {})


def test_an_execution_that_goes_on_is_not_given_up() -> None:
    count = 2 * MAX_RESTARTS

    async def script(peer: Peer) -> None:
        for step in range(count):
            key = (await peer.read())["key"]
            await peer.send("progress", key=key, seq=1, step=step + 1)
            await peer.error(key, "UNKNOWN_EXECUTION")
        await peer.result((await peer.read())["key"], 1)

    result, _ = run(FakeServer(script), {})
    assert result["type"] == "result"


def test_a_cancelled_execution_ends_with_what_the_server_says() -> None:
    async def script(peer: Peer) -> None:
        key = (await peer.read())["key"]
        await peer.send("started", key=key, seq=1)
        assert await peer.read() == {"type": "cancel", "key": key}
        await peer.error(key, "INTERRUPTED", 2, message="interrupted", hint="It is kept in runs/x.")

    server = FakeServer(script)
    execution, client = Execution("Node", {}), Client(server)
    task = client.start(execution)
    while not execution.events:
        wait([task], 0.01)
    client.cancel(execution)
    with pytest.raises(FlowstepError, match="runs/x"):
        task.result(WAIT)
    server.close()


def test_a_socket_serves_one_execution_after_the_other_and_a_dead_one_is_replaced() -> None:
    async def two(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"n": 1})
        await peer.result((await peer.read())["key"], 1, {"n": 2})

    async def one(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"n": 3})

    server = FakeServer(two, one)
    client = Client(server)
    numbers = [client.start(Execution("Node", {})).result(WAIT)["outputs"]["n"] for _ in range(3)]
    assert numbers == [1, 2, 3]
    server.close()


def test_a_wrong_token_names_the_variable() -> None:
    server = FakeServer(is_remote=True)
    server._token = "another"
    with pytest.raises(FlowstepError, match="401.*\n.*FLOWSTEP_TOKEN"):
        run(server, {})


def test_a_remote_server_that_is_not_there_is_told_soon() -> None:
    server = FakeServer(is_remote=True)
    server._url = "ws://127.0.0.1:9/ws"
    with pytest.raises(FlowstepError, match="cannot be reached"):
        run(server, {})


def test_inputs_that_do_not_get_through_are_told_as_such() -> None:
    async def upload(peer: Peer) -> None:
        assert len((await peer.read())["tensors"]) == 1

    async def lost(peer: Peer) -> None:
        request = await peer.read()
        assert request["type"] == "attach"
        await peer.error(request["key"], "UNKNOWN_EXECUTION")
        await upload(peer)

    with pytest.raises(FlowstepError, match="keeps breaking.*\n.*proxy") as caught:
        run(FakeServer(upload, lost, lost, lost, is_remote=True), {"image": torch.zeros(8)})
    assert "TOKEN" not in str(caught.value)


def test_a_result_that_does_not_get_through_is_told_as_such() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read()
        if request["type"] == "execute":
            await peer.send("started", key=request["key"], seq=1)
        await peer.frame(bytes(2_000_000), kind="tensor", key=request["key"], name="out", offset=0)

    with pytest.raises(FlowstepError, match="keeps breaking"):
        run(FakeServer(script, script, script, script), {})


def test_a_connection_that_breaks_again_and_again_between_events_is_no_failure() -> None:
    count = 3 * MAX_TRIES

    async def script(peer: Peer) -> None:
        request = await peer.read()
        await peer.send("progress", key=request["key"], seq=request.get("after", 0) + 1, step=1)

    async def last(peer: Peer) -> None:
        request = await peer.read()
        assert request["after"] == count
        await peer.result(request["key"], count + 1)

    result, _ = run(FakeServer(*[script] * count, last), {})
    assert result["type"] == "result"


def test_an_error_of_the_connection_ends_the_execution() -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.send("error", code="MESSAGE_INVALID", message="unreadable", retryable=False)

    with pytest.raises(FlowstepError, match="unreadable"):
        run(FakeServer(script), {})


CONNECT = """
import importlib, json, sys, types
package = types.ModuleType("pack")
package.__path__ = [sys.argv[1]]
sys.modules["pack"] = package
client, server = (importlib.import_module(f"pack.comfyui.{name}") for name in ("client", "server"))
try:
    print(client.Client(server.Server()).start(client.Execution("Node", {})).result(20)["outputs"])
except server.FlowstepError as error:
    print(error)
"""


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_server_behind_tls_is_used_when_its_certificate_is_trusted(tmp_path: Path, is_trusted: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"n": 5})

    certificates = [self_signed(tmp_path / name) for name in ("server", "other")]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificates[0])
    server = FakeServer(*[script] * is_trusted, ssl_context=context)
    # A process of its own: certificates are read when Python starts.
    trusted = certificates[0 if is_trusted else 1][0]
    environment = {"SSL_CERT_FILE": str(trusted), "FLOWSTEP_TOKEN": TOKEN, "FLOWSTEP_URL": server.address()[0].replace("wss", "https").removesuffix("/ws")}
    command = [sys.executable, "-c", CONNECT, str(PACK)]
    told = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout
    server.close()
    assert ("{'n': 5}" if is_trusted else "self-signed certificate") in told


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Files of a certificate for this machine, and of its key."""
    folder.mkdir()
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=flowstep", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *kind, *names, "-out", cert, "-keyout", key], capture_output=True, check=True)
    return cert, key
