"""One training step, as the paper has it: encode, noise, predict, compare."""

from typing import Any

import torch
from torch import Tensor, nn

from ipai.backbones.backbone import Backbone
from ipai.data.collate import Batch, held
from ipai.objective import Objective, squared_error
from ipai.training.conditioning import InstructionInputs
from ipai.training.predictor import NoisePredictor


class DenoisingStep:
    """Computes a batch's per-sample error; everything random in it comes with the batch.

    Args:
        base: The frozen stack.
        module: Denoiser and adapter; `predictor` is the same, or what wraps it for several processes.
        instructions: What the adapter takes besides the image.
        objective: What the denoiser learns.
        null_condition: The encoding of a dropped image, [1, 257, 1280].
    """

    def __init__(
        self,
        base: Backbone,
        module: NoisePredictor,
        instructions: InstructionInputs,
        objective: Objective,
        null_condition: Tensor,
    ) -> None:
        self.base = base
        self.module = module
        self.predictor: nn.Module = module
        self.instructions = instructions
        self.objective = objective
        self.null_condition = null_condition

    def error(self, batch: Batch, timesteps: Tensor | None = None) -> Tensor:
        """Squared error of the prediction, [B] (paper eq. 2).

        Args:
            batch: B samples.
            timesteps: [B]; None for those that the objective draws in training.
        """
        inputs, target = self.inputs(batch, timesteps)
        return squared_error(self.predictor(**inputs), target)

    @torch.no_grad()
    def inputs(self, batch: Batch, timesteps: Tensor | None = None) -> tuple[dict[str, Any], Tensor]:
        """The predictor's inputs and what it has to find; nothing here needs a gradient. Arguments as of `error`."""
        timesteps = self.objective.timesteps(batch.lots) if timesteps is None else timesteps
        latents = self.base.sample_latents(self.moments(batch), batch.posterior_noise)
        prompts = self.base.encode_prompts(batch.prompts)
        inputs = {
            "noisy_latents": self.objective.noised(latents, batch.noise, timesteps),
            "timesteps": timesteps,
            "prompt_arguments": prompts.arguments,
            "cond_tokens": self.condition(batch),
            **self.instructions(batch, prompts),
        }
        return inputs, self.objective.target(latents, batch.noise, timesteps)

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
