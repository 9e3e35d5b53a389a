"""What hosts share whose image attentions are attention processors that hold adapters' layers and scales."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from ipai.adapter.attentions import ImageAttention
from ipai.adapter.hosts.injection import Injection
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
