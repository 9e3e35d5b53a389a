"""The training loop: order, accumulation, triggers. `samples_seen` drives all of it."""

import logging
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import load_state_strict, save_adapter
from ipai.config import TrainingRun
from ipai.data.collate import Batch
from ipai.errors import DataError, NonFiniteLossError, StoreError
from ipai.launch.signals import StopRequest, exit_code
from ipai.runs import checkpoint
from ipai.runs.checkpoint import Progress
from ipai.runs.data_sets import SetFacts
from ipai.training.collective_errors import CollectiveErrors
from ipai.training.ema import MovingAverage
from ipai.training.facts import Speedometer
from ipai.training.loggers import Logger
from ipai.training.made_from import digest_of
from ipai.training.metrics import Accumulator
from ipai.training.predictor import repeated
from ipai.training.progress import ProgressShown, progress
from ipai.training.schedule import learning_rate
from ipai.training.step import DenoisingStep
from ipai.training.validation import ValidationImages, Validator, grids

log = logging.getLogger(__name__)


@dataclass
class Parts:
    """What `assemble` puts together and `Trainer` runs.

    Attributes:
        micro_batches: From a step number to the endless-enough stream of micro-batches that starts there.
        fetch_validation: Brings the validation's shards to this node.
        collective: Calls what may lose the store of the shards.
        data_sets: What is trained on, by the sets' names; empty in all processes but the first.
        made_from: Digests of all that decides the numbers.
        keys_of: From (step, slots) to the names of the samples in them, for error messages.
    """

    accelerator: Accelerator
    step: DenoisingStep
    optimizer: torch.optim.Optimizer
    ema: MovingAverage | None
    validator: Validator
    images: ValidationImages | None
    micro_batches: Callable[[int], Iterator[Batch]]
    fetch_validation: Callable[[], None]
    collective: CollectiveErrors
    keys_of: Callable[[int, list[int]], list[str]]
    accumulation: int
    speed: Speedometer
    metadata: dict[str, str]
    data_sets: dict[str, SetFacts]
    made_from: dict[str, str]


