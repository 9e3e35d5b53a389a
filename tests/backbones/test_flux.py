"""FLUX's sizes, what its transformer is told, and its pipelines with an adapter, against diffusers' own."""

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from PIL import Image
from torch import nn

from ipai.adapter import AdapterSpec, InstructAdapter, host_of, inject
from ipai.adapter.hosts import flux as host
from ipai.adapter.hosts.inject import start_from_base
from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base
from ipai.errors import ConfigError, WeightsError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.flow_pipelines import SIDE, config_of, drawn, loud_adapter, told
from tests.helpers.small_pipeline import PICTURE

CONFIG = config_of("micro_flux")
START = Image.new("RGB", (SIDE, SIDE), "navy")
CALLED_WITH: dict[str, dict[str, Any]] = {
    "FluxPipeline": {},
    "FluxImg2ImgPipeline": {"image": START, "strength": 1.0},
    "FluxInpaintPipeline": {"image": START, "mask_image": Image.new("L", (SIDE, SIDE), 255), "strength": 1.0},
}
GUIDED = {"true_cfg_scale": 3.0, "max_sequence_length": 16}


@pytest.fixture(scope="module")
def base() -> Backbone:
    return load_base(CONFIG, "cpu")


def pipeline(base: Backbone, name: str = "FluxPipeline") -> Any:
    made = getattr(diffusers, name)(**{key: base.pipeline().components[key] for key in base.drawing})
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(("changes", "parameters"), [({"instruction": "none"}, 563_856_640), ({}, 617_628_160)])
def test_parameters_follow_from_the_full_size(changes: dict[str, Any], parameters: int) -> None:
    """Resampler of 1,280 channels to 4,096-wide tokens, and 19 times two maps of 4,096 x 3,072 with bias."""
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
        kind = host_of(transformer)
        sizes = tuple(site.size for site in kind.sites(transformer))
        spec = AdapterSpec(1280, kind.token_dim(transformer), sizes, width=1280, heads=20, attention=kind.attention)
        adapter = InstructAdapter(replace(spec, **changes))
    assert sizes == (3072,) * 19
    assert sum(parameter.numel() for parameter in adapter.parameters()) == parameters
    assert sum(parameter.numel() for parameter in adapter.ip_adapter.parameters()) == 19 * 2 * 3072 * (4096 + 1)


def test_latents_are_packed_and_placed_as_diffusers_pipeline_does() -> None:
    latents = torch.randn(2, 16, 8, 12)
    packed = host._packed(latents)
    assert torch.equal(packed, FluxPipeline._pack_latents(latents, 2, 16, 8, 12))
    assert torch.equal(host._unpacked(packed, latents), latents)
    places = FluxPipeline._prepare_latent_image_ids(2, 4, 6, torch.device("cpu"), torch.float32)
    assert torch.equal(host._places(latents), places)


def test_prompts_are_encoded_as_diffusers_pipeline_does(base: Backbone) -> None:
    ours = base.encode_prompts(["a cat"])
    hidden, pooled, _ = base.pipeline().encode_prompt("a cat", max_sequence_length=16)
    assert torch.equal(ours.arguments["encoder_hidden_states"], hidden)
    assert torch.equal(ours.arguments["pooled_projections"], pooled)
    assert ours.arguments["guidance"].tolist() == [3.5]


