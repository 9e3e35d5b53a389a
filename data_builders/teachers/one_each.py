"""Batches in which every sample has condition tokens of its own, through diffusers' pipelines."""

from typing import Any

from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline


class OneEach:
    """For pipelines: the embeddings of a batch are those of its samples, one each.

    diffusers takes them for several pictures that every sample shares, repeats them, and so mixes all conditions into
    all samples of a batch.
    """

    def prepare_ip_adapter_image_embeds(self, _: Any, ip_adapter_image_embeds: Any, *__: Any) -> Any:
        """What was given, `[2 x batch, 1, ...]`: those without a condition first."""
        return ip_adapter_image_embeds


class OneEachPipeline(OneEach, StableDiffusionPipeline):
    """Text to image, every sample with a condition of its own."""
