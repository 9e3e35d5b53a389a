"""SD3's sizes and equations against the authors' own modules, its encodings, and its pipelines with an adapter."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import SD3ControlNetModel, SD3Transformer2DModel
from PIL import Image
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter, host_of, inject, load_adapter
from ipai.adapter.formats import export_released
from ipai.adapter.hosts.inject import start_from_base
from ipai.adapter.hosts.sd3 import JointImageProcessor
from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base
from ipai.backbones.micro_sd3 import ensure_micro_sd3
from ipai.errors import ConfigError, WeightsError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.flow_pipelines import SIDE, config_of, drawn, loud_adapter, told
from tests.helpers.small_pipeline import PICTURE

CONFIG = config_of("micro_sd3")
START = Image.new("RGB", (SIDE, SIDE), "navy")
LINES = Image.effect_noise((SIDE, SIDE), 90).convert("RGB")
CALLED_WITH: dict[str, dict[str, Any]] = {
    "StableDiffusion3Pipeline": {},
    "StableDiffusion3Img2ImgPipeline": {"image": START, "strength": 1.0},
    "StableDiffusion3InpaintPipeline": {
        "image": START,
        "mask_image": Image.new("L", (SIDE, SIDE), 255),
        "strength": 1.0,
    },
    "StableDiffusion3ControlNetPipeline": {"control_image": LINES},
}
LENGTH = {"max_sequence_length": 16, "guidance_scale": 5.0}


@pytest.fixture(scope="module")
def base() -> Backbone:
    return load_base(CONFIG, "cpu")


def pipeline(base: Backbone, name: str = "StableDiffusion3Pipeline") -> Any:
    parts = base.pipeline().components
    if "ControlNet" in name:
        torch.manual_seed(1)
        controlnet = SD3ControlNetModel.from_transformer(base.denoiser, num_layers=2, num_extra_conditioning_channels=0)
        for block in controlnet.controlnet_blocks:
            torch.nn.init.normal_(block.weight, std=0.1)
        parts = parts | {"controlnet": controlnet.eval()}
    kind = getattr(diffusers, name)
    wanted = inspect.signature(kind.__init__).parameters
    made = kind(**{key: value for key, value in parts.items() if key in wanted})
    made.set_progress_bar_config(disable=True)
    return made


def full_size() -> SD3Transformer2DModel:
    """SD3 medium's transformer without memory for its weights."""
    with torch.device("meta"):
        return SD3Transformer2DModel(
            sample_size=128, num_layers=24, attention_head_dim=64, num_attention_heads=24, joint_attention_dim=4096,
            caption_projection_dim=1536, pooled_projection_dim=2048, pos_embed_max_size=192,
        )  # fmt: skip


def released_manifest() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the authors' file, as their modules define them."""
    shapes: dict[str, tuple[int, ...]] = {"latents": (1, 16, 1280)}
    for name, size in (("proj_in", 1280), ("proj_new_input", 768), ("proj_prompt_input", 768)):
        shapes |= {f"{name}.weight": (1280, size), f"{name}.bias": (1280,)}
    shapes |= {"proj_out_big.weight": (4096, 1280), "proj_out_big.bias": (4096,)}
    shapes |= {"norm_out_big.weight": (4096,), "norm_out_big.bias": (4096,)}
    for branch, wide in (("layers", 5120), ("prompt_layers", 2560), ("new_input_layers", 2560)):
        for number in range(4):
            block = f"{branch}.{number}"
            norms = {
                f"{block}.{norm}.{kind}": (1280,)
                for norm in ("0.norm1", "0.norm2", "1.0")
                for kind in ("weight", "bias")
            }
            maps = {"0.to_q": (1280, 1280), "0.to_kv": (2560, 1280), "0.to_out": (1280, 1280)}
            maps |= {"1.1": (wide, 1280), "1.3": (1280, wide)}
            shapes |= norms | {f"{block}.{name}.weight": shape for name, shape in maps.items()}
    manifest = {f"image_proj.{name}": shape for name, shape in shapes.items()}
    of_a_block = (
        *("to_k_ip", "to_v_ip", "add_k_proj_ip", "add_v_proj_ip", "proj_ip"),
        *("proj_encoder_hidden_states_ip", "proj_encoder_passthrough_ip"),
    )
    for block_number in range(0, 24, 2):
        manifest |= {f"ip_adapter.{block_number}.{name}.weight": (1536, 1536) for name in of_a_block}
    return manifest


