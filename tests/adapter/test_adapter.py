"""The adapter's start: equal to IP-Adapter Plus to the bit, and able to move from there."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter, initialise, is_new_branch
from ipai.errors import ConfigError

VARIANTS: list[dict[str, Any]] = [
    {"instruction": "tokens"},
    {"instruction": "tokens", "mask_padding": True},
    {"instruction": "pooled"},
    {"instruction": "task_embedding"},
    {"instruction": "tokens", "prompt_dim": 20},
]
Make = Callable[..., InstructAdapter]


def inputs_for(spec: AdapterSpec, texts: Tensor) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    if spec.instruction == "task_embedding":
        inputs["task_index"] = torch.tensor([4, 0])
    else:
        inputs["instruction"] = texts[:, 0] if spec.instruction == "pooled" else texts
    if spec.prompt_dim is not None:
        inputs["prompt"] = texts.flip(1)
    if spec.mask_padding:
        inputs["instruction_mask"] = torch.arange(texts.shape[1]).expand(2, -1) < 3
    return inputs


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
def test_step_zero_equals_ip_adapter_plus_to_the_bit(
    plus: InstructAdapter,
    started_from: Make,
    cond_tokens: Tensor,
    texts: Tensor,
    changes: dict[str, Any],
    autocast: torch.dtype | None,
) -> None:
    adapter = started_from(plus, **changes)
    with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
        tokens = adapter(cond_tokens, **inputs_for(adapter.spec, texts))
        expected = plus(cond_tokens)
    assert tokens.shape == (2, 4, 32)
    assert tokens.dtype == expected.dtype
    assert torch.equal(tokens, expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(seed=st.integers(0, 2**31), scale=st.floats(-1e4, 1e4), length=st.integers(1, 77))
def test_step_zero_holds_for_any_instruction(
    plus: InstructAdapter, started_from: Make, cond_tokens: Tensor, seed: int, scale: float, length: int
) -> None:
    instruction = torch.randn(2, length, 20, generator=torch.Generator().manual_seed(seed)) * scale
    assert torch.equal(started_from(plus)(cond_tokens, instruction), plus(cond_tokens))


@pytest.mark.parametrize("changes", VARIANTS)
def test_new_branch_is_small_noise_with_zero_last_linears(
    plus: InstructAdapter, started_from: Make, changes: dict[str, Any]
) -> None:
    adapter = started_from(plus, **changes)
    new = {name: tensor for name, tensor in adapter.state_dict().items() if is_new_branch(name)}
    assert set(adapter.state_dict()) - set(new) == set(plus.state_dict())
    zero = {name for name, tensor in new.items() if not tensor.any()}
    norms = {name for name in new if "norm" in name or name.endswith((".1.0.weight", ".1.0.bias"))}
    assert zero - norms == {name for name in new if name.endswith((".0.to_out.weight", ".1.3.weight"))}
    for name in norms:
        assert (new[name] == float(name.endswith("weight"))).all()
    for name in set(new) - zero - norms - {"task_embedding.weight"}:
        if new[name].numel() > 500:
            assert new[name].std().item() == pytest.approx(1e-4, rel=0.15), name
        assert new[name].abs().max() < 6e-4, name


@pytest.mark.parametrize("changes", VARIANTS)
def test_training_moves_the_new_branch(
    plus: InstructAdapter, started_from: Make, cond_tokens: Tensor, texts: Tensor, changes: dict[str, Any]
) -> None:
    adapter = started_from(plus, **changes)
    inputs = inputs_for(adapter.spec, texts)
    target = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(7))
    optimizer = torch.optim.AdamW(adapter.image_proj.parameters(), lr=1e-3)

    def gradients() -> dict[str, float]:
        optimizer.zero_grad()
        (adapter(cond_tokens, **inputs) - target).square().mean().backward()
        named = adapter.named_parameters()
        return {name: float(p.grad.abs().max()) for name, p in named if p.grad is not None and is_new_branch(name)}

    last = (".0.to_out.weight", ".1.3.weight")
    first = gradients()
    assert all(first[name] > 0 for name in first if name.endswith(last))
    optimizer.step()
    second = gradients()
    assert len(second) == sum(is_new_branch(name) for name in adapter.state_dict())
    assert all(size > 0 for size in second.values()), second
    optimizer.step()
    other = inputs_for(adapter.spec, texts.roll(1, 0))
    if "task_index" in other:
        other["task_index"] = torch.tensor([1, 2])
    assert not torch.equal(adapter(cond_tokens, **other), adapter(cond_tokens, **inputs))


def test_initialise_depends_on_the_seed_alone(small: AdapterSpec) -> None:
    torch.manual_seed(0)
    one = InstructAdapter(small)
    existing = {name: tensor.clone() for name, tensor in one.state_dict().items() if not is_new_branch(name)}
    initialise(one, seed=3)
    torch.manual_seed(1)
    two = InstructAdapter(small)
    state = torch.get_rng_state()
    initialise(two, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, existing[name] if name in existing else two.state_dict()[name]), name
    initialise(two, seed=4)
    name = "image_proj.new_input_layers.0.0.to_q.weight"
    assert not torch.equal(one.state_dict()[name], two.state_dict()[name])


def test_task_embedding_selects_its_row(small: AdapterSpec, cond_tokens: Tensor) -> None:
    adapter = InstructAdapter(replace(small, instruction="task_embedding", num_tasks=3))
    assert adapter.state_dict()["task_embedding.weight"].shape == (3, 20)
    tokens = adapter(cond_tokens, task_index=torch.tensor([2, 1]))
    expected = adapter.image_proj(cond_tokens, adapter.task_embedding.weight[[2, 1], None])
    assert torch.equal(tokens, expected)


def test_wrong_instruction_inputs_are_refused(small: AdapterSpec, cond_tokens: Tensor, texts: Tensor) -> None:
    index = torch.tensor([0, 1])
    by_task = InstructAdapter(replace(small, instruction="task_embedding"))
    with pytest.raises(ConfigError, match="needs task_index"):
        by_task(cond_tokens)
    with pytest.raises(ConfigError, match="in place of the instruction"):
        by_task(cond_tokens, texts, task_index=index)
    with pytest.raises(ConfigError, match="was given task_index"):
        InstructAdapter(small)(cond_tokens, texts, task_index=index)
    pooled = InstructAdapter(replace(small, instruction="pooled"))
    with pytest.raises(ConfigError, match="one vector for each sample"):
        pooled(cond_tokens, texts)
    assert torch.equal(pooled(cond_tokens, texts[:, 0]), pooled(cond_tokens, texts[:, :1]))
