"""`generate`: pictures with our adapter against diffusers' own IP-Adapter and against no adapter, on a random base."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from benchmarks.options import Options
from benchmarks.ours import composed
from benchmarks.reference import plus_spec
from benchmarks.report import Report, Row
from benchmarks.timing import Times, Work, take_turns
from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import export_ip_adapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import read_dims
from ipai.backbones.hub import locate
from ipai.backbones.loading import resolve_dtype
from ipai.conditioning import spec_of
from ipai.pipeline.attaching import attach
from ipai.pipeline.encoding import Condition
from ipai.pipeline.guidance import FourPass

STEPS = {True: 4, False: 10}  # of DDIM; by quick
NO_ADAPTER, DIFFUSERS, OURS, FOUR_PASS = "no adapter", "diffusers' IP-Adapter+", "ours", "ours, four-pass guidance"
CONTESTANTS = (NO_ADAPTER, DIFFUSERS, OURS, FOUR_PASS)
_FILE = "ip-adapter-plus.safetensors"
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "image_encoder")


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Draw some pictures a repetition from a condition that was not seen before, prompt and guidance as always."""
    config = composed(options, "base.dtype=bf16").base
    makers: dict[str, Callable[[], AbstractContextManager[Work]]] = {
        name: partial(_contestant, name, options, config) for name in options.chosen(list(CONTESTANTS))
    }
    times = take_turns(makers, options, done)
    return Report(
        "generate", options.quick, [_row(name, times, options.pictures) for name in times],
        facts={
            "base": config.name, "steps": STEPS[options.quick], "guidance_scale": 7.5,
            "pictures at once": options.pictures,
        },
        notes=["Random weights. Each call has a new condition image: its encoding is part of the time."],
    )  # fmt: skip


@contextmanager
def _contestant(name: str, options: Options, config: BaseConfig) -> Iterator[Work]:
    pipeline = _pipeline(config)
    paint: Callable[..., Any] = pipeline
    settings = {"num_inference_steps": STEPS[options.quick], "num_images_per_prompt": options.pictures}
    draw = partial(paint, "a red star", guidance_scale=7.5, **settings)
    pictures = _pictures()
    if name == NO_ADAPTER:
        yield draw
    elif name == DIFFUSERS:
        _load_diffusers_adapter(pipeline, options, config)
        yield lambda: draw(ip_adapter_image=next(pictures))
    else:
        training = composed(options, "base.dtype=bf16")
        attached = attach(
            pipeline, InstructAdapter(spec_of(training.adapter, training.base, read_dims(config))), base=config
        )
        guidance = FourPass() if name == FOUR_PASS else None

        def ours() -> Any:
            attached.condition(Condition(next(pictures), "use the style"), guidance=guidance)
            return draw()

        yield ours


def _pipeline(config: BaseConfig) -> StableDiffusionPipeline:
    folders = {part: str(path) for part, path in locate(config, _PARTS).items()}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = resolve_dtype(config.dtype, device)
    size = {"height": config.image_size, "width": config.image_size}
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(folders["vae"], torch_dtype=dtype),
        text_encoder=CLIPTextModel.from_pretrained(folders["text_encoder"], dtype=dtype),
        tokenizer=CLIPTokenizer.from_pretrained(folders["tokenizer"]),
        unet=UNet2DConditionModel.from_pretrained(folders["unet"], torch_dtype=dtype),
        scheduler=DDIMScheduler.from_pretrained(folders["scheduler"]),
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(folders["image_encoder"], dtype=dtype),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": config.image_size}, crop_size=size),
        safety_checker=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _load_diffusers_adapter(pipeline: StableDiffusionPipeline, options: Options, config: BaseConfig) -> None:
    folder = options.work / f"{config.name}-plus"
    if not (folder / _FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        export_ip_adapter(InstructAdapter(plus_spec(config)), folder / _FILE)
    pipeline.load_ip_adapter(str(folder), subfolder="", weight_name=_FILE, image_encoder_folder=None)


def _pictures() -> Iterator[Image.Image]:
    """Endless pictures, no two alike."""
    number = 0
    while True:
        yield Image.new("RGB", (512, 512), (number % 256, number // 256 % 256, 128))
        number += 1


def _row(name: str, times: dict[str, Times], pictures: int) -> Row:
    own, plain, theirs = times[name], times[NO_ADAPTER], times.get(DIFFUSERS)
    return {
        "pipeline": name,
        "s a picture": own.wall / pictures,
        "fastest, slowest": f"{min(own.wall_s) / pictures:.3g}, {max(own.wall_s) / pictures:.3g}",
        "speed to no adapter": plain.wall / own.wall,
        "speed to diffusers' IP-Adapter+": theirs.wall / own.wall if theirs is not None else None,
        "peak GiB": own.peak_gib,
        "pictures": len(own.wall_s) * pictures,
    }
