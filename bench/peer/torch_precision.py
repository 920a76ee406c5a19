"""What PyTorch's autocast costs in accuracy, on the networks of torch_fgm.py with our weights and what ours are fed.

    python torch_precision.py FOLDER

FOLDER holds facts.json and numbers.f32, which bench/verify-precision.ts writes. Prints one JSON object: errors of gradients
in draws, each as a share of the gradient in float64, and differences of the curves of 20 FGM steps, each as a share of the
largest value in float32. `autocast` is that of the processor; `norms float32` has its norms in float32, as that of CUDA.
"""
import copy, json, math, os, re, sys
import numpy as np
import torch
import torch.nn.functional as F
import torch_fgm

STEPS, BATCH, T_STAR = 20, 4, 0.97
POLICIES = [('autocast', False), ('norms float32', True)]
LOW = {'bfloat16': torch.bfloat16, 'float16': torch.float16}
GROUP_NORM, LAYER_NORM = F.group_norm, F.layer_norm


def edm_frequencies(t, width):
    """Sines before cosines, and the last frequency is 1/10000: EDM's positional embedding of 1000 t."""
    half = width // 2
    f = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64) / (half - 1)).to(t.dtype)
    a = 1000.0 * t[:, None] * f
    return torch.cat([a.sin(), a.cos()], 1)


def our_names(net, parameters):
    """Its name of a parameter -> ours: blocks come in the same order."""
    if isinstance(net, torch_fgm.DiT):
        return {name: name for name, _ in net.named_parameters()}
    blocks = list(dict.fromkeys(m.group(1) for n in parameters if (m := re.match(r'(.*)\.norm0\.weight$', n))))
    theirs = [f'{part}.{i}' for part in ('down', 'middle', 'upward') for i, m in enumerate(getattr(net, part)) if isinstance(m, torch_fgm.UBlock)]
    layers = dict(n0='norm0', c0='conv0', affine='affine', n1='norm1', c1='conv1', skip='skip', n2='norm2', qkv='qkv', proj='proj')
    modules = {f'{a}.{x}': f'{b}.{y}' for a, b in zip(theirs, blocks, strict=True) for x, y in layers.items()}
    only = lambda pattern: next(n for n in parameters if re.match(pattern, n)).removesuffix('.weight')
    modules |= {'e0': 'model.map_layer0', 'e1': 'model.map_layer1', 'down.0': only(r'model\.enc\.\d+x\d+_conv\.weight'),
                'norm': only(r'.*_aux_norm\.weight'), 'out': only(r'.*_aux_conv\.weight')}
    return {name: '.'.join([modules[name.rsplit('.', 1)[0]], name.rsplit('.', 1)[1]]) for name, _ in net.named_parameters()}


def in_float32(norm):
    def call(x, shape, *rest, **named):
        cast = lambda v: v.float() if torch.is_tensor(v) else v
        with torch.autocast('cpu', enabled=False):
            return norm(x.float(), shape, *map(cast, rest), **{k: cast(v) for k, v in named.items()})
    return call


def norms(is_float32):
    F.group_norm, F.layer_norm = (in_float32(GROUP_NORM), in_float32(LAYER_NORM)) if is_float32 else (GROUP_NORM, LAYER_NORM)


class Numbers:
    """Tensors one after the other."""

    def __init__(self, path):
        self.data, self.at = torch.from_numpy(np.fromfile(path, dtype=np.float32)), 0

    def take(self, *shape):
        start, self.at = self.at, self.at + math.prod(shape)
        return self.data[start:self.at].reshape(shape)


def set_weights(net, names, weights):
    with torch.no_grad():
        for name, p in net.named_parameters():
            w = weights[names[name]]
            if '.qkv.' in name and isinstance(net, torch_fgm.UNet):
                # Ours interleaves queries, keys and values by channel.
                w = w.reshape(w.shape[0] // 3, 3, -1).transpose(0, 1)
            p.copy_(w.reshape(p.shape))
            p.grad = None


def gradient(net, feeds, low, dtype):
    x, c, t = (v.to(dtype) for v in feeds)
    net.to(dtype)
    for p in net.parameters():
        p.grad = None
    with torch.autocast('cpu', dtype=low, enabled=low is not None):
        v = net(x, t)
    loss = (v.to(dtype) - c).square().sum() / len(x)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten().double() for p in net.parameters()])


