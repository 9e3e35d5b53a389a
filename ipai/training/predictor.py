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
        **instruction: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Predict what the objective asks for, with the tokens of the first B rows of the condition.

        Args:
            noisy_latents: [B, C, h, w].
            timesteps: [B].
            prompt_arguments: Of `EncodedPrompts`: the text prompts as the denoiser takes them.
            cond_tokens: The encoded condition images, [B or more, 257, 1280].
            instruction: What `InstructAdapter.forward` takes besides the image, for as many rows.

        Returns:
            The prediction, [B, C, h, w], and the tokens of all rows, [B or more, N, D].
        """
        tokens = self.adapter(cond_tokens, **instruction)
        own = tokens[: len(noisy_latents)]
        return self.injection.predict(noisy_latents, timesteps, prompt_arguments, [own]), tokens

    def frozen_names(self) -> list[str]:
        """Names of parameters and buffers that never change: DDP need neither broadcast nor reduce them."""
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        return frozen + [name for name, _ in self.named_buffers()]
