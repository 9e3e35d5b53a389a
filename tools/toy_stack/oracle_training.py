"""Training the oracles, and measuring them on renders that they have not seen."""

import torch
from torch import Tensor
from torch.nn import functional

from ipai.toyworld.factors import HIDDEN
from ipai.toyworld.oracles import Oracle, OracleNet, agreement
from tools.toy_stack.stage import Losses

_NOISE = 0.06  # generated pictures are not as clean as renders


def fresh_net(kind: str, seed: int) -> OracleNet:
    """A net with first weights that depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OracleNet(kind)


def oracle_loss(
    net: OracleNet, pixels: Tensor, truth: dict[str, Tensor], batch_size: int, generator: torch.Generator
) -> Losses:
    """Mean cross entropy over the factors, on slightly noisy pictures, half of the faces mirrored."""
    rows = torch.randint(len(pixels), (batch_size,), generator=generator)
    images = pixels[rows].float() / 127.5 - 1
    if "place" not in net.factors:  # no factor of a face knows left from right
        mirrored = torch.rand(batch_size, generator=generator) < 0.5
        images[mirrored] = images[mirrored].flip(-1)
    strength = _NOISE * torch.rand(batch_size, 1, 1, 1, generator=generator)
    images = images + strength * torch.randn(images.shape, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images)
    losses = [
        functional.cross_entropy(logits[name].float(), truth[name][rows], ignore_index=HIDDEN) for name in net.factors
    ]
    return {"loss": torch.stack(losses).mean()}


def measured(kind: str, net: OracleNet, pixels: Tensor, truth: dict[str, Tensor]) -> Oracle:
    """The trained net with its accuracies on held-out pictures."""
    net.eval().requires_grad_(False)
    read = Oracle(kind, net, {}).read(pixels)
    accuracy = agreement(read, truth, net.factors)
    return Oracle(kind, net, {name: round(value, 4) for name, value in accuracy.items()})
