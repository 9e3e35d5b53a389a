"""The page's fields, and the drawing that they ask for."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ipai.app.config import AppConfig
from ipai.backbones.config import BaseConfig
from ipai.data.images import MAX_PIXELS, as_seen
from ipai.errors import ConfigError, DataError
from ipai.files import atomic_path
from ipai.instructions.slots import slots_in
from ipai.pipeline.settings import GUIDANCES, DrawingConfig, FourPassScales, MoreCondition
from ipai.schema import MAX_LETTERS, MAX_SEED, STEPS, letters, one_of


@dataclass(frozen=True)
class Fields:
    """As the browser gives them; a box that is folded away gives None."""

    image: Image.Image | None
    instruction: str = field(metadata=letters(MAX_LETTERS))
    object: str = field(metadata=letters(MAX_LETTERS))
    prompt: str = field(metadata=letters(MAX_LETTERS))
    negative: str = field(metadata=letters(MAX_LETTERS))
    seeds: str = field(metadata=letters(MAX_LETTERS))
    scale: float
    guidance: str = field(metadata=one_of(*GUIDANCES))
    guidance_scale: float
    steps: float = field(metadata=STEPS)
    second_image: Image.Image | None
    second_instruction: str | None = field(metadata=letters(MAX_LETTERS))
    second_weight: float
    controlnet: str | None = field(metadata=letters(MAX_LETTERS))
    controlnet_image: Image.Image | None
    controlnet_scale: float
    lora: str | None = field(metadata=letters(MAX_LETTERS))
    lora_scale: float


def drawings(
    fields: Fields, instructions: Sequence[str], config: AppConfig, base: BaseConfig, folder: Path
) -> list[DrawingConfig]:
    """One picture each: every instruction under every seed, as `generate.py` would draw it.

    Args:
        fields: Within their bounds.
        instructions: What to take from the image.
        config: The page's.
        base: Of the adapter.
        folder: Gets the pictures that were dropped into the page.

    Raises:
        IpaiError: A field cannot be used; the message says which.
    """
    if fields.image is None:
        raise DataError("there is no condition image; drop one into the box, or click one of the examples")
    name = fields.object.strip() or None
    if name is None and any(slots_in(text) for text in instructions):
        raise ConfigError("one of the instructions says {object}; write the object's name into its box")
    seeds = seeds_of(fields.seeds)
    total = len(seeds) * len(instructions)
    if total > config.pictures:
        raise ConfigError(f"{total} pictures are too many at once; {config.pictures} is the most here")
    controlnet, lora = (fields.controlnet or "").strip() or None, (fields.lora or "").strip() or None
    if controlnet and fields.controlnet_image is None:
        raise DataError("the ControlNet has no line drawing; drop one into its box, or empty its name")
    image = kept(fields.image, folder)
    lines = kept(fields.controlnet_image, folder) if controlnet and fields.controlnet_image else None
    more = []
    if fields.second_image is not None:
        second = kept(fields.second_image, folder)
        more = [MoreCondition(second, fields.second_instruction or "", name, float(fields.second_weight))]
    return [
        DrawingConfig(
            checkpoint=config.checkpoint, image=image, instruction=[instruction], object=name, more=more,
            prompt=fields.prompt, negative=fields.negative, output="", seeds=[seed], weights=config.weights,
            scale=float(fields.scale), guidance=fields.guidance, guidance_scale=float(fields.guidance_scale),
            four_pass=FourPassScales(), steps=int(fields.steps), scheduler=config.scheduler, device=config.device,
            labels=False, controlnet=controlnet, controlnet_image=lines,
            controlnet_scale=float(fields.controlnet_scale), lora=lora, lora_scale=float(fields.lora_scale), base=base,
        )
        for instruction in instructions
        for seed in seeds
    ]  # fmt: skip


def kept(image: Image.Image, folder: Path) -> str:
    """The path of the picture as it is seen, a PNG named by its content, so that a drawing can be repeated."""
    try:
        seen = as_seen(image, MAX_PIXELS)
    except OSError as error:
        raise DataError(f"the picture cannot be read: {error}") from error
    path = folder / f"{hashlib.sha256(seen.tobytes() + repr(seen.size).encode()).hexdigest()[:16]}.png"
    if not path.exists():
        with atomic_path(path) as aside:
            seen.save(aside, "PNG")
    return str(path)


def seeds_of(text: str) -> list[int]:
    """The numbers in a text.

    Raises:
        ConfigError: It holds something else, or no seed.
    """
    try:
        seeds = [int(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise ConfigError(f"seeds are whole numbers with commas between them, not {text!r}") from error
    if not seeds or min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise ConfigError(f"give at least one seed, from 0 to {MAX_SEED}: {text!r}")
    return seeds
