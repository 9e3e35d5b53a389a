"""What each variant is told, in one table; and that nothing else decides it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.families import read_dims
from ipai.backbones.micro import micro_config
from ipai.conditioning import Conditioning, reads_open_clip, spec_of
from ipai.errors import ConfigError, InstructionError
from tests.helpers.composing import compose

BASE = micro_config()
CPU = torch.device("cpu")
IPAI = Path(__file__).parents[1] / "ipai"
VARIANTS = {
    "tokens": ("adapter=instruct", "adapter.instruction=tokens"),
    "pooled": ("adapter=instruct", "adapter.instruction=pooled"),
    "task": ("adapter=instruct", "adapter.instruction=task_embedding"),
    "released": ("adapter=instruct_released",),
    "plus": ("adapter=ip_adapter_plus",),
}
# What each is told of the style task under "use the style", and what its adapter then takes besides the picture.
TOLD = {
    "tokens": ("use the style", {"instruction", "instruction_mask"}),
    "pooled": ("use the style", {"instruction", "instruction_mask"}),
    "task": ("style", {"task_index"}),
    "released": ("use the style", {"instruction", "instruction_mask", "prompt", "prompt_mask"}),
    "plus": (None, set()),
}


def spec(variant: str) -> AdapterSpec:
    config = compose("data.root=shards", "recipe=smoke", "base=micro", *VARIANTS[variant])
    return spec_of(config.adapter, config.base, read_dims(config.base))


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_told_what_it_hears_and_its_adapter_takes_it(variant: str, tmp_path: Path) -> None:
    made = spec(variant)
    conditioning, (words, names) = Conditioning(made), TOLD[variant]
    assert conditioning.told("style", "use the style") == words
    told = conditioning.checked(words, None)
    table = conditioning.table([], BASE, CPU, folder=tmp_path)
    assert (table is None) == (not conditioning.hears_words)
    prompt, mask = torch.randn(2, 77, 32), torch.ones(2, 77, dtype=torch.bool)
    inputs = conditioning.inputs([told, ""], table, CPU, prompt, mask)
    assert set(inputs) == names
    tokens = InstructAdapter(made)(torch.randn(2, 17, made.image_dim), **inputs)
    assert tokens.shape == (2, made.num_queries, made.token_dim)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mask_padding", [False, True])
def test_the_example_is_what_the_adapter_takes(variant: str, mask_padding: bool) -> None:
    made = replace(spec(variant), mask_padding=mask_padding and variant in ("tokens", "released"))
    example = Conditioning(made).example()
    example = {name: torch.zeros_like(value) for name, value in example.items()}
    InstructAdapter(made)(torch.randn(1, 17, made.image_dim), **example)


def test_only_the_paper_s_variants_need_the_clip_of_the_image_encoder() -> None:
    needed = {
        name: reads_open_clip(compose("data.root=shards", *words).adapter) for name, words in VARIANTS.items()
    }  # fmt: skip
    assert needed == {"tokens": True, "pooled": True, "task": False, "released": False, "plus": False}


def test_what_nobody_can_hear_is_refused() -> None:
    hearing, by_task, deaf = (Conditioning(spec(variant)) for variant in ("tokens", "task", "plus"))
    assert hearing.checked("use the {object}", "cat") == "use the cat"
    for text in (None, "", " "):
        with pytest.raises(InstructionError, match="empty"):
            hearing.checked(text, None)
    with pytest.raises(InstructionError, match="name of an object"):
        hearing.checked("use the {object}", None)
    with pytest.raises(ConfigError, match="there is no task"):
        by_task.checked("use the style", None)
    with pytest.raises(ConfigError, match="takes no instruction"):
        deaf.checked("use the style", None)
    assert deaf.checked(None, None) == ""
