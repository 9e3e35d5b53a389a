"""A miniature of Stable Diffusion 1.5 and CLIP with random weights, in the hub's layout.

The real code runs on it in seconds: it has the same classes, block names and 16 cross-attentions, few channels,
64 px pictures (8 x 8 latents) and 56 px condition images (17 tokens). Its pictures mean nothing: it is for tests and
for showing that a command runs.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from open_clip import CLIP, SimpleTokenizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig, CLIPVisionModelWithProjection

from ipai.backbones.config import BaseConfig, ResamplerSize, WeightsRef
from ipai.backbones.quiet import quiet_bars
from ipai.errors import WeightsError
from ipai.files import cache_folder, sync, write_json

log = logging.getLogger(__name__)

RESOLUTION = 64
IMAGE_SIZE = 56
_WIDTH = 32  # of both text encoders
_CHANNELS = (32, 64, 64, 64)
_GROUPS = 16
_CONTEXT = 77
_VOCABULARY = 49408  # of the real CLIP tokenizer
_OPEN_CLIP = {
    "embed_dim": _WIDTH,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 1, "width": 64, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": _CONTEXT, "vocab_size": _VOCABULARY, "width": _WIDTH, "heads": 4, "layers": 2},
}


def micro_config() -> BaseConfig:
    """What `conf/base/micro.yaml` says, for code that runs without Hydra."""
    return BaseConfig(
        name="micro-random",
        unet=_builtin("unet"),
        vae=_builtin("vae"),
        text_encoder=_builtin("text_encoder"),
        tokenizer=_builtin("tokenizer"),
        scheduler=_builtin("scheduler"),
        image_encoder=_builtin("image_encoder"),
        instruction_encoder=_builtin("instruction_encoder"),
        resampler=ResamplerSize(width=64, depth=4, heads=4, head_dim=16, num_queries=16),
        random_weights=True,
        resolution=RESOLUTION,
        image_size=IMAGE_SIZE,
    )


def _builtin(part: str) -> WeightsRef:
    return WeightsRef("builtin:micro", subfolder=part)


def ensure_micro() -> Path:
    """The cached miniature, built on first use; its name changes with this recipe and the libraries that shape it.

    Several processes may call this at once: each builds its own, the bytes are the same and one is kept.

    Raises:
        WeightsError: The cache folder cannot be written.
    """
    return ensure_miniature("micro", [Path(__file__)], build_micro)


def ensure_miniature(name: str, recipe: Sequence[Path], build: Callable[[Path], None]) -> Path:
    """A cached folder of random weights, built on first use; see `ensure_micro`.

    Args:
        name: Of the miniature.
        recipe: The files that decide its weights.
        build: Writes it to a folder, whole or not at all.

    Raises:
        WeightsError: The cache folder cannot be written.
    """
    folder = cache_folder() / f"{name}-random-{_recipe_key(recipe)}"
    if folder.is_dir():
        return folder
    log.info("building the miniature with random weights in %s", folder)
    try:
        build(folder)
    except OSError as error:
        raise WeightsError(
            f"cannot write the miniature to {folder} ({error}); set IPAI_CACHE to a writable one"
        ) from error
    return folder


def build_micro(folder: Path, seed: int = 0) -> None:
    """Write the miniature to `folder`; see `build_random`."""
    build_random(folder, WRITERS, seed)


def build_random(folder: Path, writers: Mapping[str, Callable[[Path], None]], seed: int = 0) -> None:
    """Write parts with random weights to `folder`, whole or not at all; equal seeds give equal bytes.

    A folder that appears meanwhile (another process building the same) is kept as it is. The caller's random
    state is left as it was.

    Args:
        folder: Gets one folder a part.
        writers: Part -> what makes it with torch's random numbers and writes it to its folder.
        seed: Of those numbers.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for index, (part, write) in enumerate(writers.items()):
            with _own_randomness(seed * len(writers) + index), quiet_bars():
                write(aside / part)
        for path in aside.rglob("*"):
            sync(path)
        aside.chmod(0o755)
        _rename_unless_there(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _rename_unless_there(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    # torch.manual_seed would also touch the GPUs' generators; every weight here is drawn on the CPU.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _recipe_key(recipe: Sequence[Path]) -> str:
    libraries = [f"{name}={version(name)}" for name in ("torch", "diffusers", "transformers", "open_clip_torch")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in recipe) + " ".join(libraries).encode()).hexdigest()[
        :16
    ]


def _write_unet(folder: Path) -> None:
    UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=_WIDTH,
        attention_head_dim=8,  # as in SD1.5: the number of heads
        layers_per_block=2,
        norm_num_groups=_GROUPS,
        block_out_channels=_CHANNELS,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    ).save_pretrained(folder)


def _write_vae(folder: Path) -> None:
    AutoencoderKL(
        latent_channels=4,
        layers_per_block=1,
        sample_size=RESOLUTION,
        norm_num_groups=8,
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder)


def text_config() -> CLIPTextConfig:
    """Of a text encoder of 32-wide tokens."""
    return CLIPTextConfig(
        vocab_size=_VOCABULARY,
        max_position_embeddings=_CONTEXT,
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=_WIDTH,
    )


def _write_text_encoder(folder: Path) -> None:
    CLIPTextModel(text_config()).save_pretrained(folder)


def _write_image_encoder(folder: Path) -> None:
    config = CLIPVisionConfig(
        image_size=IMAGE_SIZE,
        patch_size=14,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=_WIDTH,
        hidden_act="gelu",
    )
    CLIPVisionModelWithProjection(config).save_pretrained(folder)


def write_tokenizer(folder: Path) -> None:
    """The real CLIP tokenizer, from the vocabulary that open_clip ships."""
    source = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): index for token, index in source.encoder.items()}
    merges = sorted(source.bpe_ranks, key=source.bpe_ranks.__getitem__)
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=_CONTEXT).save_pretrained(folder)


def write_scheduler(folder: Path) -> None:
    """SD1.5's own noise schedule."""
    DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    ).save_pretrained(folder)


def _write_instruction_encoder(folder: Path) -> None:
    folder.mkdir()
    model = CLIP(**json.loads(json.dumps(_OPEN_CLIP)))  # a copy: open_clip may change what it is given
    save_file(model.state_dict(), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", {"model_cfg": _OPEN_CLIP, "preprocess_cfg": {}})


WRITERS: dict[str, Callable[[Path], None]] = {
    "unet": _write_unet,
    "vae": _write_vae,
    "text_encoder": _write_text_encoder,
    "tokenizer": write_tokenizer,
    "scheduler": write_scheduler,
    "image_encoder": _write_image_encoder,
    "instruction_encoder": _write_instruction_encoder,
}
