"""Nodes for tests of Stable Diffusion 3: conditioning without text encoders, and the velocity of ComfyUI's own network."""
import comfy.model_management
import comfy.sample
import torch


class Text:
    """CONDITIONING that is always the same for the same seed; `count` texts, as Conditioning (Combine) joins them."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "run", "test"

    @classmethod
    def INPUT_TYPES(cls):
        names = ("tokens", "width", "pooled", "count", "seed")
        return {"required": {name: ("INT", {"default": 1, "min": 0, "max": 65536}) for name in names}}

    def run(self, tokens, width, pooled, count, seed):
        draw = torch.Generator().manual_seed(seed)
        shapes = [((1, tokens, width), (1, pooled))] * count
        texts = [(torch.randn(a, generator=draw), torch.randn(b, generator=draw)) for a, b in shapes]
        return ([[context, {"pooled_output": vector}] for context, vector in texts],)


class Velocity:
    """Of the network at the noise of a seed, as it is with its LoRAs."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT",), "run", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("MODEL",),
                "conditioning": ("CONDITIONING",),
                "latent": ("LATENT",),
                "seed": ("INT", {"default": 0}),
                "time": ("FLOAT", {"default": 1.0, "step": 0.001, "round": False}),
            }
        }

    def run(self, model, conditioning, latent, seed, time):
        comfy.model_management.load_models_gpu([model])
        x = comfy.sample.prepare_noise(latent["samples"], seed)
        ((context, options),) = conditioning
        rows = (len(x), -1)
        with torch.no_grad():
            velocity = model.model.diffusion_model(
                x,
                timesteps=torch.full((len(x),), 1000.0 * time),
                context=context.expand(*rows, -1),
                y=options["pooled_output"].expand(*rows),
            )
        return ({"samples": velocity},)


NODE_CLASS_MAPPINGS = {"TestText": Text, "TestVelocity": Velocity}
