"""The toy VAE: a decoder that learns on leaves the latents alone."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from ipai.backbones.shipped import shipped_stack
from tools.toy_stack.rendered_set import Pictures, draw_pictures
from tools.toy_stack.vae import decoder_loss, pca_reconstruct, reconstruct, with_free_decoder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_pictures(7, 40, 20)


@pytest.fixture
def shipped_vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(shipped_stack() / "vae", torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def image_tower() -> CLIPVisionModelWithProjection:
    folder = shipped_stack() / "image_encoder"
    return CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).requires_grad_(False)


def test_a_step_of_the_decoder_changes_pixels_and_not_latents(
    shipped_vae: AutoencoderKL, image_tower: CLIPVisionModelWithProjection, pictures: Pictures
) -> None:
    images = pictures.images(torch.arange(4))
    before = copy.deepcopy(shipped_vae)
    trained = [value for value in with_free_decoder(shipped_vae).parameters() if value.requires_grad]
    decoder_loss(shipped_vae, image_tower, pictures, 4, torch.Generator().manual_seed(0))["loss"].backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in trained)
    torch.optim.SGD(trained, lr=0.1).step()
    with torch.no_grad():
        assert torch.equal(before.encode(images).latent_dist.mean, shipped_vae.encode(images).latent_dist.mean)
    assert not torch.equal(reconstruct(before, images), reconstruct(shipped_vae, images))


def test_a_worse_decoder_loses_in_pixels_colour_and_features(
    shipped_vae: AutoencoderKL, image_tower: CLIPVisionModelWithProjection, pictures: Pictures
) -> None:
    losses = decoder_loss(shipped_vae, image_tower, pictures, 8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert shipped_vae.post_quant_conv is not None
        shipped_vae.post_quant_conv.weight *= 0.5
    worse = decoder_loss(shipped_vae, image_tower, pictures, 8, torch.Generator().manual_seed(0))
    assert all(bool(worse[name] > losses[name]) for name in ("loss", "pixels", "colour", "features"))


def test_the_shipped_vae_beats_the_best_linear_code(shipped_vae: AutoencoderKL, pictures: Pictures) -> None:
    some = draw_pictures(8, 400, 200)
    images = pictures.images(torch.arange(len(pictures)))
    linear = pca_reconstruct(some.images(torch.arange(len(some))), images)
    assert float((reconstruct(shipped_vae, images) - images).square().mean()) < float((linear - images).square().mean())
