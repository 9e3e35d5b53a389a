"""Condition images and instructions to the adapter's condition tokens."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ipai.adapter.adapter import InstructAdapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import load_base
from ipai.conditioning import Conditioning
from ipai.data.images import MAX_PIXELS, ImageError, as_seen, decode_image, square_box, to_square
from ipai.errors import ConfigError, DataError
from ipai.image_io import FORMATS
from ipai.pipeline.calling import Call
from ipai.pipeline.passes import Pass

_KEPT = 16  # encoded pictures: 0.7 MB each in fp16 with ViT-H/14


@dataclass(frozen=True)
class Condition:
    """One image and what to take from it.

    Attributes:
        image: A file, a PIL image, or a tensor [3, H, W] (uint8, or floating point from 0 to 1).
        instruction: What to take; a task's name for adapters with a task embedding, None for IP-Adapter Plus.
        object: Fills the slot of an instruction such as "use the {object}".
        weight: Share of this condition in a mix; multiplies the adapter's scale.
        adapter: Which of several attached adapters takes it, counted from 0.
    """

    image: Path | str | Image.Image | Tensor
    instruction: str | None = None
    object: str | None = None
    weight: float = 1.0
    adapter: int = 0

    def __post_init__(self) -> None:
        """Refuse a weight that is no finite number, with a ConfigError."""
        if not math.isfinite(self.weight):
            raise ConfigError(f"the weight of a condition must be a finite number, not {self.weight}")


class Encoding:
    """The frozen encoders of a base and an adapter's resampler.

    Args:
        adapter: Its `image_proj` is used.
        base: Where the encoders lie.
        device: Where they run.

    Attributes:
        base: The family, with its image encoder loaded.
    """

    def __init__(self, adapter: InstructAdapter, base: BaseConfig, device: torch.device) -> None:
        self.adapter = adapter
        self.device = device
        self.base = load_base(base, device, only=("image_encoder",))
        self.conditioning = Conditioning(adapter.spec)
        if self.conditioning.reads_prompt and adapter.spec.mask_padding:
            raise ConfigError("an adapter that masks the prompt's padding cannot be attached: pipelines give no mask")
        self._table = self.conditioning.table([], base, device)
        self._encoded: dict[bytes, Tensor] = {}
        self.null_image = self.base.null_condition()

    def instruction_of(self, condition: Condition) -> str:
        """What the adapter is told; see `Conditioning.checked`, which says what is refused."""
        return self.conditioning.checked(condition.instruction, condition.object)

    def image(self, image: Path | str | Image.Image | Tensor) -> Tensor:
        """Encode the centred square of a picture, each of the latest ones only once: [1, tokens, image_dim].

        Raises:
            DataError: The picture is missing or cannot be used.
        """
        picture = _seen(image)
        pixels = to_square(picture, square_box(picture), self.base.config.image_size)
        key = hashlib.sha256(pixels.numpy().tobytes()).digest()
        if key not in self._encoded:
            if len(self._encoded) == _KEPT:
                self._encoded.pop(next(iter(self._encoded)))
            self._encoded[key] = self.base.encode_images(pixels[None].to(self.device))
        return self._encoded[key]

    def prompts(self, denoisers: Tensor, call: Call) -> dict[Pass, Tensor]:
        """What a prompt branch reads under each pass of a call, [N, T, D].

        It is what the denoiser reads. Where that is of another width (SDXL, SD3), the texts are encoded as the adapter
        was trained to read them, and what guidance leads away from is as in the released code for the base.

        Args:
            denoisers: The denoiser's prompts, of all passes.
            call: The call that is running.

        Raises:
            ConfigError: The texts are needed, and the call was given encoded prompts.
        """
        parts = dict(zip(call.passes, denoisers.chunk(len(call.passes)), strict=True))
        if not self.conditioning.reads_prompt or denoisers.shape[-1] == self.adapter.spec.prompt_dim:
            return parts
        if call.prompt is None:
            raise ConfigError(
                f"the adapter reads the prompt's text, which {call.pipeline} was not given; give prompt= instead of "
                "prompt_embeds="
            )
        assert self._table is not None
        wanted = len(next(iter(parts.values())))
        nothing = self.base.nothing_asked(call.negative)
        if nothing is None:
            raise ConfigError(
                f"the adapter reads the negative prompt's text, which {call.pipeline} was not given; give "
                "negative_prompt= instead of negative_prompt_embeds="
            )
        read = {}
        for name in parts:
            texts = call.prompt if name == "full" else nothing
            each = [text for text in texts for _ in range(wanted // len(texts))]
            read[name] = self._table.embed(each)[0].to(self.device)
        return read

    def prompt(self, text: str) -> Tensor:
        """What a prompt branch reads of a text, [1, 77, D]; one row of nothing for adapters that have none."""
        if not self.conditioning.reads_prompt:
            return torch.zeros(1, 1, 1, device=self.device)
        assert self._table is not None
        return self._table.embed([text])[0].to(self.device)

    @torch.no_grad()
    def tokens(self, image: Tensor, instructions: Sequence[str], prompt: Tensor) -> Tensor:
        """Condition tokens fp32 [N, num_queries, width] for N prompts.

        Args:
            image: Encoded pictures, [N, tokens, image_dim], or one for all.
            instructions: N of them, or one for all; "" is the null instruction.
            prompt: Encoded prompts [N, 77, D].
        """
        alike = not self.conditioning.reads_prompt and len(image) == len(instructions) == 1
        batch = 1 if alike else prompt.shape[0]
        made = self.conditioning.inputs(instructions, self._table, self.device, prompt.float())
        inputs = {
            name: value.expand(batch, *[-1] * (value.ndim - 1)) for name, value in made.items() if value is not None
        }
        result = self.adapter(image.float().expand(batch, -1, -1), **inputs)
        return result.expand(prompt.shape[0], -1, -1)


def _seen(image: Path | str | Image.Image | Tensor) -> Image.Image:
    """The picture as a person sees it, by the one decoder whichever way it comes."""
    try:
        if isinstance(image, Path | str):
            return decode_image(Path(image).read_bytes(), MAX_PIXELS)
        picture = _picture(image) if isinstance(image, Tensor) else image
        if not isinstance(picture, Image.Image):
            raise DataError(f"a condition image is a path, a PIL image or a tensor, not {type(picture).__name__}")
        return as_seen(picture, MAX_PIXELS)
    except OSError as error:
        raise DataError(f"the condition image {image} cannot be read: {error.strerror}") from error
    except ImageError as error:
        name = image if isinstance(image, Path | str) else "that was given"
        kinds = ", ".join(FORMATS)
        raise DataError(f"the condition image {name} cannot be used: {error}; give one of {kinds}") from error


def _picture(pixels: Tensor) -> Image.Image:
    if pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.numel():
        raise DataError(f"a condition tensor is one picture [3, H, W], not {list(pixels.shape)}")
    if pixels.is_floating_point():
        if not pixels.isfinite().all() or pixels.min() < 0 or pixels.max() > 1:
            raise DataError("a condition tensor of floating point holds NaN or values outside 0 to 1; scale it first")
        pixels = (pixels.float() * 255).round().byte()
    if pixels.dtype != torch.uint8:
        raise DataError(f"a condition tensor is uint8 or of floating point, not {pixels.dtype}")
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
