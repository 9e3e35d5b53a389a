"""The description of an adapter: sizes of the published variants, refusals, the way through a file's header."""

from typing import Any, get_args

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given
from hypothesis import strategies as st

from ipai.adapter import SD15_ATTENTION_SIZES, AdapterSpec, InstructAdapter, host_of
from ipai.adapter.attentions import ATTENTIONS
from ipai.adapter.spec import Attention, Instruction
from ipai.errors import ConfigError, WeightsError
from tests.helpers.specs import attention_sizes_of, paper_spec, plus_spec, released_spec

SIZE = st.integers(1, 4096)


@st.composite
def specs(draw: st.DrawFn) -> AdapterSpec:
    instruction = draw(st.sampled_from(get_args(Instruction)))
    tokens = instruction == "tokens"
    return AdapterSpec(
        *(draw(SIZE), draw(SIZE), tuple(draw(st.lists(SIZE, min_size=1, max_size=20)))),
        *(draw(SIZE), draw(st.integers(1, 64)), *(draw(SIZE) for _ in range(4))),
        instruction=instruction,
        instruction_dim=draw(SIZE),
        prompt_dim=draw(st.none() | SIZE) if tokens else None,
        mask_padding=draw(st.booleans()) if tokens else False,
    )


@pytest.mark.parametrize(
    ("spec", "parameters", "tensors"),
    [
        (plus_spec(), 49_087_488, 83),
        (paper_spec(), 68_767_488, 129),
        (paper_spec(instruction_dim=768), 68_570_880, 129),
        (released_spec(), 88_054_272, 175),
    ],
)
def test_variants_have_the_published_sizes(spec: AdapterSpec, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        adapter = InstructAdapter(spec)
    assert sum(parameter.numel() for parameter in adapter.parameters()) == parameters
    assert len(adapter.state_dict()) == tensors


def test_sd15_sizes_are_those_of_the_unet_and_end_with_the_middle_block() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            cross_attention_dim=768,
            attention_head_dim=8,
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )
    assert attention_sizes_of(unet) == SD15_ATTENTION_SIZES
    assert len(SD15_ATTENTION_SIZES) == 16
    assert host_of(unet).sites(unet)[-1].name.startswith("mid_block.")


def test_released_layout_names_and_shapes() -> None:
    with torch.device("meta"):
        state = InstructAdapter(released_spec()).state_dict()
    for branch, hidden in {"layers": 3072, "prompt_layers": 1536, "new_input_layers": 1536}.items():
        assert state[f"image_proj.{branch}.3.0.to_kv.weight"].shape == (1536, 768)
        assert state[f"image_proj.{branch}.3.0.norm2.bias"].shape == (768,)
        assert state[f"image_proj.{branch}.3.1.1.weight"].shape == (hidden, 768)
        assert state[f"image_proj.{branch}.3.1.3.weight"].shape == (768, hidden)
    assert state["image_proj.latents"].shape == (1, 16, 768)
    assert state["image_proj.proj_in.weight"].shape == (768, 1280)
    assert state["image_proj.proj_new_input.weight"].shape == (768, 768)
    assert state["image_proj.proj_prompt_input.bias"].shape == (768,)
    hidden_sizes = {1: 320, 3: 320, 5: 640, 9: 1280, 17: 1280, 19: 640, 25: 320, 29: 320, 31: 1280}
    for number, size in hidden_sizes.items():
        assert state[f"ip_adapter.{number}.to_k_ip.weight"].shape == (size, 768)


@given(specs())
def test_metadata_round_trip(spec: AdapterSpec) -> None:
    assert AdapterSpec.from_metadata(spec.to_metadata()) == spec


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"width": None}, "width"),
        ({"wide": "1"}, "wide"),
        ({"width": "seven"}, "cannot be read"),
        ({"width": "-1"}, "width"),
        ({"attention_sizes": "3"}, "cannot be read"),
        ({"instruction": '"guess"'}, "guess"),
    ],
)
def test_damaged_metadata_is_refused(change: dict[str, Any], word: str) -> None:
    metadata = {name: text for name, text in (AdapterSpec().to_metadata() | change).items() if text is not None}
    with pytest.raises(WeightsError, match=word):
        AdapterSpec.from_metadata(metadata)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"depth": 0}, "depth=0"),
        ({"heads": 1.5}, "heads"),
        ({"num_queries": True}, "num_queries"),
        ({"attention_sizes": ()}, "attention_sizes"),
        ({"attention_sizes": (320, 0)}, r"attention_sizes\[1\]"),
        ({"instruction": "words"}, "words"),
        ({"instruction": "pooled", "mask_padding": True}, "mask_padding"),
        ({"instruction": "none", "prompt_dim": 768}, "prompt_dim"),
    ],
)
def test_impossible_values_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        AdapterSpec(**change)


def test_the_kinds_of_attention_are_those_that_there_are() -> None:
    assert set(get_args(Attention)) == ATTENTIONS.keys()
    assert AdapterSpec(attention="joint").to_metadata()["attention"] == '"joint"'
    assert "attention" not in AdapterSpec().to_metadata()  # files of the first bases do not have it
    assert AdapterSpec.from_metadata(AdapterSpec(attention="normed").to_metadata()).attention == "normed"
    with pytest.raises(ConfigError, match="attention='crossed' must be one of decoupled"):
        AdapterSpec(attention="crossed")  # type: ignore[arg-type]
