"""The resampler against independent forms, its masks, its refusals and its precision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter, Resampler
from ipai.adapter.resampler import PerceiverAttention
from ipai.errors import ConfigError
from tests.helpers.specs import released_spec


def attention_as_published(module: PerceiverAttention, context: Tensor, latents: Tensor) -> Tensor:
    """softmax((q s)(k s)^T) v with s = head_dim^(-1/4), written out head by head."""
    context, latents = module.norm1(context), module.norm2(latents)
    both = torch.cat([context, latents], dim=1)
    inner = module.to_q.out_features
    query, key, value = module.to_q(latents), module.to_kv(both)[..., :inner], module.to_kv(both)[..., inner:]
    dim = inner // module.heads
    out = []
    for head in range(module.heads):
        part = slice(head * dim, (head + 1) * dim)
        weights = torch.einsum("bqd,bkd->bqk", query[..., part] * dim**-0.25, key[..., part] * dim**-0.25).softmax(-1)
        out.append(weights @ value[..., part])
    return module.to_out(torch.cat(out, dim=-1))


def test_attention_equals_the_published_form() -> None:
    torch.manual_seed(0)
    module = PerceiverAttention(width=24, heads=3, head_dim=8).double()
    context, latents = torch.randn(2, 9, 24).double(), torch.randn(2, 4, 24).double()
    expected = attention_as_published(module, context, latents)
    torch.testing.assert_close(module(context, latents), expected, rtol=0, atol=1e-12)


def test_order_is_image_then_prompt_then_instruction(
    released: InstructAdapter, cond_tokens: Tensor, texts: Tensor
) -> None:
    """The whole forward, written out, with each residual in the order of the released checkpoint (paper section 3)."""
    module = released.image_proj.double()
    image, prompt, instruction = cond_tokens.double(), texts.double(), texts.flip(1).double()
    inputs = [
        (module.layers, module.proj_in(image)),
        (module.prompt_layers, module.proj_prompt_input(prompt)),
        (module.new_input_layers, module.proj_new_input(instruction)),
    ]
    latents = module.latents.repeat(2, 1, 1)
    for iteration in range(released.spec.depth):
        for layers, context in inputs:
            attention, feed_forward = layers[iteration]
            latents = latents + attention_as_published(attention, context, latents)
            latents = latents + feed_forward(latents)
    expected = module.norm_out(module.proj_out(latents))
    torch.testing.assert_close(module(image, instruction, prompt), expected, rtol=0, atol=1e-10)


@pytest.fixture
def masking(small: AdapterSpec) -> Resampler:
    torch.manual_seed(6)
    return Resampler(replace(small, prompt_dim=small.instruction_dim, mask_padding=True))


def test_masked_padding_changes_nothing(masking: Resampler, cond_tokens: Tensor, texts: Tensor) -> None:
    mask = torch.arange(7) < torch.tensor([[3], [7]])
    noise = texts + 100 * ~mask[..., None]
    before = masking(cond_tokens, texts, texts, mask, mask)
    assert torch.equal(before, masking(cond_tokens, noise, noise, mask, mask))
    changed = masking(cond_tokens, texts + mask[..., None], texts, mask, mask)
    assert not torch.allclose(before, changed)


def test_masked_equals_shortened(masking: Resampler, cond_tokens: Tensor, texts: Tensor) -> None:
    mask = (torch.arange(7) < 3).expand(2, -1)
    unmasked = Resampler(replace(masking.spec, mask_padding=False))
    unmasked.load_state_dict(masking.state_dict())
    expected = unmasked(cond_tokens, texts[:, :3], texts[:, :3])
    torch.testing.assert_close(masking(cond_tokens, texts, texts, mask, mask), expected)


def test_a_fully_masked_instruction_gives_numbers(masking: Resampler, cond_tokens: Tensor, texts: Tensor) -> None:
    nothing = torch.zeros(2, 7, dtype=torch.bool)
    assert masking(cond_tokens, texts, texts, nothing, nothing).isfinite().all()


def test_without_mask_padding_the_padding_is_seen(small: AdapterSpec, cond_tokens: Tensor, texts: Tensor) -> None:
    module, mask = Resampler(small), torch.arange(7).expand(2, -1) < 3
    tokens = module(cond_tokens, texts, instruction_mask=mask)
    assert torch.equal(tokens, module(cond_tokens, texts))
    assert not torch.allclose(tokens, module(cond_tokens, texts + ~mask[..., None], instruction_mask=mask))


@pytest.mark.parametrize("mask", [None, torch.ones(2, 7), torch.ones(2, 6, dtype=torch.bool)])
def test_bad_masks_are_refused(masking: Resampler, cond_tokens: Tensor, texts: Tensor, mask: Tensor | None) -> None:
    with pytest.raises(ConfigError, match="instruction_mask"):
        masking(cond_tokens, texts, texts, mask, torch.ones(2, 7, dtype=torch.bool))


def test_missing_and_superfluous_inputs_are_refused(
    small: AdapterSpec, plus: InstructAdapter, cond_tokens: Tensor, texts: Tensor
) -> None:
    with pytest.raises(ConfigError, match="needs the instruction"):
        Resampler(small)(cond_tokens)
    with pytest.raises(ConfigError, match="has no prompt"):
        Resampler(small)(cond_tokens, texts, texts)
    with pytest.raises(ConfigError, match="has no instruction"):
        plus.image_proj(cond_tokens, texts)
    with pytest.raises(ConfigError, match=r"cond_tokens must be .* 24\]"):
        Resampler(small)(cond_tokens[..., 1:], texts)
    with pytest.raises(ConfigError, match="instruction must be"):
        Resampler(small)(cond_tokens, texts[:, 0])


def test_float16_weights_are_refused(small: AdapterSpec, cond_tokens: Tensor, texts: Tensor) -> None:
    with pytest.raises(ConfigError, match="float16"):
        Resampler(small).half()(cond_tokens, texts)


def test_float16_autocast_and_inputs_leave_the_resampler_in_float32(
    small: AdapterSpec, cond_tokens: Tensor, texts: Tensor
) -> None:
    """Weights for which float16 overflows (paper section 7) and float32 does not."""
    module = Resampler(small)
    with torch.no_grad():
        module.layers[0][1][3].weight.mul_(1e6)
    half = cond_tokens.half(), texts.half()
    expected = module(half[0].float(), half[1].float())
    with torch.autocast("cpu", torch.float16):
        unguarded = module.layers[0](module.proj_in(cond_tokens), module.latents.expand(2, -1, -1))
        tokens = module(*half)
        assert torch.is_autocast_enabled("cpu")
    assert not unguarded.isfinite().all()
    assert tokens.dtype is torch.float32
    assert torch.equal(tokens, expected)


def test_bfloat16_is_allowed(small: AdapterSpec, cond_tokens: Tensor, texts: Tensor) -> None:
    module = Resampler(small)
    expected = module(cond_tokens, texts)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(cond_tokens, texts).float(), expected, rtol=0.1, atol=0.1)
    tokens = module.bfloat16()(cond_tokens, texts)
    assert tokens.dtype is torch.bfloat16
    torch.testing.assert_close(tokens.float(), expected, rtol=0.1, atol=0.1)


def test_shapes_on_the_meta_device() -> None:
    spec = released_spec()
    with torch.device("meta"):
        tokens = Resampler(spec)(torch.empty(3, 257, 1280), torch.empty(3, 77, 768), torch.empty(3, 77, 768))
    assert tokens.shape == (3, 16, 768)


def test_compiles_without_a_graph_break(
    plus: InstructAdapter, started_from: Callable[..., InstructAdapter], cond_tokens: Tensor, texts: Tensor
) -> None:
    module = started_from(plus).image_proj
    compiled: Any = torch.compile(module, backend="eager", fullgraph=True)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            torch.testing.assert_close(compiled(cond_tokens, texts), module(cond_tokens, texts))
