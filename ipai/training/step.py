"""One training step, as the paper has it: encode, noise, predict, compare."""

from typing import Any, cast

import torch
from torch import IntTensor, Tensor, nn

from ipai.base.frozen import FrozenBase
from ipai.data.collate import Batch, held
from ipai.training.conditioning import InstructionInputs
from ipai.training.loss import squared_error
from ipai.training.predictor import NoisePredictor


class DenoisingStep:
    """Computes a batch's per-sample error; everything random in it comes with the batch.

    Args:
        base: The frozen stack.
        module: UNet and adapter; `predictor` is the same, or what wraps it for several processes.
        instructions: What the adapter takes besides the image.
        null_condition: The encoding of a dropped image, [1, 257, 1280].
    """

    def __init__(
        self, base: FrozenBase, module: NoisePredictor, instructions: InstructionInputs, null_condition: Tensor
    ) -> None:
        self.base = base
        self.module = module
        self.predictor: nn.Module = module
        self.instructions = instructions
        self.null_condition = null_condition

    def error(self, batch: Batch) -> Tensor:
        """Squared error of the predicted noise, [B] (paper eq. 2)."""
        inputs, noise = self.inputs(batch)
        return squared_error(self.predictor(**inputs), noise)

    @torch.no_grad()
    def inputs(self, batch: Batch) -> tuple[dict[str, Any], Tensor]:
        """The predictor's inputs and the noise it has to find; nothing here needs a gradient."""
        latents = self.base.sample_latents(self.moments(batch), batch.posterior_noise)
        noise, add_noise = batch.noise, self.base.scheduler.add_noise
        prompt, prompt_mask = self.base.encode_prompts(batch.prompts)
        inputs = {
            "noisy_latents": add_noise(latents, noise, cast(IntTensor, batch.timesteps)),
            "timesteps": batch.timesteps,
            "encoder_hidden_states": prompt,
            "cond_tokens": self.condition(batch),
            **self.instructions(batch, prompt, prompt_mask),
        }
        return inputs, noise

    def condition(self, batch: Batch) -> Tensor:
        """Encoded condition images [B, 257, 1280]; a dropped one is the encoding of an all-zero image."""
        if batch.cond_tokens is not None:
            cond_tokens = batch.cond_tokens.to(self.null_condition.dtype)
        else:
            cond_tokens = self.base.encode_images(held(batch.condition))
        return torch.where(batch.drop_image[:, None, None], self.null_condition, cond_tokens)

    def moments(self, batch: Batch) -> Tensor:
        """The VAE's moments of the targets [B, 8, h, w], from the cache or computed now."""
        return self.base.target_moments(held(batch.target)) if batch.moments is None else batch.moments
