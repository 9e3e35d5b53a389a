"""What a denoiser learns: from a uniform lot to a timestep, noised latents, the target and the weight of its error.

Pure maths on tensors. A further objective is a class here, with its `name` and its settings as fields, and a file in
`conf/objective`.
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from ipai.errors import ConfigError


@dataclass(frozen=True)
class Objective(ABC):
    """What a denoiser learns.

    Attributes:
        name: What `objective.name` calls it.
        scheduler: What the base's noise schedule must say that its denoiser predicts (`prediction_type`).
        alphas_cumprod: Share of the latents' variance that is left at each timestep, fp32 [T] (2006.11239, section 2).
    """

    name: ClassVar[str]
    scheduler: ClassVar[str]
    alphas_cumprod: Tensor = field(repr=False)

    @abstractmethod
    def timesteps(self, lots: Tensor) -> Tensor:
        """The timesteps that uniform lots in 0..1 stand for in training, [B] -> int64 [B]."""

    def spread(self, lots: Tensor) -> Tensor:
        """The timesteps that are spread over the schedule as the lots are over 0..1, for validation: int64 [B]."""
        return (len(self.alphas_cumprod) * lots).long().clamp(max=len(self.alphas_cumprod) - 1)

    def noised(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The latents [B, C, h, w] with as much noise as belongs to their timesteps (2006.11239, eq. 4)."""
        signal, disturbance = self._shares(latents, timesteps)
        return signal * latents + disturbance * noise

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict, [B, C, h, w]."""

    def weights(self, timesteps: Tensor) -> Tensor | None:  # noqa: ARG002 (others weigh by it)
        """By how much each sample's error counts, [B]; None where all count alike."""
        return None

    def level(self, timesteps: Tensor) -> Tensor:
        """How much noise there is, from 0 to below 1, [B]: what losses are reported by."""
        return timesteps / len(self.alphas_cumprod)

    def _shares(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The factors of latents and noise, [B, 1, 1, 1]; in the latents' type, as diffusers' schedulers have them."""
        alphas = self.alphas_cumprod.to(latents.dtype)[timesteps].view(-1, 1, 1, 1)
        return alphas**0.5, (1 - alphas) ** 0.5


@dataclass(frozen=True)
class Epsilon(Objective):
    """The noise itself (2006.11239, eq. 14; the paper's eq. 2).

    Attributes:
        timestep_power: 1: all timesteps are as likely (the paper); p: their density grows as t^(p-1).
        min_snr_gamma: Min-SNR-gamma weights (2303.09556, section 3.4); None is the plain mean.
    """

    name = "epsilon"
    scheduler = "epsilon"
    timestep_power: float = 1.0
    min_snr_gamma: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, with a ConfigError."""
        for key in ("timestep_power", "min_snr_gamma"):
            value = getattr(self, key)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"objective.{key}={value} must be above 0")

    def timesteps(self, lots: Tensor) -> Tensor:
        """See `Objective.timesteps`."""
        return self.spread(lots ** (1 / self.timestep_power))

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:  # noqa: ARG002
        """The noise."""
        return noise

    def weights(self, timesteps: Tensor) -> Tensor | None:
        """min(SNR, gamma) / SNR."""
        if self.min_snr_gamma is None:
            return None
        snr = self._signal_to_noise(timesteps)
        return torch.clamp(snr, max=self.min_snr_gamma) / snr

    def _signal_to_noise(self, timesteps: Tensor) -> Tensor:
        alphas = self.alphas_cumprod[timesteps]
        return alphas / (1 - alphas)


@dataclass(frozen=True)
class Velocity(Epsilon):
    """The velocity sqrt(a) noise - sqrt(1 - a) latents (2202.00512, section 4), for bases that predict it."""

    name = "v"
    scheduler = "v_prediction"

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The velocity."""
        signal, disturbance = self._shares(latents, timesteps)
        return signal * noise - disturbance * latents

    def weights(self, timesteps: Tensor) -> Tensor | None:
        """min(SNR, gamma) / (SNR + 1): v's error is SNR + 1 times that of the latents (2303.09556, section 3.4)."""
        if self.min_snr_gamma is None:
            return None
        snr = self._signal_to_noise(timesteps)
        return torch.clamp(snr, max=self.min_snr_gamma) / (snr + 1)


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each sample in fp32: [B, C, h, w] twice -> [B] (paper eq. 2)."""
    return (prediction.float() - target.float()).square().mean(dim=(1, 2, 3))


def objectives() -> dict[str, type[Objective]]:
    """All of them by name, those of a user's own modules included."""
    found: dict[str, type[Objective]] = {}
    waiting = list(Objective.__subclasses__())
    while waiting:
        kind = waiting.pop(0)
        found[kind.name] = kind
        waiting += kind.__subclasses__()
    return found


def settings_of(name: str) -> set[str]:
    """The settings that an objective has.

    Raises:
        ConfigError: There is no such objective.
    """
    kinds = objectives()
    if name not in kinds:
        raise ConfigError(f"objective.name={name} is none of {', '.join(sorted(kinds))}")
    return {item.name for item in fields(kinds[name])} - {"alphas_cumprod"}


def make_objective(settings: Mapping[str, Any], alphas_cumprod: Tensor) -> Objective:
    """The objective that `objective.*` describes, on the noise schedule of a base.

    Raises:
        ConfigError: A key is unknown or a value cannot work.
    """
    own = {key: value for key, value in settings.items() if key != "name"}
    known = settings_of(str(settings["name"]))
    for key in own:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean objective.{near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise ConfigError(f"the objective {settings['name']} has no objective.{key}; {hint}")
    return objectives()[str(settings["name"])](alphas_cumprod, **own)
