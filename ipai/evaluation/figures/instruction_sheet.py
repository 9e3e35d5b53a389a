"""What an instruction does, at a glance: one condition a row, one instruction a column, in the toy world."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ipai.evaluation.figures.before_and_after import toy_run
from ipai.evaluation.sampling.asking import Sampling, answer
from ipai.image_io import to_image
from ipai.instructions.slots import fill_slot
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.pipeline.sources import load
from ipai.tasks import TASKS
from ipai.toyworld.questions import PORTRAIT_TASKS, SCENE_TASKS, object_names, questions

_SIDE, _GAP, _WORDS = 192, 8, 34  # px: of a picture, between pictures, and of the two lines below one
_INK, _QUIET, _PAPER = (20, 20, 20), (110, 110, 110), (255, 255, 255)
_STEPS = 25


def sheet_of_run(run: Path, scenes: int, portraits: int) -> Image.Image:
    """The first conditions of the toy world's questions under the fixed instructions of a run's tasks.

    Raises:
        ConfigError: The run has another base, or its adapter hears no instructions in words.
        CheckpointError: There is no run, or it has no checkpoint.
    """
    config = toy_run(run)
    generator = PictureGenerator(config.base, load(run).adapter, "cpu")
    instructions = {task: config.instructions.fixed[task] for task in config.tasks}
    return instruction_sheet(generator, instructions, range(scenes), range(portraits))


def instruction_sheet(
    generator: PictureGenerator, instructions: dict[str, str], scenes: Sequence[int], portraits: Sequence[int]
) -> Image.Image:
    """Conditions under the instructions of all tasks, each picture with the prompt that it was drawn with.

    Args:
        generator: With the adapter.
        instructions: Task -> what the adapter is told; one may have a slot.
        scenes, portraits: Numbers of the conditions among the toy world's questions.
    """
    heads = {task: instructions[task].replace("{object}", "(its name)") for task in TASKS if task in instructions}
    rows = [_row(generator, instructions, False, number) for number in scenes]
    rows += [_row(generator, instructions, True, number) for number in portraits]
    cell = _SIDE + _GAP
    sheet = Image.new("RGB", (cell * (len(heads) + 1) + _GAP, _WORDS + (cell + _WORDS) * len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(["the condition", *(f"“{head}”" for head in heads.values())]):
        _write(draw, text, _GAP + column * cell, 1, _INK)
    for y, (condition, answers) in enumerate(rows):
        top = _WORDS + y * (cell + _WORDS)
        sheet.paste(_enlarged(condition), (_GAP, top))
        for x, task in enumerate(heads, start=1):
            if task in answers:
                prompt, picture = answers[task]
                sheet.paste(_enlarged(picture), (_GAP + x * cell, top))
                _write(draw, prompt, _GAP + x * cell, top + _SIDE + 2, _QUIET)
    return sheet


def _row(
    generator: PictureGenerator, instructions: dict[str, str], portrait: bool, number: int
) -> tuple[Tensor, dict[str, tuple[str, Tensor]]]:
    """A condition, and for each task the prompt and the picture; the noise is the condition's number."""
    answers = {}
    for task in PORTRAIT_TASKS if portrait else SCENE_TASKS:
        if task in instructions:
            asked = questions(portrait, number + 1, task)
            condition, prompt = asked.pixels(generator.base.image_size)[number:], asked.prompts()[number]
            told = fill_slot(instructions[task], object_names(asked.conditions)[number])
            sampling = Sampling(_STEPS, seed=number)
            answers[task] = prompt, answer(generator, condition, [prompt], [told], sampling)[0]
    return questions(portrait, number + 1, "copy").pixels(generator.base.image_size)[number], answers


def _enlarged(pixels: Tensor) -> Image.Image:
    small = to_image(pixels.to(torch.uint8))
    return small.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)


def _write(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, ink: tuple[int, int, int]) -> None:
    font = ImageFont.load_default(size=13)
    draw.multiline_text((x, y), "\n".join(textwrap.wrap(text, 30)), fill=ink, font=font, spacing=2)
