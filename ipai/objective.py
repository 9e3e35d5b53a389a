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

_OF_BASE = {"of_base": True}
"""Marks fields that the base decides."""


@dataclass(frozen=True)
class Objective(ABC):
    """What a denoiser learns.

    Attributes:
        name: What `objective.name` calls it.
        scheduler: What the base's noise schedule must say that its denoiser predicts: its `prediction_type`, or `flow`.
    """

    name: ClassVar[str]
    scheduler: ClassVar[str]

    @property
    @abstractmethod
    def length(self) -> int:
        """Of the noise schedule: timesteps run from 0 to there."""

    @abstractmethod
    def timesteps(self, lots: Tensor) -> Tensor:
        """The timesteps that uniform lots in 0..1 stand for in training, [B] -> [B]."""

    @abstractmethod
    def spread(self, lots: Tensor) -> Tensor:
        """The timesteps that are spread over the schedule as the lots are over 0..1, for validation: [B]."""

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
        return timesteps / self.length

    @abstractmethod
    def _shares(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """The factors of latents and noise, [B, 1, 1, 1]."""


@dataclass(frozen=True)
class Diffusion(Objective):
    """What is noised along a diffusion.

    Attributes:
        alphas_cumprod: Share of the latents' variance that is left at each timestep, fp32 [T] (2006.11239, section 2).
    """

    alphas_cumprod: Tensor = field(repr=False, metadata=_OF_BASE)

    @property
    def length(self) -> int:
        """See `Objective.length`."""
        return len(self.alphas_cumprod)

    def spread(self, lots: Tensor) -> Tensor:
        """Whole numbers, int64 [B]."""
        return (self.length * lots).long().clamp(max=self.length - 1)

    def _shares(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """In the latents' type, as diffusers' schedulers have them."""
        alphas = self.alphas_cumprod.to(latents.dtype)[timesteps].view(-1, 1, 1, 1)
        return alphas**0.5, (1 - alphas) ** 0.5


@dataclass(frozen=True)
class Epsilon(Diffusion):
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


@dataclass(frozen=True)
class Flow(Objective):
    """The velocity noise - latents along the straight line between them (rectified flow, 2209.03003, eq. 1).

    Times are logit-normal: densest in the middle, where the direction is hardest to tell (2403.03206, section 3.1);
    then they are moved towards the noise, as the base was trained at its resolution (there, eq. 23).

    Attributes:
        train_timesteps: How many units the denoiser counts from the latents (0) to the noise.
        base_shift: How far the base moves times towards the noise; 1 leaves them.
        shift: Takes the place of `base_shift`; None keeps it.
        time_mean, time_std: Of the normal distribution whose logistic function the times have.
    """

    name = "flow"
    scheduler = "flow"
    train_timesteps: int = field(metadata=_OF_BASE)
    base_shift: float = field(metadata=_OF_BASE)
    shift: float | None = None
    time_mean: float = 0.0
    time_std: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot work, with a ConfigError."""
        for key in ("shift", "time_std"):
            value = getattr(self, key)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"objective.{key}={value} must be above 0")
        if not abs(self.time_mean) < float("inf"):
            raise ConfigError(f"objective.time_mean={self.time_mean} must be a finite number")

    @property
    def length(self) -> int:
        """See `Objective.length`."""
        return self.train_timesteps

    def timesteps(self, lots: Tensor) -> Tensor:
        """Between whole numbers too, fp32 [B]."""
        # The ends have infinite logits; in double precision no lot comes nearer to one than this.
        normal = torch.special.ndtri(lots.double().clamp(1e-12, 1 - 1e-12))
        return self._shifted(torch.sigmoid(self.time_mean + self.time_std * normal))

    def spread(self, lots: Tensor) -> Tensor:
        """Evenly before the shift, fp32 [B]."""
        return self._shifted(lots.double())

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:  # noqa: ARG002
        """The velocity."""
        return noise - latents

    def _shifted(self, times: Tensor) -> Tensor:
        shift = self.base_shift if self.shift is None else self.shift
        moved = shift * times / (1 + (shift - 1) * times)
        # Below the end: losses are reported by tenths of the noise, of which there are ten.
        return (self.length * moved.clamp(max=1 - 1e-6)).float()

    def _shares(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        sigma = (timesteps / self.length).to(latents.dtype).view(-1, 1, 1, 1)
        return 1 - sigma, sigma


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each sample in fp32: [B, C, h, w] twice -> [B] (paper eq. 2)."""
    return (prediction.float() - target.float()).square().mean(dim=(1, 2, 3))


def objectives() -> dict[str, type[Objective]]:
    """All of them by name, those of a user's own modules included."""
    found: dict[str, type[Objective]] = {}
    waiting = list(Objective.__subclasses__())
    while waiting:
        kind = waiting.pop(0)
        if "name" in vars(kind):
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
    return {item.name for item in fields(kinds[name]) if item.metadata != _OF_BASE}


def check_keys(settings: Mapping[str, Any]) -> None:
    """Refuse settings that an objective has not, with a ConfigError that names the key."""
    known = settings_of(str(settings["name"]))
    for key in settings:
        if key not in known and key != "name":
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean objective.{near[0]}?" if near else f"it has {', '.join(sorted(known))}"
            raise ConfigError(f"the objective {settings['name']} has no objective.{key}; {hint}")


def make_objective(settings: Mapping[str, Any], schedule: Mapping[str, Any]) -> Objective:
    """The objective that `objective.*` describes.

    Args:
        settings: Its name and settings.
        schedule: What it is told of the base, see `Backbone.schedule`.

    Raises:
        ConfigError: A key is unknown or a value cannot work.
    """
    check_keys(settings)
    own = {key: value for key, value in settings.items() if key != "name"}
    return objectives()[str(settings["name"])](**schedule, **own)
