"""The shim in ComfyUI's own environment, without ComfyUI's server: PYTHONPATH names ComfyUI's folder."""
from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path
from typing import Any, Iterator

import comfy.cli_args
import pytest
from aiohttp import web

comfy.cli_args.args.cpu = True
os.environ["FLOWSTEP_DEVICE"] = "cpu"
PACK = Path(__file__).resolve().parents[2]


class StubPromptServer:
    """Keeps what would be sent to the page."""

    client_id = "client"

    def __init__(self) -> None:
        self.routes = web.RouteTableDef()
        self.sent: list[tuple[str, dict[str, Any], str | None]] = []
        self.texts: list[str] = []

    def send_sync(self, event: str, data: dict[str, Any], sid: str | None = None) -> None:
        self.sent.append((event, data, sid))

    def send_progress_text(self, text: str, node_id: str, sid: str) -> None:
        assert (node_id, sid) == ("7", "client")
        self.texts.append(text)


server = types.ModuleType("server")
server.PromptServer = type("PromptServer", (), {"instance": StubPromptServer()})  # type: ignore[attr-defined]
sys.modules["server"] = server


def load_pack() -> types.ModuleType:
    """As ComfyUI loads a folder of custom_nodes."""
    spec = importlib.util.spec_from_file_location("pack", PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["pack"] = module
    spec.loader.exec_module(module)
    return module


load_pack()


def write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")


@pytest.fixture
def page() -> StubPromptServer:
    """What the page of the test was told."""
    stub = StubPromptServer()
    server.PromptServer.instance = stub  # type: ignore[attr-defined]
    return stub


@pytest.fixture
def comfy_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """ComfyUI's folders models, input and output below a new folder."""
    import folder_paths
    from pack.comfyui.server import KINDS

    for name in ("models", "input", "output"):
        (tmp_path / name).mkdir()
    for kind in KINDS:
        own = [str(PACK / "models")] if kind == "flowstep" else []
        paths = [str(tmp_path / "models" / kind), *own]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, (paths, {".safetensors"}))
        monkeypatch.delitem(folder_paths.filename_list_cache, kind, raising=False)
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    monkeypatch.delenv("FLOWSTEP_DATA", raising=False)
    yield tmp_path
