"""The toy VAE, and the closed-form yardstick that it must beat before anything is trained on top of it."""

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from tools.toy_stack.clip import normalised
from tools.toy_stack.pca_start import start_from_pca
from tools.toy_stack.rendered_set import Pictures, draw_rows
from tools.toy_stack.sizes import LATENT_SIDE, RESOLUTION, VAE
from tools.toy_stack.stage import Losses

_PATCH = RESOLUTION // LATENT_SIDE
_KL = 1e-4
_COLOUR = 2.0  # weight of the error that is left after averaging over patches: hue, which L1 alone gives up last
_FEATURES = 0.3  # weight of the error in what CLIP sees: edges, which tell a flat picture from a pixelated one


def vae_loss(vae: AutoencoderKL, pictures: Pictures, batch_size: int, generator: torch.Generator) -> Losses:
    """Absolute error of pixels and of patch means, and a small pull of the latents to a standard normal."""
    images = pictures.images(draw_rows(pictures, batch_size, generator))
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(images).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        noise = torch.randn(mean.shape, generator=generator)
        decoded = vae.decode(mean + torch.exp(0.5 * logvar) * noise).sample.float()
    difference = decoded - images
    pixels = difference.abs().mean()
    colour = functional.avg_pool2d(difference, _PATCH).abs().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return {"loss": pixels + _COLOUR * colour + _KL * kl, "pixels": pixels, "colour": colour, "kl": kl}


def decoder_loss(
    vae: AutoencoderKL,
    image_tower: CLIPVisionModelWithProjection,
    pictures: Pictures,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """Absolute error of pixels and of patch means as in `vae_loss`, and the error of the image tower's hidden states.

    Only the decoder learns, so latents stay what they are and nothing that was trained on them has to be trained anew
    (as Stability's sd-vae-ft-mse did for SD1.5).
    """
    images = pictures.images(draw_rows(pictures, batch_size, generator))
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            posterior = vae.encode(images).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator)
            latents = posterior.mean.float() + posterior.std.float() * noise
            wanted = _hidden_states(image_tower, images)
        decoded = vae.decode(latents).sample.float()
        seen = _hidden_states(image_tower, decoded)
    difference = decoded - images
    pixels = difference.abs().mean()
    colour = functional.avg_pool2d(difference, _PATCH).abs().mean()
    errors = [
        (mine - theirs).square().mean() / theirs.square().mean() for mine, theirs in zip(seen, wanted, strict=True)
    ]
    features = torch.stack(errors).mean()
    loss = pixels + _COLOUR * colour + _FEATURES * features
    return {"loss": loss, "pixels": pixels, "colour": colour, "features": features}


def _hidden_states(image_tower: CLIPVisionModelWithProjection, images: Tensor) -> list[Tensor]:
    """Of every layer but the last, whose tokens nothing reads."""
    states = image_tower(normalised(images), output_hidden_states=True).hidden_states
    return [state.float() for state in states[1:-1]]


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: Tensor, batch_size: int = 64) -> Tensor:
    """Decode the mean latents of images in -1..1."""
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in images.split(batch_size)])


def pca_reconstruct(train: Tensor, images: Tensor) -> Tensor:
    """The best linear code of as many numbers a patch as the VAE has: principal components of `train`'s patches.

    Args:
        train, images: In -1..1, [N, 3, 64, 64].
    """
    patches = functional.unfold(train, _PATCH, stride=_PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    _, axes = torch.linalg.eigh((patches - mean).T @ (patches - mean))
    basis = axes[:, -VAE["latent_channels"] :]
    code = (functional.unfold(images, _PATCH, stride=_PATCH).transpose(1, 2) - mean) @ basis
    back = (code @ basis.T + mean).transpose(1, 2)
    return functional.fold(back, images.shape[-2:], _PATCH, stride=_PATCH)


def errors_beside_pca(vae: AutoencoderKL, pictures: Pictures, held_out: Pictures) -> tuple[float, float]:
    """Mean squared errors on held-out pictures: of the VAE, and of the best linear code that is as long."""
    images = held_out.images(torch.arange(0, len(held_out), 4))
    some = pictures.images(torch.arange(0, len(pictures), max(1, len(pictures) // 2000)))
    linear = (pca_reconstruct(some, images) - images).square().mean()
    return float((reconstruct(vae, images) - images).square().mean()), float(linear)


@torch.no_grad()
def standardise_latents(vae: AutoencoderKL, images: Tensor) -> None:
    """Move each latent channel to zero mean and unit variance, in the 1 x 1 convolutions around the latents.

    Pictures are decoded as before. It matters to what is trained on the latents: a channel of twice the deviation is
    seen through four times the noise, so with the brightness at 2.1 and an edge at 0.3 the picture would be decided at
    noise levels that hardly count in the loss. SD's scaling factor is one number for all channels, here 1.
    """
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in images.split(64)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    before, after = vae.quant_conv, vae.post_quant_conv
    assert before is not None
    assert before.bias is not None
    assert after is not None
    assert after.bias is not None
    half = len(mean)  # the means' channels come first, then those of the logarithms of the variances
    before.weight[:half] /= deviation[:, None, None, None]
    before.bias[:half] = (before.bias[:half] - mean) / deviation
    before.bias[half:] -= 2 * deviation.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= deviation[:, None, None]
    vae.register_to_config(scaling_factor=1.0)


def fresh_vae(pictures: Pictures, seed: int) -> AutoencoderKL:
    """A VAE that starts as the best linear one for `pictures`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(**VAE)
    start_from_pca(vae, pictures.images(torch.arange(0, len(pictures), max(1, len(pictures) // 1000))))
    return vae


def with_free_decoder(vae: AutoencoderKL) -> AutoencoderKL:
    """The same VAE, of which only what turns latents into pixels takes gradients."""
    vae.requires_grad_(False)
    for part in (vae.post_quant_conv, vae.decoder):
        assert part is not None
        part.requires_grad_(True)
    return vae


@torch.no_grad()
def encode_all(vae: AutoencoderKL, pictures: Pictures) -> Tensor:
    """Mean latents of all pictures, fp16 [N, 8, 16, 16]."""
    parts = torch.arange(len(pictures)).split(256)
    latents = []
    for rows in parts:
        with torch.autocast("cpu", torch.bfloat16):
            mean = vae.encode(pictures.images(rows)).latent_dist.mean
        latents.append(mean.half())
    return torch.cat(latents)
