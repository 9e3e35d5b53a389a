"""What training did, to look at: one image and prompt under each instruction, before the first step and at the end."""

from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from ipai.backbones.config import BUILTIN_TOY
from ipai.backbones.families import load_base, read_dims
from ipai.config import TrainingRun
from ipai.errors import ConfigError
from ipai.evaluation.evaluated_run import read_run
from ipai.evaluation.figures.plates import Plate, plate
from ipai.evaluation.sampling.asking import Sampling, answer
from ipai.image_io import to_image
from ipai.instructions.slots import fill_slot
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.pipeline.sources import load
from ipai.toyworld.questions import PORTRAIT_TASKS, SCENE_TASKS, object_names, questions
from ipai.training.assemble import build_adapter


def before_and_after(run: Path, scene: int, portrait: int, seeds: int) -> Figure:
    """A scene under the instructions of its tasks, below it a portrait; columns are noises, before and after training.

    Args:
        run: Folder of a run on the toy world's stack.
        scene, portrait: Numbers of the conditions among the toy world's questions.
        seeds: Noises, columns on each side.

    Raises:
        ConfigError: The run has another base, or its adapter hears no instructions in words.
        CheckpointError: There is no run, or it has no checkpoint.
    """
    config = toy_run(run)
    base = load_base(config.base, "cpu")
    untrained, trained = build_adapter(config, read_dims(config.base), base), load(run).adapter
    generators = [PictureGenerator(config.base, adapter, "cpu") for adapter in (untrained, trained)]
    rows: Plate = []
    for portraits, number in ((False, scene), (True, portrait)):
        before, after = (_answers(config, generator, portraits, number, seeds) for generator in generators)
        condition = _condition(config, portraits, number)
        for label, left in before.items():
            rows.append((label, [condition, *left, None, *after[label]]))
    return plate(rows, ["condition", *["before"] * seeds, "", *["after"] * seeds])


def toy_run(run: Path) -> TrainingRun:
    """The configuration of a run in the toy world.

    Raises:
        ConfigError: The run has another base, or its adapter hears no instructions in words.
        CheckpointError: There is no run.
    """
    config = read_run(run)
    if config.base.vae.id != BUILTIN_TOY or config.adapter.instruction not in ("tokens", "pooled"):
        raise ConfigError(f"{run} is not a run with base=toy whose adapter is told in words what to take")
    return config


def _condition(config: TrainingRun, portraits: bool, number: int) -> Image.Image:
    return to_image(questions(portraits, number + 1, "copy").pixels(config.base.image_size)[number])


def _answers(
    config: TrainingRun, generator: PictureGenerator, portraits: bool, number: int, seeds: int
) -> dict[str, list[Image.Image]]:
    """Instruction and prompt -> pictures."""
    sampling = Sampling(config.validation.image_steps, config.validation.guidance_scale)
    answers = {}
    for task in PORTRAIT_TASKS if portraits else SCENE_TASKS:
        if task in config.tasks:
            asked = questions(portraits, number + 1, task)
            condition = asked.pixels(config.base.image_size)[number:].expand(seeds, -1, -1, -1)
            prompt, name = asked.prompts()[number], object_names(asked.conditions)[number]
            words = fill_slot(config.instructions.fixed[task], name)
            pictures = answer(generator, condition, [prompt] * seeds, [words] * seeds, sampling)
            answers[f"“{words}”, prompt “{prompt}”"] = [to_image(picture) for picture in pictures]
    return answers
