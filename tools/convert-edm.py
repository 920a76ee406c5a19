"""Turns a network of EDM (https://github.com/NVlabs/edm) into a model file that Flowstep loads.

    PYTHONPATH=EDM_CHECKOUT python convert-edm.py edm-cifar10-32x32-uncond-vp.pkl edm-cifar10-uncond.safetensors

Needs torch, numpy, safetensors and a checkout of EDM, as a .pkl names its classes; a .pkl can run any code as it is
opened, so take only files that you trust. Networks of the forms DDPM++ and NCSN++ (SongUNet in EDMPrecond) are
supported; the averaged weights (`ema`) are taken.
"""

import argparse
import hashlib
import json
import pickle
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

# EDM's argument: our field, and EDM's default.
FIELDS = {
    "model_channels": ("width", 128),
    "channel_mult": ("multipliers", [1, 2, 2, 2]),
    "num_blocks": ("blocks", 4),
    "attn_resolutions": ("attention", [16]),
    "augment_dim": ("augment", 0),
    "embedding_type": ("embedding", "positional"),
    "channel_mult_noise": ("noiseMultiplier", 1),
    "channel_mult_emb": ("embeddingMultiplier", 4),
    "encoder_type": ("encoder", "standard"),
    "decoder_type": ("decoder", "standard"),
    "resample_filter": ("filter", [1, 1]),
}
# These change only how the network is trained, or in which precision it is run.
IGNORED = {"dropout", "label_dropout", "use_fp16", "sigma_min", "sigma_max"}


def network_config(net):
    """The configuration of a SongUNet in EDMPrecond; ends the program where it is another network."""
    options = dict(net.init_kwargs)
    kind = options.pop("model_type", "DhariwalUNet")
    if type(net).__name__ != "EDMPrecond" or kind != "SongUNet" or net.init_args:
        sys.exit(f"this is {kind} in {type(net).__name__}; only SongUNet in EDMPrecond (DDPM++, NCSN++) is supported")
    config = {
        "kind": "song-unet",
        "size": options.pop("img_resolution"),
        "channels": options.pop("img_channels"),
        "classes": options.pop("label_dim", 0),
        "precondition": "edm",
        "sigmaData": options.pop("sigma_data", 0.5),
    }
    for theirs, (ours, default) in FIELDS.items():
        value = options.pop(theirs, default)
        config[ours] = list(value) if isinstance(value, (list, tuple)) else value
    unknown = sorted(set(options) - IGNORED)
    if unknown:
        sys.exit(f"this network has options that are not known here: {', '.join(unknown)}")
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="the .pkl")
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    parser.add_argument("--dataset", help="name of the data that it was trained on")
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    args = parser.parse_args()
    if args.out.suffix != ".safetensors":
        sys.exit(f"{args.out} does not end in .safetensors")

    content = args.network.read_bytes()
    try:
        data = pickle.loads(content)
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: set PYTHONPATH to a checkout of EDM, and install what it needs")
    net = data["ema"].cpu().eval()
    config = network_config(net)
    trained_on = (data.get("dataset_kwargs") or {}).get("path")
    info = {
        "role": "teacher",
        "network": config,
        "dataset": {"name": args.dataset or (Path(trained_on).stem if trained_on else "unknown"), "hash": ""},
        "training": {"source": args.network.name, "sourceSha256": hashlib.sha256(content).hexdigest()},
    }
    metadata = {
        "flowstep.format": "1",
        "flowstep.model": json.dumps(info),
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "flowstep-song-unet-v1",
        "modelspec.implementation": "flowstep",
        "modelspec.title": args.out.stem,
        "modelspec.resolution": f"{config['size']}x{config['size']}",
        "modelspec.prediction_type": "velocity",
    }
    dtype = getattr(torch, args.dtype)
    tensors = {name: value.to(dtype).contiguous() for name, value in net.state_dict().items()}
    save_file(tensors, args.out, metadata)
    count = sum(value.numel() for value in tensors.values())
    print(f"{args.out}: {count / 1e6:.1f} M parameters, {config['size']} pixels, {config['classes']} classes")


if __name__ == "__main__":
    main()
