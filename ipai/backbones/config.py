"""Which frozen models a run stands on, and where their weights lie. Imports nothing slow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple

from ipai.schema import above, at_least, one_of, out_of_bounds
from ipai.tasks import TASKS, get_task

INSTRUCTION_ENCODER = "instruction_encoder"  # the part that every family has beside its own


class Family(NamedTuple):
    """Where the class of a family is.

    Attributes:
        module: Its dotted name.
        kind: The class's name there.
        flow: Its bases learned flow matching.
        clip_prompts: They have a CLIP text encoder, which an adapter with a prompt branch reads.
        guidance_scale: What a base is drawn with whose configuration does not say, being of an earlier version.
        guidance: Task -> the form of guidance, where the released code has another for it than `Task.guidance`, or the
            base cannot be drawn with that.
    """

    module: str
    kind: str
    flow: bool = False
    clip_prompts: bool = True
    guidance_scale: float = 5.0
    guidance: Mapping[str, str] = MappingProxyType({})


FAMILIES = {
    "sd15": Family("ipai.backbones.sd15", "StableDiffusion15"),
    "sdxl": Family("ipai.backbones.sdxl", "StableDiffusionXL"),
    "sd3": Family(
        "ipai.backbones.sd3", "StableDiffusion3", flow=True, guidance_scale=7.0, guidance={"face": "four_pass"}
    ),
    "flux": Family(
        "ipai.backbones.flux", "Flux", flow=True, guidance_scale=1.0, guidance=dict.fromkeys(TASKS, "ordinary")
    ),
    "prx": Family("ipai.backbones.prx", "PRX", flow=True, clip_prompts=False, guidance_scale=4.0),
    "prx_clip": Family("ipai.backbones.prx", "PRXWithClip", flow=True, clip_prompts=False, guidance_scale=4.0),
}


def upgraded_base(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was saved of a base, by an earlier version too: its family and guidance where nothing says them."""
    family = str(saved.get("family", "sd15"))
    scale = FAMILIES[family].guidance_scale if family in FAMILIES else 5.0
    return {"family": family, "guidance_scale": scale} | dict(saved)


def guidance_of(task: str, family: str) -> str:
    """The form of guidance that a task is drawn with by a family: `ordinary` or `four_pass`."""
    return FAMILIES[family].guidance.get(task, get_task(task).guidance)


DTYPES = ("auto", "bf16", "fp16", "fp32")
# As ids: the trained stack that comes with the project, and `builtin:` before the name of a miniature of
# `ipai.backbones.miniatures`, which is written on first use; the subfolder names the part.
BUILTIN_TOY = "builtin:toy"
BUILTIN_TOY_PRX = "builtin:toy_prx"  # of adapters alone: its base is one more part of the same stack
TOY_BASES = ("toy", "toy-prx")  # names of bases that draw the toy world, whose pictures the oracles read
MINIATURES = ("micro", "micro_sdxl", "micro_sd3", "micro_flux", "micro_prx")


@dataclass
class WeightsRef:
    """Where one part lies.

    Attributes:
        id: A hub id, a local folder (absolute, relative or under `~`), `builtin:toy`, or a miniature of this project.
        revision: Commit, tag or branch on the hub; null is `main`. A local folder has none.
        subfolder: Folder below `id` that holds the part's files; null if they lie in `id` itself.
    """

    id: str
    revision: str | None = None
    subfolder: str | None = None

    def __str__(self) -> str:
        details = [f"subfolder {self.subfolder}"] if self.subfolder else []
        details += [f"revision {self.revision}"] if self.revision else []
        return f"{self.id} ({', '.join(details)})" if details else self.id


@dataclass
class WeightsFile:
    """Where one file lies.

    Attributes:
        id: A hub id, a local folder that holds `filename`, the file itself, or `builtin:toy`.
        filename: Path of the file inside `id`.
        revision: Commit, tag or branch on the hub; null is `main`.
    """

    id: str
    filename: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.id} {self.filename}" + (f" (revision {self.revision})" if self.revision else "")


