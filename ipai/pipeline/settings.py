"""What `scripts/generate.py` is told, checked before anything slow is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError
from ipai.pipeline.guidance import FourPass
from ipai.tasks import DEFAULT_SCALE, get_task

SCHEDULERS: dict[str, str] = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "pndm": "PNDMScheduler",
}
"""Short names of diffusers' schedulers."""

GUIDANCES = ("ordinary", "four_pass")


@dataclass
class FourPassScales:
    """Scales of the four-pass guidance (see `FourPass`)."""

    instruct: float = FourPass.s_instruct
    text: float = FourPass.s_text
    image: float = FourPass.s_image


@dataclass
class DrawingConfig:
    """What is drawn; conf/generate.yaml explains each."""

    checkpoint: str
    image: str
    instruction: list[str]
    prompt: str
    negative: str
    output: str
    seeds: list[int]
    weights: str
    guidance_scale: float
    four_pass: FourPassScales
    steps: int
    scheduler: str
    device: str
    labels: bool
    controlnet_scale: float
    lora_scale: float
    scale: float | None = None
    guidance: str | None = None
    task: str | None = None
    object: str | None = None
    controlnet: str | None = None
    controlnet_image: str | None = None
    lora: str | None = None
    base: BaseConfig | None = field(default=None)
    repeat: str | None = None

    def chosen_scale(self) -> float:
        """The adapter's: as set, else the task's, else the paper's."""
        if self.scale is not None:
            return self.scale
        return DEFAULT_SCALE if self.task is None else get_task(self.task).scale

    def chosen_guidance(self) -> FourPass | None:
        """As set, else the task's, else ordinary, which is None."""
        name = self.guidance or ("ordinary" if self.task is None else get_task(self.task).guidance)
        scales = self.four_pass
        if name != "four_pass":
            return None
        return FourPass(scales.instruct, scales.text, scales.image, negative=self.negative)


def check(config: DrawingConfig) -> None:
    """Refuse what cannot work whatever the weights are.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    problems = [*_choice_problems(config), *_number_problems(config)]
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _choice_problems(config: DrawingConfig) -> Iterator[str]:
    if config.task is not None:
        get_task(config.task)
    if config.scheduler not in SCHEDULERS:
        yield f"scheduler={config.scheduler} is none of {', '.join(SCHEDULERS)}"
    if config.guidance is not None and config.guidance not in GUIDANCES:
        yield f"guidance={config.guidance} is none of {', '.join(GUIDANCES)}"
    if (config.controlnet is None) != (config.controlnet_image is None):
        yield "controlnet= and controlnet_image= go together; give both or none"
    if Path(config.output).suffix.lower() != ".png":
        yield f"output={config.output} must end in .png, which holds the settings"


def _number_problems(config: DrawingConfig) -> Iterator[str]:
    if config.steps < 1:
        yield f"steps={config.steps} must be at least 1"
    if not config.seeds or not config.instruction:
        yield "give at least one instruction and one of seeds"
    if any(seed < 0 for seed in config.seeds):
        yield f"seeds={config.seeds} must not be negative"
