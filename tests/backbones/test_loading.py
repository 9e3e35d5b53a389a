import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from open_clip import SimpleTokenizer
from safetensors.torch import load_file, save_file

from ipai.backbones import loading
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import load_base
from ipai.backbones.loading import load_part, read_config, resolve_dtype
from ipai.caching import building
from ipai.errors import ConfigError, WeightsError
from ipai.evaluation import evaluating
from ipai.pipeline import picture_generator
from ipai.training import assemble
from tests.helpers.composing import compose

CPU = torch.device("cpu")


def test_fp16_never_reaches_the_vae(config: BaseConfig) -> None:
    base = load_base(replace(config, dtype="fp16"), "cpu")
    assert base.vae.dtype == torch.float32
    assert {base.denoiser.dtype, base.text_encoder.dtype, base.image_encoder.dtype} == {torch.float16}


def test_bf16_is_kept_everywhere_and_results_stay_usable(config: BaseConfig) -> None:
    base = load_base(replace(config, dtype="bf16"), "cpu")
    assert {base.denoiser.dtype, base.vae.dtype, base.text_encoder.dtype} == {torch.bfloat16}
    pixels = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    latents = base.sample_latents(base.target_moments(pixels), torch.zeros(1, 4, 8, 8))
    assert latents.dtype == torch.float32
    assert base.decode_latents(latents).shape == pixels.shape
    assert base.encode_images(pixels[..., :56, :56]).dtype == torch.bfloat16


def test_auto_is_fp32_on_a_cpu() -> None:
    assert resolve_dtype("auto", CPU) == torch.float32
    with pytest.raises(ConfigError, match="fp8"):
        resolve_dtype("fp8", CPU)


@pytest.mark.parametrize(("seconds", "warned"), [(0.02, True), (0.002, False)])
def test_a_precision_that_a_cpu_only_emulates_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: float, warned: bool
) -> None:
    monkeypatch.setattr(loading, "_product_s", lambda dtype: 0.001 if dtype is torch.float32 else seconds)
    assert warnings_of(caplog, ("fp32", "bf16", "bf16")) == (
        ["this CPU takes 20 times as long for a product in bf16 as in fp32, which trainings use with base.dtype=fp32 "
         "and evaluations with dtype=fp32"] if warned else []
    )  # fmt: skip


def test_only_the_first_of_several_processes_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loading, "_product_s", lambda dtype: 0.001 if dtype is torch.float32 else 1.0)
    monkeypatch.setenv("RANK", "1")
    assert not warnings_of(caplog, ("bf16",))
    monkeypatch.setenv("RANK", "0")
    assert warnings_of(caplog, ("bf16",))


def test_how_slow_a_precision_is_is_measured_and_asked_of_cpus_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert 0 < loading._product_s(torch.float32) < 1
    assert not warnings_of(caplog, ("bf16", "fp16"), device="cuda")


class Warned(Exception):
    """In place of a warning: what comes after it is not wanted."""


@pytest.mark.parametrize("module", [assemble, building, picture_generator, evaluating])
def test_what_computes_asks_before_anything_is_loaded(
    config: BaseConfig, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    def warn(name: str, device: torch.device) -> None:
        raise Warned(name, device.type)

    monkeypatch.setattr(module, "warn_of_slow", warn)
    base = replace(config, dtype="bf16")
    run: Any = SimpleNamespace(base=base, train=compose("experiment=joint", "data.root=x").train, weights="ema",
                               device="cpu", processes=1, cpu_processes=1, output=None)  # fmt: skip
    monkeypatch.setattr(evaluating, "check", lambda _: None)
    monkeypatch.setattr(evaluating, "resolve", lambda _: run)
    starts: dict[ModuleType, Callable[[], object]] = {
        assemble: lambda: assemble.assemble(run, Accelerator(cpu=True)),
        building: lambda: building.fill_cache(run, run, lambda _: None),
        picture_generator: lambda: picture_generator.PictureGenerator(base, "nowhere", "cpu"),
        evaluating: lambda: evaluating.evaluate(run, run),
    }
    with pytest.raises(Warned, match=r"bf16.*cpu"):
        starts[module]()


def warnings_of(caplog: pytest.LogCaptureFixture, dtypes: tuple[str, ...], device: str = "cpu") -> list[str]:
    """What is said of these precisions."""
    caches = (loading._times_as_slow, loading._say_once)
    for cache in caches:
        cache.cache_clear()
    try:
        for dtype in dtypes:
            loading.warn_of_slow(dtype, device)
    finally:
        for cache in caches:  # what a test made up is not for others
            cache.cache_clear()
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
        ("text_encoder", "model.safetensors"),
        ("image_encoder", "model.safetensors"),
    ],
)
def test_a_missing_or_misshapen_tensor_is_an_error_not_random_values(
    micro_folder: Path, tmp_path: Path, part: str, file: str
) -> None:
    shutil.copytree(micro_folder / part, tmp_path / part)
    state = load_file(micro_folder / part / file)
    name = max(state, key=lambda key: state[key].numel())
    save_file({key: value for key, value in state.items() if key != name}, tmp_path / part / file, {"format": "pt"})
    with pytest.raises(WeightsError, match=part):
        load_part(part, tmp_path / part, torch.float32, CPU)
    save_file(state | {name: state[name][:1].clone()}, tmp_path / part / file, {"format": "pt"})
    with pytest.raises(WeightsError, match=part):
        load_part(part, tmp_path / part, torch.float32, CPU)


def test_a_damaged_file_is_named(micro_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(micro_folder / "vae", tmp_path / "vae")
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=f"cannot load vae from {tmp_path / 'vae'}"):
        load_part("vae", tmp_path / "vae", torch.float32, CPU)
    (tmp_path / "vae" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="configuration of vae"):
        read_config("vae", tmp_path / "vae")


def test_files_as_the_hub_holds_them_load(
    micro_folder: Path, config_at: Callable[[Path], BaseConfig], tmp_path: Path
) -> None:
    """SD1.5 on the hub has a PNDM scheduler, the older tokenizer files, and `text_model.` before each name."""
    folder = tmp_path / "hub"
    shutil.copytree(micro_folder, folder, ignore=shutil.ignore_patterns("tokenizer.json", "scheduler_config.json"))
    _write_old_tokenizer(folder / "tokenizer")
    schedule = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "skip_prk_steps": True}
    schedule |= {"beta_schedule": "scaled_linear", "set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    weights = folder / "text_encoder" / "model.safetensors"
    state = {f"text_model.{name}": tensor for name, tensor in load_file(weights).items()}
    save_file(state | {"text_model.embeddings.position_ids": torch.arange(77)[None]}, weights, {"format": "pt"})
    old, new = load_base(config_at(folder), "cpu"), load_base(config_at(micro_folder), "cpu")
    prompts = ["A café, naïvely drawn!", "an apple " * 60, ""]
    for left, right in zip(old.encode_prompts(prompts)[:2], new.encode_prompts(prompts)[:2], strict=True):
        assert torch.equal(left, right)
    assert torch.equal(old.scheduler.alphas_cumprod, new.scheduler.alphas_cumprod)


def _write_old_tokenizer(folder: Path) -> None:
    source = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    (folder / "vocab.json").write_text(
        json.dumps({names.get(key, key): value for key, value in source.encoder.items()})
    )
    merges = [" ".join(pair) for pair in source.bpe_ranks]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    special |= {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def test_loading_shows_no_progress_bars(config: BaseConfig, capfd: pytest.CaptureFixture[str]) -> None:
    load_base(config, "cpu")
    assert "%|" not in "".join(capfd.readouterr())