@dataclass
class ResamplerSize:
    """The size of the base's IPAdapter+ resampler, which every adapter for this base shares (paper section 3.1).

    Attributes:
        width: Of the queries and of each layer.
        depth: Iterations.
        heads: Attention heads.
        head_dim: Width of one head.
        num_queries: Learned queries, which is the number of condition tokens.
    """

    width: int = field(default=768, metadata=above(0))
    depth: int = field(default=4, metadata=above(0))
    heads: int = field(default=12, metadata=above(0))
    head_dim: int = field(default=64, metadata=above(0))
    num_queries: int = field(default=16, metadata=above(0))


@dataclass
class BaseConfig:
    """The frozen stack of a run (paper section 3: Stable Diffusion 1.5 and both towers of CLIP ViT-H/14).

    Attributes:
        family: Which kind of base it is, a name of `FAMILIES`.
        name: How reports call it; holds the word "random" if the weights are.
        random_weights: The weights were never trained: pictures mean nothing.
        vae, text_encoder, tokenizer, scheduler, image_encoder: In the layout of diffusers and transformers.
        unet, transformer: What denoises, by what its family calls it; null for the other name.
        text_encoder_2, tokenizer_2, text_encoder_3, tokenizer_3: Further text encoders; null for families without.
        prompt_tokens: Length of a prompt for a T5 text encoder; null for families without.
        embedded_guidance: The guidance scale that a guidance-distilled denoiser is told in training; null for others.
        instruction_encoder: In the layout of open_clip: `open_clip_config.json`, `open_clip_model.safetensors`.
        resampler: Size of the adapter's resampler.
        adapter_init: IPAdapter+ weights that the adapter starts from; null starts it from random values.
        resolution: Side of the square target images, in pixels.
        image_size: Side of the square condition images, in pixels; the image encoder's own.
        guidance_scale: What pictures are drawn with where nothing else is said: of classifier-free guidance.
        dtype: Of the frozen parts: auto, bf16, fp16 or fp32. auto is bf16 on GPUs that have it and fp32 elsewhere.
    """

    name: str
    vae: WeightsRef
    text_encoder: WeightsRef
    tokenizer: WeightsRef
    scheduler: WeightsRef
    image_encoder: WeightsRef
    instruction_encoder: WeightsRef
    unet: WeightsRef | None = None
    transformer: WeightsRef | None = None
    text_encoder_2: WeightsRef | None = None
    tokenizer_2: WeightsRef | None = None
    text_encoder_3: WeightsRef | None = None
    tokenizer_3: WeightsRef | None = None
    prompt_tokens: int | None = field(default=None, metadata=above(0))
    embedded_guidance: float | None = field(default=None, metadata=at_least(0))
    family: str = field(default="sd15", metadata={"one_of": FAMILIES})
    resampler: ResamplerSize = field(default_factory=ResamplerSize)
    adapter_init: WeightsFile | None = None
    random_weights: bool = False
    resolution: int = field(default=512, metadata=above(0))
    image_size: int = field(default=224, metadata=above(0))
    guidance_scale: float = field(default=5.0, metadata=above(0))
    dtype: str = field(default="auto", metadata=one_of(*DTYPES))


def config_problems(config: BaseConfig) -> Iterator[str]:
    """Yield what cannot work in `config` whatever the weights are: each names its key and the mend."""
    yield from out_of_bounds(config, "base.")
    if config.random_weights and "random" not in config.name:
        yield f"base.random_weights=true, so base.name={config.name} must hold the word random"
    random = [f"builtin:{name}" for name in MINIATURES]
    builtin = {part: ref.id for part, ref in weights_of(config).items() if ref.id in random}
    if builtin and not config.random_weights:
        part, name = next(iter(builtin.items()))
        yield f"base.{part}.id={name} has random weights; set base.random_weights=true"


def weights_of(config: BaseConfig) -> dict[str, WeightsRef]:
    """Where every part of a base lies, by its name."""
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    return {part: ref for part, ref in values.items() if isinstance(ref, WeightsRef)}
