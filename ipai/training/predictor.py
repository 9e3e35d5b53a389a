"""The UNet with its injected adapter as one module: what DDP wraps and autocast covers."""

from torch import Tensor, nn

from ipai.adapter.adapter import InstructAdapter


class NoisePredictor(nn.Module):
    """epsilon_theta(z_t, t, text, R(C, I)): only the adapter's parameters require gradients (paper section 3.1)."""

    def __init__(self, unet: nn.Module, adapter: InstructAdapter) -> None:
        super().__init__()
        self.unet = unet
        self.adapter = adapter

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        encoder_hidden_states: Tensor,
        cond_tokens: Tensor,
        **instruction: Tensor | None,
    ) -> Tensor:
        """Predict the noise.

        Args:
            noisy_latents: [B, 4, h, w].
            timesteps: [B].
            encoder_hidden_states: The text prompt, [B, 77, D].
            cond_tokens: The encoded condition images, [B, 257, 1280].
            instruction: What `InstructAdapter.forward` takes besides the image.

        Returns:
            The predicted noise, [B, 4, h, w].
        """
        tokens = self.adapter(cond_tokens, **instruction)
        added = {"image_embeds": [tokens.unsqueeze(1)]}
        prediction: Tensor = self.unet(
            noisy_latents, timesteps, encoder_hidden_states, added_cond_kwargs=added, return_dict=False
        )[0]
        return prediction

    def frozen_names(self) -> list[str]:
        """Names of parameters and buffers that never change: DDP need neither broadcast nor reduce them."""
        frozen = [name for name, parameter in self.named_parameters() if not parameter.requires_grad]
        return frozen + [name for name, _ in self.named_buffers()]
