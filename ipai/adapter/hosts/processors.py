"""What hosts share whose image attentions are attention processors that hold adapters' layers and scales."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ipai.adapter.attentions import ATTENTIONS, ImageAttention
from ipai.adapter.hosts.injection import Injection, Site
from ipai.errors import ConfigError

_SUFFIX = ".processor"
TOKENS = "ip_hidden_states"
"""What diffusers' transformers call the condition tokens among the arguments of their attentions."""


class ImageProcessor(nn.Module):
    """An attention with image attention beside it.

    Attributes:
        layers: Of each adapter in use, what it has for this attention.
        scales: Of each.
    """

    def __init__(self, index: int) -> None:
        """Take the number of this attention among those with image attention."""
        super().__init__()
        self.index = index
        self.layers: Any = nn.ModuleList()
        self.scales: list[float] = []


def given(tokens: Sequence[Any] | None) -> Sequence[Any]:
    """The condition tokens of each adapter.

    Raises:
        ConfigError: There are none.
    """
    if tokens is None:
        raise ConfigError(
            "the transformer holds an adapter and was called without condition tokens; draw through attach(), hand "
            "them over with Injection.with_tokens, or eject() the adapter"
        )
    return tokens


def split_heads(states: Tensor, heads: int) -> Tensor:
    """[B, L, D] to [B, heads, L, D / heads]."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of all heads, each [B, heads, L, D / heads]; [B, L, D]."""
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class ProcessorInjection(Injection):
    """An adapter in a transformer of diffusers.

    Attributes:
        processor: What computes one of its attentions with image attention beside it.
    """

    processor: ClassVar[type[ImageProcessor]]
    _originals: dict[str, Any]
    _processors: list[ImageProcessor]

    def refuse_replaced(self) -> None:
        """See `Injection.refuse_replaced`."""
        pairs = zip(self._sites, self._processors, strict=True)
        if any(self.denoiser.get_submodule(site.name).processor is not ours for site, ours in pairs):
            raise ConfigError(
                f"the {self.called}'s attention processors were replaced after the adapter was attached, so it would "
                "have no say; set them first and attach then, or detach()"
            )

    def _install(self) -> None:
        if any(isinstance(processor, nn.Module) for processor in self.denoiser.attn_processors.values()):
            raise ConfigError(
                f"the {self.called} already holds an IP-Adapter; take it out first, with `Injection.eject()` or the "
                "pipeline's `unload_ip_adapter()`"
            )
        self._originals = dict(self.denoiser.attn_processors)
        self._processors = [self._made(index) for index in range(len(self._sites))]
        named = {f"{site.name}{_SUFFIX}": ours for site, ours in zip(self._sites, self._processors, strict=True)}
        self.denoiser.set_attn_processor(self._originals | named)

    def _made(self, index: int) -> ImageProcessor:
        return self.processor(index)

    def _place(self, number: int, layers: Sequence[ImageAttention]) -> None:
        self._processors[number].layers = nn.ModuleList(layers)

    def _scale(self, number: int, scales: list[float]) -> None:
        self._processors[number].scales = scales

    def _restore(self) -> None:
        self.denoiser.set_attn_processor(dict(self._originals))


class JointInjection(ProcessorInjection):
    """An adapter in a transformer that hands `joint_attention_kwargs` on to its attentions."""

    @classmethod
    def sites(cls, denoiser: Any) -> tuple[Site, ...]:
        """Those of the two-stream blocks, or of every second one where adapters have no more (SD3)."""
        blocks = range(0, len(denoiser.transformer_blocks), ATTENTIONS[cls.attention].stride)
        return tuple(Site(f"transformer_blocks.{number}.attn", int(denoiser.inner_dim)) for number in blocks)

    @staticmethod
    def token_dim(denoiser: Any) -> int:
        """The width of the text tokens."""
        return int(denoiser.config["joint_attention_dim"])

    def with_tokens(self, kwargs: Mapping[str, Any], prepared: Sequence[Any]) -> dict[str, Any]:
        """See `Injection.with_tokens`."""
        joint = kwargs.get("joint_attention_kwargs") or {}
        if "ip_adapter_image_embeds" in joint or TOKENS in joint:
            raise ConfigError("leave out ip_adapter_image and ip_adapter_image_embeds: the attachment gives its own")
        return {**kwargs, "joint_attention_kwargs": {**joint, TOKENS: list(prepared)}}
