"""SDXL's sizes against the authors' own modules, what its UNet is told, and its pipelines with an adapter."""

import inspect
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from PIL import Image

from ipai.adapter import AdapterSpec, InstructAdapter, inject, load_adapter
from ipai.adapter.formats import export_ip_adapter, export_released
from ipai.adapter.hosts.unet import UNetInjection
from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base, read_dims
from ipai.data.images import framing_of
from ipai.errors import ConfigError, WeightsError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.composing import compose
from tests.helpers.pipeline_extras import give_controlnet_a_say
from tests.helpers.small_pipeline import PICTURE

CONFIG = replace(compose("data.root=shards", "base=micro_sdxl", "recipe=smoke").base, dtype="fp32")
SIDE = 64
START = Image.new("RGB", (SIDE, SIDE), "navy")
LINES = Image.effect_noise((SIDE, SIDE), 90).convert("RGB")
MASK = Image.new("L", (SIDE, SIDE), 255)
CALLED_WITH: dict[str, dict[str, Any]] = {
    "StableDiffusionXLPipeline": {},
    "StableDiffusionXLImg2ImgPipeline": {"image": START, "strength": 1.0},
    "StableDiffusionXLInpaintPipeline": {"image": START, "mask_image": MASK, "strength": 1.0},
    "StableDiffusionXLControlNetPipeline": {"image": LINES},
    "StableDiffusionXLControlNetImg2ImgPipeline": {"image": START, "control_image": LINES, "strength": 1.0},
    "StableDiffusionXLControlNetInpaintPipeline": {
        "image": START, "mask_image": MASK, "control_image": LINES, "strength": 1.0,
    },
    "StableDiffusionXLPAGPipeline": {"pag_scale": 3.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def base() -> Backbone:
    return load_base(CONFIG, "cpu")


def pipeline(base: Backbone, name: str = "StableDiffusionXLPipeline") -> Any:
    parts = base.pipeline().components
    if "ControlNet" in name:
        controlnet = ControlNetModel.from_unet(base.denoiser, conditioning_embedding_out_channels=(8, 8, 16, 16))
        give_controlnet_a_say(controlnet)
        parts = parts | {"controlnet": controlnet.eval()}
    kind = getattr(diffusers, name)
    wanted = inspect.signature(kind.__init__).parameters
    made = kind(**{key: value for key, value in parts.items() if key in wanted}, force_zeros_for_empty_prompt=False)
    made.set_progress_bar_config(disable=True)
    return made


def adapter_for(base: Backbone, **changes: Any) -> InstructAdapter:
    torch.manual_seed(0)
    dims = read_dims(CONFIG)
    spec = AdapterSpec(64, dims.token_dim, dims.attention_sizes, width=128, heads=2, instruction_dim=32)
    return InstructAdapter(replace(spec, **changes))


def drawn(pipe: Any, **options: Any) -> np.ndarray:
    settings = {"num_inference_steps": 2, "guidance_scale": 5.0, "output_type": "np", "negative_prompt": "grey"}
    if "image" not in options or "ControlNetPipeline" in type(pipe).__name__:
        settings |= {"height": SIDE, "width": SIDE}
    pictures: np.ndarray = pipe("a cat", generator=torch.Generator().manual_seed(0), **settings | options).images
    return pictures


def full_size() -> UNet2DConditionModel:
    """SDXL's UNet without memory for its weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            sample_size=128, in_channels=4, out_channels=4, cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
            block_out_channels=(320, 640, 1280), transformer_layers_per_block=(1, 2, 10), use_linear_projection=True,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "parameters", "tensors"),
    [
        ({"instruction": "none"}, 423_748_864, None),  # IP-Adapter Plus SDXL ViT-H
        ({}, 477_520_384, None),  # the paper's variant
        ({"instruction_dim": 768, "prompt_dim": 768}, 530_636_544, 283),  # the authors' file
    ],
)
def test_parameters_are_those_of_the_authors_modules(
    changes: dict[str, Any], parameters: int, tensors: int | None
) -> None:
    """Counted there on the meta device."""
    sizes = tuple(site.size for site in UNetInjection.sites(full_size()))
    assert Counter(sizes) == {640: 10, 1280: 60}
    assert sizes[:4] + sizes[-11:-10] == (640,) * 4 + (640,)  # down blocks first, then up, the middle last
    spec = replace(AdapterSpec(1280, 2048, sizes, width=1280, heads=20), **changes)
    with torch.device("meta"):
        adapter = InstructAdapter(spec)
    assert sum(parameter.numel() for parameter in adapter.parameters()) == parameters
    assert tensors in (None, len(adapter.state_dict()))


def test_a_file_as_released_is_read_strictly(base: Backbone, tmp_path: Path) -> None:
    ours = adapter_for(base, prompt_dim=32)
    export_released(ours, tmp_path / "released.bin")
    read = load_adapter(tmp_path / "released.bin")
    assert read.spec == ours.spec
    state = torch.load(tmp_path / "released.bin", weights_only=True)
    del state["ip_adapter"]["5.to_v_ip.weight"]
    torch.save(state, tmp_path / "short.bin")
    with pytest.raises(WeightsError, match=r"ip_adapter\.5\.to_v_ip\.weight"):
        load_adapter(tmp_path / "short.bin")


def test_a_picture_is_framed_as_it_was_cut() -> None:
    assert framing_of(Image.new("RGB", (1200, 800)), (512, 512)) == (800, 1200, 0, 128, 512, 512)
    assert framing_of(Image.new("RGB", (300, 900)), (600, 600)) == (900, 300, 600, 0, 600, 600)
    assert framing_of(Image.new("RGB", (1200, 600)), (448, 576)) == (600, 1200, 0, 160, 448, 576)


def test_the_unet_is_told_both_encodings_the_pooled_prompt_and_the_framing(base: Backbone) -> None:
    framing = torch.tensor([[800, 1200, 0, 8, 64, 64]])
    told = base.encode_prompts(["a cat"], framing)
    theirs = base.pipeline().encode_prompt("a cat", do_classifier_free_guidance=False)
    assert torch.equal(told.arguments["encoder_hidden_states"], theirs[0])
    assert torch.equal(told.arguments["added_cond_kwargs"]["text_embeds"], theirs[2])
    assert told.arguments["added_cond_kwargs"]["time_ids"].tolist() == framing.tolist()
    assert base.encode_prompts(["a cat"]).arguments["added_cond_kwargs"]["time_ids"].tolist() == [
        [64, 64, 0, 0, 64, 64]
    ]


@pytest.mark.parametrize("name", CALLED_WITH)
def test_it_draws_what_diffusers_own_ip_adapter_draws(base: Backbone, name: str) -> None:
    pipe, adapter = pipeline(base, name), adapter_for(base, instruction="none")
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    attached.condition(Condition(PICTURE))
    ours = drawn(pipe, **CALLED_WITH[name])
    encoding = attached.encodings[0]
    with torch.no_grad():
        tokens = torch.cat([adapter(encoding.null_image), adapter(encoding.image(PICTURE))])
    attached.detach()
    without = drawn(pipe, **CALLED_WITH[name])
    injection = inject(pipe.unet, adapter, 0.7)  # diffusers' own processors
    theirs = drawn(pipe, ip_adapter_image_embeds=[tokens[:, None]], **CALLED_WITH[name])
    injection.eject()
    assert np.abs(ours - without).max() > 1e-3
    assert np.abs(ours - theirs).max() < 1e-5


def test_plus_weights_act_as_diffusers_own_loader_makes_them_act(base: Backbone, tmp_path: Path) -> None:
    pipe, adapter = pipeline(base), adapter_for(base, instruction="none")
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    attached.condition(Condition(PICTURE))
    ours = drawn(pipe)
    encoding = attached.encodings[0]
    hidden = torch.cat([encoding.null_image, encoding.image(PICTURE)])[:, None]
    attached.detach()
    export_ip_adapter(adapter, tmp_path / "plus.safetensors")
    pipe.load_ip_adapter(str(tmp_path), subfolder="", weight_name="plus.safetensors", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(0.7)
    theirs = drawn(pipe, ip_adapter_image_embeds=[hidden])
    pipe.unload_ip_adapter()
    assert np.abs(ours - theirs).max() < 1e-5


def seen_by(unet: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    handle = unet.register_forward_pre_hook(lambda _unet, _args, kwargs: seen.append(kwargs), with_kwargs=True)
    seen.append({"handle": handle})
    return seen


@pytest.mark.parametrize("released", [False, True])
def test_every_pass_gets_what_the_authors_code_for_sdxl_gives_it(base: Backbone, released: bool) -> None:
    """Sequence text negative thrice, pooled text positive thrice; null and image passes read no prompt at all."""
    pipe = pipeline(base)
    attached = attach(pipe, adapter_for(base, **({"prompt_dim": 32} if released else {})), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"), guidance=FourPass())
    seen = seen_by(pipe.unet)
    drawn(pipe)
    seen[0]["handle"].remove()
    attached.detach()
    added, encoding = seen[1]["added_cond_kwargs"], attached.encodings[0]
    positive, negative = (base.encode_prompts([text]) for text in ("a cat", "grey"))
    states = [text.arguments["encoder_hidden_states"][0] for text in (negative, negative, negative, positive)]
    assert torch.allclose(seen[1]["encoder_hidden_states"], torch.stack(states), atol=1e-6)
    pooled = [
        text.arguments["added_cond_kwargs"]["text_embeds"][0] for text in (negative, positive, positive, positive)
    ]
    assert torch.allclose(added["text_embeds"], torch.stack(pooled), atol=1e-6)
    assert added["time_ids"].shape == (4, 6)
    table = [(False, "", ""), (True, "", ""), (True, "everything", "a cat"), (True, "use the style", "a cat")]
    for number, (picture, instruction, prompt) in enumerate(table):
        image = encoding.image(PICTURE) if picture else encoding.null_image
        told, read = (encoding._table.embed([text])[0] for text in (instruction, prompt))  # type: ignore[union-attr]
        with torch.no_grad():
            tokens = encoding.adapter(image, instruction=told, prompt=read if released else None)
        assert (added["image_embeds"][0][number, 0] - tokens[0]).abs().max() < 1e-5, number


def test_a_released_adapter_needs_the_prompts_text(base: Backbone) -> None:
    pipe = pipeline(base)
    attached = attach(pipe, adapter_for(base, prompt_dim=32), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"))
    embeds = base.encode_prompts(["a cat"]).embeds
    embeds |= {f"negative_{name}": value for name, value in base.encode_prompts([""]).embeds.items()}
    with pytest.raises(ConfigError, match="give prompt= instead of prompt_embeds="):
        pipe(**embeds, num_inference_steps=1, height=SIDE, width=SIDE)
    attached.detach()


def test_an_adapter_of_another_family_is_refused_by_name_and_shape(base: Backbone) -> None:
    sd15 = InstructAdapter(replace(AdapterSpec(), width=64, heads=1))
    with pytest.raises(WeightsError, match=r"16 image attentions of the sizes 2 x 320.*\(Stable Diffusion 1\.5\)"):
        attach(pipeline(base), sd15, base=CONFIG)


@pytest.mark.parametrize("experiment", ["joint", "single_style", "fixed_instruction", "task_embedding"])
def test_experiments_compose(experiment: str) -> None:
    config = compose(f"experiment={experiment}", "base=sdxl", "data.root=shards")
    assert config.base.family == "sdxl"
    assert config.base.resolution == 1024
    assert config.base.adapter_init is not None
    assert "vit-h" in config.base.adapter_init.filename
