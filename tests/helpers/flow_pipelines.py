"""Miniatures of flow-matching bases with an adapter, as the tests of each family draw with them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import read_dims
from tests.helpers.composing import compose

SIDE = 64


def config_of(base: str) -> BaseConfig:
    """The miniature that `base=` names, in fp32."""
    return replace(compose("data.root=shards", f"base={base}", "objective=flow", "recipe=smoke").base, dtype="fp32")


def loud_adapter(config: BaseConfig, seed: int = 0, **changes: Any) -> InstructAdapter:
    """An adapter that is heard: random everywhere, where a new one would begin with zeros."""
    torch.manual_seed(seed)
    dims = read_dims(config)
    spec = AdapterSpec(
        dims.image_dim, dims.token_dim, dims.attention_sizes, width=128, heads=2, instruction_dim=32,
        attention=dims.attention,
    )  # fmt: skip
    return InstructAdapter(replace(spec, **changes))


def drawn(pipe: Any, **options: Any) -> np.ndarray:
    """Two steps of "a cat", guided away from "grey"."""
    settings = {"num_inference_steps": 2, "output_type": "np", "height": SIDE, "width": SIDE, "negative_prompt": "grey"}
    given = {name: value for name, value in (settings | options).items() if value is not ...}
    prompt = given.pop("prompt", "a cat")
    pictures: np.ndarray = pipe(prompt, generator=torch.Generator().manual_seed(0), **given).images
    return pictures


def told(adapter: InstructAdapter, encoding: Any, picture: Tensor, instruction: str, prompt: str | None) -> Tensor:
    """Condition tokens, without the help of what is tested."""
    words = encoding._table.embed([instruction])[0] if adapter.spec.instruction == "tokens" else None
    read = encoding._table.embed([prompt])[0] if prompt is not None else None
    with torch.no_grad():
        return adapter(picture, instruction=words, prompt=read)  # type: ignore[no-any-return]
