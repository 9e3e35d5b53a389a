"""A VAE that starts as the best linear one."""

import pytest
import torch
from torch.nn import functional

from tools.toy_stack.rendered_set import Pictures, draw_pictures
from tools.toy_stack.vae import errors_beside_pca, fresh_vae, pca_reconstruct, reconstruct


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_pictures(5, 64, 32)


def test_its_decoder_draws_every_patch_in_its_mean_colour(pictures: Pictures) -> None:
    images = pictures.images(torch.arange(len(pictures)))
    decoded = reconstruct(fresh_vae(pictures, 0), images)
    error = (functional.avg_pool2d(decoded, 4) - functional.avg_pool2d(images, 4)).abs().mean()
    grey = functional.avg_pool2d(images - images.mean(), 4).abs().mean()
    assert error < 0.15 * grey


def test_its_encoder_separates_what_the_best_linear_code_separates(pictures: Pictures) -> None:
    """From its latents the linear code's own reconstruction can be read back, by a linear map."""
    images = pictures.images(torch.arange(len(pictures)))
    vae = fresh_vae(pictures, 0)
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mean.flatten(2).transpose(1, 2).flatten(0, 1)
    wanted = functional.unfold(pca_reconstruct(images, images), 4, stride=4).transpose(1, 2).flatten(0, 1)
    inputs = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
    fitted = inputs @ torch.linalg.lstsq(inputs, wanted).solution
    assert (fitted - wanted).square().mean() < 0.02 * wanted.var()


def test_the_gate_compares_both_codes_on_held_out_pictures(pictures: Pictures) -> None:
    held_out = draw_pictures(6, 32, 16)
    ours, linear = errors_beside_pca(fresh_vae(pictures, 0), pictures, held_out)
    assert ours > linear > 0  # untrained, it must not pass
