"""The finished stack as a folder in the hub's layout, in half precision."""

import copy
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import export_ip_adapter
from ipai.files import sync, write_json, write_text
from ipai.toyworld.oracles import save_oracle
from tools.toy_stack import tokens
from tools.toy_stack.clip import model_config, write_open_clip
from tools.toy_stack.diffusion import noise_schedule
from tools.toy_stack.sizes import IP_ADAPTER_FILE, TRANSFORMER_IP_ADAPTER_FILE
from tools.toy_stack.train import StackTraining
from tools.toy_stack.transformer import flow_schedule

_PIPELINE = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": version("diffusers"),
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write_stack(stack: StackTraining, folder: Path) -> None:
    """Replace `folder` by the finished stack, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _write_parts(stack, aside)
        for path in aside.rglob("*"):
            sync(path)
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_facts(folder: Path, card: str, scores: Mapping[str, Any]) -> None:
    """Add the card and the scores, which are measured on the written folder."""
    write_text(folder / "README.md", card)
    write_json(folder / "scores.json", scores)


def _write_parts(stack: StackTraining, folder: Path) -> None:
    parts = {
        "unet": stack.denoiser.unet,
        "text_encoder": stack.denoiser.text_encoder,
        "vae": stack.finished_vae,
        "image_encoder": stack.image_tower,
        "controlnet": stack.controlnet,
        "transformer": stack.transformer.transformer,
        "transformer_text_encoder": stack.transformer.text_encoder,
    }
    for name, model in parts.items():
        copy.deepcopy(model).half().save_pretrained(folder / name)
        config = folder / name / "config.json"
        # Where nobody asks for a precision, transformers takes the stored one and diffusers fp32: a pipeline of both.
        said = json.loads(config.read_text(encoding="utf-8"))
        said.pop("_name_or_path", None)  # where the stack lay from which the training went on
        if "dtype" in said:
            said["dtype"] = "float32"
        write_text(config, json.dumps(said, indent=2) + "\n")
    stack.tokenizer.save_pretrained(folder / "tokenizer")
    noise_schedule().save_pretrained(folder / "scheduler")
    flow_schedule().save_pretrained(folder / "flow_scheduler")
    _write_instruction_encoder(stack, folder / "instruction_encoder")
    (folder / IP_ADAPTER_FILE).parent.mkdir()
    write_ip_adapter(stack.ip_adapter, folder / IP_ADAPTER_FILE)
    write_ip_adapter(stack.transformer_ip_adapter, folder / TRANSFORMER_IP_ADAPTER_FILE)
    for kind, oracle in stack.oracles.items():
        save_oracle(oracle, folder / "oracles" / f"{kind}.safetensors")
    write_text(folder / "model_index.json", json.dumps(_PIPELINE, indent=2) + "\n")


def _write_instruction_encoder(stack: StackTraining, folder: Path) -> None:
    tokenizer = stack.open_clip_tokenizer
    write_open_clip(stack.clip.clip, model_config(tokenizer.vocab_size), folder, torch.float16)
    tokens.write_open_clip_merges(sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__), folder)


def write_ip_adapter(adapter: InstructAdapter, path: Path) -> None:
    """Write an IPAdapter+ as it ships, in half precision."""
    export_ip_adapter(adapter, path)
    halved = {name: value.half() for name, value in load_file(path).items()}
    save_file(halved, path, metadata={"format": "pt"})
