"""What people do to a pipeline between two cells: each either works, or is told what to do, and that helps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from ipai.errors import ConfigError
from ipai.pipeline import Attachment, Condition, attach
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, draw

STYLE = Condition(PICTURE, "use the style")


def attached_to(pipe: Any) -> Attachment:
    attached = attach(pipe, adapter_for(pipe), base=CONFIG)
    attached.condition(STYLE)
    return attached


REPLACED: dict[str, Callable[[Any], object]] = {
    "sliced attention": lambda pipe: pipe.enable_attention_slicing(1),
    "processors of one's own": lambda pipe: pipe.unet.set_attn_processor(AttnProcessor()),
    "the default processors": lambda pipe: pipe.unet.set_default_attn_processor(),
    "fused projections": lambda pipe: pipe.unet.fuse_qkv_projections(),
}


@pytest.mark.parametrize("what", REPLACED)
def test_changed_processors_are_told_and_the_advice_helps(pipeline: Any, what: str) -> None:
    attached = attached_to(pipeline)
    wanted = draw(pipeline)
    REPLACED[what](pipeline)
    with pytest.raises(ConfigError, match="set them first and attach then, or detach"):
        draw(pipeline)
    attached.detach()
    attached_to(pipeline)
    assert abs(draw(pipeline) - wanted).max() < 1e-4


@pytest.mark.parametrize("what", ["sliced attention", "processors of one's own"])
def test_set_before_they_work(pipeline: Any, what: str) -> None:
    REPLACED[what](pipeline)
    attached_to(pipeline)
    assert draw(pipeline).shape == (1, 64, 64, 3)


def test_attached_twice_says_how_to_take_the_first_out(pipeline: Any) -> None:
    first = attached_to(pipeline)
    with pytest.raises(ConfigError, match="already holds an IP-Adapter"):
        attached_to(pipeline)
    first.detach()
    attached_to(pipeline)
    draw(pipeline)


USES: dict[str, Callable[[Attachment], object]] = {
    "condition": lambda attached: attached.condition(STYLE),
    "condition_each": lambda attached: attached.condition_each([STYLE]),
    "set_scale": lambda attached: attached.set_scale(0.5),
    "detach": lambda attached: attached.detach(),
}


@pytest.mark.parametrize("method", USES)
def test_what_was_detached_says_so(pipeline: Any, method: str) -> None:
    attached = attached_to(pipeline)
    attached.detach()
    with pytest.raises(ConfigError, match="was detached from its pipeline; attach it again"):
        USES[method](attached)
    attached_to(pipeline)
    draw(pipeline)


def test_without_a_condition_it_is_told_and_conditioning_helps(pipeline: Any) -> None:
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    with pytest.raises(ConfigError, match=r"call condition\(...\) first, or detach"):
        draw(pipeline)
    attached.condition(STYLE)
    draw(pipeline)


def test_a_compiled_unet_says_what_comes_first(pipeline: Any) -> None:
    pipeline.unet = torch.compile(pipeline.unet, backend="eager")
    with pytest.raises(ConfigError, match="put the adapter in first and compile then"):
        attached_to(pipeline)
