"""From settings to pictures: what `scripts/generate.py` does."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from PIL import Image, PngImagePlugin

from ipai.base.config import BaseConfig
from ipai.base.frozen import load_base
from ipai.errors import ConfigError
from ipai.files import atomic_path, sha256_of
from ipai.pipeline.attachment import attach
from ipai.pipeline.encoding import Condition
from ipai.pipeline.sources import base_of_run
from ipai.training.checkpoint import resolve

_SAMPLERS: dict[str, Any] = {
    "ddim": DDIMScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
    "euler": EulerDiscreteScheduler,
}
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_GAP = 4  # px between the pictures of a grid


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
    scale: float
    weights: str
    guidance_scale: float
    steps: int
    sampler: str
    device: str
    object: str | None = None
    base: BaseConfig | None = field(default=None)


def draw(config: DrawingConfig, progress: Callable[[], object]) -> Path:
    """Draw a picture for each instruction and seed, and write them, or a grid of them, as one PNG.

    The PNG's text `ipai` holds the settings, the digests of image and adapter, and versions.

    Args:
        config: What to draw.
        progress: Called after each picture.

    Raises:
        ConfigError: A setting cannot work.
        IpaiError: Adapter, weights, image or instruction cannot be used.
    """
    _check(config)
    checkpoint = Path(config.checkpoint)
    base_config = config.base or (base_of_run(checkpoint) if checkpoint.is_dir() else None)
    if base_config is None:
        raise ConfigError(
            f"{checkpoint} is a file and does not say which base it belongs to; give base=sd15 or base=toy"
        )
    device = torch.device(_device(config.device))
    base = load_base(base_config, device, only=_PARTS)
    pipeline = StableDiffusionPipeline(
        **{part: getattr(base, part) for part in _PARTS[:-1]},
        scheduler=_SAMPLERS[config.sampler].from_config(base.scheduler.config),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,  # type: ignore[arg-type]
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    attached = attach(pipeline, checkpoint, base=base_config, scale=config.scale, weights=config.weights)  # type: ignore[arg-type]
    rows = []
    for instruction in config.instruction:
        attached.condition(Condition(Path(config.image), instruction, object=config.object))
        rows.append([_one(pipeline, config, base_config.resolution, seed, progress) for seed in config.seeds])
    return _save(rows, config, base_config)


def _one(pipeline: Any, config: DrawingConfig, size: int, seed: int, progress: Callable[[], object]) -> Image.Image:
    picture: Image.Image = pipeline(
        config.prompt,
        negative_prompt=config.negative,
        num_inference_steps=config.steps,
        guidance_scale=config.guidance_scale,
        height=size,
        width=size,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]
    progress()
    return picture


def _save(rows: list[list[Image.Image]], config: DrawingConfig, base: BaseConfig) -> Path:
    width, height = rows[0][0].size
    grid = Image.new("RGB", (len(rows[0]) * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture, (x * (width + _GAP), y * (height + _GAP)))
    facts = {
        "settings": {key: value for key, value in asdict(config).items() if key != "base"},
        "base": base.name,
        "image_sha256": sha256_of(Path(config.image)),
        "adapter_sha256": sha256_of(resolve(Path(config.checkpoint))),
        "versions": {name: version(name) for name in ("ipai", "torch", "diffusers", "transformers")},
    }
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ipai", json.dumps(facts, ensure_ascii=False))
    output = Path(config.output)
    try:
        with atomic_path(output) as aside:
            grid.save(aside, "PNG", pnginfo=info)
    except OSError as error:
        raise ConfigError(f"cannot write output={output}: {error.strerror or error}") from error
    return output


def _device(name: str) -> str:
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _check(config: DrawingConfig) -> None:
    problems = []
    if config.sampler not in _SAMPLERS:
        problems.append(f"sampler={config.sampler} is none of {', '.join(_SAMPLERS)}")
    if config.steps < 1:
        problems.append(f"steps={config.steps} must be at least 1")
    if not config.seeds or not config.instruction:
        problems.append("give at least one instruction and one of seeds")
    if any(seed < 0 for seed in config.seeds):
        problems.append(f"seeds={config.seeds} must not be negative")
    if Path(config.output).suffix.lower() != ".png":
        problems.append(f"output={config.output} must end in .png, which holds the settings")
    if problems:
        raise ConfigError("these settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
