"""Attached to diffusers' own pipelines on the miniature: same pictures as diffusers', and nothing left behind."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from ipai.adapter.formats import export_ip_adapter
from ipai.backbones.hub import locate
from ipai.errors import ConfigError, DataError, InstructionError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, draw


def test_equals_diffusers_own_loader(pipeline: Any, tmp_path: Path) -> None:
    adapter = adapter_for(pipeline, instruction="none")
    export_ip_adapter(adapter, tmp_path / "plus.safetensors")
    attachment = attach(pipeline, tmp_path / "plus.safetensors", base=CONFIG, scale=0.7)
    attachment.condition(Condition(PICTURE))
    ours = draw(pipeline)
    attachment.detach()
    encoder = CLIPVisionModelWithProjection.from_pretrained(locate(CONFIG, ["image_encoder"])["image_encoder"])
    pipeline.register_modules(
        image_encoder=encoder.eval(),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
    )
    pipeline.load_ip_adapter(
        tmp_path, subfolder="", weight_name="plus.safetensors", image_encoder_folder=None, local_files_only=True
    )
    pipeline.set_ip_adapter_scale(0.7)
    assert np.abs(ours - draw(pipeline, ip_adapter_image=PICTURE)).max() < 1e-5
    assert np.abs(ours - draw(pipeline, ip_adapter_image=PICTURE.rotate(90))).max() > 1e-4


def test_zero_scale_is_no_adapter_and_detach_leaves_nothing(pipeline: Any) -> None:
    processors, config = dict(pipeline.unet.attn_processors), dict(pipeline.unet.config)
    before, plain = {k: v.clone() for k, v in pipeline.unet.state_dict().items()}, draw(pipeline)
    attachment = attach(pipeline, adapter_for(pipeline), base=CONFIG, scale=0.0)
    attachment.condition(Condition(PICTURE, "use the style"))
    assert np.array_equal(draw(pipeline), plain)
    attachment.set_scale({"up_blocks.1": 1.0})
    assert not np.array_equal(draw(pipeline), plain)
    attachment.detach()
    after = pipeline.unet.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(pipeline.unet.attn_processors[name] is processors[name] for name in processors)
    assert dict(pipeline.unet.config) == config
    assert np.array_equal(draw(pipeline), plain)


@pytest.mark.parametrize("changes", [{}, {"prompt_dim": 32}], ids=["instruct", "released"])
def test_equal_scales_collapse_to_ordinary_guidance(pipeline: Any, changes: dict[str, Any]) -> None:
    attachment = attach(pipeline, adapter_for(pipeline, **changes), base=CONFIG)
    condition = Condition(PICTURE, "use the {object}", object="cat")
    attachment.condition(condition)
    ordinary = draw(pipeline, ["a cat", "a dog"])
    attachment.condition(condition, guidance=FourPass(5.0, 5.0, 5.0))
    assert np.abs(draw(pipeline, ["a cat", "a dog"], guidance_scale=3.0) - ordinary).max() < 1e-4
    attachment.condition(condition, guidance=FourPass(9.0, 5.0, 1.0))
    assert np.abs(draw(pipeline, ["a cat", "a dog"]) - ordinary).max() > 1e-4


def test_weights_of_several_conditions_add_up(pipeline: Any) -> None:
    attachment = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attachment.condition(Condition(PICTURE, "use the style"))
    one = draw(pipeline)
    halves = [Condition(PICTURE, "use the style", weight=0.5)] * 2
    attachment.condition(*halves)
    assert np.abs(draw(pipeline) - one).max() < 1e-4
    attachment.condition(halves[0], Condition(PICTURE.rotate(90), "use the face", weight=0.5))
    assert np.abs(draw(pipeline) - one).max() > 1e-4


@pytest.fixture
def attached(pipeline: Any) -> Any:
    return attach(pipeline, adapter_for(pipeline), base=CONFIG)


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        (Condition(PICTURE, " "), InstructionError, "empty"),
        (Condition(PICTURE, "use the {object}"), InstructionError, "name of an object"),
        (Condition("absent.png", "use the style"), DataError, "absent.png"),
        (Condition(__file__, "use the style"), DataError, r"test_attachment\.py cannot be used: not_an_image"),
        (Condition(cast(Any, b"bytes"), "use the style"), DataError, "a path, a PIL image or a tensor, not bytes"),
        (Condition(torch.full((3, 8, 8), torch.nan), "use the style"), DataError, "NaN"),
        (Condition(torch.zeros(1, 8, 8), "use the style"), DataError, "3, H, W"),
    ],
)
def test_unusable_conditions(attached: Any, condition: Condition, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        attached.condition(condition)


def test_refuses_misuse(attached: Any, pipeline: Any) -> None:
    with pytest.raises(ConfigError, match="no condition image"):
        draw(pipeline)
    with pytest.raises(ConfigError, match="no image attention"):
        attached.set_scale({"up_blocks.9": 1.0})
    attached.detach()
    with pytest.raises(ConfigError, match="was detached"):
        attached.detach()


@pytest.mark.parametrize(
    ("changes", "guidance"),
    [
        ({}, None),
        ({}, FourPass()),
        ({"prompt_dim": 32}, FourPass()),
        ({"instruction": "task_embedding", "num_tasks": 6}, None),
    ],
    ids=["ordinary", "four-pass", "released", "task-embedding"],
)
def test_a_batch_in_which_each_has_its_own_condition_is_as_one_by_one(
    pipeline: Any, changes: dict[str, Any], guidance: FourPass | None
) -> None:
    attachment = attach(pipeline, adapter_for(pipeline, **changes), base=CONFIG)
    words = ("style", "face") if "instruction" in changes else ("use the style", "use the cat and nothing else")
    conditions = [Condition(PICTURE, words[0]), Condition(PICTURE.rotate(90), words[1])]
    prompts = ["a cat", "a red dog"]

    def paint(wanted: list[str]) -> np.ndarray:
        seeds = [torch.Generator().manual_seed(len(prompt)) for prompt in wanted]
        options = {"num_inference_steps": 2, "height": 64, "width": 64, "output_type": "np", "guidance_scale": 3.0}
        return cast(np.ndarray, pipeline(wanted, generator=seeds, **options).images)

    attachment.condition_each(conditions, guidance)
    together = paint(prompts)
    with pytest.raises(ConfigError, match="2 conditions were chosen for a batch of 1"):
        paint(prompts[:1])
    for row, (condition, prompt) in enumerate(zip(conditions, prompts, strict=True)):
        attachment.condition(condition, guidance=guidance)
        assert np.abs(paint([prompt])[0] - together[row]).max() < 2e-4
    attachment.condition_each(conditions[::-1], guidance)
    assert np.abs(paint(prompts) - together).max() > 1e-3
    with pytest.raises(ConfigError, match="the same adapter and weight"):
        attachment.condition_each([conditions[0], Condition(PICTURE, "style", weight=0.5)])
