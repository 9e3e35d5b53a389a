"""The denoiser with its injected adapter as one module: what DDP wraps and autocast covers."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ipai.adapter.hosts.injection import Injection


class NoisePredictor(nn.Module):
    """epsilon_theta(z_t, t, text, R(C, I)): only the adapter's parameters require gradients (paper section 3.1)."""

    def __init__(self, injection: Injection) -> None:
        super().__init__()
        self.denoiser: nn.Module = injection.denoiser
        self.adapter = injection.adapter
        self.injection = injection

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        prompt_arguments: Mapping[str, Any],
        cond_tokens: Tensor,
        draws: int = 1,
        **instruction: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Predict what the objective asks for, with the tokens of the first B rows of the condition.

        Args:
            noisy_latents: [B x draws, C, h, w].
            timesteps: [B x draws].
            prompt_arguments: Of `EncodedPrompts`: the text prompts as the denoiser takes them, B x draws of each.
            cond_tokens: The encoded condition images, [B or more, 257, 1280].
            draws: How many rows next to each other are of one sample, which the resampler sees once.
            instruction: What `InstructAdapter.forward` takes besides the image, for as many rows.

        Returns:
            The prediction, [B x draws, C, h, w], and the tokens of all rows, [B or more, N, D].
        """
        tokens = self.adapter(cond_tokens, **instruction)
        own = repeated(tokens[: len(noisy_latents) // draws], draws)
        return self.injection.predict(noisy_latents, timesteps, prompt_arguments, [own]), tokens

    def frozen_names(self) -> list[str]:
        """Names of parameters and buffers that never change: DDP need neither broadcast nor reduce them."""
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        return frozen + [name for name, _ in self.named_buffers()]


def repeated(value: Any, draws: int) -> Any:
    """Each row of a tensor so many times, those of one next to each other; of tensors in dictionaries likewise."""
    if isinstance(value, dict):
        return {name: repeated(item, draws) for name, item in value.items()}
    return value if draws == 1 else value.repeat_interleave(draws, dim=0)
