"""From settings to a figure's files: what `scripts/figures.py` does."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder
from ipai.evaluation.evaluated_run import read_run
from ipai.evaluation.figures.config import FigureConfig, check
from ipai.evaluation.figures.figure_4 import instruction_map
from ipai.evaluation.figures.figure_5 import data_entries
from ipai.evaluation.figures.figure_6 import side_by_side
from ipai.evaluation.figures.figure_7 import scores_over_training
from ipai.evaluation.figures.figure_9 import one_image_all_instructions
from ipai.evaluation.figures.figures_8_and_10 import Scene, rewordings, with_others
from ipai.evaluation.figures.plates import save
from ipai.instructions.pools import load_pool

_INSTRUCTIONS, _SAMPLES, _CONDITIONS = 1000, 2, 5


def draw_figure(config: FigureConfig) -> list[Path]:
    """Make the figure and write it.

    Raises:
        IpaiError: A setting, a run, its evaluation or its data cannot be used.
    """
    check(config)
    return save(_FIGURES[config.figure](config), Path(config.output), config.figure)


def _figure_4(config: FigureConfig) -> Figure:
    training = read_run(_run(config))
    pools = {task: load_pool(task, "train") for task in training.tasks}
    encoder = OpenClipInstructionEncoder.from_config(training.base, "cpu")
    return instruction_map(encoder, pools, training.instructions.fixed, config.count or _INSTRUCTIONS, config.seed)


def _figure_5(config: FigureConfig) -> Figure:
    templates = {task: load_pool(task, "val") for task in read_run(_run(config)).tasks}
    return data_entries(_root(config), templates, config.count or _SAMPLES, config.seed)


def _figure_6(config: FigureConfig) -> Figure:
    return side_by_side([Path(one) for one in config.runs], _root(config), config.count or _SAMPLES)


def _figure_7(config: FigureConfig) -> Figure:
    return scores_over_training([Path(one) for one in config.runs], config.scores)


def _figure_8(config: FigureConfig) -> Figure:
    return rewordings(_scene(config), config.wordings)


def _figure_9(config: FigureConfig) -> Figure:
    return one_image_all_instructions(_run(config), _root(config), config.count or _CONDITIONS)


def _figure_10(config: FigureConfig) -> Figure:
    return with_others(_scene(config), config.controlnet, config.lora, config.lora_scale)


_FIGURES: dict[int, Callable[[FigureConfig], Figure]] = {
    4: _figure_4, 5: _figure_5, 6: _figure_6, 7: _figure_7, 8: _figure_8, 9: _figure_9, 10: _figure_10,
}  # fmt: skip


def _run(config: FigureConfig) -> Path:
    return Path(config.run or config.runs[0])


def _root(config: FigureConfig) -> Path:
    return Path(config.data.root or read_run(_run(config)).data.root)


def _scene(config: FigureConfig) -> Scene:
    return Scene(
        _run(config), _root(config), config.task, config.sample, config.seeds, config.seed, config.steps, config.device
    )
