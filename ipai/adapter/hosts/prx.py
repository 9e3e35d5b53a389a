"""An adapter in the transformer of PRX, whose latents ask texts and latents at once, and whose texts never change.

A second softmax, over the condition tokens, is then what IP-Adapter adds to a UNet (2308.06721, section 3.2.2). Queries
are those that ask the texts: normed, and turned by their place, so that a token can say where something is.
Keys are normed as the base norms its own, and values begin at zero, so that step 0 is the base.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch.nn.functional as F
from diffusers.models.transformers.transformer_prx import PRXAttention, PRXTransformer2DModel, apply_rope
from torch import Tensor, nn

from ipai.adapter.attentions import ImageAttention, NormedKeysValues
from ipai.adapter.hosts.injection import Site
from ipai.adapter.hosts.processors import TOKENS, ImageProcessor, ProcessorInjection, attend, given, split_heads
from ipai.errors import ConfigError

TRANSFORMERS = (PRXTransformer2DModel,)
_ARGUMENT = "attention_kwargs"
_TIME_UNITS = 1000  # the transformer takes times from 0 to 1
_EPSILON = 1e-6  # of the base's norms


class PRXImageProcessor(ImageProcessor):
    """A block's own attention, and image attention beside it."""

    def __init__(self, index: int, own: Any) -> None:
        """Take the block's own processor."""
        super().__init__(index)
        self.own = own

    def __call__(
        self,
        attn: PRXAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        image_rotary_emb: Tensor | None = None,
        **arguments: Any,
    ) -> Tensor:
        """Attend from latents [B, L, D]; the texts carry the condition tokens."""
        attended: Tensor = self.own(
            attn, hidden_states, encoder_hidden_states, image_rotary_emb=image_rotary_emb, **arguments
        )
        query = attn.norm_q(split_heads(_queries(attn, hidden_states), attn.heads))
        if image_rotary_emb is not None:
            query = apply_rope(query, image_rotary_emb)
        tokens_of_each = given(getattr(encoder_hidden_states, TOKENS, None))
        for layer, scale, tokens in zip(self.layers, self.scales, tokens_of_each, strict=True):
            key = F.rms_norm(split_heads(layer.to_k_ip(tokens), attn.heads), (attn.head_dim,), eps=_EPSILON)
            key = key * layer.norm_k_ip.view(attn.heads, 1, attn.head_dim)
            value = split_heads(layer.to_v_ip(tokens), attn.heads)
            seen = attend(query, key.to(query.dtype), value)
            attended = attended + scale * attn.to_out[0](seen)
        return attended


def _queries(attn: PRXAttention, latents: Tensor) -> Tensor:
    """Those of the block's own attention, [B, L, D]; of a plain map without its keys and values."""
    made = attn.img_qkv_proj
    if type(made) is nn.Linear and made.bias is None:
        return F.linear(latents, made.weight[: attn.inner_dim])
    return cast(Tensor, made(latents))[..., : attn.inner_dim]


class PRXInjection(ProcessorInjection):
    """Image attentions in all blocks of a PRX transformer.

    Its blocks hand nothing on to their attentions but the texts, so these carry the condition tokens: as an attribute
    of the very tensor, which is there again when a checkpointed block is computed a second time.
    """

    _waiting: Sequence[Any] | None  # the tokens of the call that is about to begin
    called = "PRX transformer"
    attention = "normed"

    @classmethod
    def sites(cls, denoiser: Any) -> tuple[Site, ...]:
        """The attentions of all blocks."""
        size = int(denoiser.config["hidden_size"])
        return tuple(Site(f"blocks.{number}.attention", size) for number in range(len(denoiser.blocks)))

    @staticmethod
    def token_dim(denoiser: Any) -> int:
        """The width of the text tokens when blocks read them."""
        return int(denoiser.config["hidden_size"])

    @staticmethod
    def start(denoiser: Any, site: Site, layer: ImageAttention) -> None:
        """So that nothing is changed yet: keys as of texts, values zero."""
        assert isinstance(layer, NormedKeysValues)
        attn: Any = denoiser.get_submodule(site.name)
        layer.to_k_ip.weight.copy_(attn.txt_kv_proj.weight[: site.size])
        layer.norm_k_ip.copy_(attn.norm_added_k.weight.repeat(attn.heads))
        layer.to_v_ip.weight.zero_()

    def with_tokens(self, kwargs: Mapping[str, Any], prepared: Sequence[Any]) -> dict[str, Any]:
        """See `Injection.with_tokens`."""
        others = kwargs.get(_ARGUMENT) or {}
        if TOKENS in others:
            raise ConfigError(f"leave out {_ARGUMENT}[{TOKENS!r}]: the attachment gives its own")
        self._waiting = list(prepared)
        times, rows = kwargs["timestep"], len(kwargs["hidden_states"])
        if len(times) not in (1, rows):  # under guidance diffusers' pipeline gives two, however many pictures it draws
            times = times[:1].expand(rows)
        return {**kwargs, "timestep": times}

    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, prompt_arguments: Mapping[str, Any], tokens: Sequence[Tensor]
    ) -> Tensor:
        """See `Injection.predict`."""
        inputs = {"hidden_states": noisy_latents, "timestep": timesteps / _TIME_UNITS, **prompt_arguments}
        return cast(Tensor, self.denoiser(**self.with_tokens(inputs, self.prepared(tokens)), return_dict=False)[0])

    def _install(self) -> None:
        super()._install()
        self._waiting = None
        self._handle = self.denoiser.txt_in.register_forward_hook(self._hand_on)

    def _hand_on(self, _: nn.Module, __: tuple[Any, ...], texts: Tensor) -> None:
        setattr(texts, TOKENS, self._waiting)
        self._waiting = None

    def _made(self, index: int) -> ImageProcessor:
        return PRXImageProcessor(index, self._originals[f"{self._sites[index].name}.processor"])

    def _restore(self) -> None:
        self._handle.remove()
        super()._restore()
