"""An adapter inside a denoiser: what all kinds of denoisers have in common."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.attentions import ImageAttention
from ipai.adapter.resampler import Resampler
from ipai.adapter.spec import AdapterSpec, Attention
from ipai.errors import ConfigError, WeightsError

_BLOCK = re.compile(r"\.att")  # what is before it in an attention's name is a block's


class Site(NamedTuple):
    """Where one image attention goes: the attention's dotted name in the denoiser, and its hidden size."""

    name: str
    size: int


class Injection(ABC):
    """An adapter inside a denoiser (decoupled cross-attention, 2308.06721 sec. 3.2).

    Weights are shared, not copied: training the adapter moves the denoiser's image attentions, and moving the denoiser
    to a device or dtype moves `adapter.ip_adapter` with it (not `adapter.image_proj`). Nothing is cast here: outside
    autocast bring `adapter.ip_adapter` and the tokens to the denoiser's dtype. No parameter is frozen or thawed; to
    train, freeze the denoiser before, because afterwards it holds the adapter's weights too.

    Attributes:
        denoiser: The network that holds the adapter.
        adapter: The adapter that was injected; see `use` for several.
    """

    called: ClassVar[str]
    """How messages call the denoiser."""
    attention: ClassVar[Attention]
    """The kind of image attention that it takes."""

    def __init__(self, denoiser: Any, adapter: InstructAdapter, scale: float = 1.0) -> None:
        """Put the adapter in; see `ipai.adapter.inject`."""
        self._active = False
        self.denoiser, self.adapter = denoiser, adapter
        self.refuse_other_sizes(denoiser, adapter.spec)
        self._sites = self.sites(denoiser)
        self._install()
        self._active = True
        self._scales: dict[str, float] = {}
        self._weights: list[float] = [1.0]
        self.set_scale(scale)
        self.use([adapter])

    @classmethod
    @abstractmethod
    def sites(cls, denoiser: Any) -> tuple[Site, ...]:
        """Where image attentions go, in the order of the file format."""

    @staticmethod
    @abstractmethod
    def token_dim(denoiser: Any) -> int:
        """Width of the condition tokens that the denoiser attends to."""

    @staticmethod
    @abstractmethod
    def start(denoiser: Any, site: Site, layer: ImageAttention) -> None:
        """Fill an image attention as one begins of which there are no weights yet."""

    @staticmethod  # noqa: B027 (most leave it as it is)
    def start_tokens(resampler: Resampler, generator: torch.Generator) -> None:
        """Change how the resampler's last layers begin, where the base wants that."""

    @staticmethod
    def prompt_of(kwargs: Mapping[str, Any]) -> Tensor:
        """The encoded prompts among the arguments that a pipeline calls the denoiser with, [N, T, D]."""
        return cast(Tensor, kwargs["encoder_hidden_states"])

    @staticmethod
    def rows_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        """How many rows the batch of those arguments has; there may be several prompts to a row."""
        return int((args[0] if args else kwargs["hidden_states"]).shape[0])

    def prepared(self, tokens: Sequence[Tensor]) -> list[Any]:
        """What of the condition tokens needs neither latents nor time, computed once for all steps.

        Args:
            tokens: Of each adapter in use, [B, num_queries, token_dim].
        """
        return list(tokens)

    @abstractmethod
    def with_tokens(self, kwargs: Mapping[str, Any], prepared: Sequence[Any]) -> dict[str, Any]:
        """Keyword arguments of the denoiser that carry the condition tokens too.

        Args:
            kwargs: The other ones.
            prepared: What `prepared` made of the tokens.

        Raises:
            ConfigError: They carry image tokens already.
        """

    @abstractmethod
    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, prompt_arguments: Mapping[str, Any], tokens: Sequence[Tensor]
    ) -> Tensor:
        """What the denoiser says of noisy latents [B, C, h, w].

        Args:
            noisy_latents: [B, C, h, w].
            timesteps: [B].
            prompt_arguments: The text prompts, by the names of the denoiser's arguments.
            tokens: See `prepared`.
        """

    @abstractmethod
    def refuse_replaced(self) -> None:
        """Raise a ConfigError if somebody replaced what was installed, so that the adapter has no say."""

    @classmethod
    def refuse_other_sizes(cls, denoiser: Any, spec: AdapterSpec) -> None:
        """Raise a WeightsError with both sides' sizes if the adapter was made for another denoiser."""
        if cls.attention != spec.attention:
            raise WeightsError(
                f"the adapter{_known(spec.attention_sizes, spec.token_dim)} has image attentions of the kind "
                f"{spec.attention}, and a {cls.called} takes {cls.attention} ones; use an adapter of this base model"
            )
        sizes = tuple(site.size for site in cls.sites(denoiser))
        if sizes != spec.attention_sizes:
            raise WeightsError(
                f"the adapter was made for a {cls.called} with {len(spec.attention_sizes)} image attentions of the "
                f"sizes {_shortly(spec.attention_sizes)}{_known(spec.attention_sizes, spec.token_dim)}, and this one "
                f"has {len(sizes)} of the sizes {_shortly(sizes)}{_known(sizes, cls.token_dim(denoiser))}; use one of "
                "this base model"
            )
        if cls.token_dim(denoiser) != spec.token_dim:
            raise WeightsError(
                f"the adapter makes condition tokens of width {spec.token_dim}, and this {cls.called} attends to "
                f"tokens of width {cls.token_dim(denoiser)}; use one of this base model"
            )

    def set_scale(self, scale: float | Mapping[str, float]) -> None:
        """Weight the adapter: 1 is the full adapter, 0 the denoiser without it, to the bit.

        Args:
            scale: For everywhere, or by the start of block names such as `up_blocks.1` (the others get 0).

        Raises:
            ConfigError: A scale is not finite, no attention's name starts so, or the adapter was ejected.
        """
        self._require_active()
        by_block = dict(scale) if isinstance(scale, Mapping) else {"": float(scale)}
        for block, value in by_block.items():
            if not math.isfinite(value):
                raise ConfigError(f"the scale of {block or 'the adapter'} must be a finite number, not {value}")
            if not any(_inside(site.name, block) for site in self._sites):
                known = ", ".join(dict.fromkeys(_BLOCK.split(site.name)[0] for site in self._sites))
                raise ConfigError(f"there is no image attention in {block!r}; there are some in {known}")
        for site in self._sites:
            blocks = [block for block in by_block if _inside(site.name, block)]
            self._scales[site.name] = by_block[max(blocks, key=len)] if blocks else 0.0
        self._weigh()

    def use(self, adapters: Sequence[InstructAdapter], weights: Sequence[float] | None = None) -> None:
        """Let these adapters act together in place of the one that was injected; all were made for this denoiser.

        Args:
            adapters: In the order of the tokens of `with_tokens`; the same one may come several times.
            weights: Multiply the scale; None is 1 for each.
        """
        self._require_active()
        self._weights = list(weights) if weights is not None else [1.0] * len(adapters)
        for number in range(len(self._sites)):
            layers: list[Any] = [list(adapter.ip_adapter.values())[number] for adapter in adapters]
            self._place(number, layers)
        self._count(len(adapters))
        self._weigh()

    def eject(self) -> None:
        """Restore the denoiser exactly: the same objects, tensors, config and outputs as before.

        Raises:
            ConfigError: It was ejected before.
        """
        self._require_active()
        self._active = False
        self._restore()

    @abstractmethod
    def _install(self) -> None:
        """Put the image attentions in, and remember what was there; raise a ConfigError if others are there."""

    @abstractmethod
    def _place(self, number: int, layers: Sequence[Any]) -> None:
        """Give the image attention of one site what each adapter has for it."""

    def _count(self, adapters: int) -> None:  # noqa: B027 (most hold tokens of any number)
        """Make room for the tokens of so many adapters, where the denoiser wants that."""

    @abstractmethod
    def _scale(self, number: int, scales: list[float]) -> None:
        """Weight each adapter in the image attention of one site."""

    @abstractmethod
    def _restore(self) -> None:
        """Undo `_install`."""

    def _weigh(self) -> None:
        for number, site in enumerate(self._sites):
            self._scale(number, [self._scales[site.name] * weight for weight in self._weights])

    def _require_active(self) -> None:
        if not self._active:
            raise ConfigError(f"this adapter was already ejected from its {self.called}; inject it again")


def _shortly(sizes: tuple[int, ...]) -> str:
    """Sizes with runs counted: `10 x 640, 60 x 1280`."""
    runs = [(size, len(list(group))) for size, group in groupby(sizes)]
    return ", ".join(f"{count} x {size}" if count > 1 else str(size) for size, count in runs)


def _known(sizes: tuple[int, ...], token_dim: int) -> str:
    """Which base model has attentions of these sizes, in brackets, if it is one of those that everybody knows."""
    name = {
        (16, 768): "Stable Diffusion 1.5",
        (70, 2048): "Stable Diffusion XL",
        (12, 4096): "Stable Diffusion 3 medium",
        (19, 4096): "FLUX.1",
    }.get((len(sizes), token_dim))
    return f" ({name})" if name else ""


def _inside(name: str, block: str) -> bool:
    return not block or name == block or name.startswith(f"{block}.")
