"""The resampler: image tokens, instruction and (released variant) prompt in, condition tokens out (paper section 3).

Names and order of the modules are those of the IP-Adapter file format, so a state dict is a file's content.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ipai.adapter.spec import AdapterSpec
from ipai.errors import ConfigError


class PerceiverAttention(nn.Module):
    """The latents ask; context and latents, each normed, answer together (IP-Adapter's Perceiver attention)."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        """Make an attention over `width` channels with `heads` heads of `head_dim` channels, without biases."""
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(width, heads * head_dim * 2, bias=False)
        self.to_out = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, context: Tensor, latents: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend to context [B, T, width] and latents [B, Q, width]; `mask` [B, 1, 1, T + Q] is False on padding."""
        latents = self.norm2(latents)
        keys, values = self.to_kv(torch.cat([self.norm1(context), latents], dim=1)).chunk(2, dim=-1)
        out = F.scaled_dot_product_attention(
            self._split_heads(self.to_q(latents)), self._split_heads(keys), self._split_heads(values), attn_mask=mask
        )
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _split_heads(self, tokens: Tensor) -> Tensor:
        """[B, T, heads * head_dim] to [B, heads, T, head_dim]."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class PerceiverBlock(nn.ModuleList):
    """Attention (`.0`) and feed-forward (`.1`), each residual; a ModuleList because the format names them by number."""

    def __init__(self, spec: AdapterSpec, ff_mult: int) -> None:
        """Make a block whose feed-forward is `ff_mult` times as wide as the resampler."""
        feed_forward = nn.Sequential(
            nn.LayerNorm(spec.width),
            nn.Linear(spec.width, spec.width * ff_mult, bias=False),
            nn.GELU(),
            nn.Linear(spec.width * ff_mult, spec.width, bias=False),
        )
        super().__init__([PerceiverAttention(spec.width, spec.heads, spec.head_dim), feed_forward])

    def forward(self, context: Tensor, latents: Tensor, mask: Tensor | None = None) -> Tensor:
        """Add what attention and feed-forward find to the latents [B, Q, width]."""
        attention, feed_forward = self
        latents = attention(context, latents, mask) + latents
        return feed_forward(latents) + latents

    def last_linears(self) -> tuple[nn.Linear, nn.Linear]:
        """The linear layers through which the two residuals leave; at zero the block changes nothing."""
        return self.get_submodule("0.to_out"), self.get_submodule("1.3")  # type: ignore[return-value]


class Resampler(nn.Module):
    """Turns the image encoder's tokens into `num_queries` condition tokens, steered by the instruction.

    In each of the `depth` iterations the latents attend to the image, then (released variant) to the prompt, then to
    the instruction. Linear maps bring each of the three to the resampler's width first.
    """

    def __init__(self, spec: AdapterSpec) -> None:
        """Make the resampler that `spec` describes, with PyTorch's usual random weights."""
        super().__init__()
        self.spec = spec
        self.latents = nn.Parameter(torch.randn(1, spec.num_queries, spec.width) / spec.width**0.5)
        self.proj_in = nn.Linear(spec.image_dim, spec.width)
        self.proj_prompt_input = None if spec.prompt_dim is None else nn.Linear(spec.prompt_dim, spec.width)
        self.proj_new_input = None if spec.instruction == "none" else nn.Linear(spec.instruction_dim, spec.width)
        self.layers = nn.ModuleList(PerceiverBlock(spec, spec.ff_mult) for _ in range(spec.depth))
        self.prompt_layers = self._new_layers(self.proj_prompt_input)
        self.new_input_layers = self._new_layers(self.proj_new_input)
        self.proj_out = nn.Linear(spec.width, spec.token_dim)
        self.norm_out = nn.LayerNorm(spec.token_dim)

    def _new_layers(self, projection: nn.Linear | None) -> nn.ModuleList:
        """The blocks of a branch that IP-Adapter Plus does not have; none where there is nothing to attend to."""
        depth = 0 if projection is None else self.spec.depth
        return nn.ModuleList(PerceiverBlock(self.spec, self.spec.branch_ff_mult) for _ in range(depth))

    def forward(
        self,
        cond_tokens: Tensor,
        instruction: Tensor | None = None,
        prompt: Tensor | None = None,
        instruction_mask: Tensor | None = None,
        prompt_mask: Tensor | None = None,
    ) -> Tensor:
        """Condition tokens [B, num_queries, token_dim].

        The work is done in the weights' precision, or in bfloat16 under bfloat16 autocast. Under float16 autocast it
        stays in the weights' precision: trained Plus weights reach -12,296 in here and float16 overflows.

        Args:
            cond_tokens: Penultimate hidden states of the image encoder, [B, 257, image_dim] for ViT-H/14 at 224 px.
            instruction: [B, T, instruction_dim]; None exactly if the adapter has no instruction branch.
            prompt: The prompt's tokens [B, 77, prompt_dim]; None exactly if the adapter has no prompt branch.
            instruction_mask: [B, T] bool, False on padding; needed and read only with `mask_padding`.
            prompt_mask: [B, 77] bool, likewise.

        Raises:
            ConfigError: An input is missing, superfluous or misshapen, or the weights are float16.
        """
        if self.latents.dtype is torch.float16:
            raise ConfigError(
                "the resampler overflows in float16, and its weights are float16; convert them with "
                "`adapter.image_proj.float()` or `.bfloat16()` (those in `adapter.ip_adapter` may stay float16)"
            )
        with _without_float16_autocast(cond_tokens.device.type):
            image = self._project("cond_tokens", cond_tokens, self.proj_in)
            if image is None:
                raise ConfigError("the resampler needs cond_tokens, the hidden states of the condition image")
            branches: list[tuple[nn.ModuleList, Tensor, Tensor | None]] = [(self.layers, image, None)]
            prompt = self._project("prompt", prompt, self.proj_prompt_input)
            if prompt is not None:
                branches.append((self.prompt_layers, prompt, self._mask("prompt", prompt, prompt_mask)))
            instruction = self._project("instruction", instruction, self.proj_new_input)
            if instruction is not None:
                mask = self._mask("instruction", instruction, instruction_mask)
                branches.append((self.new_input_layers, instruction, mask))
            latents = self.latents.expand(len(cond_tokens), -1, -1)
            for iteration in range(self.spec.depth):
                for layers, context, mask in branches:
                    latents = layers[iteration](context, latents, mask)
            return self.norm_out(self.proj_out(latents))

    def _project(self, name: str, tokens: Tensor | None, projection: nn.Linear | None) -> Tensor | None:
        """Bring an input [B, T, D] to the resampler's width; None where the adapter has no such branch."""
        if projection is None or tokens is None:
            if projection is not None or tokens is not None:
                has, given = ("has no", "was given") if projection is None else ("needs the", "was not given")
                raise ConfigError(f"this adapter {has} {name} input, and it {given}; see its AdapterSpec")
            return None
        if tokens.ndim != 3 or tokens.shape[-1] != projection.in_features:
            raise ConfigError(f"{name} must be [batch, tokens, {projection.in_features}] and is {list(tokens.shape)}")
        return projection(tokens.to(projection.weight.dtype))

    def _mask(self, name: str, tokens: Tensor, mask: Tensor | None) -> Tensor | None:
        """The attention mask [B, 1, 1, T + num_queries] over tokens and latents; the latents are never masked."""
        if not self.spec.mask_padding:
            return None
        if mask is None or mask.dtype is not torch.bool or mask.shape != tokens.shape[:2]:
            given = "is missing" if mask is None else f"is {mask.dtype} {list(mask.shape)}"
            raise ConfigError(f"mask_padding needs {name}_mask, bool {list(tokens.shape[:2])}, which {given}")
        latents = mask.new_ones(len(mask), self.spec.num_queries)
        return torch.cat([mask, latents], dim=1)[:, None, None, :]


def _without_float16_autocast(device_type: str) -> AbstractContextManager[object]:
    """Switch autocast off where it would compute in float16; any other autocast is left as it is."""
    # Not torch.amp.is_autocast_available: it breaks compiled graphs with torch 2.11. Meta tensors have no autocast.
    if device_type == "meta" or not torch.is_autocast_enabled(device_type):
        return nullcontext()
    if torch.get_autocast_dtype(device_type) is not torch.float16:
        return nullcontext()
    return torch.autocast(device_type, enabled=False)
