"""Which frozen models a run stands on, and where their weights lie. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

INSTRUCTION_ENCODER = "instruction_encoder"  # the part that every family has beside its own
DTYPES = ("auto", "bf16", "fp16", "fp32")
# As ids: the miniature of `ipai.backbones.micro`, which is written on first use, and the trained stack
# that comes with the project; the subfolder names the part.
BUILTIN_MICRO, BUILTIN_TOY = "builtin:micro", "builtin:toy"


@dataclass
class WeightsRef:
    """Where one part lies.

    Attributes:
        id: A hub id, a local folder (absolute, relative or under `~`), `builtin:toy` or `builtin:micro`.
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

    width: int = 768
    depth: int = 4
    heads: int = 12
    head_dim: int = 64
    num_queries: int = 16


@dataclass
class BaseConfig:
    """The frozen stack of a run (paper section 3: Stable Diffusion 1.5 and both towers of CLIP ViT-H/14).

    Attributes:
        family: Which kind of base it is, a name of `ipai.backbones.families`.
        name: How reports call it; holds the word "random" if the weights are.
        random_weights: The weights were never trained: pictures mean nothing.
        unet, vae, text_encoder, tokenizer, scheduler, image_encoder: In the layout of diffusers and transformers.
        instruction_encoder: In the layout of open_clip: `open_clip_config.json`, `open_clip_model.safetensors`.
        resampler: Size of the adapter's resampler.
        adapter_init: IPAdapter+ weights that the adapter starts from; null starts it from random values.
        resolution: Side of the square target images, in pixels.
        image_size: Side of the square condition images, in pixels; the image encoder's own.
        dtype: Of the frozen parts: auto, bf16, fp16 or fp32. auto is bf16 on GPUs that have it and fp32 elsewhere.
    """

    name: str
    unet: WeightsRef
    vae: WeightsRef
    text_encoder: WeightsRef
    tokenizer: WeightsRef
    scheduler: WeightsRef
    image_encoder: WeightsRef
    instruction_encoder: WeightsRef
    family: str = "sd15"
    resampler: ResamplerSize = field(default_factory=ResamplerSize)
    adapter_init: WeightsFile | None = None
    random_weights: bool = False
    resolution: int = 512
    image_size: int = 224
    dtype: str = "auto"


def config_problems(config: BaseConfig) -> Iterator[str]:
    """Yield what cannot work in `config` whatever the weights are: each names its key and the mend."""
    if config.dtype not in DTYPES:
        yield f"base.dtype={config.dtype} is none of {', '.join(DTYPES)}"
    if config.resolution < 1 or config.image_size < 1:
        yield f"base.resolution={config.resolution} and base.image_size={config.image_size} must be above 0"
    if config.random_weights and "random" not in config.name:
        yield f"base.random_weights=true, so base.name={config.name} must hold the word random"
    builtin = [part for part, ref in weights_of(config).items() if ref.id == BUILTIN_MICRO]
    if builtin and not config.random_weights:
        yield f"base.{builtin[0]}.id={BUILTIN_MICRO} has random weights; set base.random_weights=true"


def weights_of(config: BaseConfig) -> dict[str, WeightsRef]:
    """Where every part of a base lies, by its name."""
    values = {item.name: getattr(config, item.name) for item in fields(config)}
    return {part: ref for part, ref in values.items() if isinstance(ref, WeightsRef)}
