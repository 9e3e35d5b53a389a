"""The sizes that follow from the frozen parts."""

from dataclasses import dataclass

from ipai.adapter.spec import Attention


@dataclass(frozen=True)
class BaseDims:
    """Sizes of the frozen stack; the values in brackets are SD1.5's with CLIP ViT-H/14.

    Attributes:
        image_dim: Width of the condition image's tokens (1280).
        image_tokens: How many there are (257).
        prompt_dim: Width of the text prompt's tokens (768).
        token_dim: Width of the condition tokens that the denoiser attends to (768).
        instruction_dim: Width of the open_clip instruction tokens (1024); None where that encoder was not asked for.
        pooled_dim: Width of the pooled prompt that the denoiser also takes (SDXL: 1280); None where it takes none.
        prompt_tokens: How many tokens the denoiser reads of a prompt (77).
        told_guidance: The denoiser is told a guidance scale, being distilled from guided pictures.
        attention: The kind of image attention, see `AdapterSpec.attention`.
        attention_sizes: Hidden size of each image attention, in the order of the adapter's files (16 of them).
        latent_shape: Channels, height and width of the latents (4, 64, 64).
        resolution: Side of the target images, in pixels (512).
        multiple: What sides of targets must be multiples of, in pixels (64).
        image_size: Side of the condition images, in pixels (224).
    """

    image_dim: int
    image_tokens: int
    prompt_dim: int
    token_dim: int
    instruction_dim: int | None
    attention_sizes: tuple[int, ...]
    latent_shape: tuple[int, int, int]
    resolution: int
    multiple: int
    image_size: int
    pooled_dim: int | None = None
    prompt_tokens: int = 77
    told_guidance: bool = False
    attention: Attention = "decoupled"
