"""What `scripts/generate.py` is told, checked before anything slow is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.backbones.config import BaseConfig, guidance_of
from ipai.backbones.samplers import DIFFUSION
from ipai.data.bucket_sizes import Size
from ipai.files import unwritable
from ipai.pipeline.adapter_place import problem_of
from ipai.pipeline.guidance import FourPass
from ipai.schema import MAX_LETTERS, SEED, STEPS, above, letters, one_of, out_of_bounds, refuse
from ipai.tasks import DEFAULT_SCALE, TASKS, get_task

GUIDANCES = ("ordinary", "four_pass")


@dataclass
class FourPassScales:
    """Scales of the four-pass guidance (see `FourPass`)."""

    instruct: float = FourPass.s_instruct
    text: float = FourPass.s_text
    image: float = FourPass.s_image


@dataclass
class MoreCondition:
    """A further condition image of the same picture, mixed in by its weight."""

    image: str
    instruction: str = field(metadata=letters(MAX_LETTERS))
    object: str | None = None
    weight: float = 1.0


@dataclass
class DrawingConfig:
    """What is drawn; conf/generate.yaml explains each."""

    checkpoint: str
    image: str
    instruction: list[str]
    prompt: str = field(metadata=letters(MAX_LETTERS))
    negative: str = field(metadata=letters(MAX_LETTERS))
    output: str
    seeds: list[int] = field(metadata=SEED)
    weights: str = field(metadata=one_of("ema", "raw"))
    four_pass: FourPassScales
    steps: int = field(metadata=STEPS)
    scheduler: str = field(metadata=one_of(*DIFFUSION))
    device: str
    labels: bool
    controlnet_scale: float
    lora_scale: float
    scale: float | None = None
    guidance: str | None = field(default=None, metadata=one_of(*GUIDANCES))
    guidance_scale: float | None = None
    task: str | None = field(default=None, metadata=one_of(*TASKS))
    object: str | None = None
    weight: float = 1.0
    height: int | None = field(default=None, metadata=above(0))
    width: int | None = field(default=None, metadata=above(0))
    more: list[MoreCondition] = field(default_factory=list)
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

    def chosen_guidance_scale(self) -> float:
        """As set, else the base's, which must be known."""
        if self.guidance_scale is not None:
            return self.guidance_scale
        assert self.base is not None
        return self.base.guidance_scale

    def chosen_size(self) -> Size:
        """Height and width, px: as set, else the side of the base's squares, which must be known."""
        assert self.base is not None
        return self.height or self.base.resolution, self.width or self.base.resolution

    def chosen_guidance(self) -> FourPass | None:
        """As set, else the task's, else ordinary, which is None."""
        family = "sd15" if self.base is None else self.base.family
        name = self.guidance or ("ordinary" if self.task is None else guidance_of(self.task, family))
        scales = self.four_pass
        if name != "four_pass":
            return None
        return FourPass(scales.instruct, scales.text, scales.image, negative=self.negative)


def check(config: DrawingConfig) -> None:
    """Refuse what cannot work whatever the weights are.

    Raises:
        ConfigError: Each problem, with its key and the mend.
    """
    refuse([*out_of_bounds(config), *_problems(config)])


def _problems(config: DrawingConfig) -> Iterator[str]:
    if problem := problem_of(config.checkpoint):
        yield f"checkpoint: {problem}"
    if (config.controlnet is None) != (config.controlnet_image is None):
        yield "controlnet= and controlnet_image= go together; give both or none"
    if Path(config.output).suffix.lower() != ".png":
        yield f"output={config.output} must end in .png, which holds the settings"
    pictures = {"image": config.image, "controlnet_image": config.controlnet_image}
    for key, path in (pictures | {f"more[{index}].image": one.image for index, one in enumerate(config.more)}).items():
        if path is not None and not Path(path).expanduser().is_file():
            yield f"{key}={path} is no file; give a picture"
    if config.lora is not None and not Path(config.lora).expanduser().exists():
        yield f"lora={config.lora} is not there; give a .safetensors file or the folder that holds one"
    if (
        config.controlnet is not None
        and config.controlnet[:1] in "/.~"
        and not Path(config.controlnet).expanduser().is_dir()
    ):
        yield f"controlnet={config.controlnet} is no folder; give one, a hub id, or toy"
    if (why := unwritable(Path(config.output).expanduser())) is not None:
        yield f"output={config.output} cannot be written ({why}); give another place"
    if not config.seeds or not config.instruction:
        yield "give at least one instruction and one of seeds"
