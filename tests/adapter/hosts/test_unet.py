"""An adapter goes into a UNet and comes out without a trace; inside, it computes what diffusers computes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from ipai.adapter import InstructAdapter, export_ip_adapter, inject
from ipai.errors import ConfigError, WeightsError


@pytest.fixture
def sample() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(8)
    return {
        "sample": torch.randn(2, 4, 8, 8, generator=generator),
        "timestep": torch.tensor([10, 900]),
        "encoder_hidden_states": torch.randn(2, 7, 32, generator=generator),
    }


@torch.no_grad()
def run(unet: UNet2DConditionModel, sample: dict[str, Tensor], embeds: Tensor | None = None) -> Tensor:
    added = None if embeds is None else {"image_embeds": [embeds]}
    return unet(**sample, added_cond_kwargs=added).sample


def test_inject_and_eject_are_inverses(
    unet: UNet2DConditionModel, plus: InstructAdapter, cond_tokens: Tensor, sample: dict[str, Tensor]
) -> None:
    processors, config = dict(unet.attn_processors), dict(unet.config)
    state = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    modules, attributes = [name for name, _ in unet.named_modules()], set(vars(unet))
    expected = run(unet, sample)
    injection = inject(unet, plus)
    assert unet.config.encoder_hid_dim_type == "ip_image_proj"
    assert not torch.allclose(run(unet, sample, plus(cond_tokens)[:, None]), expected)
    injection.eject()
    assert all(unet.attn_processors[name] is processor for name, processor in processors.items())
    assert list(unet.attn_processors) == list(processors)
    assert list(unet.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in unet.state_dict().items())
    assert [name for name, _ in unet.named_modules()] == modules
    assert set(vars(unet)) == attributes
    assert dict(unet.config) == config
    assert unet.config.encoder_hid_dim_type is None
    assert unet.encoder_hid_proj is None
    assert torch.equal(run(unet, sample), expected)
    inject(unet, plus).eject()
    with pytest.raises(ConfigError, match="already ejected"):
        injection.eject()
    with pytest.raises(ConfigError, match="already ejected"):
        injection.set_scale(0.5)


def test_zero_scale_equals_no_adapter_to_the_bit(
    unet: UNet2DConditionModel, plus: InstructAdapter, cond_tokens: Tensor, sample: dict[str, Tensor]
) -> None:
    expected, embeds = run(unet, sample), plus(cond_tokens)[:, None]
    injection = inject(unet, plus, scale=0)
    assert torch.equal(run(unet, sample, embeds), expected)
    outputs = []
    for scale in (0.5, 1.0):
        injection.set_scale(scale)
        outputs.append(run(unet, sample, embeds))
    distances = [float((output - expected).norm()) for output in outputs]
    assert 0 < distances[0] < distances[1]
    injection.set_scale(0.0)
    assert torch.equal(run(unet, sample, embeds), expected)


def test_weights_are_shared_and_reach_the_output(
    unet: UNet2DConditionModel, plus: InstructAdapter, cond_tokens: Tensor, sample: dict[str, Tensor]
) -> None:
    unet.requires_grad_(False)
    frozen = {id(parameter) for parameter in unet.parameters()}
    rng = torch.get_rng_state()
    inject(unet, plus)
    assert torch.equal(rng, torch.get_rng_state())
    unet(**sample, added_cond_kwargs={"image_embeds": [plus(cond_tokens)[:, None]]}).sample.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in plus.ip_adapter.parameters())
    assert plus.image_proj.latents.grad is not None
    for parameter in unet.parameters():
        if id(parameter) in frozen:
            assert parameter.grad is None
            assert not parameter.requires_grad
    assert {id(p) for p in unet.parameters()} - frozen == {id(p) for p in plus.ip_adapter.parameters()}


def test_frozen_and_trainable_parameters_stay_what_they_are(unet: UNet2DConditionModel, plus: InstructAdapter) -> None:
    unet.conv_in.requires_grad_(False)
    plus.ip_adapter["3"].requires_grad_(False)
    flags = {id(p): p.requires_grad for module in (unet, plus) for p in module.parameters()}
    injection = inject(unet, plus)
    assert all(flags[id(p)] == p.requires_grad for p in unet.parameters())
    injection.eject()
    assert all(flags[id(p)] == p.requires_grad for module in (unet, plus) for p in module.parameters())


def test_second_inject_is_refused_and_changes_nothing(unet: UNet2DConditionModel, plus: InstructAdapter) -> None:
    injection = inject(unet, plus)
    processors = dict(unet.attn_processors)
    with pytest.raises(ConfigError, match="already holds"):
        inject(unet, plus)
    assert unet.attn_processors == processors
    injection.eject()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention_sizes": (8, 16)}, ["2 image attentions", "sizes 8, 16", "has 16"]),
        ({"token_dim": 40}, ["40", "32"]),
    ],
)
def test_an_adapter_of_another_unet_is_refused(
    unet: UNet2DConditionModel, plus: InstructAdapter, changes: dict[str, Any], words: list[str]
) -> None:
    processors = dict(unet.attn_processors)
    adapter = InstructAdapter(replace(plus.spec, **changes))
    for word in words:
        with pytest.raises(WeightsError, match=word):
            inject(unet, adapter)
    assert unet.attn_processors == processors
    assert unet.encoder_hid_proj is None


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_ip_adapter_plus_equals_diffusers(
    unet: UNet2DConditionModel,
    plus: InstructAdapter,
    cond_tokens: Tensor,
    sample: dict[str, Tensor],
    tmp_path: Path,
    suffix: str,
) -> None:
    """Our export, read by diffusers' own loader, gives the same condition tokens and the same prediction."""
    injection = inject(unet, plus)
    tokens = plus(cond_tokens)
    prediction = run(unet, sample, tokens[:, None])
    injection.eject()
    path = tmp_path / f"plus{suffix}"
    export_ip_adapter(plus, path)
    pipeline = make_pipeline(unet)
    pipeline.load_ip_adapter(str(tmp_path), subfolder="", weight_name=path.name, image_encoder_folder=None)
    theirs = unet.encoder_hid_proj.image_projection_layers[0]
    assert type(theirs).__name__ == "IPAdapterPlusImageProjection"
    torch.testing.assert_close(theirs(cond_tokens), tokens, rtol=0, atol=1e-5)
    torch.testing.assert_close(run(unet, sample, cond_tokens[:, None]), prediction, rtol=0, atol=1e-5)


