"""The teacher that only reads: Stable Diffusion 1.5 or SDXL as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

from data_builders.teachers.config import TextTeacher
from data_builders.teachers.parts import WITHOUT_CHECKER, find_parts, load_parts, provenance
from data_builders.teachers.request import Request
from data_builders.teachers.target_generator import drawn


class TextEngine:
    """Pictures of prompts."""

    def __init__(self, teacher: TextTeacher, dtype: torch.dtype, device: torch.device) -> None:
        """Load the models.

        Raises:
            WeightsError: A part is missing or damaged.
        """
        found = find_parts(teacher)
        parts = load_parts(teacher, found, dtype, device)
        self._teacher = teacher
        self._pipeline: Any = (
            StableDiffusionXLPipeline(**parts, add_watermarker=False)
            if teacher.is_sdxl
            else StableDiffusionPipeline(**parts, **WITHOUT_CHECKER)
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self.provenance = provenance(teacher, found, dtype)

    def __call__(self, requests: Sequence[Request]) -> np.ndarray:
        """Pictures in 0..1, `[batch, height, width, 3]`."""
        return drawn(self._pipeline, self._teacher, requests)
