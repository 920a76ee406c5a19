"""What the way to the server costs, measured from the shim: bench/overhead.ts starts it and gives it the server.

Arguments: the websocket address of a server whose node Echo gives back `latent`. The token is the first line of stdin.
PYTHONPATH names ComfyUI's folder. Prints one line of JSON, in milliseconds.
"""
from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch

# The pack as a package, without its nodes, which need all of ComfyUI.
package = types.ModuleType("pack")
package.__path__ = [str(Path(__file__).resolve().parents[1])]
sys.modules["pack"] = package
shim, parent = (importlib.import_module(f"pack.comfyui.{name}") for name in ("client", "server"))

ROUNDS = 200
WARM_ROUNDS = 20


class Echo:
    """Stands for `Server`; a remote one shares no files."""

    def __init__(self, url: str, token: str, is_remote: bool) -> None:
        self._address, self.is_remote = (url, token), is_remote

    def address(self) -> tuple[str, str]:
        return self._address


def timed(client: Any, node: str, values: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    execution = shim.Execution(node, values)
    result = client.start(execution).result(60)
    return 1000 * (time.perf_counter() - start), result["outputs"]


def transport(url: str, token: str, is_remote: bool) -> dict[str, float]:
    """A latent and a conditioning up, the latent down, as SD3 at 1024 x 1024 has them."""
    client = shim.Client(Echo(url, token, is_remote))
    latent = {"samples": torch.randn(1, 16, 128, 128)}
    positive = [[torch.randn(1, 154, 4096), {"pooled_output": torch.randn(1, 2048)}]]
    times = []
    for index in range(WARM_ROUNDS + ROUNDS):
        took, outputs = timed(client, "Echo", {"latent": latent, "positive": positive})
        assert torch.equal(outputs["latent"]["samples"], latent["samples"])
        if index >= WARM_ROUNDS:
            times.append(took)
    return {"min_ms": round(min(times), 2), "median_ms": round(statistics.median(times), 2), "p95_ms": round(statistics.quantiles(times, n=20)[-1], 2)}


def pictures(server: Any, seed: int) -> float:
    """From no connection to pictures of the shipped student."""
    client = shim.Client(server)
    load, outputs = timed(client, "FlowstepLoadModel", {"file": "fashion/student.safetensors"})
    values = {"model": outputs["model"], "count": 1, "seed": seed}
    return load + timed(client, "FlowstepOneStepSampler", values)[0]


def fashion() -> dict[str, float]:
    """Over a server that has only just been started, and over one that has made pictures before."""
    server = parent.Server()
    server.address()
    first = pictures(server, 0)
    warm = [pictures(server, seed) for seed in range(1, 1 + WARM_ROUNDS)]
    return {"cold_ms": round(first, 1), "min_ms": round(min(warm), 1), "median_ms": round(statistics.median(warm), 1)}


if __name__ == "__main__":
    token = sys.stdin.readline().strip()
    print(json.dumps({
        "websocket": transport(sys.argv[1], token, True),
        "shared_files": transport(sys.argv[1], token, False),
        "fashion": fashion(),
    }))
