"""Drawing the pictures: the parts that are not there yet, in this process or shared among several."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from ipai.adapter.adapter import InstructAdapter
from ipai.backbones.config import BaseConfig
from ipai.backbones.loading import resolve_device
from ipai.conditioning import Conditioning
from ipai.errors import IpaiError
from ipai.evaluation.sampling.image_shards import Part, write_part
from ipai.evaluation.sampling.settings import TaskSampling
from ipai.launch.forking import end_with_parent, hear_signals, start_forkserver
from ipai.launch.processes import usable_cores
from ipai.pipeline.encoding import Condition
from ipai.pipeline.picture_generator import PictureGenerator, PictureRequest
from ipai.pipeline.sources import LoadedAdapter

Progress = Callable[[int], object]
_POLL_S = 0.5


class Artist(Protocol):
    """Answers the questions of a part."""

    def draw(self, part: Part, progress: Progress) -> None:
        """Draw one part and write it; `progress` is told how many pictures more there are."""
        ...


MakeArtist = Callable[..., Artist]
"""Takes `device`; pickles, for each of several processes makes its own."""


class BatchGenerator:
    """A generator that answers questions in batches.

    Args:
        base, adapter: What draws.
        sampling: By task.
        scheduler: Short name of the sampler.
        batch_size: Pictures at once.
        device: Where it runs.

    Raises:
        IpaiError: Weights are missing, or the adapter is of another architecture than the base.
    """

    def __init__(
        self,
        base: BaseConfig,
        adapter: InstructAdapter,
        sampling: dict[str, TaskSampling],
        scheduler: str,
        batch_size: int,
        device: str,
    ) -> None:
        self._generator = PictureGenerator(base, LoadedAdapter(adapter, base, {}), device)
        self._generator.schedule(scheduler)
        self._conditioning = Conditioning(adapter.spec)
        self._sampling, self._batch_size = sampling, batch_size

    def draw(self, part: Part, progress: Progress) -> None:
        """Draw one part and write it; batches are the same whenever and wherever it is drawn."""
        pictures = []
        for start in range(0, len(part.questions), self._batch_size):
            batch = part.questions[start : start + self._batch_size]
            sampling = self._sampling[batch[0].task]
            conditions = [
                Condition(part.source.condition(question), self._conditioning.told(question.task, question.instruction))
                for question in batch
            ]
            self._generator.attached.set_scale(sampling.scale)
            self._generator.attached.condition_each(conditions, sampling.guidance)
            pictures += self._generator.generate_each(
                [
                    PictureRequest(item.prompt, sampling.negative, item.seed, sampling.steps, sampling.guidance_scale)
                    for item in batch
                ]
            )
            progress(len(batch))
        write_part(part, pictures)


def prepare(processes: int, device: str) -> None:
    """Begin to import what several processes on a CPU need to draw; it goes on beside what this process does."""
    if processes > 1 and _forks(device):
        start_forkserver(__name__)


def draw_missing(parts: Sequence[Part], processes: int, progress: Progress, artist: MakeArtist, device: str) -> None:
    """Draw the parts that are not there yet.

    Args:
        parts: All of them.
        processes: More than one draw on as many GPUs, or share the cores; each draws its share of the parts.
        progress: Told how many more pictures are there.
        artist: Makes what draws, such as a `BatchGenerator` of everything but the device.
        device: Where it runs, if it is one.

    Raises:
        IpaiError: A condition, weights or a picture cannot be used.
    """
    missing = [part for part in parts if not part.path.exists()]
    progress(sum(len(part.questions) for part in parts if part not in missing))
    if not missing:
        return
    if min(processes, len(missing)) > 1:
        _draw_shared(missing, min(processes, len(missing)), progress, artist, device)
        return
    drawing = artist(device=device)
    for part in missing:
        drawing.draw(part, progress)


def _draw_shared(parts: Sequence[Part], processes: int, progress: Progress, artist: MakeArtist, device: str) -> None:
    # A library that looks for GPUs when it is imported would keep forks from using them.
    method = "forkserver" if _forks(device) else "spawn"
    prepare(processes, device)
    told = get_context(method).SimpleQueue()
    workers = start_processes(
        _draw_share, args=(processes, parts, artist, device, told), nprocs=processes, join=False, start_method=method
    )
    waiting = list(parts)
    try:
        while waiting:
            finished = workers.join(timeout=_POLL_S)
            done = [part for part in waiting if part.path.exists()]
            progress(sum(len(part.questions) for part in done))
            waiting = [part for part in waiting if part not in done]
            if finished and waiting:
                raise IpaiError(f"{waiting[0].path} was not drawn")
    except (ProcessRaisedException, ProcessExitedException):
        time.sleep(_POLL_S)
        if told.empty():
            raise
        raise told.get() from None


def _draw_share(rank: int, processes: int, parts: Sequence[Part], artist: MakeArtist, device: str, told: Any) -> None:
    hear_signals()
    end_with_parent()
    on_gpu = torch.cuda.is_available() and device != "cpu"
    if not on_gpu and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(usable_cores() // processes, 1))
    try:
        drawing = artist(device=f"cuda:{rank % torch.cuda.device_count()}" if on_gpu else device)
        for part in parts[rank::processes]:
            drawing.draw(part, lambda _: None)
    except IpaiError as error:
        told.put(error)
        raise SystemExit(2) from error


def _forks(device: str) -> bool:
    return resolve_device(device).type == "cpu"
