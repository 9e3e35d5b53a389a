"""What the page's buttons do: from its fields to pictures, one after the other, with one loaded pipeline."""

import itertools
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipai.app.config import AppConfig
from ipai.app.fields import Fields, drawings
from ipai.errors import ConfigError
from ipai.instructions.slots import fill_slot
from ipai.pipeline.drawing import conditions_of, request_of
from ipai.pipeline.picture_generator import PictureGenerator, control_picture
from ipai.pipeline.record import facts_of, write_png
from ipai.pipeline.settings import DrawingConfig
from ipai.pipeline.sources import base_for, load
from ipai.schema import out_of_bounds, refuse


@dataclass(frozen=True)
class Drawn:
    """One of the pictures that a button asked for.

    Attributes:
        path: Its PNG, which `generate.py repeat=` draws again.
        label: Instruction and seed.
        number, total: Which of how many.
    """

    path: Path
    label: str
    number: int
    total: int


class Session:
    """One adapter, which draws one picture at a time, whoever asks.

    Args:
        config: Which adapter, and the defaults.

    Attributes:
        base: Of the adapter.
        folder: Where pictures are kept: `config.keep`, or a folder that ends with the page.

    Raises:
        IpaiError: The adapter or its base cannot be used.
    """

    def __init__(self, config: AppConfig) -> None:
        self.config = config
        self._loaded = load(config.checkpoint, weights=config.weights, base=config.base)  # type: ignore[arg-type]
        self.base = base_for(self._loaded, config.checkpoint)
        self._ends_with_us = None if config.keep else tempfile.TemporaryDirectory(prefix="ipai-app-")
        self.folder = Path(config.keep or self._ends_with_us.name).absolute()  # type: ignore[union-attr]
        self._numbers = itertools.count(_last_number(self.folder) + 1)
        self._busy = threading.Lock()
        self._stopped: set[str] = set()
        self._extras: tuple[str | None, str | None] = (None, None)
        self._generator = self._load()

    def draw(self, fields: Fields, visitor: str = "") -> Iterator[Drawn]:
        """The instruction in the field, a picture for each seed; see `_each`."""
        return self._each(fields, [fields.instruction], visitor)

    def five(self, fields: Fields, visitor: str = "") -> Iterator[Drawn]:
        """The same image under each of `config.five`; see `_each`."""
        return self._each(fields, list(self.config.five.values()), visitor)

    def stop(self, visitor: str) -> None:
        """End what this visitor's buttons draw, after the step that is being computed."""
        self._stopped.add(visitor)

    def _each(self, fields: Fields, instructions: Sequence[str], visitor: str) -> Iterator[Drawn]:
        """Each picture as it is done, until the visitor stops it.

        Raises:
            IpaiError: A field cannot be used; the message says which.
        """
        self._stopped.discard(visitor)
        refuse(out_of_bounds(fields))
        wanted = drawings(fields, instructions, self.config, self.base, self.folder)
        for number, drawing in enumerate(wanted, 1):
            try:
                path = self._one(drawing, visitor)
            except _Stopped:
                return
            told, seed = drawing.instruction[0], f"seed {drawing.seeds[0]}"
            label = f"{fill_slot(told, drawing.object)} · {seed}" if told else seed
            yield Drawn(path, label, number, len(wanted))

    def _one(self, drawing: DrawingConfig, visitor: str) -> Path:
        def on_step(_: int) -> None:
            if visitor in self._stopped:
                raise _Stopped

        # Between two pictures another visitor may have drawn, so everything is chosen anew.
        with self._busy:
            on_step(0)
            if (drawing.controlnet, drawing.lora) != self._extras:
                # A name that cannot be loaded leaves the old pipeline in place.
                self._generator = self._load(drawing.controlnet, drawing.lora)
                self._extras = drawing.controlnet, drawing.lora
            generator, control = self._generator, None
            if drawing.lora:
                generator.weigh_lora(drawing.lora_scale)
            if drawing.controlnet_image:
                control = control_picture(Path(drawing.controlnet_image), self.base.resolution)
            generator.attached.set_scale(drawing.chosen_scale())
            conditions = conditions_of(drawing, drawing.instruction[0])
            generator.attached.condition(*conditions, guidance=drawing.chosen_guidance())
            picture = generator.generate(request_of(drawing, drawing.seeds[0], control), on_step)
            path = self.folder / f"picture-{next(self._numbers):05d}.png"
            write_png(picture, facts_of(drawing), path)
        return path

    def _load(self, controlnet: str | None = None, lora: str | None = None) -> PictureGenerator:
        generator = PictureGenerator(self.base, self._loaded, self.config.device, controlnet, lora)
        generator.schedule(self.config.scheduler)
        return generator


class _Stopped(Exception):
    """The visitor does not want the picture any more."""


def require(checkpoint: str) -> None:
    """Say what to do first where the default run does not exist yet.

    Raises:
        ConfigError: It does not.
    """
    if checkpoint == "runs/joint-toy" and not Path(checkpoint).exists():
        raise ConfigError("there is no runs/joint-toy yet: run `make demo` first, or give checkpoint=...")


def _last_number(folder: Path) -> int:
    return max((int(path.stem.rpartition("-")[2]) for path in folder.glob("picture-?????.png")), default=0)
