"""From settings to pictures: what `scripts/generate.py` does."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from ipai.instructions.slots import fill_slot
from ipai.pipeline.encoding import Condition
from ipai.pipeline.grid import grid
from ipai.pipeline.picture_generator import PictureGenerator, PictureRequest, control_picture
from ipai.pipeline.record import facts_of, write_png
from ipai.pipeline.settings import DrawingConfig, check
from ipai.pipeline.sources import base_for, load


def draw(config: DrawingConfig, progress: Callable[[], object]) -> Path:
    """Draw a picture for each instruction and seed, and write them, or a grid of them, as one PNG.

    The PNG's text `ipai` holds the settings, the digests of the files that they name, and versions.

    Args:
        config: What to draw.
        progress: Called after each picture.

    Raises:
        ConfigError: A setting cannot work.
        IpaiError: Adapter, weights, image or instruction cannot be used.
    """
    check(config)
    loaded = load(config.checkpoint, weights=config.weights, base=config.base)  # type: ignore[arg-type]
    config.base = base_for(loaded, config.checkpoint)
    generator = PictureGenerator(
        config.base, loaded, config.device, config.controlnet, lora=config.lora, lora_scale=config.lora_scale
    )
    size = config.chosen_size()
    generator.refuse_size(size)
    generator.schedule(config.scheduler)
    generator.attached.set_scale(config.chosen_scale())
    control = None
    if config.controlnet_image is not None:
        control = control_picture(Path(config.controlnet_image), size)
    rows = []
    for instruction in config.instruction:
        generator.attached.condition(*conditions_of(config, instruction), guidance=config.chosen_guidance())
        row = []
        for seed in config.seeds:
            row.append(generator.generate(request_of(config, seed, control)))
            progress()
        rows.append(row)
    output = Path(config.output)
    write_png(_sheet(rows, config), facts_of(config), output)
    return output


def conditions_of(config: DrawingConfig, instruction: str) -> list[Condition]:
    """The condition image under `instruction`, and those that are mixed in; an empty one is none (IP-Adapter Plus)."""
    first = Condition(Path(config.image), instruction or None, config.object, config.weight)
    more = (Condition(Path(one.image), one.instruction or None, one.object, one.weight) for one in config.more)
    return [first, *more]


def request_of(config: DrawingConfig, seed: int, control: Image.Image | None) -> PictureRequest:
    """One picture of that seed; `control` is the ControlNet's line drawing, if there is one."""
    return PictureRequest(
        config.prompt,
        config.negative,
        seed,
        config.steps,
        config.chosen_guidance_scale(),
        control,
        config.controlnet_scale,
        config.chosen_size(),
    )


def _sheet(rows: list[list[Image.Image]], config: DrawingConfig) -> Image.Image:
    labelled = config.labels and len(rows) * len(rows[0]) > 1
    heads = [f"seed {seed}" for seed in config.seeds]
    names = [fill_slot(text, config.object) if text else "" for text in config.instruction]
    return grid(rows, names if labelled else None, heads if labelled else None)