def as_released(name: str) -> str:
    return name.replace("image_proj.proj_out.", "image_proj.proj_out_big.").replace(
        "image_proj.norm_out.", "image_proj.norm_out_big."
    )


def test_tensors_and_parameters_are_those_of_the_authors_modules() -> None:
    """Counted there on the meta device."""
    transformer = full_size()
    host = host_of(transformer)
    sizes = tuple(site.size for site in host.sites(transformer))
    spec = AdapterSpec(
        1280, host.token_dim(transformer), sizes, width=1280, heads=20, instruction_dim=768, prompt_dim=768,
        attention=host.attention,
    )  # fmt: skip
    with torch.device("meta"):
        adapter = InstructAdapter(spec)
    found = {as_released(name): tuple(tensor.shape) for name, tensor in adapter.state_dict().items()}
    assert found == released_manifest()
    assert len(found) == 227
    assert sum(parameter.numel() for parameter in adapter.parameters()) == 390_657_792
    assert sum(parameter.numel() for parameter in adapter.image_proj.parameters()) == 192_476_928


def test_a_file_as_released_is_read_strictly(tmp_path: Path) -> None:
    ours = loud_adapter(CONFIG, prompt_dim=32)
    export_released(ours, tmp_path / "released.bin")
    state = torch.load(tmp_path / "released.bin", weights_only=True)
    assert {"proj_out_big.weight", "norm_out_big.bias"} < state["image_proj"].keys()
    assert state["ip_adapter"].keys() == set(ours.ip_adapter.state_dict())
    read = load_adapter(tmp_path / "released.bin")
    assert read.spec == ours.spec
    assert all(torch.equal(tensor, ours.state_dict()[name]) for name, tensor in read.state_dict().items())
    del state["ip_adapter"]["2.add_k_proj_ip.weight"]
    torch.save(state, tmp_path / "short.bin")
    with pytest.raises(WeightsError, match=r"1 missing: ip_adapter\.2\.add_k_proj_ip\.weight"):
        load_adapter(tmp_path / "short.bin")


@torch.no_grad()
def test_an_image_attention_computes_what_the_authors_computes(base: Backbone) -> None:
    """Written out here head by head, with a softmax of its own."""
    block, adapter = base.denoiser.transformer_blocks[0].attn, loud_adapter(CONFIG)
    layer: Any = next(iter(adapter.ip_adapter.values()))
    x, t, p = torch.randn(2, 5, 32), torch.randn(2, 7, 32), torch.randn(2, 16, 32)

    def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        heads = []
        for head in range(4):
            own = slice(8 * head, 8 * head + 8)
            shares = torch.softmax(queries[..., own] @ keys[..., own].mT / 8**0.5, dim=-1)
            heads.append(shares @ values[..., own])
        return torch.cat(heads, dim=-1)

    q = torch.cat([block.to_q(x), block.add_q_proj(t)], 1)
    a = attention(
        q, torch.cat([block.to_k(x), block.add_k_proj(t)], 1), torch.cat([block.to_v(x), block.add_v_proj(t)], 1)
    )
    a_x, a_t = a[:, :5], a[:, 5:]
    b = attention(
        q,
        torch.cat([layer.to_k_ip(a_x), layer.add_k_proj_ip(p)], 1),
        torch.cat([layer.to_v_ip(a_x), layer.add_v_proj_ip(p)], 1),
    )
    expected = (
        block.to_out[0](a_x + 0.7 * layer.proj_ip(b[:, :5])),
        block.to_add_out(a_t + 0.7 * layer.proj_encoder_hidden_states_ip(b[:, 5:])),
    )
    processor = JointImageProcessor(0)
    processor.layers, processor.scales = torch.nn.ModuleList([layer]), [0.7]
    found = processor(block, x, t, ip_hidden_states=[[p]])
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_tokens_pass_the_bases_embedding_and_each_map_but_the_last(base: Backbone) -> None:
    adapter = loud_adapter(CONFIG)
    injection = inject(base.denoiser, adapter)
    tokens = torch.randn(2, 16, 64)
    prepared = injection.prepared([tokens])
    injection.eject()
    embedded = base.denoiser.context_embedder(tokens)
    first: Any = adapter.ip_adapter["0"]
    assert len(prepared[0]) == 2
    torch.testing.assert_close(prepared[0][0], embedded)
    torch.testing.assert_close(prepared[0][1], first.proj_encoder_passthrough_ip(embedded))