class Trainer:
    """Trains until `train.steps`, a stop signal or a non-finite loss.

    Args:
        config: The run.
        folder: Its run folder.
        parts: Everything that was built from it.
        loggers: Where metrics go; empty in all processes but the first.
    """

    def __init__(self, config: TrainingRun, folder: Path, parts: Parts, loggers: list[Logger]) -> None:
        self.config = config
        self.folder = folder
        self.parts = parts
        self.loggers = loggers
        self.device = parts.accelerator.device
        self.parameters = {name: p for name, p in parts.step.module.adapter.named_parameters() if p.requires_grad}
        timesteps = parts.step.objective.length
        self.metrics = Accumulator(self.device, config.train.batch_size, timesteps)
        self.skipped: Counter[str] = Counter()  # by reason, in this process, since this start
        self.skipped_before = 0
        self.instructions_cut = 0  # in this process, since the last line of metrics
        self.progress = Progress(step=0, samples_seen=0)
        self._saved_step = 0

    def resume(self, saved: Path) -> None:
        """Take over the state of a whole checkpoint; the frozen configuration has already been compared."""
        self.progress = checkpoint.progress_of(saved)
        self._saved_step = self.progress.step
        # Read on the CPU: safetensors does not take every name torch has for a device ("cpu:0" inside a launcher).
        self.parts.step.module.adapter.load_state_dict(load_file(saved / checkpoint.ADAPTER))
        checkpoint.load_optimizer(self.parts.optimizer, list(self.parameters), saved / checkpoint.OPTIMIZER)
        if self.parts.ema is not None:
            self.parts.ema.load(load_file(saved / checkpoint.EMA))
        self.skipped_before = self.progress.skipped_samples

    def run(self) -> int:
        """Train and return the process's exit code: 0 when finished, 128 + signal when asked to stop.

        Raises:
            NonFiniteLossError: The loss or the gradient became NaN or infinite; the last good checkpoint is kept.
            DataError: Too large a share of the samples could not be read, or a process that decodes them ended.
            StoreError: The store of the shards was lost; what was learned is saved.
        """
        try:
            return self._run()
        except StoreError:
            self._save_before_leaving()
            raise
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            self._save_before_leaving()
            raise DataError(
                f"a process that decodes samples ended ({error}); what was learned is saved, and the same command "
                "continues. If memory was short, give fewer data.workers or a smaller data.prefetch"
            ) from error

    def _run(self) -> int:
        first, total = self.progress.step, self.config.train.steps
        if first == 0:
            self._validate(0)
        stream = self.parts.micro_batches(first)
        main = self.parts.accelerator.is_main_process
        with StopRequest() as stop, progress(total, first, shown=main) as bar:
            self.parts.speed.start(self.progress.samples_seen)
            for step in range(first, total):
                self.train_step(step, stream, settle=step == first and self.parts.accelerator.num_processes > 2)
                stopping = self._must_stop(step + 1, stop)
                self._after_step(step + 1, bar, stopping)
                if stopping:
                    return exit_code(stop.signal_number or signal.SIGTERM)
        return 0

    def _save_before_leaving(self) -> None:
        """Save the last whole step; the samples that were read of the next one are read again."""
        if self.progress.step and self.progress.step != self._saved_step:
            self._save()

    def _settle_buckets(self, batch: Batch) -> None:
        """Compute gradients for nothing, because DDP orders them anew after the first backward pass of each start.

        From the third process on that order decides in which order a sum is taken: without this, the first step after
        a restart would differ in the last bits from the same step of a run that was not interrupted.
        """
        self.parts.step.error(batch).mean().backward()
        self.parts.optimizer.zero_grad(set_to_none=True)

    def train_step(self, step: int, stream: Iterator[Batch], settle: bool = False) -> None:
        """One optimizer step on the next micro-batches of `stream`.

        Nothing in it waits for the device, but for an instruction that was not among those known at the start (it has
        an object's name in it) nor used lately: it is encoded, checked and kept.

        Args:
            step: Its number.
            stream: Micro-batches.
            settle: See `_settle_buckets`.
        """
        parts, train = self.parts, self.config.train
        for group in parts.optimizer.param_groups:
            group["lr"] = learning_rate(train, self.progress.samples_seen)
        for index in range(parts.accumulation):
            with parts.speed.waiting():
                batch = parts.collective(partial(next, stream))
            self._count_skipped(batch)
            batch = batch.to(self.device)
            if settle and index == 0:
                self._settle_buckets(batch)
            if index + 1 == parts.accumulation:
                self._backward(step, batch)
            else:
                with parts.accelerator.no_sync(parts.step.predictor):
                    self._backward(step, batch)
        limit = train.clip_norm if train.clip_norm is not None else float("inf")
        self.metrics.add_gradient(step, torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit))
        parts.optimizer.step()
        parts.optimizer.zero_grad(set_to_none=True)
        seen = (step + 1) * train.batch_size
        if parts.ema is not None:
            parts.ema.update(train.batch_size, seen)
        self.progress = replace(self.progress, step=step + 1, samples_seen=seen)

    def _backward(self, step: int, batch: Batch) -> None:
        objective = self.parts.step.objective
        timesteps = objective.timesteps(batch.lots)
        error, contrast, contrasted = self.parts.step.losses(batch, timesteps)
        weights = objective.weights(timesteps)
        loss = (error if weights is None else error * weights).mean()
        if contrast is not None and contrasted is not None:
            loss = loss + self.config.train.instruction_contrast * contrast.sum() / contrasted.sum().clamp(min=1)
            self.metrics.add_contrast(contrast, contrasted, batch.task_index)
        (loss / self.parts.accumulation).backward()
        slots, tasks = (repeated(each, batch.draws) for each in (batch.slots, batch.task_index))
        self.metrics.add_loss(step, slots, error, tasks, objective.level(timesteps))
        self.instructions_cut += self.parts.step.instructions.cut_in(batch)

    def _after_step(self, step: int, bar: ProgressShown, stopping: bool) -> None:
        config, last = self.config, step == self.config.train.steps
        bar.update()
        saving = step % config.checkpoint.every == 0 or last or stopping
        # The sums are read before every checkpoint too, so that a resumed run writes the same lines.
        if saving or step % config.logger.every == 0:
            self._log(bar)
        with self.parts.speed.paused():
            # Before the checkpoint: a run that resumes from it would not come back for a validation that was due.
            # One that is due when a stop was asked for is left out: a scheduler's patience is short.
            if (step % config.validation.every == 0 or last) and not stopping:
                self._validate(step)
            if saving:
                self._save()

    def _log(self, bar: ProgressShown) -> None:
        interval = self.metrics.read()
        if interval.bad_step is not None:
            self._refuse_non_finite(interval.bad_step, interval.bad_slots)
        values = interval.values | self.parts.speed.read(self.progress.samples_seen)
        values["optimizer/learning_rate"] = self.parts.optimizer.param_groups[0]["lr"]
        values["data/skipped"] = self._sum_skipped()
        values["data/instructions_cut"] = self._sum_over_processes(self.instructions_cut)
        self.instructions_cut = 0
        bar.set_postfix(loss=f"{values['loss/train']:.4f}", refresh=False)
        for logger in self.loggers:
            logger.log(self.progress.samples_seen, values)

    def _validate(self, step: int) -> None:
        if not self.config.validation.samples:
            return
        self.parts.collective(self.parts.fetch_validation)
        values = self.parts.validator.losses(self.device)
        for logger in self.loggers:
            logger.log(self.progress.samples_seen, values)
        images_due = step % self.config.validation.image_every == 0 or step == self.config.train.steps
        if self.parts.images is not None and images_due:
            self._paint(self.parts.images)

    def _paint(self, images: ValidationImages) -> None:
        drawn = images.draw(self.device)
        if not self.loggers:
            return  # another process shows and scores what all have drawn
        scores = images.score(drawn) if images.score is not None else {}
        for logger in self.loggers:
            logger.log_images(self.progress.samples_seen, grids(drawn))
            if scores:
                logger.log(self.progress.samples_seen, scores)

    def _save(self) -> None:
        if not self.parts.accelerator.is_main_process:
            return
        parts, names = self.parts, list(self.parameters)
        facts = {**parts.metadata, "samples_seen": str(self.progress.samples_seen), "step": str(self.progress.step)}
        writers: dict[str, Callable[[Path], None]] = {
            checkpoint.ADAPTER: partial(save_adapter, parts.step.module.adapter, metadata=facts),
            checkpoint.OPTIMIZER: partial(checkpoint.save_optimizer, parts.optimizer, names),
        }
        if parts.ema is not None:
            writers[checkpoint.EMA] = partial(self._save_average, metadata=facts | {"weights": "ema"})
        settings, steps = parts.made_from["settings"], str(self.config.train.steps)
        origin = {"made_from": digest_of(parts.made_from), "settings": settings, "steps": steps}
        checkpoint.save(self.folder / "checkpoints", self.progress, writers, self.config.checkpoint.keep, origin)
        self._saved_step = self.progress.step

    def _save_average(self, path: Path, metadata: dict[str, str]) -> None:
        assert self.parts.ema is not None
        adapter = self.parts.step.module.adapter
        with torch.device("meta"):
            average = InstructAdapter(adapter.spec)
        # What is not trained is its own average.
        load_state_strict(average, {**adapter.state_dict(), **self.parts.ema.tensors}, "the moving average")
        save_adapter(average, path, metadata)

    def _must_stop(self, step: int, stop: StopRequest) -> bool:
        if self.parts.accelerator.num_processes == 1:
            return stop.signal_number is not None
        if step % self.config.checkpoint.signal_check_every:
            return False
        asked = torch.tensor(int(stop.signal_number is not None), device=self.device)
        torch.distributed.all_reduce(asked)
        return bool(asked.item())

    def _count_skipped(self, batch: Batch) -> None:
        for key, reason in batch.skipped:
            self.skipped[reason] += 1
            if self.skipped[reason] in (1, 10, 100, 1000, 10_000):
                log.warning("sample %s could not be used (%s; %d so far)", key, reason, self.skipped[reason])

    def _sum_skipped(self) -> int:
        """Skipped samples of all processes since the run began; the run stops above its ceiling."""
        here = self._sum_over_processes(self.skipped.total())
        total, share = self.skipped_before + here, self.config.data.max_skip_fraction
        self.progress = replace(self.progress, skipped_samples=total)
        if total > share * max(self.progress.samples_seen, 1000):
            raise DataError(
                f"{total} of {self.progress.samples_seen} samples could not be used, above "
                f"data.max_skip_fraction={share}; reasons in this process: {dict(self.skipped)}"
            )
        return total

    def _sum_over_processes(self, count: int) -> int:
        total = torch.tensor(count, device=self.device)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
        return int(total.item())

    def _refuse_non_finite(self, step: int, slots: list[int]) -> None:
        where = slots or list(range(self.config.train.batch_size))
        keys = ", ".join(self.parts.keys_of(step, where[:20]))
        what = "the loss of" if slots else "the gradient, but no single loss, in the batch of"
        raise NonFiniteLossError(
            f"step {step}: {what} these samples is NaN or infinite: {keys}. The last checkpoint before it is whole; "
            "lower train.learning_rate or set train.clip_norm, or take the samples out, and use a new run=NAME"
        )
