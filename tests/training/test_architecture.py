"""What docs/architecture.md tells how to add is added here, with the lines that stand there."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ipai.adapter.variants import VARIANTS, Variant
from ipai.backbones.backbone import EncodedPrompts
from ipai.backbones.config import FAMILIES, Family
from ipai.backbones.sd15 import StableDiffusion15
from ipai.errors import ConfigError
from ipai.objective import Diffusion, make_objective, objectives
from ipai.training.loop import Parts

TEXT = (Path(__file__).parents[2] / "docs/architecture.md").read_text()
BLOCKS = dict(re.findall(r"\*\*To add (.+?)\*\*.*?```python\n(.*?)```", TEXT, re.S))
Assemble = Callable[..., Parts]


@contextmanager
def added(what: str) -> Iterator[dict[str, Any]]:
    """The names that a block of the page defines, in a module of its own."""
    names = {
        "Diffusion": Diffusion, "dataclass": dataclass, "Tensor": Tensor, "VARIANTS": VARIANTS, "Variant": Variant,
        "StableDiffusion15": StableDiffusion15, "Sequence": Sequence, "EncodedPrompts": EncodedPrompts,
        "FAMILIES": FAMILIES, "Family": Family, "__name__": __name__,
    }  # fmt: skip
    variants, families = dict(VARIANTS), dict(FAMILIES)
    exec(BLOCKS[what], names)
    for name in ("LowerCase",):
        if name in names:
            setattr(sys.modules[__name__], name, names[name])
    try:
        yield names
    finally:
        VARIANTS.clear()
        VARIANTS.update(variants)
        FAMILIES.clear()
        FAMILIES.update(families)


def test_each_is_told_in_under_25_lines() -> None:
    assert set(BLOCKS) == {"a loss", "a variant of the adapter", "a family of bases"}
    assert all(len(code.splitlines()) < 25 for code in BLOCKS.values())


def test_a_loss() -> None:
    with added("a loss"):
        made = make_objective({"name": "latents", "late": True}, {"alphas_cumprod": torch.linspace(0.99, 0.01, 1000)})
        assert torch.equal(made.target(torch.ones(2), torch.zeros(2), torch.tensor([1, 2])), torch.ones(2))
        assert made.timesteps(torch.tensor([0.25], dtype=torch.float64)).item() == 750
        with pytest.raises(ConfigError, match=r"no objective\.lat; did you mean objective\.late"):
            make_objective({"name": "latents", "lat": True}, {"alphas_cumprod": torch.ones(10)})
        del made
    assert {"epsilon", "v"} <= objectives().keys()


def test_a_variant(parts: Assemble) -> None:
    with added("a variant of the adapter"):
        built = parts("adapter.variant=instruct_brief")
    assert built.step.module.adapter.spec.instruction == "pooled"
    built.step.error(next(built.micro_batches(0))).mean().backward()
    assert all(p.grad is not None for p in built.step.module.adapter.parameters())
    with pytest.raises(ConfigError, match=r"adapter\.variant=instruct_brief is none of instruct"):
        parts("adapter.variant=instruct_brief")


def test_a_family(parts: Assemble) -> None:
    with added("a family of bases"):
        built = parts("base.family=lower_case")
        base = built.step.base
        assert type(base).__name__ == "LowerCase"
        assert (base.encode_prompts(["A CAT"]).tokens == base.encode_prompts(["a cat"]).tokens).all()
        built.step.error(next(built.micro_batches(0))).mean().backward()
    with pytest.raises(ConfigError, match=r"base\.family=lower_case is none of sd15"):
        parts("base.family=lower_case")
