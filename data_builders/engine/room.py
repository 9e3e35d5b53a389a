"""Room on the disk, asked before anything is downloaded or made."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from data_builders.engine.config import BuildConfig
from data_builders.engine.plan import ShardPlan
from ipai.errors import DataError
from ipai.tasks import get_task

# Bytes a pixel of a photograph as JPEG of quality 95 in full colour. Five of 512 px took 0.25 to 0.64; it is a little
# less, so that only what cannot fit is refused.
_BYTES_A_PIXEL = 0.2


def bytes_needed(config: BuildConfig, shards: Sequence[ShardPlan]) -> int:
    """What the pictures of these shards take on disk, at the least."""
    pictures = 1 if get_task(config.task).condition_is_target else 2
    samples = sum(len(shard.records) for shard in shards)
    return round(samples * pictures * config.image_size**2 * _BYTES_A_PIXEL * config.jpeg_quality / 100)


def refuse_too_little(needed: int, output: Path) -> None:
    """Raise a DataError if the disk of a folder, which need not be there yet, has less room than `needed` bytes."""
    place = next(folder for folder in (output.absolute(), *output.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"the disk of {output} has {free / 1e9:,.1f} GB free, and the shards take {needed / 1e9:,.1f} GB at the "
            "least; free room there, give another output=, or build less with limit="
        )
