"""What the page's buttons do: from its fields to labelled pictures, with one loaded pipeline."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ipai.app.config import AppConfig
from ipai.errors import ConfigError, DataError
from ipai.instructions.slots import fill_slot, slots_in
from ipai.pipeline.encoding import Condition
from ipai.pipeline.grid import grid
from ipai.pipeline.guidance import FourPass
from ipai.pipeline.picture_generator import PictureGenerator, PictureRequest, control_picture
from ipai.pipeline.settings import GUIDANCES
from ipai.pipeline.sources import base_for, load
from ipai.schema import MAX_LETTERS, MAX_SEED, STEPS, letters, one_of, out_of_bounds, refuse

_MOST = 64  # pictures of one press of a button


@dataclass(frozen=True)
class Fields:
    """The page's fields, as the browser gives them."""

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
    controlnet: str | None  # None while the boxes are folded away
    controlnet_image: Image.Image | None
    controlnet_scale: float
    lora: str | None
    lora_scale: float


class Session:
    """One adapter, drawn with by one visitor at a time.

    Args:
        config: Which adapter, and the defaults.

    Raises:
        IpaiError: The adapter or its base cannot be used.
    """

    def __init__(self, config: AppConfig) -> None:
        self.config = config
        self._loaded = load(config.checkpoint, weights=config.weights, base=config.base)  # type: ignore[arg-type]
        self.base = base_for(self._loaded, config.checkpoint)
        self._busy = threading.Lock()
        self._extras: tuple[str, str] = ("", "")
        self._generator = self._load()

    def draw(self, fields: Fields, progress: Callable[[float], object]) -> Image.Image:
        """The instruction in the field, a picture for each seed.

        Raises:
            IpaiError: A field cannot be used; the message says which.
        """
        return self._rows(fields, [fields.instruction], progress)

    def five(self, fields: Fields, progress: Callable[[float], object]) -> Image.Image:
        """The same image under each of `config.five`, a row each; an instruction with a slot needs the object's name.

        Raises:
            IpaiError: A field cannot be used; the message says which.
        """
        named = [text for text in self.config.five if fields.object.strip() or not slots_in(text)]
        return self._rows(fields, named, progress)

    def _rows(self, fields: Fields, instructions: Sequence[str], progress: Callable[[float], object]) -> Image.Image:
        refuse(out_of_bounds(fields))
        if fields.image is None:
            raise DataError("there is no condition image; drop one into the box at the left")
        seeds = _seeds(fields.seeds)
        total = len(seeds) * len(instructions)
        if total > _MOST:
            raise ConfigError(f"{total} pictures are too many at once; {_MOST} is the most")
        with self._busy:
            requests = self._prepared(fields, seeds)
            rows: list[list[Image.Image]] = []
            for number, instruction in enumerate(instructions):
                condition = Condition(fields.image, instruction, object=fields.object.strip() or None)
                guidance = FourPass(negative=fields.negative) if fields.guidance == "four_pass" else None
                self._generator.attached.condition(condition, guidance=guidance)
                rows.append([])
                for request in requests:
                    rows[-1].append(self._generator.generate(request))
                    progress((number * len(seeds) + len(rows[-1])) / total)
        names = [fill_slot(text, fields.object.strip() or None) for text in instructions]
        return grid(rows, names, [f"seed {seed}" for seed in seeds])

    def _prepared(self, fields: Fields, seeds: Sequence[int]) -> list[PictureRequest]:
        controlnet, lora = (fields.controlnet or "").strip(), (fields.lora or "").strip()
        if controlnet and fields.controlnet_image is None:
            raise DataError("the ControlNet has no line drawing; drop one into its box, or empty its name")
        if (controlnet, lora) != self._extras:
            generator = self._load(controlnet, lora)  # a name that cannot be loaded leaves the old one in place
            self._generator, self._extras = generator, (controlnet, lora)
        if lora:
            self._generator.weigh_lora(fields.lora_scale)
        self._generator.attached.set_scale(fields.scale)
        control = None
        if controlnet and fields.controlnet_image is not None:
            control = control_picture(fields.controlnet_image, self.base.resolution)
        steps, guidance = int(fields.steps), fields.guidance_scale
        return [
            PictureRequest(fields.prompt, fields.negative, seed, steps, guidance, control, fields.controlnet_scale)
            for seed in seeds
        ]

    def _load(self, controlnet: str = "", lora: str = "") -> PictureGenerator:
        generator = PictureGenerator(self.base, self._loaded, self.config.device, controlnet or None, lora or None)
        generator.schedule(self.config.scheduler)
        return generator


def require(checkpoint: str) -> None:
    """Say what to do first where the default run does not exist yet.

    Raises:
        ConfigError: It does not.
    """
    if checkpoint == "runs/joint-toy" and not Path(checkpoint).exists():
        raise ConfigError("there is no runs/joint-toy yet: run `make demo` first, or give checkpoint=...")


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise ConfigError(f"seeds are whole numbers with commas between them, not {text!r}") from error
    if not seeds or min(seeds) < 0 or max(seeds) > MAX_SEED:
        raise ConfigError(f"give at least one seed, from 0 to {MAX_SEED}: {text!r}")
    return seeds
