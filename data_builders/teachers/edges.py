"""The teacher of task `structure`: Stable Diffusion 1.5 with the scribble ControlNet (the paper's choice)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline

from data_builders.teachers.config import EdgeTeacher
from data_builders.teachers.parts import WITHOUT_CHECKER, find_parts, load_parts, provenance
from data_builders.teachers.request import Request
from data_builders.teachers.target_generator import drawn


class EdgeEngine:
    """Pictures that follow white lines on black."""

    def __init__(self, teacher: EdgeTeacher, dtype: torch.dtype, device: torch.device) -> None:
        """Load the models.

        Raises:
            WeightsError: A part is missing or damaged.
        """
        found = find_parts(teacher)
        self._teacher = teacher
        self._pipeline: Any = StableDiffusionControlNetPipeline(
            **load_parts(teacher, found, dtype, device), **WITHOUT_CHECKER
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self.provenance = provenance(teacher, found, dtype)

    def __call__(self, requests: Sequence[Request]) -> np.ndarray:
        """Pictures in 0..1, `[batch, height, width, 3]`; each `Request.picture` holds the edges."""
        lines = [request.picture for request in requests]
        scale = self._teacher.control_scale
        return drawn(self._pipeline, self._teacher, requests, image=lines, controlnet_conditioning_scale=scale)
