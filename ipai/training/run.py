"""From a checked configuration to a finished run folder, in one process of possibly several."""

import logging
import os
import shutil
import signal
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list

from ipai.backbones.loading import resolve_dtype
from ipai.config import AUTO, InstructionsConfig, TrainingRun, check, to_dict
from ipai.errors import ConfigError, IpaiError
from ipai.runs import checkpoint, data_sets, outcome
from ipai.runs.run_folder import (
    digest_of_settings,
    folder_of,
    freeze_config,
    frozen_instructions,
    locked,
    write_environment,
)
from ipai.training import made_from
from ipai.training.assemble import assemble
from ipai.training.average_instructions import average_instructions
from ipai.training.batching import Batching
from ipai.training.dry_run import dry_run
from ipai.training.loggers import JsonLines, Logger, WandbLogger, last_logged, wandb_id
from ipai.training.loop import Trainer
from ipai.training.micro_batch import fitting
from ipai.training.trackers import TrackerLogger

log = logging.getLogger(__name__)


def train(config: TrainingRun) -> int:
    """Train, or continue, the run that `config` describes; returns the exit code.

    Raises:
        IpaiError: Configuration, data, weights or run folder cannot be used; the message says what to do.
    """
    accelerator = make_accelerator(config)
    Batching.of(config.train, accelerator)  # refused before the folder is touched
    if config.train.micro_batch_size == AUTO and not config.dry_run:
        config.train.micro_batch_size = fitting(config, accelerator)
        check(config)  # what needs several samples at once
    if config.dry_run:
        dry_run(config, accelerator)
        return 0
    folder = folder_of(config)
    if config.instructions.source == "average":
        config.instructions = _average_instructions(config, folder, accelerator)
    untrained: list[Path] = []
    new = not folder.exists() and accelerator.num_processes == 1
    steps_before = config.train.steps
    with ExitStack() as stack:
        stack.callback(_remove, untrained)
        if accelerator.is_main_process:
            stack.enter_context(locked(folder))
            steps_before = freeze_config(folder, config)
            outcome.forget(folder)
            write_environment(folder, accelerator.num_processes)
        accelerator.wait_for_everyone()
        stack.enter_context(outcome.recorded(folder))
        saved = _newest(folder, accelerator)
        if saved is not None:
            _refuse_other_settings(folder, config, saved, steps_before)
        if saved is not None and checkpoint.progress_of(saved).step >= config.train.steps:
            log.info("%s is finished (%d steps)", folder, config.train.steps)
            return _ended(folder, accelerator, 0)
        try:
            parts = assemble(config, accelerator)
        except IpaiError:
            untrained += [folder] if new else []  # a failed start leaves no folder behind
            raise
        if accelerator.is_main_process:
            for line in [*data_sets.lines(parts.data_sets, config.base.resolution), *parts.speed.facts.lines()]:
                log.info(line)
            made_from.compare(folder, parts.made_from, None if saved is None else checkpoint.origin_of(saved))
            data_sets.write_data_sets(folder, parts.data_sets)
        loggers = _loggers(config, folder, saved) if accelerator.is_main_process else []
        for logger in loggers:
            stack.callback(logger.close)
        trainer = Trainer(config, folder, parts, loggers)
        if saved is not None:
            trainer.resume(saved)
        return _ended(folder, accelerator, trainer.run())


def _average_instructions(config: TrainingRun, folder: Path, accelerator: Accelerator) -> InstructionsConfig:
    """Those that the run was begun with; found anew only for a new run, and by one process for all."""
    found: list[dict[str, str]] = [{}]
    if accelerator.is_main_process:
        begun = frozen_instructions(folder)
        found = [begun or average_instructions(config.instructions, config.tasks, config.base, accelerator.device)]
    broadcast_object_list(found)
    return replace(config.instructions, source="fixed", fixed=found[0])


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_other_settings(folder: Path, config: TrainingRun, saved: Path, steps_before: int) -> None:
    """`config.yaml` has been compared, but it may have been lost or changed: the checkpoint knows too."""
    origin = checkpoint.origin_of(saved)
    steps = int(origin.get("steps", steps_before))  # a checkpoint of an earlier version does not say it
    if origin.get("settings", now := digest_of_settings(config, steps)) != now:
        raise ConfigError(
            f"the checkpoint {saved} was made with other settings than these, and {folder / 'config.yaml'} was lost or "
            "changed since, so it cannot tell which; restore it, or give a new name with run=NAME"
        )


def _ended(folder: Path, accelerator: Accelerator, code: int) -> int:
    if accelerator.is_main_process:
        log.info(_last_words(folder, code))
        if code:
            outcome.record(
                folder, "stopped", f"stopped by {signal.Signals(code - 128).name}; the same command continues"
            )
        else:
            outcome.record(folder, "finished", "finished")
    return code


def _last_words(folder: Path, code: int) -> str:
    """Where everything is, and what comes next."""
    saved = checkpoint.newest(folder / "checkpoints")
    where = f"the run: {folder}" + (f", its adapter: {saved / checkpoint.ADAPTER}" if saved else "")
    if code:
        return f"{where}\nthe same command continues"
    return f"{where}\nnext: ipai evaluate run={folder}    ipai generate checkpoint={folder} image=... instruction=..."


def make_accelerator(config: TrainingRun) -> Accelerator:
    """accelerate's placement, autocast and process group; the CPU is used where there is no GPU."""
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    precision = "bf16" if resolve_dtype(config.base.dtype, device) is torch.bfloat16 else "no"
    return Accelerator(
        cpu=not on_gpu,
        mixed_precision=precision,
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True),
            # Rank 0 hashes and writes checkpoints while the others wait in the next step's reduction.
            InitProcessGroupKwargs(timeout=timedelta(minutes=30)),
        ],
    )


def _newest(folder: Path, accelerator: Accelerator) -> Path | None:
    """The checkpoint to continue from, looked for once and told to every process."""
    found = [checkpoint.newest(folder / "checkpoints") if accelerator.is_main_process else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    return found[0]


def _loggers(config: TrainingRun, folder: Path, saved: Path | None) -> list[Logger]:
    seen = checkpoint.progress_of(saved).samples_seen if saved else -1
    logged_until = last_logged(folder)
    loggers: list[Logger] = [JsonLines(folder, seen)]
    if config.logger.wandb != "off":
        os.environ.setdefault("WANDB_SILENT", "true")
        loggers.append(WandbLogger(config.logger, folder, wandb_id(folder), to_dict(config), logged_until))
    if config.logger.tracker is not None:
        project = config.logger.project
        loggers.append(TrackerLogger(config.logger.tracker, project, folder, to_dict(config), logged_until))
    return loggers
