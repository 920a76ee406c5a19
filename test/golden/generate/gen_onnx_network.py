"""Golden data for ONNX networks as teachers: a small U-Net with labels as torch.onnx.export writes it for any batch.

    python gen_onnx_network.py OUT        (torch, numpy, onnx, onnxscript, safetensors)

It is made and compared as in gen_onnx.py, on another batch than it was exported with. The file's own metadata declare it.
"""
import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from gen_onnx import strip
from safetensors.torch import save_file
from torch import nn

INPUTS = ["sample", "timestep", "label"]
EXPORTED_BATCH = 2
BATCH = 3


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv, self.out = nn.GroupNorm(2, width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, c, h, w = x.shape
        y = self.norm(x).reshape(b, c, h * w).transpose(1, 2)
        q, k, v = (p.view(b, -1, 2, c // 2).transpose(1, 2) for p in self.qkv(y).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return x + self.out(y).transpose(1, 2).view(b, c, h, w)


class Block(nn.Module):
    def __init__(self, inputs, outputs, width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(2, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(2, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.ada, self.skip = nn.Linear(width, 2 * outputs), nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, e):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.ada(F.silu(e))[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class UNet(nn.Module):
    def __init__(self, width=4, embedding=8, classes=3):
        super().__init__()
        self.register_buffer("frequencies", torch.exp(-math.log(10000) * torch.arange(4) / 4))
        self.time, self.labels = nn.Linear(8, embedding), nn.Embedding(classes + 1, embedding)
        self.first, self.last = nn.Conv2d(2, width, 3, padding=1), nn.Conv2d(width, 2, 3, padding=1)
        self.down, self.up = nn.Conv2d(width, width, 3, stride=2, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)
        self.block1, self.block2 = Block(width, width, embedding), Block(width, 2 * width, embedding)
        self.attention, self.block3 = Attention(2 * width), Block(2 * width, width, embedding)

    def forward(self, sample, timestep, label):
        angles = timestep[:, None] * self.frequencies[None]
        e = F.gelu(self.time(torch.cat([angles.cos(), angles.sin()], -1))) + self.labels(label)
        wide = self.block1(self.first(sample), e)
        deep = self.attention(self.block2(self.down(wide), e))
        risen = self.up(F.interpolate(deep, scale_factor=2.0, mode="nearest"))
        return self.last(F.mish(self.block3(torch.cat([risen, wide], 1), e)))


CASES = {
    "onnx-network-jit": dict(seed=8101, dynamo=False, opset=17),
    "onnx-network-dynamo": dict(seed=8102, dynamo=True, opset=23),
}


def export(net, path, dynamo, opset):
    given = (torch.randn(EXPORTED_BATCH, 2, 4, 6), torch.rand(EXPORTED_BATCH), torch.zeros(EXPORTED_BATCH, dtype=torch.int64))
    names = dict(input_names=INPUTS, output_names=["out"], opset_version=opset)
    if dynamo:
        batch = torch.export.Dim("batch")
        torch.onnx.export(net, given, str(path), dynamo=True, external_data=False,
                          dynamic_shapes={name: {0: batch} for name in INPUTS}, **names)
    else:
        axes = {name: {0: "batch"} for name in [*INPUTS, "out"]}
        torch.onnx.export(net, given, str(path), dynamo=False, dynamic_axes=axes, **names)
    strip(path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"flowstep.onnx": json.dumps({
        "inputs": {"x": "sample", "time": "timestep", "labels": "label"},
        "predicts": "velocity", "time": "flow-1000", "classes": 3,
    })})
    onnx.save(model, path)


def make(name, case, folder):
    rng = np.random.Generator(np.random.PCG64(case["seed"]))
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape)).float()
    net = UNet().eval()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(draw(*p.shape) / (math.prod(p.shape[1:]) if p.dim() > 1 else 4) ** 0.5)
    export(net, folder / f"{name}.onnx", case["dynamo"], case["opset"])
    x, t = draw(BATCH, 2, 4, 6), torch.from_numpy(rng.uniform(0.1, 0.9, BATCH)).float()
    labels = torch.tensor([0, 2, 3])
    exact = copy.deepcopy(net).double()
    x64 = x.double().requires_grad_(True)
    out = exact(x64, 1000 * t.double(), labels)
    cotangent = draw(*out.shape)
    names = [n for n, _ in exact.named_parameters()]
    found = torch.autograd.grad((out * cotangent.double()).sum(), [x64, *exact.parameters()])
    io = {"x": x, "t": t, "out": out, "cotangent": cotangent, "grad.x": found[0]}
    io.update({f"grad.{n}": g for n, g in zip(names, found[1:])})
    tensors = {k: v.detach().float().contiguous() for k, v in io.items()}
    save_file({**tensors, "labels": labels}, folder / f"{name}.io.safetensors")
    exporter = f"torch.onnx.export(dynamo={case['dynamo']}, opset_version={case['opset']}), any batch"
    (folder / f"{name}.json").write_text(json.dumps({
        "case": name,
        "checks": "a foreign ONNX network as a velocity: output, gradients of the input and of the weights by their names",
        "peer": f"torch {torch.__version__}, {exporter}; references in float64",
        "loss": "sum(out * cotangent)",
        "seed": case["seed"],
        "stored_dtype": "F32",
    }, indent=1) + "\n")


if __name__ == "__main__":
    for name, case in CASES.items():
        make(name, case, Path(sys.argv[1]))