@torch.no_grad()
def test_step_0_is_the_base_to_the_bit(base: Backbone) -> None:
    adapter = loud_adapter(CONFIG)
    before = adapter.image_proj.proj_out.weight.clone()
    start_from_base(adapter, base.denoiser, seed=0)
    assert adapter.image_proj.proj_out.weight.abs().max() <= 0.01 < before.abs().max()
    prompts = base.encode_prompts(["a cat"]).arguments
    latents, times = torch.randn(1, 16, 8, 8), torch.tensor([400.5])
    plain = base.denoiser(hidden_states=latents, timestep=times, **prompts, return_dict=False)[0]
    injection = inject(base.denoiser, adapter)
    ours = injection.predict(latents, times, prompts, [torch.randn(1, 16, 64)])
    injection.eject()
    assert torch.equal(ours, plain)


def test_prompts_are_encoded_as_diffusers_pipeline_does(base: Backbone) -> None:
    ours = base.encode_prompts(["a cat on a long and winding road"])
    theirs = base.pipeline().encode_prompt(
        "a cat on a long and winding road", None, None, do_classifier_free_guidance=False, max_sequence_length=16
    )
    assert torch.equal(ours.arguments["encoder_hidden_states"], theirs[0])
    assert torch.equal(ours.arguments["pooled_projections"], theirs[2])
    assert ours.tokens.shape == (1, 77, 32)


def test_latents_are_shifted_and_scaled_as_the_vae_says(base: Backbone) -> None:
    moments = torch.cat([torch.full((1, 16, 8, 8), 2.0), torch.full((1, 16, 8, 8), -30.0)], dim=1)
    latents = base.sample_latents(moments, torch.zeros(1, 16, 8, 8))
    torch.testing.assert_close(latents, torch.full_like(latents, (2.0 - 0.0609) * 1.5305))


@pytest.mark.parametrize("name", CALLED_WITH)
def test_it_draws_what_the_tokens_draw_that_are_handed_over(base: Backbone, name: str) -> None:
    pipe, adapter = pipeline(base, name), loud_adapter(CONFIG)
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    attached.condition(Condition(PICTURE, "use the style"))
    options = CALLED_WITH[name] | LENGTH
    if "Img2Img" in name or "ControlNet" in name:
        options = options | {"height": ..., "width": ...} if "Img2Img" in name else options
    ours = drawn(pipe, **options)
    encoding = attached.encodings[0]
    tokens = [
        told(adapter, encoding, *row, None)
        for row in ((encoding.null_image, ""), (encoding.image(PICTURE), "use the style"))
    ]
    attached.detach()
    without = drawn(pipe, **options)
    injection = inject(pipe.transformer, adapter, 0.7)
    with torch.no_grad():
        prepared = injection.prepared([torch.cat(tokens)])
    theirs = drawn(pipe, joint_attention_kwargs={"ip_hidden_states": prepared}, **options)
    injection.eject()
    assert np.abs(ours - without).max() > 1e-3
    assert np.abs(ours - theirs).max() < 1e-5


