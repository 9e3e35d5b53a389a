"""The trained stack that comes with the project."""

import json
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from open_clip import create_model_and_transforms
from transformers import CLIPVisionModelWithProjection

from ipai.adapter.adapter import InstructAdapter, initialise
from ipai.adapter.formats import load_ip_adapter_plus
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.config import BUILTIN_TOY, BUILTIN_TOY_PRX
from ipai.backbones.families import load_base, read_dims
from ipai.backbones.hub import resolve_file
from ipai.backbones.shipped import shipped_adapter, shipped_stack
from ipai.conditioning import spec_of
from ipai.config import TrainingRun
from ipai.evaluation.sampling.asking import Sampling, answer, taken
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.pipeline.sources import load
from ipai.toyworld.oracles import agreement, load_oracles, truth_of
from ipai.toyworld.questions import questions
from tests.helpers.composing import compose
from tools.toy_stack.adapter import take_over_reading
from tools.toy_stack.clip import normalised
from tools.toy_stack.quality import identity_kept
from tools.toy_stack.rendered_set import draw_pictures
from tools.toy_stack.sizes import TRANSFORMER_IP_ADAPTER_FILE

LIMIT, OF_THE_TRANSFORMER, OF_ITS_ADAPTER = 25_000_000, 10 << 20, 2_500_000
"""Bytes of the UNet's whole stack, of the transformer with its text encoder, and of its IPAdapter+."""

OF_ITS_PARTS = [
    f"StableDiffusion{kind}Pipeline"
    for kind in (
        *("", "Img2Img", "Inpaint", "ControlNet", "ControlNetImg2Img", "ControlNetInpaint"),
        *("PAG", "PAGImg2Img", "ControlNetPAG", "Panorama"),
    )
]
"""Classes that need nothing beside the stack's own parts."""


def toy_run(*overrides: str) -> TrainingRun:
    return compose("experiment=joint", "recipe=toy", "data.root=shards", *overrides)


def test_it_is_small_and_holds_no_pickles() -> None:
    files = [path for path in shipped_stack().rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_size for path in files}
    transformer = sum(size for path, size in sizes.items() if path.parent.name.startswith("transformer"))
    adapter = (shipped_stack() / TRANSFORMER_IP_ADAPTER_FILE).stat().st_size
    assert transformer <= OF_THE_TRANSFORMER
    assert adapter <= OF_ITS_ADAPTER
    assert sum(sizes.values()) - transformer - adapter <= LIMIT
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".gz", ".md"}


def test_it_loads_by_the_code_that_loads_sd15_and_draws_what_it_encodes() -> None:
    base = load_base(toy_run().base, "cpu")
    pixels = draw_pictures(9, 8, 4).pixels
    latents = base.sample_latents(base.target_moments(pixels), torch.zeros(12, 8, 16, 16))
    assert 0.7 < latents.std() < 1.4
    error = (base.decode_latents(latents).float() - pixels.float()).abs().mean()
    assert error < 5  # of 255
    assert base.encode_images(pixels).shape == (12, 65, 128)
    assert base.encode_prompts(["a red star", ""])[0].shape == (2, 32, 128)


