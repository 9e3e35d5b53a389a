"""Specifications of the adapters that people know, and of those that fit a small denoiser."""

from typing import Any

from ipai.adapter import SD15_ATTENTION_SIZES, AdapterSpec, host_of


def plus_spec(sizes: tuple[int, ...] = SD15_ATTENTION_SIZES, **changes: Any) -> AdapterSpec:
    """IP-Adapter Plus as published for SD1.5: no instruction (49,087,488 parameters)."""
    return AdapterSpec(attention_sizes=sizes, instruction="none", **changes)


def paper_spec(sizes: tuple[int, ...] = SD15_ATTENTION_SIZES, **changes: Any) -> AdapterSpec:
    """The paper's variant: one instruction branch (68,767,488 parameters with the ViT-H text tokens)."""
    return AdapterSpec(attention_sizes=sizes, **changes)


def released_spec(sizes: tuple[int, ...] = SD15_ATTENTION_SIZES, **changes: Any) -> AdapterSpec:
    """The released checkpoint's variant: a prompt branch too, both texts from SD's own encoder (88,054,272)."""
    return AdapterSpec(attention_sizes=sizes, instruction_dim=768, prompt_dim=768, **changes)


def attention_sizes_of(denoiser: Any) -> tuple[int, ...]:
    """As `AdapterSpec.attention_sizes` wants them."""
    return tuple(site.size for site in host_of(denoiser).sites(denoiser))
