"""What the four passes of the released guidance are given, held to the table of `FourPass`."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from ipai.errors import ConfigError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.sampling.settings import sampling_of
from ipai.pipeline import Attachment, Condition, FourPass, attach
from ipai.pipeline.settings import DrawingConfig
from ipai.schema import typed
from tests.helpers.composing import compose
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, draw
from tests.pipeline.test_drawing import raw_settings

PROMPT, NEGATIVE, QUERY = "a red cat", "blurred, grey", "use the style"
CONDITION = Condition(PICTURE, QUERY)
_DOORS = ("checkpoint=a", "guidance=four_pass", "negative=dull")
RELEASED = {"prompt_dim": 32}
TABLE = {  # pass: picture, instruction, prompt of the adapter, prompt of the UNet
    "null": (None, "", NEGATIVE, NEGATIVE),
    "image": (PICTURE, NEGATIVE, NEGATIVE, NEGATIVE),
    "every": (PICTURE, "everything", PROMPT, NEGATIVE),
    "full": (PICTURE, QUERY, PROMPT, PROMPT),
}


def seen_by(unet: Any) -> list[tuple[Tensor, Tensor]]:
    """What the UNet is given at each call from now on: condition tokens [B, 16, D] and prompt [B, 77, D]."""
    seen: list[tuple[Tensor, Tensor]] = []

    def look(_unet: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        seen.append((kwargs["added_cond_kwargs"]["image_embeds"][0][:, 0], kwargs["encoder_hidden_states"]))

    unet.register_forward_pre_hook(look, with_kwargs=True)
    return seen


def expected(pipe: Any, attached: Attachment, row: tuple[Any, str, str, str]) -> tuple[Tensor, Tensor]:
    """Tokens and prompt of one row of the table, made by the adapter itself."""
    picture, instruction, of_adapter, of_unet = row
    encoding = attached.encodings[0]
    text, _ = encoding._table.embed([instruction])  # type: ignore[union-attr]
    image = encoding.null_image if picture is None else encoding.image(picture)
    texts = [pipe.encode_prompt(words, "cpu", 1, False)[0] for words in (of_adapter, of_unet)]
    prompt = texts[0] if encoding.adapter.spec.prompt_dim else None
    return encoding.adapter(image, instruction=text, prompt=prompt)[0], texts[1][0]


@pytest.mark.parametrize("changes", [{}, RELEASED], ids=["paper", "released"])
def test_every_pass_gets_what_the_table_says(pipeline: Any, changes: dict[str, Any]) -> None:
    attached = attach(pipeline, adapter_for(pipeline, **changes), base=CONFIG)
    attached.condition(CONDITION, guidance=FourPass())
    seen = seen_by(pipeline.unet)
    draw(pipeline, PROMPT, negative_prompt=NEGATIVE)
    tokens, prompts = seen[0]
    assert len(tokens) == len(prompts) == 4
    with torch.no_grad():
        for number, row in enumerate(TABLE.values()):
            wanted_tokens, wanted_prompt = expected(pipeline, attached, row)
            assert (tokens[number] - wanted_tokens).abs().max() < 1e-5, list(TABLE)[number]
            assert torch.equal(prompts[number], wanted_prompt)


def test_the_released_formula(pipeline: Any) -> None:
    """e_null + s_instruct (e_full - e_every) + s_text (e_every - e_image) + s_image (e_image - e_null)."""
    null, image, every, full = torch.randn(4, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    combined = FourPass(s_instruct=2.0, s_text=5.0, s_image=1.5).combine(torch.cat([null, image, every, full]))
    assert torch.allclose(combined, 2.0 * full + 3.0 * every - 3.5 * image - 0.5 * null, atol=1e-5)


def test_several_negative_prompts_reach_the_third_pass_each_its_own_row(pipeline: Any) -> None:
    attached = attach(pipeline, adapter_for(pipeline, **RELEASED), base=CONFIG)
    attached.condition(CONDITION, guidance=FourPass())
    seen = seen_by(pipeline.unet)
    options = {"num_images_per_prompt": 2, "num_inference_steps": 1}
    draw(pipeline, [PROMPT, "a house"], negative_prompt=[NEGATIVE, "dull"], **options)
    both = seen[0][0].unflatten(0, (4, 4))[1]
    for row, negative in zip((0, 2), (NEGATIVE, "dull"), strict=True):
        draw(pipeline, PROMPT, negative_prompt=negative, **options)
        assert (seen[-1][0].unflatten(0, (4, 2))[1] - both[row : row + 2]).abs().max() < 1e-5


def test_a_text_of_ones_own_takes_the_negative_prompts_place(pipeline: Any) -> None:
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(CONDITION, guidance=FourPass(negative=NEGATIVE))
    given = draw(pipeline, PROMPT)
    attached.condition(CONDITION, guidance=FourPass())
    assert np.abs(draw(pipeline, PROMPT) - given).max() > 1e-5


def test_encoded_prompts_have_no_text_for_the_third_pass(pipeline: Any) -> None:
    prompt, negative = pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(CONDITION, guidance=FourPass())
    encoded = {"prompt_embeds": prompt, "negative_prompt_embeds": negative}
    with pytest.raises(ConfigError, match=r"FourPass\(negative="):
        draw(pipeline, None, **encoded)
    text = draw(pipeline, PROMPT, negative_prompt=NEGATIVE)
    attached.condition(CONDITION, guidance=FourPass(negative=NEGATIVE))
    assert np.abs(draw(pipeline, None, **encoded) - text).max() < 1e-5


def test_the_negative_prompt_of_each_door_reaches_the_third_pass() -> None:
    assert (
        typed(raw_settings(*_DOORS, "image=a", "instruction=[b]"), DrawingConfig).chosen_guidance().negative == "dull"
    )
    config = typed(raw_settings(*_DOORS, "run=a", name="evaluate"), EvaluationConfig)
    subject = SimpleNamespace(
        training=None,
        base=compose("data.root=shards").base,
        adapter=SimpleNamespace(spec=SimpleNamespace(instruction="tokens", prompt_dim=None)),
    )
    sampling = sampling_of(config, cast(Any, subject), "object")
    assert (sampling.negative, cast(FourPass, sampling.guidance).negative) == ("dull", "dull")


@pytest.mark.parametrize("guidance_scale", [1.0, 0.0])
def test_without_guidance_there_is_one_pass_whatever_the_scales(pipeline: Any, guidance_scale: float) -> None:
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(CONDITION)
    ordinary = draw(pipeline, guidance_scale=guidance_scale)
    attached.condition(CONDITION, guidance=FourPass(9.0, 9.0, 9.0))
    seen = seen_by(pipeline.unet)
    assert np.array_equal(draw(pipeline, guidance_scale=guidance_scale), ordinary)
    assert len(seen[0][0]) == 1


def test_guidance_rescale_acts_as_in_ordinary_guidance(pipeline: Any) -> None:
    attached = attach(pipeline, adapter_for(pipeline), base=CONFIG)
    attached.condition(CONDITION)
    ordinary = draw(pipeline, guidance_rescale=0.7)
    attached.condition(CONDITION, guidance=FourPass(5.0, 5.0, 5.0))
    assert np.abs(draw(pipeline, guidance_rescale=0.7) - ordinary).max() < 1e-4
    assert np.abs(draw(pipeline) - ordinary).max() > 1e-4