def test_both_forms_of_its_image_tower_agree() -> None:
    folder = shipped_stack()
    ours, _, _ = create_model_and_transforms(f"local-dir:{folder / 'instruction_encoder'}")
    theirs = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder", dtype=torch.float32)
    pictures = draw_pictures(9, 4, 4)
    pixels = normalised(pictures.images(torch.arange(8)))
    with torch.no_grad():
        torch.testing.assert_close(theirs(pixels).image_embeds, ours.eval().encode_image(pixels), atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("base_of", [(), ("base=toy_prx", "objective=flow")])
def test_an_adapter_starts_as_its_ip_adapter_plus(base_of: tuple[str, ...]) -> None:
    config = toy_run(*base_of)
    base = load_base(config.base, "cpu", only=("image_encoder",))
    spec = spec_of(config.adapter, config.base, read_dims(config.base))
    adapter = InstructAdapter(spec)
    assert config.base.adapter_init is not None
    load_ip_adapter_plus(adapter, resolve_file(config.base.adapter_init))
    initialise(adapter, seed=0)
    seen = base.encode_images(draw_pictures(9, 2, 1).pixels)
    with torch.no_grad():
        outputs = [adapter(seen, torch.randn(3, 77, 128) * scale) for scale in (0.0, 1.0, 30.0)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_the_transformers_ip_adapter_plus_gives_the_picture_back() -> None:
    """Chance is 11 % for a place and 12 % for a colour; its card says 99 %."""
    base = toy_run("base=toy_prx", "objective=flow").base
    generator = PictureGenerator(base, shipped_stack() / TRANSFORMER_IP_ADAPTER_FILE, "cpu")
    generator.pipeline.set_progress_bar_config(disable=True)
    pictures, oracle = draw_pictures(9, 16, 0), load_oracles()["scenes"]
    drawn = answer(generator, pictures.pixels, [""] * 16, [None] * 16, Sampling(steps=8, guidance_scale=4.0))
    kept = agreement(oracle.read(drawn), truth_of(pictures.scenes, oracle.net.factors), ("place", "colour"))
    assert min(kept.values()) > 0.6, kept


@pytest.mark.slow
@pytest.mark.parametrize("name", [BUILTIN_TOY, BUILTIN_TOY_PRX])
def test_a_joint_adapter_that_comes_along_takes_what_it_is_told_to(name: str) -> None:
    """Chance is 11 % for a place and 12 % for a style; the cards say how much more they take."""
    loaded = load(name)
    assert loaded.base is not None
    generator = PictureGenerator(loaded.base, loaded.adapter, "cpu")
    generator.pipeline.set_progress_bar_config(disable=True)
    asked, oracle = questions(portraits=False, count=24, task="style"), load_oracles()["scenes"]

    def told(instruction: str) -> dict[str, float]:
        return taken(generator, asked, instruction, oracle, ("style", "place"), Sampling(steps=8))

    style, composition = told("use the style"), told("use the composition")
    assert style["style"] > composition["style"] + 0.25
    assert composition["place"] > style["place"] + 0.35


def test_the_shipped_adapters_are_small() -> None:
    for name in (BUILTIN_TOY, BUILTIN_TOY_PRX):
        folder = shipped_adapter(name)
        assert folder is not None
        assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
        assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".md", ".yaml"}
    assert shipped_adapter("toy") is None


def test_a_resampler_that_goes_on_reads_as_the_other_and_keeps_its_last_layers() -> None:
    with torch.random.fork_rng():
        ours, theirs = (
            InstructAdapter(AdapterSpec(128, token_dim, (32,), width=128, depth=1, heads=2, instruction="none"))
            for token_dim in (160, 128)
        )
    before = {name: value.clone() for name, value in ours.image_proj.state_dict().items()}
    take_over_reading(ours, theirs)
    other = theirs.image_proj.state_dict()
    for name, value in ours.image_proj.state_dict().items():
        own = name.startswith(("proj_out", "norm_out"))
        assert torch.equal(value, before[name] if own else other[name]), name


def test_its_oracles_read_fresh_renders_as_well_as_their_card_says() -> None:
    pictures = draw_pictures(123_456, 300, 300)
    for kind, oracle in load_oracles().items():
        truth = truth_of(getattr(pictures, kind), oracle.net.factors)
        read = oracle.read(pictures.part(kind))
        for name in oracle.trusted:
            shown = truth[name] >= 0
            assert (read[name] == truth[name])[shown].float().mean() > 0.93
    assert {"object", "colour", "place", "background", "style"} <= set(load_oracles()["scenes"].trusted)


def test_its_scores_are_those_of_a_stack_that_was_trained() -> None:
    """Guards against shipping a worse one unnoticed; docs/toy-world.md compares them with the bar."""
    scores = json.loads((shipped_stack() / "scores.json").read_text())
    assert scores["vae"]["scenes_object"] > 0.97
    assert scores["vae"]["scenes_style"] > 0.85
    assert identity_kept(scores["vae"]) > 0.85
    assert scores["clip"]["retrieval_among_100"] > 0.8


@pytest.mark.parametrize("dtype", [None, torch.float16])
@pytest.mark.parametrize("name", OF_ITS_PARTS)
def test_it_is_a_whole_folder_for_diffusers(name: str, dtype: torch.dtype | None) -> None:
    further: dict[str, Any] = {} if dtype is None else {"torch_dtype": dtype}
    if "ControlNet" in name:
        further["controlnet"] = diffusers.ControlNetModel.from_pretrained(shipped_stack() / "controlnet")
    pipe = getattr(diffusers, name).from_pretrained(shipped_stack(), local_files_only=True, **further)
    assert pipe.unet.dtype == pipe.text_encoder.dtype == (dtype or torch.float32)


def test_it_draws_as_it_is_loaded_without_a_word_of_precision() -> None:
    pipe = diffusers.DiffusionPipeline.from_pretrained(shipped_stack(), local_files_only=True)
    assert np.asarray(pipe("a red star", num_inference_steps=1).images[0]).any()
