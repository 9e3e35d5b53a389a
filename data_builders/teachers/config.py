"""Settings of the teachers. The paper names the models and no number; these are ours. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ipai.backbones.config import WeightsFile, WeightsRef

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
    sampler: str = "ddim"
    steps: int = 30
    guidance: float = 5.0
    negative_prompt: str = ""
    resolution: int = 512
    batch_size: int = 8
    dtype: str = "auto"

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        for key, value in {"steps": self.steps, "batch_size": self.batch_size}.items():
            if value < 1:
                yield f"teacher.{key}={value} must be at least 1"
        if self.guidance <= 1:
            yield f"teacher.guidance={self.guidance} must be above 1 (1 is no guidance)"
        if self.resolution < 1 or self.resolution % _PIXELS_PER_LATENT:
            yield f"teacher.resolution={self.resolution} must be a multiple of {_PIXELS_PER_LATENT}"
        if self.sampler not in SAMPLERS:
            yield f"teacher.sampler={self.sampler} is none of {', '.join(SAMPLERS)}"
        if self.dtype not in DTYPES:
            yield f"teacher.dtype={self.dtype} is none of {', '.join(DTYPES)}"


@dataclass(kw_only=True)
class EdgeTeacher(Teacher):
    """Stable Diffusion 1.5 with a ControlNet that follows white lines; `control_scale` weighs its residuals."""

    controlnet: WeightsRef
    control_scale: float = 1.0

    def problems(self) -> Iterator[str]:
        """The teacher's problems and the ControlNet's."""
        yield from super().problems()
        if not self.control_scale > 0:
            yield f"teacher.control_scale={self.control_scale} must be above 0, else the edges are ignored"


@dataclass(kw_only=True)
class StyleTeacher(Teacher):
    """InstantStyle (arXiv 2404.02733): an IP-Adapter that is switched on in the blocks that carry style only.

    Attributes:
        image_encoder: The image tower that the adapter was trained with.
        adapter: IP-Adapter weights.
        scales: Scale by block, as diffusers' `set_ip_adapter_scale` takes it; blocks that are not named get 0.
        text_encoder_2, tokenizer_2: SDXL's second ones; null for SD1.5.
        subtract_content: Weight of the condition's caption, which is subtracted from the condition's embedding; 0: off.
        content_encoder, content_tokenizer: The text tower that belongs to the image tower, for that caption.
    """

    image_encoder: WeightsRef
    adapter: WeightsFile
    scales: dict[str, Any] = field(default_factory=dict)
    text_encoder_2: WeightsRef | None = None
    tokenizer_2: WeightsRef | None = None
    subtract_content: float = 0.0
    content_encoder: WeightsRef | None = None
    content_tokenizer: WeightsRef | None = None

    @property
    def is_sdxl(self) -> bool:
        """Whether the base has two text encoders."""
        return self.text_encoder_2 is not None

    def problems(self) -> Iterator[str]:
        """The teacher's problems and InstantStyle's."""
        yield from super().problems()
        if (self.text_encoder_2 is None) != (self.tokenizer_2 is None):
            yield "teacher.text_encoder_2 and teacher.tokenizer_2 belong together: set both (SDXL) or none (SD1.5)"
        if not any(scale > 0 for scale in _numbers(self.scales)):
            yield (
                f"teacher.scales={self.scales} switches the style image off; name a block, for example "
                "{up: {block_0: [0.0, 1.0, 0.0]}} for SDXL or {up: {block_1: [1.0, 1.0, 1.0]}} for SD1.5"
            )
        if self.subtract_content < 0:
            yield f"teacher.subtract_content={self.subtract_content} must not be negative; 0 switches it off"
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