def test_tokens_are_made_once_a_picture(base: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = pipeline(base)
    attached = attach(pipe, loud_adapter(CONFIG), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"))
    made: list[int] = []
    prepared = attached._injection.prepared
    monkeypatch.setattr(attached._injection, "prepared", lambda tokens: made.append(1) or prepared(tokens))
    drawn(pipe, num_inference_steps=4, **LENGTH)
    attached.detach()
    assert len(made) == 1


@pytest.mark.parametrize("released", [False, True])
def test_every_pass_gets_what_the_authors_code_for_sd3_gives_it(base: Backbone, released: bool) -> None:
    """Sequence text negative thrice, pooled text positive thrice; null and image passes read the negative prompt."""
    pipe = pipeline(base)
    attached = attach(pipe, loud_adapter(CONFIG, **({"prompt_dim": 32} if released else {})), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"), guidance=FourPass())
    seen: list[dict[str, Any]] = []
    handle = pipe.transformer.register_forward_pre_hook(
        lambda _net, _args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    drawn(pipe, **LENGTH)
    handle.remove()
    first = seen[0]
    positive, negative = (base.encode_prompts([text]).arguments for text in ("a cat", "grey"))
    states = [each["encoder_hidden_states"][0] for each in (negative, negative, negative, positive)]
    assert torch.allclose(first["encoder_hidden_states"], torch.stack(states), atol=1e-6)
    pooled = [each["pooled_projections"][0] for each in (negative, positive, positive, positive)]
    assert torch.allclose(first["pooled_projections"], torch.stack(pooled), atol=1e-6)
    assert len(first["timestep"]) == 4
    encoding, given = attached.encodings[0], first["joint_attention_kwargs"]["ip_hidden_states"][0][0]
    table = [
        (False, "", "grey"),
        (True, "grey", "grey"),
        (True, "everything", "a cat"),
        (True, "use the style", "a cat"),
    ]
    for number, (picture, instruction, prompt) in enumerate(table):
        image = encoding.image(PICTURE) if picture else encoding.null_image
        tokens = told(encoding.adapter, encoding, image, instruction, prompt if released else None)
        with torch.no_grad():
            expected = base.denoiser.context_embedder(tokens)
        assert (given[number] - expected[0]).abs().max() < 1e-5, number
    attached.detach()


def test_an_adapter_of_another_family_is_refused_by_name_and_kind(base: Backbone) -> None:
    sd15 = InstructAdapter(replace(AdapterSpec(), width=64, heads=1))
    with pytest.raises(WeightsError, match=r"Stable Diffusion 1\.5.* kind decoupled, .* takes joint ones"):
        attach(pipeline(base), sd15, base=CONFIG)


def test_what_is_called_without_tokens_says_so(base: Backbone) -> None:
    injection = inject(base.denoiser, loud_adapter(CONFIG))
    prompts = base.encode_prompts(["a cat"]).arguments
    with pytest.raises(ConfigError, match="without condition tokens"):
        base.denoiser(hidden_states=torch.randn(1, 16, 8, 8), timestep=torch.tensor([1.0]), **prompts)
    with pytest.raises(ConfigError, match="already holds an IP-Adapter"):
        inject(base.denoiser, loud_adapter(CONFIG))
    injection.eject()


@pytest.mark.parametrize("count", [1, 2])
def test_skip_layer_guidance_calls_once_more_under_the_condition(base: Backbone, count: int) -> None:
    """As diffusers recommends it for SD3.5 medium."""
    pipe, adapter = pipeline(base), loud_adapter(CONFIG)
    attached = attach(pipe, adapter, base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"))
    seen: list[dict[str, Any]] = []
    handle = pipe.transformer.register_forward_pre_hook(
        lambda _net, _args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    skipping = {"skip_guidance_layers": [1], "skip_layer_guidance_start": -1.0, "skip_layer_guidance_stop": 1.0}
    prompts = {"prompt": ["a cat", "a dog"][:count], "negative_prompt": ["grey"] * count}
    drawn(pipe, **prompts, **skipping, **LENGTH)
    guided, skipped = (each["joint_attention_kwargs"]["ip_hidden_states"][0][0] for each in seen[:2])
    handle.remove()
    assert seen[1]["skip_layers"] == [1]
    assert torch.equal(skipped, guided[count:])
    attached.condition(Condition(PICTURE, "use the style"), guidance=FourPass())
    with pytest.raises(ConfigError, match="leave one of the two out"):
        drawn(pipe, **prompts, **skipping, **LENGTH)
    attached.detach()


@torch.no_grad()
def test_sd3_5_norms_and_second_attentions_are_the_bases_own(base: Backbone) -> None:
    """SD3.5 norms queries and keys, and its first blocks attend twice: at step 0 all is as without the adapter."""
    torch.manual_seed(3)
    sizes = SD3Transformer2DModel.load_config(ensure_micro_sd3() / "transformer")
    sizes |= {"qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}
    transformer = SD3Transformer2DModel.from_config(sizes).eval()
    for name, parameter in transformer.named_parameters():
        if "attn.norm" in name:
            parameter.uniform_(0.5, 2.0)
    adapter, prompts = loud_adapter(CONFIG), base.encode_prompts(["a cat"]).arguments
    latents, times, tokens = torch.randn(1, 16, 8, 8), torch.tensor([400.5]), [torch.randn(1, 16, 64)]
    plain = transformer(hidden_states=latents, timestep=times, **prompts, return_dict=False)[0]
    loud = inject(transformer, adapter)
    assert not torch.allclose(loud.predict(latents, times, prompts, tokens), plain)
    loud.eject()
    start_from_base(adapter, transformer, seed=0)
    injection = inject(transformer, adapter)
    assert torch.equal(injection.predict(latents, times, prompts, tokens), plain)
    injection.eject()
