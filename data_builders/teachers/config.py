"""Settings of the teachers. The paper names the models and no number; these are ours. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ipai.backbones.config import WeightsFile, WeightsRef
from ipai.schema import STEPS, above, at_least, one_of

SAMPLERS = ("ddim", "dpm++", "unipc", "euler")
# Not fp16: SDXL's VAE overflows in it, and the pipelines run all parts in one precision.
DTYPES = ("auto", "bf16", "fp32")
_PIXELS_PER_LATENT = 8


@dataclass(kw_only=True)
class Teacher:
    """What every teacher has.

    Attributes:
        name: How records call it.
        unet, vae, text_encoder, tokenizer, scheduler: The base, in the layout of diffusers and transformers.
        sampler: One of `SAMPLERS`; all of them are deterministic after the first noise.
        steps: Denoising steps.
        guidance: Scale of classifier-free guidance, above 1.
        negative_prompt: What guidance leads away from.
        resolution: Side of the generated square, px.
        batch_size: Samples that are generated at once; shorter batches are filled up.
        dtype: One of `DTYPES`; auto is bf16 on GPUs that have it and fp32 elsewhere.
    """

    name: str
    unet: WeightsRef
    vae: WeightsRef
    text_encoder: WeightsRef
    tokenizer: WeightsRef
    scheduler: WeightsRef
    sampler: str = field(default="ddim", metadata=one_of(*SAMPLERS))
    steps: int = field(default=30, metadata=STEPS)
    guidance: float = field(default=5.0, metadata=above(1))
    negative_prompt: str = ""
    resolution: int = field(default=512, metadata=above(0))
    batch_size: int = field(default=8, metadata=above(0))
    dtype: str = field(default="auto", metadata=one_of(*DTYPES))

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        if self.resolution % _PIXELS_PER_LATENT:
            yield f"teacher.resolution={self.resolution} must be a multiple of {_PIXELS_PER_LATENT}"


@dataclass(kw_only=True)
class EdgeTeacher(Teacher):
    """Stable Diffusion 1.5 with a ControlNet that follows white lines; `control_scale` weighs its residuals."""

    controlnet: WeightsRef
    control_scale: float = field(default=1.0, metadata=above(0))  # 0 would ignore the edges


@dataclass(kw_only=True)
class TextTeacher(Teacher):
    """Stable Diffusion 1.5 or SDXL alone, told by words.

    Attributes:
        text_encoder_2, tokenizer_2: SDXL's second ones; null for SD1.5.
    """

    text_encoder_2: WeightsRef | None = None
    tokenizer_2: WeightsRef | None = None

    @property
    def is_sdxl(self) -> bool:
        """Whether the base has two text encoders."""
        return self.text_encoder_2 is not None

    def problems(self) -> Iterator[str]:
        """The teacher's problems and those of two encoders."""
        yield from super().problems()
        if (self.text_encoder_2 is None) != (self.tokenizer_2 is None):
            yield "teacher.text_encoder_2 and teacher.tokenizer_2 belong together: set both (SDXL) or none (SD1.5)"


@dataclass(kw_only=True)
class StyleTeacher(TextTeacher):
    """InstantStyle (arXiv 2404.02733): an IP-Adapter that is switched on in the blocks that carry style only.

    Attributes:
        image_encoder: The image tower that the adapter was trained with.
        adapter: IP-Adapter weights.
        scales: Scale by block, as diffusers' `set_ip_adapter_scale` takes it; blocks that are not named get 0.
        subtract_content: Weight of the condition's caption, which is subtracted from the condition's embedding; 0: off.
        content_encoder, content_tokenizer: The text tower that belongs to the image tower, for that caption.
    """

    image_encoder: WeightsRef
    adapter: WeightsFile
    scales: dict[str, Any] = field(default_factory=dict)
    subtract_content: float = field(default=0.0, metadata=at_least(0))
    content_encoder: WeightsRef | None = None
    content_tokenizer: WeightsRef | None = None

    def problems(self) -> Iterator[str]:
        """The teacher's problems and InstantStyle's."""
        yield from super().problems()
        if not any(scale > 0 for scale in _numbers(self.scales)):
            yield (
                f"teacher.scales={self.scales} switches the style image off; name a block, for example "
                "{up: {block_0: [0.0, 1.0, 0.0]}} for SDXL or {up: {block_1: [1.0, 1.0, 1.0]}} for SD1.5"
            )
        if self.subtract_content and (self.content_encoder is None or self.content_tokenizer is None):
            yield (
                f"teacher.subtract_content={self.subtract_content} needs teacher.content_encoder and "
                "teacher.content_tokenizer: the text tower of the same CLIP as teacher.image_encoder"
            )


def _numbers(node: Any) -> Iterator[float]:
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _numbers(child)
    elif isinstance(node, int | float):
        yield float(node)
