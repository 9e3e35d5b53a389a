"""One training step, as the paper has it: encode, noise, predict, compare."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ipai.backbones.backbone import Backbone
from ipai.data.collate import Batch, held
from ipai.objective import Objective, squared_error
from ipai.training.conditioning import InstructionInputs
from ipai.training.instruction_contrast import InstructionContrast
from ipai.training.predictor import NoisePredictor, repeated

_OF_THE_DENOISER = ("noisy_latents", "timesteps", "prompt_arguments", "draws")


class Losses(NamedTuple):
    """What training minimises.

    Attributes:
        error: Squared error of the prediction (paper eq. 2) of each draw, [B x draws].
        contrast: Of each sample, [B], see `instruction_contrast`; 0 where `contrasted` is False. None if not asked for.
        contrasted: Which samples it counts for, bool [B]; None likewise.
    """

    error: Tensor
    contrast: Tensor | None
    contrasted: Tensor | None


class DenoisingStep:
    """Computes a batch's per-sample error; everything random in it comes with the batch.

    Args:
        base: The frozen stack.
        module: Denoiser and adapter; `predictor` is the same, or what wraps it for several processes.
        instructions: What the adapter takes besides the image.
        objective: What the denoiser learns.
        null_condition: The encoding of a dropped image, [1, 257, 1280].
        contrast: Compares the adapter's tokens in training; None for the paper's loss alone.
    """

    def __init__(
        self,
        base: Backbone,
        module: NoisePredictor,
        instructions: InstructionInputs,
        objective: Objective,
        null_condition: Tensor,
        contrast: InstructionContrast | None = None,
    ) -> None:
        self.base = base
        self.module = module
        self.predictor: nn.Module = module
        self.instructions = instructions
        self.objective = objective
        self.null_condition = null_condition
        self.contrast = contrast

    def error(self, batch: Batch, timesteps: Tensor | None = None) -> Tensor:
        """Squared error of the prediction of each draw, [B x draws] (paper eq. 2).

        Args:
            batch: B samples.
            timesteps: [B x draws]; None for those that the objective draws in training.
        """
        inputs, target = self.inputs(batch, timesteps)
        prediction, _ = self.predictor(**inputs)
        return squared_error(prediction, target)

    def losses(self, batch: Batch, timesteps: Tensor) -> Losses:
        """All that training minimises; arguments as of `error`."""
        if self.contrast is None:
            return Losses(self.error(batch, timesteps), None, None)
        inputs, target = self.inputs(batch, timesteps)
        told = {name: value for name, value in inputs.items() if name not in _OF_THE_DENOISER}
        inputs |= self.contrast.inputs(batch, told.pop("cond_tokens"), told)
        prediction, tokens = self.predictor(**inputs)
        return Losses(squared_error(prediction, target), *self.contrast.losses(tokens, batch))

    @torch.no_grad()
    def inputs(self, batch: Batch, timesteps: Tensor | None = None) -> tuple[dict[str, Any], Tensor]:
        """The predictor's inputs and what it has to find; nothing here needs a gradient. Arguments as of `error`."""
        timesteps = self.objective.timesteps(batch.lots) if timesteps is None else timesteps
        latents = repeated(self.base.sample_latents(self.moments(batch), batch.posterior_noise), batch.draws)
        prompts = self.base.encode_prompts(batch.prompts, batch.framing)
        inputs = {
            "noisy_latents": self.objective.noised(latents, batch.noise, timesteps),
            "timesteps": timesteps,
            "prompt_arguments": repeated(prompts.arguments, batch.draws),
            "draws": batch.draws,
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
