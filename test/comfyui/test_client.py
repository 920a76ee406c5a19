"""The client against a server that does what the test says: tensors, faults, and a server that comes back."""
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_server import FakeServer, Peer, Script
from pack.comfyui.client import MAX_RESTARTS, Client, Execution
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
    return list(iter(lambda: execution.events.get(timeout=WAIT), None))


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


def test_large_tensors_go_through_files_that_only_the_user_can_read_and_that_go(tmp_path: Path) -> None:
    large = torch.rand(300)

    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert request["sharedFiles"] is True
        small, frame = await peer.read(), await peer.read()
        assert ("file" in small, frame["data"]) == (False, b"")
        file = Path(frame["file"])
        assert (file.parent, file.stat().st_mode & 0o777) == (tmp_path, 0o600)
        assert file.read_bytes() == large.numpy().tobytes()
        file.write_bytes(floats(3.0, 4.0))
        await peer.frame(kind="tensor", key=request["key"], name="out", offset=0, file=str(file))
        await peer.result(request["key"], 1, {"image": {"$tensor": "out"}}, tensors=[SPEC])

    result, _ = run(FakeServer(script, shared=tmp_path), {"a": torch.zeros(2), "b": large})
    assert result["outputs"]["image"].tolist() == [[3.0], [4.0]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_remote", [True, False])
def test_a_file_elsewhere_is_neither_read_nor_removed(tmp_path: Path, is_remote: bool) -> None:
    (tmp_path / "shared").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("x")

    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert request["sharedFiles"] is not is_remote
        await peer.frame(kind="tensor", key=request["key"], name="out", offset=0, file=str(secret))

    with pytest.raises(FlowstepError, match="outside of the shared folder"):
        run(FakeServer(script, is_remote=is_remote, shared=tmp_path / "shared"), {})
    assert secret.exists()


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
        assert await peer.read() == {"type": "attach", "key": keys[0], "after": 4, "sharedFiles": False}
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
    assert execution.events.get(timeout=WAIT)["type"] == "started"
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


def test_a_remote_server_that_is_not_there_fails_at_once() -> None:
    server = FakeServer(is_remote=True)
    server._url = "ws://127.0.0.1:9/ws"
    with pytest.raises(FlowstepError, match="cannot be reached"):
        run(server, {})


def test_an_error_of_the_connection_ends_the_execution() -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.send("error", code="MESSAGE_INVALID", message="unreadable", retryable=False)

    with pytest.raises(FlowstepError, match="unreadable"):
        run(FakeServer(script), {})
