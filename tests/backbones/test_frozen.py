from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from ipai.backbones.backbone import Backbone
from ipai.errors import DataError


def some_pixels(size: int, generator: torch.Generator, count: int = 2) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def test_no_gradient_reaches_a_base_parameter(base: Backbone, generator: torch.Generator) -> None:
    networks = [base.denoiser, base.vae, base.text_encoder, base.image_encoder]
    condition = torch.randn(1, 5, 32, generator=generator).requires_grad_()
    noisy = torch.randn(1, 4, 8, 8, generator=generator)
    base.denoiser(noisy, torch.tensor([10]), condition).sample.square().mean().backward()
    assert condition.grad is not None
    assert condition.grad.abs().sum() > 0
    for network in networks:
        assert not network.training
        assert sum(1 for p in network.parameters() if p.requires_grad or p.grad is not None) == 0


def test_what_is_encoded_carries_no_graph(base: Backbone, generator: torch.Generator) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=generator)
    latents = base.sample_latents(base.target_moments(some_pixels(64, generator)), noise)
    results = [base.encode_prompts(["a cat"])[0], base.encode_images(some_pixels(56, generator)), latents]
    assert not any(result.requires_grad or result.is_inference() for result in results)


def test_prompts_and_their_padding(base: Backbone) -> None:
    hidden, mask, *_ = base.encode_prompts(["a photo of a cat", "", "use the style " * 60])
    assert hidden.shape == (3, 77, 32)
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [7, 2, 77]
    assert torch.equal(hidden[:1], base.encode_prompts(["a photo of a cat"])[0])


def test_images_give_the_penultimate_states_of_the_whole_encoder(
    base: Backbone, micro_folder: Path, generator: torch.Generator
) -> None:
    pixels = some_pixels(56, generator)
    whole = CLIPVisionModelWithProjection.from_pretrained(micro_folder / "image_encoder").eval()
    images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    processor = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    normalised = processor(images, return_tensors="pt").pixel_values
    with torch.no_grad():
        expected = whole(normalised, output_hidden_states=True).hidden_states[-2]
    tokens = base.encode_images(pixels)
    assert tokens.shape == (2, 17, 64)
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)
    assert len(base.image_encoder.vision_model.encoder.layers) == whole.config.num_hidden_layers - 1


def test_null_condition_is_zero_after_normalisation(base: Backbone, micro_folder: Path) -> None:
    whole = CLIPVisionModelWithProjection.from_pretrained(micro_folder / "image_encoder").eval()
    with torch.no_grad():
        expected = whole(torch.zeros(1, 3, 56, 56), output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(base.null_condition(), expected, atol=1e-6, rtol=0)
    black = base.encode_images(torch.zeros(1, 3, 56, 56, dtype=torch.uint8))
    assert not torch.allclose(base.null_condition(), black, atol=1e-3)


def test_latents_are_mean_plus_std_times_noise_scaled(base: Backbone, generator: torch.Generator) -> None:
    pixels, noise = some_pixels(64, generator), torch.randn(2, 4, 8, 8, generator=generator)
    with torch.no_grad():
        moments = base.vae.encode(pixels.float() / 255 * 2 - 1).latent_dist.parameters
    mean, log_variance = moments.chunk(2, dim=1)
    expected = 0.18215 * (mean + torch.exp(log_variance.clamp(-30, 20) / 2) * noise)
    latents = base.sample_latents(base.target_moments(pixels), noise)
    assert latents.shape == (2, 4, 8, 8)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(latents, base.sample_latents(base.target_moments(pixels), torch.zeros_like(noise)))


def test_decoding_gives_pixels_of_the_unscaled_latents(base: Backbone, generator: torch.Generator) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    with torch.no_grad():
        image = base.vae.decode(latents / 0.18215).sample
    decoded = base.decode_latents(latents)
    assert decoded.dtype == torch.uint8
    expected = np.clip((image.numpy() / 2 + 0.5) * 255, 0, 255)
    assert np.abs(decoded.numpy() - expected).max() <= 0.51


def test_a_surrounding_autocast_changes_nothing(base: Backbone, generator: torch.Generator) -> None:
    pixels = some_pixels(56, generator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = base.encode_images(pixels)
    assert torch.equal(inside, base.encode_images(pixels))


@pytest.mark.parametrize("pixels", [torch.zeros(1, 3, 56, 56), torch.zeros(1, 3, 64, 64, dtype=torch.uint8)])
def test_wrong_pixels_are_refused(base: Backbone, pixels: Tensor) -> None:
    with pytest.raises(DataError, match="condition images must be uint8"):
        base.encode_images(pixels)
    with pytest.raises(DataError, match="target images must be uint8"):
        base.sample_latents(base.target_moments(pixels[..., :30]), torch.zeros(1, 4, 8, 8))
