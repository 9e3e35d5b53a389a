"""The paper's claims about a step, on the assembled parts."""

from collections.abc import Callable

import pytest
import torch

from ipai.backbones.backbone import EncodedPrompts
from ipai.data.collate import Batch
from ipai.errors import ConfigError
from ipai.training.loop import Parts

Assemble = Callable[..., Parts]


def first_batch(parts: Parts) -> Batch:
    return next(parts.micro_batches(0)).to(parts.accelerator.device)


def backward(parts: Parts, batch: Batch) -> None:
    parts.step.error(batch).mean().backward()


def test_the_base_gets_no_gradient_and_the_adapter_does(parts: Assemble) -> None:
    built = parts()
    backward(built, first_batch(built))
    adapter = dict(built.step.module.adapter.named_parameters())
    own = {id(parameter) for parameter in adapter.values()}
    others = [p for p in built.step.module.parameters() if id(p) not in own]
    base = [p for network in (built.step.base.vae, built.step.base.text_encoder, built.step.base.image_encoder)
            for p in network.parameters()]  # fmt: skip
    assert len(others) > 500
    assert not any(p.requires_grad or p.grad is not None for p in [*others, *base])
    moved = [name for name, p in adapter.items() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {"image_proj.latents", "ip_adapter.1.to_k_ip.weight", "ip_adapter.31.to_v_ip.weight"} <= set(moved)
    # The new branch starts at zero behind its last linears: those are the ones that can move first.
    assert any(name.startswith("image_proj.new_input_layers") for name in moved)


def test_no_parameter_is_left_out_of_the_graph(parts: Assemble) -> None:
    """DDP would wait for a parameter without a gradient; a dropped image is the null image, not a skipped branch."""
    for overrides in ((), ("adapter=instruct_released",), ("experiment=task_embedding",)):
        built = parts(*overrides)
        backward(built, first_batch(built))
        assert all(p.grad is not None for p in built.step.module.adapter.parameters())


def test_at_step_0_the_instruction_makes_no_difference(parts: Assemble) -> None:
    built = parts()
    batch = first_batch(built)
    inputs, _ = built.step.inputs(batch)
    other = inputs | {"instruction": torch.randn_like(inputs["instruction"])}
    with torch.no_grad():
        assert torch.equal(built.step.predictor(**inputs)[0], built.step.predictor(**other)[0])


def test_a_dropped_image_is_the_encoding_of_zeros(parts: Assemble) -> None:
    built = parts("data.drop.image=1.0", "data.drop.text=0", "data.drop.both=0")
    batch = first_batch(built)
    condition = built.step.condition(batch)
    assert torch.equal(condition, built.step.base.null_condition().expand_as(condition))
    assert batch.instructions == [""] * 4


def test_the_noisy_latents_follow_the_forward_process(parts: Assemble) -> None:
    """z_t = sqrt(alpha_bar) z_0 + sqrt(1 - alpha_bar) epsilon, with the noise that came with the batch."""
    built = parts()
    batch = first_batch(built)
    inputs, noise = built.step.inputs(batch)
    alpha = built.step.base.scheduler.alphas_cumprod[inputs["timesteps"]].view(-1, 1, 1, 1)
    latents = built.step.base.sample_latents(built.step.base.target_moments(batch.target), batch.posterior_noise)
    torch.testing.assert_close(inputs["noisy_latents"], alpha.sqrt() * latents + (1 - alpha).sqrt() * batch.noise)
    assert torch.equal(noise, batch.noise)


def test_task_embeddings_start_after_the_null_row(parts: Assemble) -> None:
    built = parts("experiment=task_embedding", "data.drop.image=0.5")
    batch = first_batch(built)
    rows = built.step.instructions(batch, EncodedPrompts(torch.empty(0), torch.empty(0), {}, {}))["task_index"]
    assert rows is not None
    expected = [
        0 if not text else int(task) + 1 for text, task in zip(batch.instructions, batch.task_index, strict=True)
    ]
    assert rows.tolist() == expected


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_gradient(parts: Assemble) -> None:
    gradients = []
    for value in ("false", "true"):
        built = parts(f"train.gradient_checkpointing={value}")
        backward(built, first_batch(built))
        gradients.append([p.grad for p in built.step.module.adapter.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_the_adapter_starts_from_the_seed(parts: Assemble) -> None:
    weights = [parts(f"train.seed={seed}").step.module.adapter.state_dict() for seed in (0, 0, 1)]
    name = "image_proj.new_input_layers.0.0.to_q.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])


def test_facts_count_the_parameters(parts: Assemble) -> None:
    facts = parts().speed.facts
    assert facts.trainable_parameters == 395_488
    assert facts.flops_per_sample > 0
    assert facts.ceiling > 1e8


@pytest.mark.parametrize("overrides", [["adapter=instruct"], ["adapter=instruct_released"]])
def test_the_null_instruction_is_the_encoding_of_no_text(parts: Assemble, overrides: list[str]) -> None:
    built = parts(*overrides, "data.drop.image=1.0", "data.drop.text=0", "data.drop.both=0")
    inputs, _ = built.step.inputs(first_batch(built))
    table = built.step.instructions.table
    assert table is not None
    assert torch.equal(inputs["instruction"], table.embed([""])[0].expand_as(inputs["instruction"]))


def test_a_base_that_predicts_something_else_is_refused_with_the_objective_that_fits(parts: Assemble) -> None:
    with pytest.raises(ConfigError, match=r"objective=v is for bases that.*choose objective=epsilon"):
        parts("objective=v")
