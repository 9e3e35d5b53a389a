"""What the page's buttons do: from its fields to pictures, one after the other, with one loaded pipeline."""

import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ipai.app.config import AppConfig
from ipai.app.fields import Fields, drawings
from ipai.instructions.slots import fill_slot
from ipai.pipeline.drawing import conditions_of, request_of
from ipai.pipeline.picture_generator import PictureGenerator, control_picture
from ipai.pipeline.record import facts_of, write_png
from ipai.pipeline.settings import DrawingConfig
from ipai.pipeline.sources import adapter_file, base_for, load, locate_adapter
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
        folder: Where pictures are kept: `config.keep`, or `shown`.
        shown: A folder that ends with the page, of which copies go to the browser: nobody can ask for other files.

    Raises:
        IpaiError: The adapter or its base cannot be used.
    """

    def __init__(self, config: AppConfig) -> None:
        self.config = config
        self._loaded = load(config.checkpoint, weights=config.weights, base=config.base)  # type: ignore[arg-type]
        self.base = base_for(self._loaded, config.checkpoint)
        # The adapter that was loaded: a run that is still training has a newer one tomorrow.
        self._adapter = str(adapter_file(locate_adapter(config.checkpoint), config.weights))  # type: ignore[arg-type]
        self._ends_with_us = tempfile.TemporaryDirectory(prefix="ipai-app-")
        self.shown = Path(self._ends_with_us.name)
        self.folder = Path(config.keep).expanduser().absolute() if config.keep else self.shown
        self._busy = threading.Lock()
        self._stops: dict[str, threading.Event] = {}
        self._extras: tuple[str | None, str | None] = (None, None)
        self._generator = self._load()

    def draw(self, fields: Fields, visitor: str = "") -> Iterator[Drawn]:
        """The instruction in the field, a picture for each seed; see `_each`."""
        return self._each(fields, [fields.instruction], visitor)

    def five(self, fields: Fields, visitor: str = "") -> Iterator[Drawn]:
        """The same image under each of `config.five`; see `_each`."""
        return self._each(fields, list(self.config.five.values()), visitor)

    def stop(self, visitor: str) -> None:
        """End what this visitor's last button draws, after the step that is being computed."""
        if stop := self._stops.pop(visitor, None):
            stop.set()

    def copy_of(self, path: Path) -> Path:
        """A picture where the browser may have it from, in a folder whose name nobody can guess."""
        copy = Path(tempfile.mkdtemp(dir=self.shown)) / path.name
        shutil.copyfile(path, copy)
        return copy

    def _each(self, fields: Fields, instructions: Sequence[str], visitor: str) -> Iterator[Drawn]:
        """Each picture as it is done, until the visitor stops it, which he may from now on.

        Raises:
            IpaiError: A field cannot be used; the message says which. As the first picture is asked for.
        """
        stop = self._stops[visitor] = threading.Event()
        return self._drawn(fields, instructions, stop)

    def _drawn(self, fields: Fields, instructions: Sequence[str], stop: threading.Event) -> Iterator[Drawn]:
        refuse(out_of_bounds(fields))
        config = replace(self.config, checkpoint=self._adapter)
        wanted = drawings(fields, instructions, config, self.base, self.folder)
        for number, drawing in enumerate(wanted, 1):
            try:
                path = self._one(drawing, stop)
            except _Stopped:
                return
            told, seed = drawing.instruction[0], f"seed {drawing.seeds[0]}"
            label = f"{fill_slot(told, drawing.object)} · {seed}" if told else seed
            yield Drawn(path, label, number, len(wanted))

    def _one(self, drawing: DrawingConfig, stop: threading.Event) -> Path:
        def on_step(_: int) -> None:
            if stop.is_set():
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
                control = control_picture(Path(drawing.controlnet_image), drawing.chosen_size())
            generator.attached.set_scale(drawing.chosen_scale())
            conditions = conditions_of(drawing, drawing.instruction[0])
            generator.attached.condition(*conditions, guidance=drawing.chosen_guidance())
            picture = generator.generate(request_of(drawing, drawing.seeds[0], control), on_step)
            path = self.folder / f"picture-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
            write_png(picture, facts_of(drawing), path)
        return path

    def _load(self, controlnet: str | None = None, lora: str | None = None) -> PictureGenerator:
        generator = PictureGenerator(self.base, self._loaded, self.config.device, controlnet, lora)
        generator.schedule(self.config.scheduler)
        return generator


class _Stopped(Exception):
    """The visitor does not want the picture any more."""
