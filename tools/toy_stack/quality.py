"""What the finished stack can do, read by the oracles (and CLIP by its own retrieval).

Everything is measured on the written folder, loaded as a user would load it, in fp32.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PRXPipeline,
    PRXTransformer2DModel,
    StableDiffusionControlNetPipeline,
)
from hydra import compose
from open_clip import SimpleTokenizer, create_model_and_transforms
from torch import Tensor
from torch.nn import functional
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from data_builders.teachers.one_each import OneEachPipeline
from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import load_ip_adapter_plus
from ipai.adapter.hosts.inject import inject
from ipai.backbones.config import BaseConfig
from ipai.config import parse
from ipai.evaluation.sampling.asking import Sampling, answer
from ipai.evaluation.scoring.pixel_scores import edge_f1
from ipai.image_io import to_image
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.toyworld.captions import WORDINGS
from ipai.toyworld.factors import IDENTITY, Portraits, Scenes
from ipai.toyworld.oracles import Oracle, agreement, truth_of
from tools.toy_stack.adapter import encode_condition, plus_spec
from tools.toy_stack.clip import normalised
from tools.toy_stack.clip_text import told_apart
from tools.toy_stack.controlnet import edges_of
from tools.toy_stack.rendered_set import Pictures
from tools.toy_stack.sizes import IP_ADAPTER_FILE, RESOLUTION, TRANSFORMER_IP_ADAPTER_FILE
from tools.toy_stack.tokens import MERGES_FILE
from tools.toy_stack.vae import reconstruct

STEPS = 25
GUIDANCE_SCALE = 4.0
_BATCH = 50

Progress = Callable[[str], None]


def measure(
    folder: Path, oracles: dict[str, Oracle], held_out: Pictures, samples: int, progress: Progress
) -> dict[str, Any]:
    """Scores of every part on `samples` held-out pictures of each kind, if there are so many; in Hydra commands."""
    scenes, portraits = first(held_out, "scenes", samples), first(held_out, "portraits", samples)
    scores: dict[str, Any] = {"settings": {"samples": samples, "steps": STEPS, "guidance_scale": GUIDANCE_SCALE}}
    for name, score in (
        ("oracles", lambda: {kind: oracle.accuracy for kind, oracle in oracles.items()}),
        ("vae", lambda: _vae_scores(folder, oracles, scenes, portraits)),
        ("clip", lambda: _clip_scores(folder, held_out)),
        ("text_to_image", lambda: _text_scores(load_pipeline(folder), oracles, scenes, portraits)),
        ("transformer", lambda: _text_scores(load_transformer_pipeline(folder), oracles, scenes, portraits)),
        ("controlnet", lambda: _controlnet_scores(folder, oracles, scenes)),
        ("ip_adapter", lambda: _adapter_scores(folder, oracles, scenes, portraits)),
        ("transformer_ip_adapter", lambda: transformer_adapter_scores(folder, oracles, scenes, portraits)),
    ):
        progress(name)
        scores[name] = score()
    return scores


class Some:
    """Some pictures of one kind: factors, pixels uint8 [N, 3, 64, 64] and plain captions."""

    def __init__(self, kind: str, factors: Scenes | Portraits, pixels: Tensor, captions: list[str]) -> None:
        self.kind, self.factors, self.pixels, self.captions = kind, factors, pixels, captions

    def truth(self, oracle: Oracle) -> dict[str, Tensor]:
        return truth_of(self.factors, oracle.net.factors)


def first(pictures: Pictures, kind: str, count: int) -> Some:
    factors = getattr(pictures, kind)[:count]
    start = 0 if kind == "scenes" else len(pictures.scenes)
    rows = torch.arange(start, start + len(factors))
    return Some(kind, factors, pictures.pixels[rows], pictures.plain(rows, rows % WORDINGS))


def generate(pipeline: Any, prompts: list[str], **inputs: Any) -> Tensor:
    """A picture for each prompt, uint8 [N, 3, 64, 64]; the noise of picture i has seed i."""
    output = pipeline(
        prompts,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE_SCALE,
        generator=[torch.Generator().manual_seed(index) for index in range(len(prompts))],
        output_type="pt",
        **inputs,
    )
    pictures: Tensor = (output.images.clamp(0, 1) * 255).round().to(torch.uint8)
    return pictures


def load_pipeline(folder: Path) -> Any:
    """The stack with its UNet as diffusers' own pipeline."""
    return _quick(OneEachPipeline.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True))


