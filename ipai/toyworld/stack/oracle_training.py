"""Training the oracles, and measuring them on renders that they have not seen."""

import torch
from torch import Tensor
from torch.nn import functional

from ipai.toyworld.factors import Portraits, Scenes
from ipai.toyworld.oracles import Oracle, OracleNet
from ipai.toyworld.stack.stage import Losses

_NOISE = 0.06  # generated pictures are not as clean as renders


def fresh_net(kind: str, seed: int) -> OracleNet:
    """A net with first weights that depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OracleNet(kind)


def factors_of(pictures: Scenes | Portraits, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The true choices, int [N], by the factor's name."""
    return {name: torch.from_numpy(getattr(pictures, name)) for name in names}


def oracle_loss(
    net: OracleNet, pixels: Tensor, truth: dict[str, Tensor], batch_size: int, generator: torch.Generator
) -> Losses:
    """Mean cross entropy over the factors, on slightly noisy pictures."""
    rows = torch.randint(len(pixels), (batch_size,), generator=generator)
    images = pixels[rows].float() / 127.5 - 1
    strength = _NOISE * torch.rand(batch_size, 1, 1, 1, generator=generator)
    images = images + strength * torch.randn(images.shape, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(images)
    losses = [functional.cross_entropy(logits[name].float(), truth[name][rows]) for name in net.factors]
    return {"loss": torch.stack(losses).mean()}


def measured(kind: str, net: OracleNet, pixels: Tensor, truth: dict[str, Tensor]) -> Oracle:
    """The trained net with its accuracies on held-out pictures."""
    net.eval().requires_grad_(False)
    read = Oracle(kind, net, {}).read(pixels)
    accuracy = {name: round(float((read[name] == truth[name]).float().mean()), 4) for name in net.factors}
    return Oracle(kind, net, accuracy)
