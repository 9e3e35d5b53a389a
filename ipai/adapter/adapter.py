"""The adapter: resampler plus what the image attentions need, and how its new branch starts."""

import torch
from torch import Tensor, nn

from ipai.adapter.attentions import ATTENTIONS
from ipai.adapter.resampler import PerceiverBlock, Resampler
from ipai.adapter.spec import AdapterSpec
from ipai.errors import ConfigError

NEW_BRANCH = (
    "image_proj.proj_new_input.",
    "image_proj.new_input_layers.",
    "image_proj.proj_prompt_input.",
    "image_proj.prompt_layers.",
    "task_embedding.",
)
"""How the names of the tensors start that IP-Adapter Plus does not have."""


class InstructAdapter(nn.Module):
    """Everything that is trained. Its state dict has the names of the IP-Adapter file layout.

    `image_proj` makes the condition tokens; `ip_adapter` holds the image attentions that `inject` puts into a denoiser,
    numbered as in the files (for UNets 1, 3, 5, ...). An adapter with a task embedding has one tensor more,
    `task_embedding.weight` [num_tasks, instruction_dim].
    """

    def __init__(self, spec: AdapterSpec) -> None:
        """Make the adapter that `spec` describes with the usual random weights; see `initialise` for the new branch."""
        super().__init__()
        self.spec = spec
        self.image_proj = Resampler(spec)
        kind = ATTENTIONS[spec.attention]
        made = [kind(spec.token_dim, size) for size in spec.attention_sizes]
        made[-1].make_last()
        self.ip_adapter = nn.ModuleDict({kind.number(index): one for index, one in enumerate(made)})
        embedded = spec.instruction == "task_embedding"
        self.task_embedding = nn.Embedding(spec.num_tasks, spec.instruction_dim) if embedded else None

    def forward(
        self,
        cond_tokens: Tensor,
        instruction: Tensor | None = None,
        prompt: Tensor | None = None,
        instruction_mask: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        task_index: Tensor | None = None,
    ) -> Tensor:
        """Condition tokens [B, num_queries, token_dim]; never computed in float16, see `Resampler.forward`.

        Args:
            cond_tokens: Penultimate hidden states of the image encoder [B, 257, image_dim].
            instruction: By `spec.instruction`: `tokens` [B, T, instruction_dim]; `pooled` [B, instruction_dim] (or
                [B, 1, instruction_dim]); None for `task_embedding` and `none`.
            prompt: Prompt tokens [B, 77, prompt_dim], for the released variant only.
            instruction_mask: [B, T] bool, False on padding; read only with `mask_padding`.
            prompt_mask: [B, 77] bool, likewise.
            task_index: [B] long, the row of each sample's task embedding; for `task_embedding` only.

        Raises:
            ConfigError: An input is missing, superfluous or misshapen, or the resampler's weights are float16.
        """
        if (task_index is None) != (self.task_embedding is None):
            what = "needs task_index" if task_index is None else "was given task_index, which only task_embedding reads"
            raise ConfigError(f"an adapter with instruction={self.spec.instruction!r} {what}")
        if self.task_embedding is not None:
            if instruction is not None:
                raise ConfigError("an adapter with a task_embedding takes task_index in place of the instruction")
            instruction = self.task_embedding(task_index)
        if self.spec.instruction in ("pooled", "task_embedding") and instruction is not None:
            instruction = _one_token(instruction)
        return self.image_proj(cond_tokens, instruction, prompt, instruction_mask, prompt_mask)


def _one_token(pooled: Tensor) -> Tensor:
    """A pooled vector [B, D] as a sequence of one token [B, 1, D]."""
    tokens = pooled[:, None] if pooled.ndim == 2 else pooled
    if tokens.ndim != 3 or tokens.shape[1] != 1:
        raise ConfigError(f"a pooled instruction is one vector for each sample, [batch, dim], not {list(pooled.shape)}")
    return tokens


def is_new_branch(name: str) -> bool:
    """Whether a tensor of the adapter belongs to what IP-Adapter Plus does not have."""
    return name.startswith(NEW_BRANCH)


@torch.no_grad()
def initialise(adapter: InstructAdapter, seed: int, sigma: float = 1e-4) -> None:
    """Start the new branch so that the adapter equals IP-Adapter Plus whatever the instruction (paper section 3).

    Linear layers become white noise N(0, sigma^2), LayerNorms the identity, and the last linear of each residual (the
    attention's `to_out`, the feed-forward's second) zero. Those get a gradient at step 0 all the same, because what
    they multiply is not zero. The task embedding stands for the instruction, so it has unit variance as text tokens do.
    The equality is exact, to the bit. The numbers depend on `seed` alone, not on the device; what IP-Adapter Plus has
    too is left as it is.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, module in adapter.named_modules():
        if not is_new_branch(f"{name}."):
            continue
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Linear | nn.Embedding):
            scale = sigma if isinstance(module, nn.Linear) else 1.0
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    for name, module in adapter.named_modules():
        if is_new_branch(f"{name}.") and isinstance(module, PerceiverBlock):
            for linear in module.last_linears():
                linear.weight.zero_()
