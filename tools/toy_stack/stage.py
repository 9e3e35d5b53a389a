"""One loop for every part of the stack: deterministic in its seed, and continued where it was stopped.

The random numbers of a step come from (seed, stage, step), so a stage that was killed and repeated gives the same
weights, bit for bit, on the same machine with the same number of threads.
"""

import logging
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ipai.errors import CheckpointError
from ipai.files import atomic_path

log = logging.getLogger(__name__)

Losses = dict[str, Tensor]
_WARMUP = 100  # steps
_CLIP = 1.0  # largest gradient norm


@dataclass
class StageSettings:
    """How one part is trained.

    Attributes:
        steps: Optimizer steps.
        batch_size: Pictures a step.
        learning_rate: The highest; it rises over 100 steps and falls to zero along a cosine.
        ema: Share of the moving average that a step keeps; 0 keeps none.
        weight_decay: AdamW's.
    """

    steps: int
    batch_size: int
    learning_rate: float
    ema: float = 0.0
    weight_decay: float = 0.01


@dataclass(frozen=True)
class StageProgress:
    """After a step: how many are done, and the mean losses since the last report."""

    step: int
    losses: dict[str, float]


class Stage:
    """A part in training.

    Args:
        name: Of the stage; its state is kept in `<folder>/<name>.pt`.
        model: Whose parameters that require gradients are trained.
        loss: Maps a step's random generator to named losses; the one called "loss" is minimised.
        settings: How.
        folder: For the state.
        seed: Of everything random.
        save_every: Steps between two states on disk; at most this much work is lost.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        loss: Callable[[torch.Generator], Losses],
        settings: StageSettings,
        folder: Path,
        seed: int = 0,
        save_every: int = 200,
    ) -> None:
        self.name, self.model, self.settings, self.seed, self.save_every = name, model, settings, seed, save_every
        self.history: list[dict[str, float]] = []
        self._loss = loss
        self._path = folder / f"{name}.pt"
        self._trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
        self._average = {key: value.detach().clone() for key, value in self._trained.items()}
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=0.0, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
        self._step = 0

    @property
    def done(self) -> bool:
        """All steps are taken."""
        return self._step >= self.settings.steps

    def run(self, report_every: int = 50) -> Iterator[StageProgress]:
        """Continue to the last step, then put the averaged weights into the model.

        Raises:
            CheckpointError: The state on disk is of other settings or cannot be read.
        """
        self._resume()
        sums: dict[str, Tensor] = {}
        while not self.done:
            losses = self._take_step()
            sums = {key: sums.get(key, torch.zeros(())) + value for key, value in losses.items()}
            if self._step % report_every == 0 or self.done:
                count = (self._step - 1) % report_every + 1
                means = {key: float(value) / count for key, value in sums.items()}
                sums = {}
                self.history.append({"step": self._step, **means})
                yield StageProgress(self._step, means)
            if self._step % self.save_every == 0 or self.done:
                self._save()
        if self.settings.ema:
            with torch.no_grad():
                for key, value in self._trained.items():
                    value.copy_(self._average[key])
        self.model.eval()

    def _take_step(self) -> Losses:
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.seed}/{self.name}/{self._step}".encode()))
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        losses = self._loss(generator)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(self._trained.values(), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._step += 1
        if self.settings.ema:
            keep = min(self.settings.ema, (1 + self._step) / (10 + self._step))
            live = [value.detach() for value in self._trained.values()]
            torch._foreach_lerp_(list(self._average.values()), live, 1 - keep)
        return {key: value.detach() for key, value in losses.items()}

    def _rate(self) -> float:
        warm = min(1.0, (self._step + 1) / _WARMUP)
        return self.settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self._step / self.settings.steps))

    def _save(self) -> None:
        state = {
            "settings": _comparable(self.settings, self.seed),
            "step": self._step,
            "model": {key: value.detach() for key, value in self._trained.items()},
            "average": self._average,
            "buffers": self._buffers(),
            "optimizer": self._optimizer.state_dict(),
            "history": self.history,
        }
        with atomic_path(self._path) as aside:
            torch.save(state, aside)

    def _buffers(self) -> dict[str, Tensor]:
        """What training changes beside the parameters: BatchNorm's running statistics."""
        parameters = dict(self.model.named_parameters())
        return {key: value for key, value in self.model.state_dict().items() if key not in parameters}

    def _resume(self) -> None:
        if not self._path.exists():
            return
        try:
            state = torch.load(self._path, weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(f"cannot read {self._path} ({error}); delete it to train this part anew") from error
        wanted = _comparable(self.settings, self.seed)
        if state["settings"] != wanted:
            raise CheckpointError(
                f"{self._path} was trained with {state['settings']}, asked for is {wanted}; "
                "delete it, or choose another folder"
            )
        with torch.no_grad():
            for key, value in self._trained.items():
                value.copy_(state["model"][key])
                self._average[key] = state["average"][key]
            for key, buffer in self._buffers().items():
                buffer.copy_(state["buffers"][key])
        self._optimizer.load_state_dict(state["optimizer"])
        self._step, self.history = state["step"], state["history"]
        log.info("%s: continuing at step %d of %d", self.name, self._step, self.settings.steps)


def _comparable(settings: StageSettings, seed: int) -> dict[str, Any]:
    return {**vars(settings), "seed": seed}
