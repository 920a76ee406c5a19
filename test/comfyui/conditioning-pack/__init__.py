"""A pack of tests: conditionings as text encoders give them, without a text encoder, and an end for graphs."""
from __future__ import annotations

from typing import Any

import torch


def values(count: int, start: int) -> torch.Tensor:
    """Numbers that tell their place."""
    return ((torch.arange(count) + start) % 977) / 977


class TestConditioning:
    CATEGORY, FUNCTION, RETURN_TYPES = "test", "make", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"start": ("INT", {"default": 0})}}

    def make(self, start: int) -> tuple[Any]:
        # With what other nodes add to it.
        options = {"pooled_output": values(2048, start).reshape(1, 2048), "area": (64, 64, 0, 0), "strength": 0.5, "mask": torch.ones(1, 8, 8)}
        return ([[values(154 * 4096, start).reshape(1, 154, 4096), options]],)


class TestEnd:
    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "test", "end", (), True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"prompts": ("FLOW_PROMPTS",)}}

    def end(self, prompts: dict[str, str]) -> dict[str, Any]:
        return {"ui": {"text": [prompts["path"]]}}


NODE_CLASS_MAPPINGS = {"TestConditioning": TestConditioning, "TestEnd": TestEnd}