def make_pipeline(unet: UNet2DConditionModel) -> StableDiffusionPipeline:
    vae = AutoencoderKL(block_out_channels=(4, 4, 4, 4), norm_num_groups=2, sample_size=64)
    parts: dict[str, Any] = dict.fromkeys(["text_encoder", "tokenizer", "safety_checker", "feature_extractor"])
    pipeline = StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        requires_safety_checker=False,
        **parts,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_a_diffusers_pipeline_takes_the_condition_tokens(
    unet: UNet2DConditionModel,
    plus: InstructAdapter,
    started_from: Callable[..., InstructAdapter],
    cond_tokens: Tensor,
    texts: Tensor,
) -> None:
    adapter = started_from(plus)
    injection = inject(unet, adapter)
    pipeline = make_pipeline(unet)
    embeds = adapter(cond_tokens, texts)[:, None]

    def generate(tokens: Tensor) -> Tensor:
        return pipeline(
            prompt_embeds=torch.ones(1, 7, 32),
            negative_prompt_embeds=torch.zeros(1, 7, 32),
            ip_adapter_image_embeds=[tokens],
            num_inference_steps=2,
            latents=torch.ones(1, 4, 8, 8),
            output_type="latent",
        ).images

    with torch.no_grad():
        latents = generate(embeds)
        assert latents.shape == (1, 4, 8, 8)
        assert not torch.allclose(latents, generate(embeds.flip(0)))
        pipeline.set_ip_adapter_scale(0.0)
        assert torch.equal(generate(embeds), generate(embeds.flip(0)))
    injection.eject()
