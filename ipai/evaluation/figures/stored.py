"""Pictures of a finished evaluation, and the held-out samples that they answer, by the samples' keys."""

import io
import tarfile
from functools import cache
from pathlib import Path

from PIL import Image

from ipai.data.images import MAX_PIXELS, decode_image, square_box
from ipai.data.shards import ShardSet
from ipai.errors import DataError


def stored_pictures(folder: Path, source: str) -> dict[str, Image.Image]:
    """Name -> picture of one source (a task, or `crossed-<task>`) in the order of drawing.

    Raises:
        DataError: The evaluation in `folder` has none of it.
    """
    found: dict[str, Image.Image] = {}
    for path in sorted(folder.glob(f"images-*/{source}-[0-9]*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if member.name.endswith(".png") and file is not None:
                    found[member.name.removesuffix(".png")] = Image.open(io.BytesIO(file.read())).convert("RGB")
    if not found:
        raise DataError(
            f"{folder} holds no pictures of {source}; make them with python scripts/evaluate.py run={folder.parent}"
        )
    return found


class Samples:
    """The held-out samples of a task by key.

    Args:
        root: Folder of the shards.
        task: Name of a task.
    """

    def __init__(self, root: Path, task: str) -> None:
        self._shards = ShardSet.open(root, task, "val")
        self._index = {self._shards.key(index): index for index in range(len(self._shards))}

    def pictures(self, key: str, side: int) -> tuple[Image.Image, Image.Image]:
        """Condition and target as squares.

        Raises:
            DataError: There is no such sample: the data is another one than that of the evaluation.
        """
        if key not in self._index:
            raise DataError(f"the shards have no held-out sample {key}; give the data.root of the evaluation")
        raw = self._shards.read(self._index[key])
        condition, target = (decode_image(content, MAX_PIXELS) for content in (raw.condition, raw.target))
        return _square(condition, side), _square(target, side)


@cache
def samples_of(root: Path, task: str) -> Samples:
    """`Samples`, opened once."""
    return Samples(root, task)


def _square(picture: Image.Image, side: int) -> Image.Image:
    return picture.crop(square_box(picture)).resize((side, side), Image.Resampling.BICUBIC)
