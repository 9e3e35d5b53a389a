"""Each kind of diffusers pipeline takes an adapter, listens to it, and is left as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    ControlNetModel,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    MotionAdapter,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from ipai.errors import ConfigError, WeightsError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.pipeline_extras import give_controlnet_a_say, write_lora
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, assert_unchanged, draw, snapshot

STYLE = Condition(PICTURE, "use the style")
TURNED = Condition(PICTURE.rotate(90), "use the style")
START = Image.new("RGB", (64, 64), "navy")
LINES = Image.effect_noise((64, 64), 90).convert("RGB")

INPUTS: dict[Any, dict[str, Any]] = {
    StableDiffusionImg2ImgPipeline: {"image": START, "strength": 1.0},
    StableDiffusionInpaintPipeline: {"image": START, "mask_image": Image.new("L", (64, 64), 255), "strength": 1.0},
    StableDiffusionControlNetPipeline: {"image": LINES},
    StableDiffusionControlNetImg2ImgPipeline: {"image": START, "control_image": LINES, "strength": 1.0},
}


def other(pipeline: Any, kind: Any) -> Any:
    parts = dict(pipeline.components)
    if "ControlNet" in kind.__name__:
        parts["controlnet"] = give_controlnet_a_say(ControlNetModel.from_unet(pipeline.unet))
    made = kind(**parts, requires_safety_checker=False)
    made.set_progress_bar_config(disable=True)
    return made


def picture(pipe: Any, inputs: dict[str, Any]) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return pipe("a cat", generator=generator, num_inference_steps=2, output_type="np", **inputs).images


@pytest.mark.parametrize(
    ("kind", "guidance"),
    [
        (StableDiffusionImg2ImgPipeline, None),
        (StableDiffusionInpaintPipeline, FourPass()),
        (StableDiffusionControlNetPipeline, FourPass()),
        (StableDiffusionControlNetImg2ImgPipeline, None),
    ],
)
def test_pipelines_listen_and_are_left_as_they_were(pipeline: Any, kind: Any, guidance: FourPass | None) -> None:
    pipe = other(pipeline, kind)
    before, plain = snapshot(pipe.unet), picture(pipe, INPUTS[kind])
    attached = attach(pipe, adapter_for(pipeline), base=CONFIG, scale=1.0)
    seen = []
    for condition in (STYLE, TURNED):
        attached.condition(condition, guidance=guidance)
        seen.append(picture(pipe, INPUTS[kind]))
    assert np.isfinite(seen).all()
    assert np.abs(seen[0] - plain).max() > 1e-4
    assert np.abs(seen[0] - seen[1]).max() > 1e-5
    attached.detach()
    assert_unchanged(pipe.unet, before)
    assert np.array_equal(picture(pipe, INPUTS[kind]), plain)


def test_a_controlnet_keeps_its_say(pipeline: Any) -> None:
    pipe = other(pipeline, StableDiffusionControlNetPipeline)
    attached = attach(pipe, adapter_for(pipeline), base=CONFIG)
    attached.condition(STYLE)
    with_lines = picture(pipe, {"image": LINES})
    assert np.abs(with_lines - picture(pipe, {"image": START})).max() > 1e-4
    attached.set_scale(0.0)
    without_adapter = picture(pipe, {"image": LINES})
    attached.detach()
    assert np.array_equal(picture(pipe, {"image": LINES}), without_adapter)


@pytest.mark.parametrize("lora_first", [True, False])
def test_a_lora_and_an_adapter_go_together_in_any_order(pipeline: Any, tmp_path: Path, lora_first: bool) -> None:
    write_lora(pipeline.unet, tmp_path)
    before, plain = snapshot(pipeline.unet), draw(pipeline)
    if lora_first:
        pipeline.load_lora_weights(tmp_path, adapter_name="wild")
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(STYLE)
    if not lora_first:
        pipeline.load_lora_weights(tmp_path, adapter_name="wild")
    both = draw(pipeline)
    pipeline.set_adapters("wild", 0.0)
    assert np.abs(draw(pipeline) - both).max() > 1e-4
    pipeline.set_adapters("wild", 1.0)
    attached.set_scale(0.0)
    lora_alone = draw(pipeline)
    assert np.abs(lora_alone - both).max() > 1e-5
    assert np.abs(lora_alone - plain).max() > 1e-4
    attached.detach()
    assert np.array_equal(draw(pipeline), lora_alone)
    pipeline.unload_lora_weights()
    assert_unchanged(pipeline.unet, before)
    assert np.array_equal(draw(pipeline), plain)


def test_animatediff_takes_an_adapter(pipeline: Any) -> None:
    motion = MotionAdapter(
        block_out_channels=pipeline.unet.config.block_out_channels,
        motion_layers_per_block=2,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        use_motion_mid_block=False,
    )
    parts = {name: pipeline.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    pipe = AnimateDiffPipeline(**parts, motion_adapter=motion)
    pipe.set_progress_bar_config(disable=True)

    def film() -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        settings = {"num_frames": 3, "num_inference_steps": 2, "height": 64, "width": 64, "output_type": "np"}
        return pipe("a cat", generator=generator, **settings).frames

    before, plain = snapshot(pipe.unet), film()
    attached = attach(pipe, adapter_for(pipeline), base=CONFIG)
    attached.condition(STYLE)
    styled = film()
    attached.condition(TURNED, guidance=FourPass())
    assert styled.shape == plain.shape == (1, 3, 64, 64, 3)
    assert np.abs(styled - plain).max() > 1e-4
    assert np.abs(styled - film()).max() > 1e-5
    attached.detach()
    assert_unchanged(pipe.unet, before)
    assert np.array_equal(film(), plain)


@pytest.mark.parametrize("kind", [EulerAncestralDiscreteScheduler, LCMScheduler])
def test_other_schedulers(pipeline: Any, kind: Any) -> None:
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    plain = draw(pipeline)
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(STYLE)
    assert np.abs(draw(pipeline) - plain).max() > 1e-5
    attached.set_scale(0.0)
    assert np.array_equal(draw(pipeline), plain)


def test_two_adapters_at_once(pipeline: Any) -> None:
    instruct, plus = adapter_for(pipeline), adapter_for(pipeline, instruction="none")
    attached = attach(pipeline, [instruct, plus], base=CONFIG, scale=1.0)
    attached.condition(STYLE, Condition(PICTURE, weight=0.0, adapter=1))
    first = draw(pipeline)
    attached.condition(STYLE)
    assert np.array_equal(draw(pipeline), first)
    attached.condition(STYLE, Condition(PICTURE.rotate(90), adapter=1))
    assert np.abs(draw(pipeline) - first).max() > 1e-5
    with pytest.raises(ConfigError, match="adapter=2"):
        attached.condition(Condition(PICTURE, "use the style", adapter=2))
    attached.detach()
    wrong = adapter_for(pipeline, attention_sizes=(320, 640))
    before = snapshot(pipeline.unet)
    with pytest.raises(WeightsError, match="2 image attentions"):
        attach(pipeline, [instruct, wrong], base=CONFIG)
    assert_unchanged(pipeline.unet, before)


def test_a_pipeline_of_another_model_is_refused(pipeline: Any) -> None:
    with pytest.raises(ConfigError, match="diffusers pipeline"):
        attach(object(), adapter_for(pipeline), base=CONFIG)
    attach(pipeline, adapter_for(pipeline), base=CONFIG)
    with pytest.raises(ConfigError, match="already holds"):
        attach(pipeline, adapter_for(pipeline), base=CONFIG)


def test_a_batch_of_prompts_equals_one_after_the_other(pipeline: Any) -> None:
    attached = attach(pipeline, adapter_for(pipeline, prompt_dim=32), base=CONFIG)
    attached.condition(STYLE, TURNED)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    together = draw(pipeline, ["a cat", "a dog"], latents=noise)
    for prompt, start, expected in zip(["a cat", "a dog"], noise, together, strict=True):
        assert np.abs(draw(pipeline, prompt, latents=start[None]) - expected).max() < 1e-4


def test_a_picture_is_encoded_once_and_its_tokens_made_once_a_call(
    pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    encoding = attached.encodings[0]
    images, tokens = [], []
    encode, make = encoding.base.encode_images, encoding.tokens
    monkeypatch.setattr(encoding.base, "encode_images", lambda pixels: images.append(1) or encode(pixels))
    monkeypatch.setattr(encoding, "tokens", lambda *given: tokens.append(1) or make(*given))
    for instruction in ("use the style", "use the face", "use everything"):
        attached.condition(Condition(PICTURE, instruction))
        draw(pipeline, num_inference_steps=4)
    assert (len(images), len(tokens)) == (1, 3 * 2)
