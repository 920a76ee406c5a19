"""Golden data for reading ONNX: small modules as torch.onnx.export writes them, with outputs and gradients by PyTorch.

    python gen_onnx.py OUT        (torch, numpy, onnx, onnxscript, safetensors)

Numbers are drawn with numpy's PCG64. The models are exported in float32; references are computed in float64 on the
same weights and stored as float32. The loss is sum(out * cotangent).
"""
import copy
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn


class Mixer(nn.Module):
    """A bit of everything that networks are made of."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gate = nn.Parameter(torch.zeros(width))
        self.tail = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 3))

    def forward(self, x):
        b, n, w = x.shape
        q, k, v = (p.reshape(b, n, self.heads, -1).transpose(1, 2) for p in self.qkv(self.norm(x)).chunk(3, -1))
        mixed = (q @ k.transpose(-1, -2) / (w / self.heads) ** 0.5).softmax(-1) @ v
        h = x + torch.sigmoid(self.gate) * self.out(mixed.transpose(1, 2).reshape(b, n, w))
        h = F.pad(F.gelu(h), (0, 0, 1, 0))[:, :-1] + F.silu(h).clamp(-0.5, 0.75)
        pooled = h.mean(1) + h.amax(1) - (h ** 2).sum(1, keepdim=True).squeeze(1).sqrt()
        return self.tail(pooled)


CASES = {
    "onnx-torch-mlp": dict(
        seed=8001,
        build=lambda: nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)),
        shape=(4, 3),
        dynamo=False,
    ),
    "onnx-torch-mixer": dict(seed=8002, build=Mixer, shape=(2, 5, 8), dynamo=True),
}


def strip(path):
    """Removes what the exporter notes down about the place where it ran."""
    model = onnx.load(path)
    graph = model.graph
    del graph.metadata_props[:], graph.value_info[:], model.metadata_props[:]
    for part in [*graph.node, *graph.input, *graph.output, *graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


def make(name, case, folder):
    rng = np.random.Generator(np.random.PCG64(case["seed"]))
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape)).float()
    net = case["build"]().eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(draw(*p.shape) / (p.shape[-1] if p.dim() > 1 else 4) ** 0.5)
    x = draw(*case["shape"])
    path = folder / f"{name}.onnx"
    torch.onnx.export(net, (x,), str(path), dynamo=case["dynamo"], input_names=["x"], output_names=["y"],
                      **({"external_data": False} if case["dynamo"] else {}))
    strip(path)
    exact = copy.deepcopy(net).double()
    x64 = x.double().requires_grad_(True)
    out = exact(x64)
    cotangent = draw(*out.shape)
    names = [n for n, _ in exact.named_parameters()]
    found = torch.autograd.grad((out * cotangent.double()).sum(), [x64, *exact.parameters()])
    io = {"x": x, "out": out, "cotangent": cotangent, "grad.x": found[0]}
    io.update({f"grad.{n}": g for n, g in zip(names, found[1:])})
    save_file({k: v.detach().float().contiguous() for k, v in io.items()}, folder / f"{name}.io.safetensors")
    exporter = "torch.onnx.export(dynamo=" + str(case["dynamo"]) + ")"
    (folder / f"{name}.json").write_text(json.dumps({
        "case": name,
        "checks": "reading a foreign ONNX file: output, gradients of the input and of the weights by their names",
        "peer": f"torch {torch.__version__}, {exporter}; references in float64",
        "loss": "sum(out * cotangent)",
        "seed": case["seed"],
        "stored_dtype": "F32",
    }, indent=1) + "\n")


if __name__ == "__main__":
    for name, case in CASES.items():
        make(name, case, Path(sys.argv[1]))