def load_transformer_pipeline(folder: Path) -> Any:
    """The stack with its transformer as diffusers' own pipeline."""
    shared = load_pipeline(folder)
    if shared.vae.config.shift_factor is None:  # of the first stacks; PRX's pipeline adds it unasked
        shared.vae.register_to_config(shift_factor=0.0)
    pipeline: Any = PRXPipeline(
        PRXTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32, local_files_only=True),
        FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "flow_scheduler", local_files_only=True),
        CLIPTextModel.from_pretrained(folder / "transformer_text_encoder", dtype=torch.float32, local_files_only=True),
        shared.tokenizer,
        shared.vae,
    )
    pipeline.set_progress_bar_config(disable=True)

    def one_after_another(prompts: list[str], generator: list[torch.Generator], **inputs: Any) -> Any:
        """It guides a single picture only: its times are two, whatever the batch."""
        size = {"height": RESOLUTION, "width": RESOLUTION, "use_resolution_binning": False}
        pairs = zip(prompts, generator, strict=True)
        drawn = [pipeline(prompt, generator=seed, **size, **inputs) for prompt, seed in pairs]
        return SimpleNamespace(images=torch.cat([one.images for one in drawn]))

    return one_after_another


def _quick(pipeline: Any) -> Any:
    """With a sampler that needs few steps, and no bar."""
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _vae_scores(folder: Path, oracles: dict[str, Oracle], *parts: Some) -> dict[str, float]:
    """How often a reconstruction is read as its original is."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
    scores: dict[str, float] = {}
    for some in parts:
        oracle = oracles[some.kind]
        decoded = reconstruct(vae, some.pixels.float() / 127.5 - 1)
        pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        scores |= _prefixed(some.kind, agreement(oracle.read(pixels), oracle.read(some.pixels), oracle.net.factors))
    return scores


def _clip_scores(folder: Path, held_out: Pictures) -> dict[str, float]:
    """Picture-to-text retrieval among 100 rich captions, the mean over all such hundreds; and see `told_apart`."""
    model, _, _ = create_model_and_transforms(f"local-dir:{folder / 'instruction_encoder'}")
    tokenizer = SimpleTokenizer(bpe_path=str(folder / "instruction_encoder" / MERGES_FILE))
    hits = []
    for rows in torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0)).split(100):
        with torch.no_grad():
            pictures = functional.normalize(model.encode_image(normalised(held_out.images(rows))), dim=1)
            texts = functional.normalize(model.encode_text(tokenizer(held_out.rich(rows, rows))), dim=1)
        hits.append(((pictures @ texts.T).argmax(1) == torch.arange(len(rows))).float())
    return {
        "retrieval_among_100": float(torch.cat(hits).mean()),
        "instructions_told_apart": told_apart(model, tokenizer),
    }


def _text_scores(pipeline: Any, oracles: dict[str, Oracle], scenes: Some, portraits: Some) -> dict[str, float]:
    scores: dict[str, float] = {}
    for some, factors in ((scenes, ("object", "colour", "background")), (portraits, ("background",))):
        starts = range(0, len(some.captions), _BATCH)
        pictures = [generate(pipeline, some.captions[start : start + _BATCH]) for start in starts]
        read = oracles[some.kind].read(torch.cat(pictures))
        scores |= _prefixed(some.kind, agreement(read, some.truth(oracles[some.kind]), factors))
    return scores


def _controlnet_scores(folder: Path, oracles: dict[str, Oracle], scenes: Some) -> dict[str, float]:
    controlnet = ControlNetModel.from_pretrained(folder / "controlnet", local_files_only=True)
    pipeline = _quick(
        StableDiffusionControlNetPipeline.from_pretrained(
            folder, controlnet=controlnet, torch_dtype=torch.float32, local_files_only=True
        )
    )
    edges = edges_of(scenes.pixels)
    starts = [slice(start, start + _BATCH) for start in range(0, len(edges), _BATCH)]
    pictures = torch.cat([generate(pipeline, scenes.captions[rows], image=edges[rows]) for rows in starts])
    read = oracles["scenes"].read(pictures)
    scores = agreement(read, scenes.truth(oracles["scenes"]), ("place", "object", "colour", "background"))
    pairs = zip(pictures, scenes.pixels, strict=True)
    agree = [edge_f1(to_image(drawn), to_image(source)) for drawn, source in pairs]
    return scores | {"edge_f1": float(np.mean(agree))}


@torch.no_grad()
def _adapter_scores(folder: Path, oracles: dict[str, Oracle], *parts: Some) -> dict[str, float]:
    """What IPAdapter+ gives back of a picture without any prompt."""
    pipeline = load_pipeline(folder)
    tower = CLIPVisionModelWithProjection.from_pretrained(
        folder / "image_encoder", dtype=torch.float32, local_files_only=True
    )
    adapter = InstructAdapter(plus_spec(pipeline.unet))
    load_ip_adapter_plus(adapter, folder / IP_ADAPTER_FILE)
    inject(pipeline.unet, adapter)
    nothing = adapter(encode_condition(tower, torch.zeros(1, 3, RESOLUTION, RESOLUTION)))
    scores: dict[str, float] = {}
    for some in parts:
        pictures = []
        for pixels in some.pixels.split(_BATCH):
            tokens = adapter(encode_condition(tower, normalised(pixels.float() / 127.5 - 1)))
            embeds = torch.cat([nothing.expand_as(tokens), tokens])[:, None]
            pictures.append(generate(pipeline, [""] * len(pixels), ip_adapter_image_embeds=[embeds]))
        oracle = oracles[some.kind]
        read = oracle.read(torch.cat(pictures))
        scores |= _prefixed(some.kind, agreement(read, some.truth(oracle), oracle.net.factors))
    return scores


def transformer_base(folder: Path) -> BaseConfig:
    """The stack with its transformer as `base=toy_prx` has it; to be called by a command of Hydra's."""
    words = ["recipe=toy", "base=toy_prx", "objective=flow", f"base.transformer.id={folder}", "data.root=unread"]
    return parse(compose("train", overrides=words)).base


def transformer_adapter_scores(folder: Path, oracles: dict[str, Oracle], *parts: Some) -> dict[str, float]:
    """What the transformer's IPAdapter+ gives back of a picture without any prompt."""
    generator = PictureGenerator(transformer_base(folder), folder / TRANSFORMER_IP_ADAPTER_FILE, "cpu")
    generator.pipeline.set_progress_bar_config(disable=True)
    scores: dict[str, float] = {}
    for some in parts:
        count, oracle = len(some.pixels), oracles[some.kind]
        drawn = answer(generator, some.pixels, [""] * count, [None] * count, Sampling(STEPS, GUIDANCE_SCALE))
        scores |= _prefixed(some.kind, agreement(oracle.read(drawn), some.truth(oracle), oracle.net.factors))
    return scores


def identity_kept(scores: dict[str, float]) -> float:
    """The lowest of the identity's factors among the scores of portraits."""
    return min(scores[f"portraits_{name}"] for name in IDENTITY)


def _prefixed(kind: str, scores: dict[str, float]) -> dict[str, float]:
    return {f"{kind}_{name}": value for name, value in scores.items()}
