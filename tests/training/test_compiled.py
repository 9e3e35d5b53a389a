"""`train.compile` compiles the denoiser's blocks with the adapter inside: each whole, and no second time."""

from collections.abc import Callable

import pytest
import torch

from ipai.training.loop import Parts


@pytest.fixture(autouse=True)
def compiled_anew() -> None:
    torch.compiler.reset()


@pytest.mark.parametrize("more", [(), ("train.gradient_checkpointing=true",)])
def test_blocks_compile_without_a_graph_break_and_once(parts: Callable[..., Parts], more: tuple[str, ...]) -> None:
    built = parts("train.steps=6", *more)
    built.step.module.train()
    stream, denoiser = built.micro_batches(0), built.step.base.denoiser
    plain = built.step.error(first := next(stream))
    denoiser.compile_repeated_blocks(backend="eager", fullgraph=True)  # a break would raise
    torch.testing.assert_close(built.step.error(first), plain, rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    built.step.error(next(stream)).mean().backward()
    with torch.compiler.set_stance("fail_on_recompile"):
        for _ in range(2):
            built.step.error(next(stream)).mean().backward()
