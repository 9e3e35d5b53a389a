"""The miniature in diffusers' pipeline, adapters for it, and a picture of two steps."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image

from ipai.adapter import AdapterSpec, InstructAdapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import load_base
from ipai.backbones.micro import micro_config
from tests.helpers.specs import attention_sizes_of

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (56, 56, 3), dtype=np.uint8))
CONFIG: BaseConfig = replace(micro_config(), dtype="fp32")


def make_pipeline() -> Any:
    """Text to image with random weights."""
    base = load_base(CONFIG, "cpu")
    pipe = StableDiffusionPipeline(
        vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=base.denoiser,
        scheduler=DDIMScheduler.from_config(base.scheduler.config), requires_safety_checker=False,
        safety_checker=None, feature_extractor=None,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def adapter_for(pipe: Any, **changes: Any) -> InstructAdapter:
    """An adapter with random weights of the pipeline's sizes."""
    torch.manual_seed(0)
    sizes = attention_sizes_of(pipe.unet)
    spec = AdapterSpec(64, 32, sizes, width=128, heads=2, instruction_dim=32)
    return InstructAdapter(replace(spec, **changes))


def draw(pipe: Any, prompt: Any = "a cat", **options: Any) -> np.ndarray:
    """The pictures [N, H, W, 3] of seed 0."""
    settings = {"num_inference_steps": 2, "guidance_scale": 5.0, "height": 64, "width": 64, "output_type": "np"}
    generator = torch.Generator().manual_seed(0)
    return pipe(prompt, generator=generator, **settings | options).images


def snapshot(unet: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """Weights, processors and configuration of a UNet."""
    return {k: v.clone() for k, v in unet.state_dict().items()}, dict(unet.attn_processors), dict(unet.config)


def assert_unchanged(unet: Any, before: tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]) -> None:
    """Weights equal to the bit, the same processor objects, the same configuration."""
    weights, processors, config = before
    after = unet.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert unet.attn_processors.keys() == processors.keys()
    assert all(unet.attn_processors[name] is processors[name] for name in processors)
    assert dict(unet.config) == config
