"""Start a VAE as the best linear one: its encoder codes patches by principal components, its decoder their mean colour.

Started at random, the toy VAE spends most of its training on finding out that there are colours. So the first weights
are set by hand: every residual block starts as the identity, and the path beside them computes the components.

Two obstacles lie on that path, before each last convolution. The SiLU is passed in pairs, silu(x) - silu(-x) = x. The
GroupNorm would divide by each picture's own contrast; a constant pair +C, -C in every group, larger than the signal,
keeps the divisor nearly constant.
"""

from typing import Any, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional

_CARRIER = 3.0  # C, in standard deviations of the signal
_QUIET = -6.0  # first log variance of the latents


@torch.no_grad()
def start_from_pca(vae: AutoencoderKL, images: Tensor) -> None:
    """Set the weights of a fresh VAE with two halvings of the side, one layer a block.

    Args:
        vae: Changed in place.
        images: In -1..1, [N, 3, H, W]; a few thousand patches are enough.
    """
    basis, deviation, mean = _components(images, vae.config["latent_channels"])
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            _zero(module.conv2)
        if isinstance(module, Attention):
            _zero(cast(nn.Linear, module.to_out[0]))
    _start_encoder(vae, basis, mean, deviation)
    _start_decoder(vae, basis, mean, deviation)


def _components(images: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components of 4 x 4 patches [count, 3, 4, 4], their standard deviations, and the mean patch."""
    patches = functional.unfold(images, 4, stride=4).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    values, axes = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    return axes[:, -count:].T.reshape(count, 3, 4, 4), values[-count:].sqrt(), mean.reshape(3, 4, 4)


def _start_encoder(vae: Any, basis: Tensor, mean: Tensor, deviation: Tensor) -> None:
    first, second, third = vae.encoder.down_blocks
    count = len(basis)
    _pass(vae.encoder.conv_in, 3)
    _zero(gather := first.downsamplers[0].conv)  # channel 3 (2 dy + dx) + c is colour c of pixel (dy, dx) of four
    for corner in range(4):
        for colour in range(3):
            gather.weight[3 * corner + colour, colour, corner // 2, corner % 2] = 1
    _pass(second.resnets[0].conv_shortcut, 12)
    code = second.downsamplers[0].conv
    code.weight[:count], code.bias[:count] = 0, 0
    whitened = basis / deviation[:, None, None, None]
    for corner in range(4):
        for inner in range(4):
            y, x = 2 * (corner // 2) + inner // 2, 2 * (corner % 2) + inner % 2
            code.weight[:count, 3 * inner : 3 * inner + 3, corner // 2, corner % 2] = whitened[:, :, y, x]
    code.bias[:count] = -(whitened * mean).flatten(1).sum(1)
    _lead_through(third.resnets[0].conv_shortcut, vae.encoder.conv_norm_out, vae.encoder.conv_out, count)
    vae.encoder.conv_out.bias[count:] = _QUIET
    vae.encoder.conv_out.weight[count:] = 0
    _identity(vae.quant_conv)


def _start_decoder(vae: Any, basis: Tensor, mean: Tensor, deviation: Tensor) -> None:
    _identity(vae.post_quant_conv)
    colours = vae.decoder.conv_in
    colours.weight[:3] = 0
    colours.weight[:3, :, 1, 1] = (basis * deviation[:, None, None, None]).mean((2, 3)).T
    colours.bias[:3] = mean.mean((1, 2))
    first, second, third = vae.decoder.up_blocks
    for convolution in (first.upsamplers[0].conv, second.resnets[0].conv_shortcut, second.upsamplers[0].conv):
        _pass(convolution, 3)
    _lead_through(third.resnets[0].conv_shortcut, vae.decoder.conv_norm_out, vae.decoder.conv_out, 3)


def _lead_through(shortcut: nn.Conv2d, norm: nn.GroupNorm, last: nn.Conv2d, count: int) -> None:
    """Bring `count` signals from the input of `shortcut` unchanged to the output of `last`."""
    assert shortcut.bias is not None
    assert last.bias is not None
    groups, size = norm.num_groups, norm.num_channels // norm.num_groups
    last.weight.mul_(0.1)
    last.bias.zero_()
    last.weight[:count] = 0
    spare = -(-count // groups)  # signals a group
    shortcut.weight.mul_(0.1)
    shortcut.bias.zero_()
    divisor = (2 * (_CARRIER**2 + spare * 0.5) / size) ** 0.5
    for group in range(groups):
        start = group * size
        _constant_pair(shortcut, start)
        for slot, signal in enumerate(range(group, count, groups)):
            plus = start + 2 + 2 * slot
            for channel, sign in ((plus, 1.0), (plus + 1, -1.0)):
                shortcut.weight[channel] = 0
                shortcut.weight[channel, signal] = sign
                last.weight[signal, channel, 1, 1] = sign * divisor


def _constant_pair(shortcut: nn.Conv2d, channel: int) -> None:
    assert shortcut.bias is not None
    shortcut.weight[channel : channel + 2] = 0
    shortcut.bias[channel], shortcut.bias[channel + 1] = _CARRIER, -_CARRIER


def _pass(convolution: nn.Conv2d, count: int) -> None:
    """The first `count` channels pass unchanged."""
    assert convolution.bias is not None
    convolution.weight[:count], convolution.bias[:count] = 0, 0
    middle = convolution.weight.shape[-1] // 2
    for channel in range(count):
        convolution.weight[channel, channel, middle, middle] = 1


def _identity(convolution: nn.Conv2d) -> None:
    _zero(convolution)
    _pass(convolution, convolution.out_channels)


def _zero(layer: nn.Conv2d | nn.Linear) -> None:
    layer.weight.zero_()
    assert layer.bias is not None
    layer.bias.zero_()
