"""The teacher of task `style`: InstantStyle (arXiv 2404.02733) through diffusers' own IP-Adapter, SDXL or SD1.5."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.embeddings import ImageProjection
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from diffusers.utils import logging

from data_builders.teachers.config import StyleTeacher
from data_builders.teachers.one_each import OneEach, OneEachPipeline
from data_builders.teachers.parts import WITHOUT_CHECKER, find_parts, load_parts, provenance
from data_builders.teachers.request import Request
from data_builders.teachers.target_generator import drawn
from ipai.errors import ConfigError, WeightsError


class _StyleXLPipeline(OneEach, StableDiffusionXLPipeline):
    pass


class StyleEngine:
    """Pictures of a prompt in the style of another picture."""

    def __init__(self, teacher: StyleTeacher, dtype: torch.dtype, device: torch.device) -> None:
        """Load the models and switch the adapter on in the blocks of `teacher.scales`.

        Raises:
            WeightsError: A part is missing or damaged, or the adapter does not fit the base.
            ConfigError: The scales name no block that this base has.
        """
        found = find_parts(teacher)
        parts = load_parts(teacher, found, dtype, device)
        self._content_encoder = parts.pop("content_encoder", None)
        self._content_tokenizer = parts.pop("content_tokenizer", None)
        self._teacher, self._device = teacher, device
        self._pipeline = _pipeline(teacher, parts)
        _load_adapter(self._pipeline, found["adapter"])
        _set_scales(self._pipeline, teacher)
        projection = self._pipeline.unet.encoder_hid_proj.image_projection_layers[0]
        self._takes_hidden_states = not isinstance(projection, ImageProjection)
        if self._takes_hidden_states and teacher.subtract_content:
            raise ConfigError(
                f"teacher.subtract_content={teacher.subtract_content} needs an adapter that takes one embedding; "
                f"{teacher.adapter} takes the encoder's hidden states: choose ip-adapter_sdxl or ip-adapter_sd15"
            )
        self.provenance = provenance(teacher, found, dtype)

    def __call__(self, requests: Sequence[Request]) -> np.ndarray:
        """Pictures in 0..1, `[batch, height, width, 3]`; each `Request.picture` is a style image."""
        return drawn(self._pipeline, self._teacher, requests, ip_adapter_image_embeds=[self._embeddings(requests)])

    @torch.inference_mode()
    def _embeddings(self, requests: Sequence[Request]) -> torch.Tensor:
        """`[2 x batch, 1, ...]`: those without a style image, then the style images'."""
        pictures = [request.picture for request in requests]
        given, absent = self._pipeline.encode_image(pictures, self._device, 1, self._takes_hidden_states)
        if self._teacher.subtract_content:
            given = given - self._teacher.subtract_content * self._content(requests)
        return torch.cat([absent, given])[:, None]

    def _content(self, requests: Sequence[Request]) -> torch.Tensor:
        tokens = self._content_tokenizer(
            [request.content for request in requests], padding="max_length", truncation=True, return_tensors="pt"
        ).to(self._device)
        embeddings: torch.Tensor = self._content_encoder(**tokens).text_embeds
        return embeddings


def _pipeline(teacher: StyleTeacher, parts: dict[str, Any]) -> Any:
    if teacher.is_sdxl:
        pipeline: Any = _StyleXLPipeline(**parts, add_watermarker=False)
    else:
        pipeline = OneEachPipeline(**parts, **WITHOUT_CHECKER)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _load_adapter(pipeline: Any, file: Path) -> None:
    loud = logging.get_verbosity()
    logging.set_verbosity_error()  # it warns of an empty list of modules
    try:
        pipeline.load_ip_adapter(
            str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise WeightsError(
            f"the IP-Adapter {file} cannot be put on this base: {error}. Point teacher.adapter at the file that was "
            "trained for it: ip-adapter_sdxl for SDXL, ip-adapter_sd15 for SD1.5"
        ) from error
    finally:
        logging.set_verbosity(loud)


def _set_scales(pipeline: Any, teacher: StyleTeacher) -> None:
    """diffusers accepts scales for blocks that the base has not, and then leaves every scale at zero."""
    try:
        pipeline.set_ip_adapter_scale(teacher.scales)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise ConfigError(f"teacher.scales={teacher.scales} is not what diffusers takes: {error}") from error
    processors = pipeline.unet.attn_processors.values()
    if not any(scale > 0 for processor in processors for scale in getattr(processor, "scale", [])):
        raise ConfigError(
            f"teacher.scales={teacher.scales} sets every scale of this base to zero, so the style image would be "
            "ignored; take {up: {block_0: [0.0, 1.0, 0.0]}} for SDXL and {up: {block_1: [1.0, 1.0, 1.0]}} for SD1.5"
        )
