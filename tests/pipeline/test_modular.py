"""The step for diffusers' modular pipelines draws what `attach` draws in an ordinary one."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import ClassifierFreeGuidance, StableDiffusionXLAutoBlocks

from ipai.backbones.backbone import Backbone
from ipai.errors import ConfigError
from ipai.pipeline import Condition, attach
from ipai.pipeline.modular import InstructStep
from tests.backbones.test_sdxl import CONFIG, SIDE, adapter_for, base, drawn, pipeline  # noqa: F401 (a fixture)
from tests.helpers.small_pipeline import PICTURE


def modular(base: Backbone, step: InstructStep) -> Any:  # noqa: F811
    blocks = StableDiffusionXLAutoBlocks()
    blocks.sub_blocks["ip_adapter"] = step
    pipe = blocks.init_pipeline()
    parts = base.pipeline().components
    wanted = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "scheduler")
    pipe.update_components(**{name: parts[name] for name in wanted}, guider=ClassifierFreeGuidance(guidance_scale=5.0))
    pipe.update_components(force_zeros_for_empty_prompt=False)
    return pipe


def test_it_draws_what_attach_draws(base: Backbone) -> None:  # noqa: F811
    adapter = adapter_for(base)
    attached = attach(pipeline(base), adapter, base=CONFIG)
    pictures = {}
    for told in ("use the style", "use the face"):
        attached.condition(Condition(PICTURE, told))
        pictures[told] = drawn(attached.pipeline)
    attached.detach()
    step = InstructStep(base.denoiser, adapter, base=CONFIG)
    pipe = modular(base, step)
    for told, wanted in pictures.items():
        made = pipe(
            prompt="a cat", negative_prompt="grey", condition_image=PICTURE, instruction=told, num_inference_steps=2,
            height=SIDE, width=SIDE, generator=torch.Generator().manual_seed(0), output_type="np", output="images",
        )  # fmt: skip
        assert np.abs(made - wanted).max() < 1e-4
    assert np.abs(pictures["use the style"] - pictures["use the face"]).max() > 1e-3
    step.eject()


def test_what_reads_the_prompt_is_refused(base: Backbone) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="use attach"):
        InstructStep(base.denoiser, adapter_for(base, prompt_dim=32), base=CONFIG)
