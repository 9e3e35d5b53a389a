"""PRX's sizes, what its transformer is told, its image attention, and its pipeline with an adapter."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import PRXTransformer2DModel
from torch import Tensor

from ipai.adapter import AdapterSpec, InstructAdapter, host_of, inject
from ipai.adapter.hosts.inject import start_from_base
from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base
from ipai.errors import ConfigError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.composing import compose
from tests.helpers.flow_pipelines import config_of, drawn, loud_adapter, told
from tests.helpers.small_pipeline import PICTURE

CONFIG = config_of("micro_prx")
GUIDED = {"guidance_scale": 5.0, "use_resolution_binning": False, "tokenizer_max_length": 16}


@pytest.fixture(scope="module")
def base() -> Backbone:
    return load_base(CONFIG, "cpu")


def test_parameters_follow_from_the_full_size() -> None:
    """16 blocks of 1,792 channels: two maps and a norm each."""
    with torch.device("meta"):
        transformer = PRXTransformer2DModel()
        host = host_of(transformer)
        sizes = tuple(site.size for site in host.sites(transformer))
        spec = AdapterSpec(1280, host.token_dim(transformer), sizes, width=1280, heads=20, attention=host.attention)
        adapter = InstructAdapter(spec)
    assert sizes == (1792,) * 16
    assert sum(parameter.numel() for parameter in adapter.ip_adapter.parameters()) == 16 * (2 * 1792**2 + 1792)
    assert sum(parameter.numel() for parameter in adapter.parameters()) == 239_193_856


def test_prompts_are_encoded_as_diffusers_pipeline_does(base: Backbone) -> None:
    text = "A cat &amp; a dog"
    ours = base.encode_prompts([text])
    hidden, mask, _, _ = base.pipeline().encode_prompt(text, do_classifier_free_guidance=False, tokenizer_max_length=16)
    assert torch.equal(ours.arguments["encoder_hidden_states"], hidden)
    assert torch.equal(ours.arguments["attention_mask"], mask)


def turned(states: Tensor, ids: Tensor) -> Tensor:
    """Rotary positions (2104.09864, eq. 34) on [B, L, 16]: eight tell the row of `ids` [L, 2], eight the column."""
    angles = torch.cat([ids[:, [axis]] / 10_000 ** (torch.arange(4) / 4) for axis in (0, 1)], dim=1)
    pairs = torch.view_as_complex(states.unflatten(-1, (8, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def image_attention(transformer: Any, layer: Any, latents: Tensor, tokens: Tensor, ids: Tensor) -> Tensor:
    """What an image attention adds to latents at the places `ids`, written out head by head."""
    attn, heads = transformer.blocks[0].attention, []
    queries = attn.img_qkv_proj(latents)[..., :32]
    for head in range(2):
        own = slice(16 * head, 16 * head + 16)
        query = queries[..., own]
        query = query / (query.square().mean(-1, keepdim=True) + 1e-6).sqrt() * attn.norm_q.weight
        query = turned(query, ids)
        key = layer.to_k_ip(tokens)[..., own]
        key = key / (key.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.norm_k_ip[own]
        heads.append(torch.softmax(query @ key.mT / 4, dim=-1) @ layer.to_v_ip(tokens)[..., own])
    added: Tensor = attn.to_out[0](torch.cat(heads, dim=-1))
    return added


@torch.no_grad()
def test_a_second_softmax_is_added_to_the_blocks_own(base: Backbone) -> None:
    adapter, transformer = loud_adapter(CONFIG), base.denoiser
    attn, latents, texts, tokens = transformer.blocks[0].attention, *(torch.randn(2, n, 32) for n in (9, 5, 16))
    layer: Any = adapter.ip_adapter["0"]
    ids = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0))
    rotary = transformer.pe_embedder(ids[None])
    plain = attn(latents, texts, image_rotary_emb=rotary)
    injection = inject(transformer, adapter, scale=0.7)
    texts.ip_hidden_states = [tokens]  # type: ignore[attr-defined]
    ours = attn(latents, texts, image_rotary_emb=rotary)
    injection.eject()
    torch.testing.assert_close(ours, plain + 0.7 * image_attention(transformer, layer, latents, tokens, ids))


@torch.no_grad()
def test_however_large_keys_grow_the_logits_stay(base: Backbone) -> None:
    """What keeps training on a transformer from diverging."""
    adapter = loud_adapter(CONFIG)
    injection = inject(base.denoiser, adapter)
    prompts = base.encode_prompts(["a cat"]).arguments
    inputs = (torch.randn(1, 16, 8, 8), torch.tensor([500.0]), prompts, [torch.randn(1, 16, 32)])
    before = injection.predict(*inputs)
    for layer in adapter.ip_adapter.values():
        layer.to_k_ip.weight.mul_(1e6)  # type: ignore[operator, union-attr]
    after = injection.predict(*inputs)
    injection.eject()
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_step_0_is_the_base_to_the_bit(base: Backbone) -> None:
    adapter = loud_adapter(CONFIG)
    start_from_base(adapter, base.denoiser, seed=0)
    prompts, latents = base.encode_prompts(["a cat"]).arguments, torch.randn(1, 16, 8, 8)
    plain = base.denoiser(hidden_states=latents, timestep=torch.tensor([0.4]), **prompts, return_dict=False)[0]
    injection = inject(base.denoiser, adapter)
    ours = injection.predict(latents, torch.tensor([400.0]), prompts, [torch.randn(1, 16, 32)])
    injection.eject()
    assert torch.equal(ours, plain)


@pytest.mark.parametrize("four_pass", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_pipeline_draws_with_it(base: Backbone, count: int, four_pass: bool) -> None:
    """Against the same sum of velocities, of calls of the transformer one by one."""
    pipe, adapter = base.pipeline(), loud_adapter(CONFIG)
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    guidance = FourPass(s_instruct=2.0, s_text=3.0, s_image=1.5) if four_pass else None
    attached.condition(Condition(PICTURE, "use the style"), guidance=guidance)
    seen: list[dict[str, Any]] = []
    handle = pipe.transformer.register_forward_pre_hook(
        lambda _net, _args, kwargs: seen.append(kwargs), with_kwargs=True
    )
    latents = torch.randn(count, 16, 8, 8)
    options: dict[str, Any] = GUIDED | {"prompt": ["a cat", "a dog"][:count], "negative_prompt": ["grey"] * count}
    ours = drawn(pipe, num_inference_steps=1, latents=latents, output_type="latent", **options)
    handle.remove()
    encoding, time = attached.encodings[0], seen[0]["timestep"][:1]
    rows = [
        ("null", "", "grey"),
        ("image", "grey", "grey"),
        ("every", "everything", "grey"),
        ("full", "use the style", ""),
    ]
    velocity = {}
    attached.detach()
    injection = inject(pipe.transformer, adapter, 0.7)
    for name, instruction, text in rows:
        picture = encoding.null_image if name == "null" else encoding.image(PICTURE)
        tokens = told(adapter, encoding, picture, instruction, None).expand(count, -1, -1)
        prompts = base.encode_prompts([text] * count if text else options["prompt"]).arguments
        with torch.no_grad():
            velocity[name] = injection.predict(latents, 1000 * time.expand(count), prompts, [tokens])
    injection.eject()
    null, image, every, full = velocity.values()
    summed = null + 2.0 * (full - every) + 3.0 * (every - image) + 1.5 * (image - null)
    expected = latents - time * (summed if four_pass else null + 5.0 * (full - null))
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_a_prompt_branch_needs_a_clip() -> None:
    with pytest.raises(ConfigError, match=r"which base\.family=prx has not; choose adapter=instruct"):
        compose("data.root=shards", "base=micro_prx", "objective=flow", "recipe=smoke", "adapter=instruct_released")


def test_the_wrong_objective_is_refused_with_the_right_one() -> None:
    with pytest.raises(
        ConfigError, match="learned flow matching, which objective=epsilon is not for; add objective=flow"
    ):
        compose("data.root=shards", "base=prx")
    with pytest.raises(ConfigError, match="learned a diffusion, which objective=flow is not for"):
        compose("data.root=shards", "objective=flow")


def test_two_calls_may_come_before_their_backward_passes(base: Backbone) -> None:
    """Under checkpointing each block is computed again then, with the tokens of its own call."""
    adapter, latents = loud_adapter(CONFIG), torch.randn(1, 16, 8, 8)
    prompts, tokens = base.encode_prompts(["a cat"]).arguments, torch.randn(2, 1, 16, 32)
    injection, gradients = inject(base.denoiser, adapter), []
    for again in (False, True):
        base.denoiser.train()
        (base.denoiser.enable_gradient_checkpointing if again else base.denoiser.disable_gradient_checkpointing)()
        adapter.zero_grad()
        said = [injection.predict(latents, torch.tensor([400.0]), prompts, [one]) for one in tokens]
        sum(one.square().mean() for one in said).backward()  # type: ignore[union-attr]
        gradients.append(
            {name: p.grad.clone() for name, p in adapter.ip_adapter.named_parameters() if p.grad is not None}
        )
    base.denoiser.disable_gradient_checkpointing()
    base.denoiser.eval()
    injection.eject()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_compiling_is_refused_for_transformers() -> None:
    with pytest.raises(ConfigError, match=r"train\.compile=true is for UNets so far"):
        compose("data.root=shards", "base=prx", "objective=flow", "train.compile=true")


def test_tokens_of_an_earlier_call_are_not_used_again(base: Backbone) -> None:
    injection = inject(base.denoiser, loud_adapter(CONFIG))
    prompts, latents = base.encode_prompts(["a cat"]).arguments, torch.randn(1, 16, 8, 8)
    with torch.no_grad():
        injection.predict(latents, torch.tensor([400.0]), prompts, [torch.randn(1, 16, 32)])
        with pytest.raises(ConfigError, match="without condition tokens"):
            base.denoiser(hidden_states=latents, timestep=torch.tensor([0.4]), **prompts)
    injection.eject()


@pytest.mark.parametrize("name", ["sd3", "flux", "prx"])
def test_experiments_compose(name: str) -> None:
    config = compose("experiment=joint", f"base={name}", "objective=flow", "data.root=shards")
    assert (config.base.family, config.objective["name"]) == (name, "flow")
    assert config.base.adapter_init is None
