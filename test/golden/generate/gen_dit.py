"""Golden data for the DiT network: output and gradients by PyTorch in float64, stored as float32.

    python gen_dit.py OUT        (torch, numpy, safetensors)

Numbers are drawn with numpy's PCG64, so they do not depend on the version of torch. Weights are rounded to float32
before anything is computed. The loss is sum(out * cotangent).
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

CASES = {
    "dit-tiny": dict(seed=7001, batch=2, size=8, channels=3, patch=4, width=16, depth=2, heads=2),
    "dit-small-patches": dict(seed=7002, batch=3, size=6, channels=1, patch=2, width=12, depth=1, heads=3),
}


def frequencies(t, width):
    half = width // 2
    f = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=t.dtype) / half)
    a = 1000.0 * t[:, None] * f
    return torch.cat([a.cos(), a.sin()], 1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ada = nn.Linear(width, 6 * width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, h, c):
        b, n, w = h.shape
        s1, k1, g1, s2, k2, g2 = self.ada(F.silu(c))[:, None].chunk(6, -1)
        normed = F.layer_norm(h, (w,), eps=1e-6) * (1 + k1) + s1
        q, k, v = self.qkv(normed).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        h = h + g1 * self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w))
        normed = F.layer_norm(h, (w,), eps=1e-6) * (1 + k2) + s2
        return h + g2 * self.fc2(F.gelu(self.fc1(normed), approximate="tanh"))


class DiT(nn.Module):
    """DiT (Peebles & Xie 2023) without labels, positions learned."""

    def __init__(self, size, channels, patch, width, depth, heads):
        super().__init__()
        self.patch, self.width = patch, width
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.pos = nn.Parameter(torch.zeros(1, (size // patch) ** 2, width))
        self.t1, self.t2 = nn.Linear(width, width), nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.ada, self.head = nn.Linear(width, 2 * width), nn.Linear(width, patch * patch * channels)

    def forward(self, x, t):
        b, ch, s, _ = x.shape
        c = self.t2(F.silu(self.t1(frequencies(t, self.width))))
        h = self.embed(x).flatten(2).transpose(1, 2) + self.pos
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.ada(F.silu(c))[:, None].chunk(2, -1)
        h = self.head(F.layer_norm(h, (self.width,), eps=1e-6) * (1 + scale) + shift)
        g, p = s // self.patch, self.patch
        return h.view(b, g, g, p, p, ch).permute(0, 5, 1, 3, 2, 4).reshape(b, ch, s, s)


def run(case, dtype):
    case = dict(case)
    rng = np.random.Generator(np.random.PCG64(case.pop("seed")))
    batch = case.pop("batch")
    draw = lambda *shape: torch.from_numpy(rng.standard_normal(shape)).float().to(dtype)
    net = DiT(**case).to(dtype)
    with torch.no_grad():
        for p in net.parameters():
            fan = math.prod(p.shape[1:]) if p.dim() > 1 else 4
            p.copy_(draw(*p.shape) / fan**0.5)
    shape = (batch, case["channels"], case["size"], case["size"])
    x, cotangent = draw(*shape).requires_grad_(True), draw(*shape)
    t = torch.from_numpy(rng.uniform(0.05, 0.95, batch)).float().to(dtype)
    out = net(x, t)
    names = [name for name, _ in net.named_parameters()]
    found = torch.autograd.grad((out * cotangent).sum(), [x, *net.parameters()])
    grads = {"grad.x": found[0], **{f"grad.{name}": g for name, g in zip(names, found[1:])}}
    io = {"x": x, "t": t, "cotangent": cotangent, "out": out, **grads}
    return dict(net.named_parameters()), io


def gap(a, b):
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def main(folder):
    for name, case in CASES.items():
        weights, io = run(case, torch.float64)
        _, low = run(case, torch.float32)
        levels = {key: gap(low[key], io[key]) for key in io if key == "out" or key.startswith("grad.")}
        stored = lambda tensors: {k: v.detach().float().contiguous() for k, v in tensors.items()}
        save_file(stored(weights), folder / f"{name}.weights.safetensors")
        save_file(stored(io), folder / f"{name}.io.safetensors")
        config = {k: v for k, v in case.items() if k not in ("seed", "batch")}
        params = max(v for k, v in levels.items() if k not in ("out", "grad.x"))
        sidecar = {
            "case": name,
            "checks": "DiT: output, gradient of the input, gradients of all parameters",
            "peer": "torch " + torch.__version__ + ", float64",
            "config": {"kind": "dit", **config},
            "loss": "sum(out * cotangent)",
            "seed": case["seed"],
            "stored_dtype": "F32",
            "float32_noise": {"out": levels["out"], "x": levels["grad.x"], "params": params},
        }
        (folder / f"{name}.json").write_text(json.dumps(sidecar, indent=1) + "\n")
        print(name, sidecar["float32_noise"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
