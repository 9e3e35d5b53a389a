"""How pictures are drawn for each task: the settings given, else the run's, else the paper's and the base's."""

from dataclasses import dataclass

from ipai.backbones.config import guidance_of
from ipai.conditioning import Conditioning
from ipai.config import ValidationConfig
from ipai.errors import ConfigError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.evaluated_run import EvaluatedRun
from ipai.pipeline.guidance import FourPass
from ipai.tasks import DEFAULT_SCALE, get_task


@dataclass(frozen=True)
class TaskSampling:
    """One task's.

    Attributes:
        steps: Of the scheduler.
        guidance_scale: Of ordinary guidance.
        scale: Of the adapter.
        guidance: None is ordinary.
        negative: The prompt that guidance leads away from.
    """

    steps: int
    guidance_scale: float
    scale: float
    guidance: FourPass | None
    negative: str


def sampling_of(config: EvaluationConfig, evaluated: EvaluatedRun, task: str) -> TaskSampling:
    """The settings of a task.

    Raises:
        ConfigError: Four-pass guidance is asked of an adapter that reads no instructions.
    """
    alone = ValidationConfig(guidance_scale=evaluated.base.guidance_scale)
    of_run = evaluated.training.validation if evaluated.training is not None else alone
    scale = config.scale_by_task.get(task)
    scale = config.scale if scale is None else scale
    if scale is None:
        scale = of_run.adapter_scale - (DEFAULT_SCALE - get_task(task).scale)
    guidance = config.guidance_by_task.get(task) or config.guidance
    if guidance == "by_task":
        guidance = guidance_of(task, evaluated.base.family)
    if guidance == "four_pass" and not Conditioning(evaluated.adapter.spec).hears_words:
        raise ConfigError(f"four-pass guidance for {task} needs an adapter that reads instructions; guidance=ordinary")
    return TaskSampling(
        steps=config.steps or of_run.image_steps,
        guidance_scale=of_run.guidance_scale if config.guidance_scale is None else config.guidance_scale,
        scale=round(scale, 6),
        guidance=_four_pass(config) if guidance == "four_pass" else None,
        negative=config.negative,
    )


def _four_pass(config: EvaluationConfig) -> FourPass:
    scales = config.four_pass
    return FourPass(scales.instruct, scales.text, scales.image, negative=config.negative)
