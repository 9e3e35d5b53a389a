"""The teacher of this process: loaded when it is first needed, kept for every later shard, never pickled.

The libraries are imported when they are needed: that takes ten seconds, and a plan or a refusal need not wait for it.
"""

import multiprocessing
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from data_builders.engine.keyed_hash import digest_of
from data_builders.teachers.config import EdgeTeacher, StyleTeacher, Teacher, TextTeacher

if TYPE_CHECKING:
    from data_builders.teachers.target_generator import Engine, TargetGenerator

_loaded: dict[str, "TargetGenerator"] = {}


def fetch(teacher: Teacher) -> None:
    """Download what of the teacher is not there yet; it loads nothing.

    Raises:
        WeightsError: Names everything that cannot be had, why, and which key to point elsewhere.
    """
    from data_builders.teachers.parts import find_parts

    find_parts(teacher)


def generator_of(teacher: Teacher) -> "TargetGenerator":
    """The loaded teacher; another one that this process had is let go, because two seldom fit one GPU.

    Raises:
        WeightsError: A model is missing or damaged.
        ConfigError: The settings do not fit the models.
    """
    from data_builders.teachers.target_generator import TargetGenerator

    key = digest_of(asdict(teacher))
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = TargetGenerator(teacher, _load(teacher))
    return _loaded[key]


def device_of_worker(name: str, gpus: int) -> str:
    """The GPUs in turn, by the number that ends the name of the process; the CPU where there is none.

    >>> device_of_worker("SpawnProcess-3", gpus=2)
    'cuda:0'
    """
    if not gpus:
        return "cpu"
    number = re.search(r"(\d+)$", name)
    return f"cuda:{(int(number[1]) - 1) % gpus if number else 0}"


def _load(teacher: Teacher) -> "Engine":
    import torch

    from data_builders.teachers.edges import EdgeEngine
    from data_builders.teachers.style import StyleEngine
    from data_builders.teachers.text import TextEngine
    from ipai.backbones.loading import resolve_dtype

    device = torch.device(device_of_worker(multiprocessing.current_process().name, torch.cuda.device_count()))
    if device.type == "cpu":
        # Sums are split by threads, so their rounding, and with it the shards' bytes, would depend on the executor.
        torch.set_num_threads(1)
    dtype = resolve_dtype(teacher.dtype, device)
    if isinstance(teacher, EdgeTeacher):
        return EdgeEngine(teacher, dtype, device)
    if isinstance(teacher, StyleTeacher):
        return StyleEngine(teacher, dtype, device)
    assert isinstance(teacher, TextTeacher)
    return TextEngine(teacher, dtype, device)