def curve(start, seed, low):
    """loss/online, loss/student and norm/student of the first FGM steps, as torch_fgm.py takes them."""
    torch.manual_seed(seed)
    teacher, online, student = (copy.deepcopy(start) for _ in range(3))
    teacher.requires_grad_(False)
    adam = {net: torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.999)) for net in (online, student)}
    shape = (BATCH, *start.shape)

    def run(net, x, t):
        with torch.autocast('cpu', dtype=low, enabled=low is not None):
            return net(x, t).float()

    def generate(z):
        return z - T_STAR * run(student, z, torch.full((BATCH,), T_STAR))

    def path(x0):
        t, x1 = torch.sigmoid(torch.randn(BATCH)), torch.randn(shape)
        s = t.view(-1, *[1] * len(start.shape))
        return (1 - s) * x0 + s * x1, t, x1 - x0

    def update(net, loss):
        adam[net].zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm().item()
        adam[net].step()
        return loss.item(), norm

    rows = []
    for _ in range(STEPS):
        online.requires_grad_(True)
        with torch.no_grad():
            x0 = generate(torch.randn(shape))
        xt, t, c = path(x0)
        flow, _ = update(online, (run(online, xt, t) - c).square().flatten(1).sum(1).mean())
        online.requires_grad_(False)
        xt, t, c = path(generate(torch.randn(shape)))
        u, v = run(teacher, xt, t), run(online, xt, t)
        d = u - v
        loss, norm = update(student, (d.square() + 2 * d * (v - c)).flatten(1).sum(1).mean())
        rows.append((flow, loss, norm))
    return np.array(rows)


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, 'facts.json')) as file:
        facts = json.load(file)
    numbers = Numbers(os.path.join(folder, 'numbers.f32'))
    torch.set_num_threads(1)
    if facts['config'] == 'unet-xs':
        torch_fgm.frequencies = edm_frequencies
        net = torch_fgm.UNet(size=8, channels=3, base=8, mult=(1, 2), blocks=1, attention=(4,))
    else:
        net = torch_fgm.DiT(size=8, channels=3, patch=2, width=32, depth=2, heads=2)
    names = our_names(net, [name for name, _ in facts['parameters']])
    weights = lambda: {name: numbers.take(*shape) for name, shape in facts['parameters']}
    sample = (facts['batch'], *facts['shape'])

    parity, errors = 0, {}
    for expected in facts['losses']:
        drawn, feeds = weights(), (numbers.take(*sample), numbers.take(*sample), numbers.take(facts['batch']))
        norms(False)
        net.double()
        set_weights(net, names, drawn)
        loss, right = gradient(net, feeds, None, torch.float64)
        parity = max(parity, abs(loss / expected - 1))
        for policy, is_float32 in POLICIES:
            norms(is_float32)
            for name, low in LOW.items():
                net.float()
                found = gradient(net, feeds, low, torch.float32)[1]
                errors.setdefault(f'{name}, {policy}', []).append(((found - right).norm() / right.norm()).item())

    curves = {}
    net.float()
    for seed in range(facts['starts']):
        set_weights(net, names, weights())
        norms(False)
        right = curve(net, seed, None)
        for policy, is_float32 in POLICIES:
            norms(is_float32)
            gaps = np.abs(curve(net, seed, torch.bfloat16) - right).max(0) / np.abs(right).max(0)
            of = curves.setdefault(f'bfloat16, {policy}', {})
            for figure, gap in zip(('loss/online', 'loss/student', 'norm/student'), gaps):
                of.setdefault(figure, []).append(float(gap))
    print(json.dumps(dict(torch=torch.__version__, parity=parity, gradients=errors, curves=curves)))


if __name__ == '__main__':
    main()
