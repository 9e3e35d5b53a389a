"""An adapter in the transformer of Stable Diffusion 3 and 3.5, as the authors released it.

Every second block has a second attention, with the queries of the first, over keys and values that are made of the
first one's output and of the condition tokens. Those pass the base's own embedding of texts and then a map of each such
block; they see neither latents nor time, so all of them are computed once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor, nn

from ipai.adapter.attentions import ImageAttention, JointAttention
from ipai.adapter.hosts.injection import Site
from ipai.adapter.hosts.processors import ImageProcessor, JointInjection, attend, given, split_heads
from ipai.adapter.resampler import Resampler

TRANSFORMERS = (SD3Transformer2DModel,)
_ALMOST_ZERO = 0.01  # "for training stability", as the released code has it


class JointImageProcessor(ImageProcessor):
    """A block's joint attention, and the released adapter's behind it."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,  # noqa: ARG002 (diffusers passes it; joint attentions have none)
        ip_hidden_states: Sequence[Sequence[Tensor]] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend from latents [B, L, D] and texts [B, T, D]; tokens by adapter and attention, each [B, N, D]."""
        pictures = hidden_states.shape[1]
        query, key, value = _joint_projections(attn, hidden_states, encoder_hidden_states)
        attended = attend(query, key, value)
        latents, texts = attended[:, :pictures], attended[:, pictures:]
        changed, changed_texts = latents, texts
        for layer, scale, tokens in zip(self.layers, self.scales, given(ip_hidden_states), strict=True):
            told = tokens[self.index]
            # From the attention's output, not from the block's input: the released weights were trained so.
            keys = torch.cat([layer.to_k_ip(latents), layer.add_k_proj_ip(told)], dim=1)
            values = torch.cat([layer.to_v_ip(latents), layer.add_v_proj_ip(told)], dim=1)
            seen = attend(query, split_heads(keys, attn.heads), split_heads(values, attn.heads))
            changed = changed + scale * layer.proj_ip(seen[:, :pictures])
            changed_texts = changed_texts + scale * layer.proj_encoder_hidden_states_ip(seen[:, pictures:])
        if not attn.context_pre_only:
            changed_texts = attn.to_add_out(changed_texts)
        return attn.to_out[1](attn.to_out[0](changed)), changed_texts


class SD3Injection(JointInjection):
    """The authors' image attentions in blocks 0, 2, 4, ... of an SD3 transformer."""

    called = "Stable Diffusion 3 transformer"
    attention = "joint"
    processor = JointImageProcessor

    @staticmethod
    def start(denoiser: Any, site: Site, layer: ImageAttention) -> None:
        """So that nothing is changed yet: keys and values of the block itself, behind maps of zeros."""
        assert isinstance(layer, JointAttention)
        attn: Any = denoiser.get_submodule(site.name)
        layer.to_k_ip.weight.copy_(attn.to_k.weight)
        layer.to_v_ip.weight.copy_(attn.to_v.weight)
        layer.add_k_proj_ip.weight.copy_(attn.add_k_proj.weight)
        layer.add_v_proj_ip.weight.copy_(attn.add_v_proj.weight)
        layer.proj_ip.weight.zero_()
        layer.proj_encoder_hidden_states_ip.weight.zero_()
        nn.init.eye_(layer.proj_encoder_passthrough_ip.weight)

    @staticmethod
    def start_tokens(resampler: Resampler, generator: torch.Generator) -> None:
        """The last linear of the resampler almost zero."""
        weight = resampler.proj_out.weight
        noise = torch.rand(weight.shape, generator=generator)
        weight.copy_((2 * noise - 1) * _ALMOST_ZERO)
        resampler.proj_out.bias.zero_()

    def prepared(self, tokens: Sequence[Tensor]) -> list[list[Tensor]]:
        """What each image attention reads, by adapter and attention, [B, N, D]."""
        made = []
        for number, own in enumerate(tokens):
            told: Tensor = self.denoiser.context_embedder(own)
            each = []
            for processor in self._processors:
                each.append(told)
                if processor is not self._processors[-1]:
                    told = processor.layers[number].proj_encoder_passthrough_ip(told)
            made.append(each)
        return made

    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, prompt_arguments: Mapping[str, Any], tokens: Sequence[Tensor]
    ) -> Tensor:
        """See `Injection.predict`."""
        arguments = self.with_tokens(prompt_arguments, self.prepared(tokens))
        output = self.denoiser(hidden_states=noisy_latents, timestep=timesteps, **arguments, return_dict=False)
        return cast(Tensor, output[0])


def _joint_projections(attn: Any, latents: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of latents and texts, [B, heads, L + T, head width] each, normed where the base does."""
    query, key, value = (split_heads(made(latents), attn.heads) for made in (attn.to_q, attn.to_k, attn.to_v))
    added = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    text_query, text_key, text_value = (split_heads(made(texts), attn.heads) for made in added)
    norms = ((attn.norm_q, query), (attn.norm_k, key), (attn.norm_added_q, text_query), (attn.norm_added_k, text_key))
    query, key, text_query, text_key = (one if norm is None else norm(one) for norm, one in norms)
    return torch.cat([query, text_query], 2), torch.cat([key, text_key], 2), torch.cat([value, text_value], 2)
