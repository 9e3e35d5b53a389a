"""What makes the step fast changes its gradient by rounding alone, and by how much at most."""

from collections.abc import Callable

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0
from torch import Tensor

from ipai.data.collate import Batch
from ipai.training.loop import Parts

Assemble = Callable[..., Parts]

TRAINED = ("base=toy", "train.batch_size=16", "train.micro_batch_size=16")


def loss_and_gradient(parts: Parts, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient of all of the adapter's parameters as one vector, in fp32."""
    parameters = list(parts.step.module.adapter.parameters())
    loss = parts.step.error(batch).mean()
    gradients = torch.autograd.grad(loss, parameters)
    return loss.detach(), torch.cat([gradient.float().flatten() for gradient in gradients])


def relative_error(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def explicit_attention(parts: Parts) -> None:
    """Put diffusers' attention with a written-out softmax in the place of PyTorch's fused one."""
    unet = parts.step.module.denoiser
    processors = {}
    for name, fused in unet.attn_processors.items():
        processors[name] = AttnProcessor()
        if isinstance(fused, IPAdapterAttnProcessor2_0):
            plain = IPAdapterAttnProcessor(fused.hidden_size, fused.cross_attention_dim, fused.num_tokens, fused.scale)
            plain.to_k_ip, plain.to_v_ip = fused.to_k_ip, fused.to_v_ip
            processors[name] = plain
    unet.set_attn_processor(processors)


def test_bf16_stays_within_a_few_hundredths_of_the_fp32_gradient(parts: Assemble) -> None:
    """All of a bf16 run's roundings together: frozen networks in bf16, the adapter under autocast.

    On the toy stack, whose pictures these are not: 1.8 - 4.7 % over five batches, 2.5 % on this one; 4.1 % on a CPU
    of AVX2, which emulates bf16.
    """
    in_hardware = torch.backends.cpu.get_cpu_capability() != "AVX2"
    exact = parts(*TRAINED, "base.dtype=fp32")
    loss, gradient = loss_and_gradient(exact, next(exact.micro_batches(0)))
    AcceleratorState._reset_state(reset_partial_state=True)
    fast = parts(*TRAINED, "base.dtype=bf16")
    try:
        fast_loss, fast_gradient = loss_and_gradient(fast, next(fast.micro_batches(0)))
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert fast_loss.item() == pytest.approx(loss.item(), rel=2e-3)
    assert relative_error(fast_gradient, gradient) < (4e-2 if in_hardware else 5e-2)
    assert relative_error(fast_gradient, gradient) > 1e-5  # it was another precision


def test_fused_attention_is_the_written_out_one(parts: Assemble) -> None:
    built = parts()
    batch = next(built.micro_batches(0))
    loss, gradient = loss_and_gradient(built, batch)
    explicit_attention(built)
    plain_loss, plain_gradient = loss_and_gradient(built, batch)
    assert loss.item() == pytest.approx(plain_loss.item(), rel=1e-6)
    assert relative_error(gradient, plain_gradient) < 1e-5


def test_channels_last_is_another_layout_of_the_same_step(parts: Assemble) -> None:
    usual, last = parts(), parts("train.channels_last=true")
    loss, gradient = loss_and_gradient(usual, next(usual.micro_batches(0)))
    other_loss, other_gradient = loss_and_gradient(last, next(last.micro_batches(0)))
    weight = last.step.module.denoiser.get_submodule("conv_in").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator, call-arg]
    assert loss.item() == pytest.approx(other_loss.item(), rel=1e-5)
    assert relative_error(other_gradient, gradient) < 1e-4


def test_micro_batches_add_up_to_the_batch(parts: Assemble) -> None:
    whole, halves = parts("train.micro_batch_size=4"), parts("train.micro_batch_size=2")
    _, gradient = loss_and_gradient(whole, next(whole.micro_batches(0)))
    stream = halves.micro_batches(0)
    summed = sum(loss_and_gradient(halves, next(stream))[1] for _ in range(2)) / 2
    assert relative_error(summed, gradient) < 1e-5