@torch.no_grad()
def test_step_0_is_the_base_to_the_bit_and_the_call_is_the_pipelines(base: Backbone) -> None:
    adapter = loud_adapter(CONFIG)
    start_from_base(adapter, base.denoiser, seed=0)
    seen: list[tuple[dict[str, Any], torch.Tensor]] = []
    handle = base.denoiser.register_forward_hook(
        lambda _net, _args, kwargs, output: seen.append((kwargs, output[0])), with_kwargs=True
    )
    drawn(pipeline(base), num_inference_steps=1, negative_prompt=..., max_sequence_length=16)
    handle.remove()
    kwargs, output = seen[0]
    latents = host._unpacked(kwargs["hidden_states"], torch.empty(1, 16, 8, 8))
    injection = inject(base.denoiser, adapter)
    arguments = base.encode_prompts(["a cat"]).arguments
    ours = injection.predict(latents, 1000 * kwargs["timestep"], arguments, [torch.randn(1, 16, 64)])
    injection.eject()
    assert torch.equal(ours, host._unpacked(output, latents))


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("name", CALLED_WITH)
def test_it_draws_what_diffusers_own_image_attention_draws(base: Backbone, name: str, guided: bool) -> None:
    """With true classifier-free guidance, which is a second call under the negative prompt, and with the distilled."""
    options = CALLED_WITH[name] | (GUIDED if guided else {"max_sequence_length": 16, "negative_prompt": ...})
    pipe, adapter = pipeline(base, name), loud_adapter(CONFIG)
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    attached.condition(Condition(PICTURE, "use the style"))
    ours, encoding = drawn(pipe, **options), attached.encodings[0]
    null = told(adapter, encoding, encoding.null_image, "", None)[:, None]
    full = told(adapter, encoding, encoding.image(PICTURE), "use the style", None)[:, None]
    attached.detach()
    without = drawn(pipe, **options)
    injection = inject(pipe.transformer, adapter, 0.7)
    pipe.transformer.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity()])
    theirs = drawn(pipe, ip_adapter_image_embeds=[full], negative_ip_adapter_image_embeds=[null], **options)
    pipe.transformer.encoder_hid_proj = None
    injection.eject()
    assert np.abs(ours - without).max() > 1e-3
    assert np.abs(ours - theirs).max() < 1e-5


def test_scale_0_is_the_base_to_the_bit(base: Backbone) -> None:
    pipe = pipeline(base)
    without = drawn(pipe, **GUIDED)
    attached = attach(pipe, loud_adapter(CONFIG), base=CONFIG, scale=0.0)
    attached.condition(Condition(PICTURE, "use the style"))
    assert np.array_equal(drawn(pipe, **GUIDED), without)
    attached.set_scale({"transformer_blocks.1": 1.0})
    assert not np.array_equal(drawn(pipe, **GUIDED), without)
    attached.detach()


def test_four_pass_guidance_has_no_place(base: Backbone) -> None:
    pipe = pipeline(base)
    attached = attach(pipe, loud_adapter(CONFIG), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"), guidance=FourPass())
    with pytest.raises(ConfigError, match="calls its denoiser anew for the negative prompt"):
        drawn(pipe, **GUIDED)
    attached.detach()


def test_times_are_moved_as_the_pipeline_moves_them(base: Backbone) -> None:
    """By the number of tokens: 16 of 64 px here, 4,096 of 1,024 px."""
    assert base.schedule["base_shift"] == pytest.approx(np.exp(0.5 + 0.65 * (16 - 256) / (4096 - 256)))
    large = type(base)(replace(CONFIG, resolution=1024), base.device, base._parts)
    assert large.schedule["base_shift"] == pytest.approx(np.exp(1.15))


def test_a_guidance_scale_is_told_to_those_that_want_one() -> None:
    with pytest.raises(WeightsError, match=r"base\.embedded_guidance must be one, such as 3\.5"):
        load_base(replace(CONFIG, embedded_guidance=None), "cpu", only=["transformer"])


@torch.no_grad()
def test_one_that_is_told_no_guidance_is_told_none(base: Backbone) -> None:
    """As FLUX.1 schnell."""
    transformer = FluxTransformer2DModel.from_config(dict(base.denoiser.config) | {"guidance_embeds": False}).eval()
    schnell = type(base)(
        replace(CONFIG, embedded_guidance=None), base.device, base._parts | {"transformer": transformer}
    )
    assert "guidance" not in schnell.encode_prompts(["a cat"]).arguments
    assert "guidance_scale" not in schnell.call_arguments(1.0)
    pipe = schnell.pipeline()
    without = drawn(pipe, negative_prompt=..., **schnell.call_arguments(1.0))
    attached = attach(pipe, loud_adapter(CONFIG), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"))
    assert np.abs(drawn(pipe, negative_prompt=..., **schnell.call_arguments(1.0)) - without).max() > 1e-3
    attached.detach()
