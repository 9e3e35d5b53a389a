"""The toy base of the newer kind: how it begins, what it learns, and that an adapter goes into it."""

import pytest
import torch

from ipai.adapter import AdapterSpec, InstructAdapter, host_of, inject
from ipai.adapter.hosts.inject import start_from_base
from ipai.backbones.loading import load_part
from ipai.backbones.shipped import shipped_stack
from tools.toy_stack.rendered_set import draw_pictures
from tools.toy_stack.sizes import TRANSFORMER
from tools.toy_stack.stage import Losses
from tools.toy_stack.transformer import AlignedTransformer, flow_loss, flow_schedule, fresh_transformer

CPU = torch.device("cpu")


def losses_of(model: AlignedTransformer, seed: int) -> Losses:
    tower, tokenizer = (
        load_part(part, shipped_stack() / part, torch.float32, CPU) for part in ("image_encoder", "tokenizer")
    )
    pictures = draw_pictures(1, 8, 4)
    latents = torch.ones(12, 8, 16, 16)
    generator = torch.Generator().manual_seed(seed)
    return flow_loss(model, tower, tokenizer, pictures, latents, 6, generator)  # type: ignore[arg-type]


def fresh() -> AlignedTransformer:
    text_encoder = load_part("text_encoder", shipped_stack() / "text_encoder", torch.float32, CPU)
    return AlignedTransformer(fresh_transformer(seed=0), text_encoder.requires_grad_(True), seed=0)  # type: ignore[arg-type]


def test_at_first_it_says_zero_so_the_loss_is_that_of_noise_and_latents() -> None:
    """The target is noise - latents; with latents of one its mean square is 2."""
    model = fresh()
    assert losses_of(model, 0)["error"].item() == pytest.approx(2.0, rel=0.03)
    assert losses_of(model, 0) == losses_of(model, 0)
    assert losses_of(model, 0)["error"] != losses_of(model, 1)["error"]


def test_it_learns() -> None:
    """Of both: the velocity, and what the CLIP sees of the clean picture."""
    model = fresh()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = losses_of(model, 0)
    for seed in range(6):
        optimizer.zero_grad()
        losses_of(model, seed)["loss"].backward()
        optimizer.step()
    after = losses_of(model, 0)
    assert after["error"] < 0.8 * before["error"]
    assert after["likeness"] > before["likeness"] + 0.2
    assert all(parameter.grad is not None for parameter in model.text_encoder.parameters())


def test_it_is_small_and_an_adapter_changes_nothing_at_first() -> None:
    model = fresh_transformer(seed=0)
    torch.nn.init.normal_(model.final_layer.linear.weight)
    assert 4e6 < sum(parameter.numel() for parameter in model.parameters()) < 5e6
    host = host_of(model)
    sizes = tuple(site.size for site in host.sites(model))
    spec = AdapterSpec(128, host.token_dim(model), sizes, width=128, heads=2, attention=host.attention)
    adapter = InstructAdapter(spec)
    start_from_base(adapter, model, seed=0)
    prompt = {"encoder_hidden_states": torch.randn(1, 32, TRANSFORMER["context_in_dim"])}
    latents, times = torch.randn(1, 8, 16, 16), torch.tensor([300.0])
    with torch.no_grad():
        plain = model(hidden_states=latents, timestep=times / 1000, **prompt).sample
        injection = inject(model, adapter)
        ours = injection.predict(latents, times, prompt, [torch.randn(1, 16, 160)])
    injection.eject()
    assert torch.equal(ours, plain)


def test_it_is_drawn_with_the_schedule_that_it_learned() -> None:
    assert flow_schedule().config["shift"] == 1.0
    assert flow_schedule().config["num_train_timesteps"] == 1000
