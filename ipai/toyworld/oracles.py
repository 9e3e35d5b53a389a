"""Classifiers that read a picture's factors: what was taken from a condition, what leaked, was the prompt followed.

Small convolutional networks, one for scenes and one for portraits, with a head for each factor, trained on renders in
every style. Their accuracy on held-out renders travels with the weights; a factor below `TRUSTED` is not scored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ipai.backbones.shipped import shipped_stack
from ipai.errors import WeightsError
from ipai.files import atomic_path
from ipai.records import parsed
from ipai.toyworld.factors import CHOICES, HIDDEN, Portraits, Scenes, visible_factors

TRUSTED = 0.97
KINDS: dict[str, tuple[str, ...]] = {
    "scenes": ("object", "colour", "mark", "size", "place", "background", "style"),
    "portraits": ("skin", "hair_colour", "hair_shape", "eyes", "glasses", "beard", "expression", "background", "style"),
}
_WIDTHS = (16, 32, 64, 96)


class OracleNet(nn.Module):
    """Four strided convolutions and a linear head for each factor of one kind of picture."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.factors = KINDS[kind]
        layers: list[nn.Module] = []
        for before, after in zip((3, *_WIDTHS), (*_WIDTHS, None), strict=True):
            if after is not None:
                layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
                layers += [nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.heads = nn.ModuleDict({name: nn.Linear(_WIDTHS[-1] * 16, len(CHOICES[name])) for name in self.factors})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits of each factor [B, choices] for images in -1..1, [B, 3, 64, 64]."""
        features = self.body(images)
        return {name: self.heads[name](features) for name in self.factors}


@dataclass(frozen=True)
class Oracle:
    """A trained reader of one kind of picture.

    Attributes:
        kind: "scenes" or "portraits".
        accuracy: Of each factor, on held-out renders in every style.
    """

    kind: str
    net: OracleNet
    accuracy: dict[str, float]

    @property
    def trusted(self) -> tuple[str, ...]:
        """The factors that may be scored."""
        return tuple(name for name, value in self.accuracy.items() if value >= TRUSTED)

    @torch.no_grad()
    def read(self, pixels: Tensor, batch_size: int = 128) -> dict[str, Tensor]:
        """The most likely choice of every factor, int [N], by its name.

        Args:
            pixels: RGB uint8 [N, 3, 64, 64].
        """
        parts = [self.net(part.float() / 127.5 - 1) for part in pixels.split(batch_size)]
        return {name: torch.cat([part[name] for part in parts]).argmax(1) for name in self.net.factors}


def save_oracle(oracle: Oracle, path: Path) -> None:
    """Write weights in fp16 and accuracies to one safetensors file."""
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in oracle.net.state_dict().items()
    }
    with atomic_path(path) as aside:
        # One entry: safetensors writes several in no fixed order, and equal oracles should be equal files.
        facts = json.dumps({"kind": oracle.kind, "accuracy": oracle.accuracy})
        save_file(state, aside, metadata={"oracle": facts})


@dataclass(frozen=True)
class _Facts:
    """What the header of an oracle's file says."""

    kind: str
    accuracy: dict[str, float]


def load_oracle(path: Path) -> Oracle:
    """Read what `save_oracle` wrote.

    Raises:
        WeightsError: The file is missing or of something else.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = parsed((file.metadata() or {}).get("oracle", ""), _Facts)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        net = OracleNet(facts.kind)
        net.load_state_dict(
            {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
        )
        return Oracle(facts.kind, net.eval().requires_grad_(False), facts.accuracy)
    except (OSError, KeyError, TypeError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} is not an oracle ({error}); scripts/train_toy_stack.py writes one") from error


def agreement(read: dict[str, Tensor], wanted: dict[str, Tensor], factors: Sequence[str]) -> dict[str, float]:
    """Share of pictures whose factor is the wanted one, among those that show it."""
    return {name: float((read[name] == wanted[name])[wanted[name] != HIDDEN].float().mean()) for name in factors}


def truth_of(pictures: Scenes | Portraits, factors: Sequence[str]) -> dict[str, Tensor]:
    """The true choices, int [N], by the factor's name; HIDDEN where a picture does not show it."""
    return {name: torch.from_numpy(values) for name, values in visible_factors(pictures, factors).items()}


def load_oracles(folder: Path | None = None) -> dict[str, Oracle]:
    """The oracles of a stack, by kind of picture; of the one that comes with the project if no folder is named.

    Raises:
        WeightsError: A file is missing or of something else.
    """
    folder = folder or shipped_stack()
    return {kind: load_oracle(folder / "oracles" / f"{kind}.safetensors") for kind in KINDS}
