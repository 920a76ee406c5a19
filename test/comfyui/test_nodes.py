"""The node classes: what ComfyUI sees of them, and how they show what the server tells."""
from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from conftest import PACK, StubPromptServer, write
from fake_server import FakeServer, Peer, Script
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
