"""An index over WebDataset shards, and random reads by offset: any sample of any shard costs the same."""

import hashlib
import json
import logging
import os
import re
import tarfile
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ipai.errors import DataError, SampleError
from ipai.records import RecordError, parsed, read_record
from ipai.store.address import is_url
from ipai.tasks import get_task

log = logging.getLogger(__name__)

MEMBERS = ("json", "target", "cond")
_IMAGE_TYPES = ("jpg", "jpeg", "png", "webp")
_OPEN_FILES = 64
SAMPLE_KEY = re.compile(r"[a-z0-9_-]+")


@dataclass(frozen=True)
class RawSample:
    """A sample's undecoded members; `condition` is the target itself for tasks that hold only one image."""

    key: str
    shard: str
    record: dict[str, Any]
    target: bytes
    condition: bytes


class NoShardsError(DataError):
    """A task has no shards at all."""


class ShardSet:
    """All samples of one task and split. Holds offsets, not data; safe to send to worker processes.

    Attributes:
        name: What a run calls the set; the task's name unless it has several of the task.

    Args:
        task: The task's name.
        split: train or val.
        shards: The files.
        keys: A name for each sample.
        places: int64 [samples, 7]: number of the shard, then offset and size of the json, target and condition.
    """

    def __init__(self, task: str, split: str, shards: list[Path], keys: list[str], places: np.ndarray) -> None:
        self.task = task
        self.name = task
        self.split = split
        self._shards = shards
        self._keys = np.array(keys)
        self._places = places
        self._open: OrderedDict[int, int] = OrderedDict()
        self._owner = os.getpid()

    @classmethod
    def open(cls, root: Path, task: str, split: str) -> "ShardSet":
        """Index `<root>/<task>/<split>-*.tar`.

        Raises:
            DataError: There are none, `root` is a URL, or a shard is damaged, foreign or incomplete.
        """
        if is_url(str(root)):
            raise DataError(f"data.root={root} is a URL, which only train.py reads; give a local folder")
        files = sorted((root / task).glob(f"{split}-*.tar"))
        if not files:
            raise NoShardsError(
                f"there are no shards {root / task / split}-*.tar; build them with "
                f"`python scripts/build_datasets.py task={task} output={root}` or set data.root"
            )
        keys: list[str] = []
        places: list[list[int]] = []
        for number, path in enumerate(files):
            _check_sidecar(path)
            with path.open("rb") as file:
                samples = index_shard(file, path, task)
            keys += samples
            places += [[number, *place] for place in samples.values()]
        if not keys:
            raise DataError(f"the shards {root / task / split}-*.tar hold no samples")
        duplicates = len(keys) - len(set(keys))
        if duplicates:
            raise DataError(f"{root / task}: {duplicates} sample keys of the {split} shards occur more than once")
        found = cls(task, split, files, keys, np.array(places, dtype=np.int64))
        found._refuse_other_tasks()
        return found

    def __len__(self) -> int:
        return len(self._places)

    def key(self, index: int) -> str:
        """The name of a sample."""
        return str(self._keys[index])

    def keys(self) -> set[str]:
        """The names of all samples."""
        return set(self._keys.tolist())

    def kept(self, indices: np.ndarray) -> "ShardSet":
        """These samples alone, in the same order: int [N], ascending."""
        keys = self._keys[indices].tolist()
        part = ShardSet(self.task, self.split, self._shards, keys, self._places[indices])
        part.name = self.name
        return part

    def digest(self) -> str:
        """Of the index: the shards' names, sizes and what their sidecars tell; where each sample lies."""
        digest = hashlib.sha256(json.dumps(self._facts()).encode())
        digest.update("\0".join(self._keys.tolist()).encode())
        digest.update(self._places.tobytes())
        return digest.hexdigest()

    @property
    def local_files(self) -> list[Path]:
        """The shards that lie in a folder of this machine."""
        return self._shards

    def licences(self) -> Counter[str]:
        """How many samples of the shards their sidecars say to be under which licence, before any filter."""
        told = (read_sidecar(side) for path in self.local_files if (side := path.with_suffix(".json")).exists())
        return Counter(_licence(sample) for facts in told for sample in facts.samples)

    def _facts(self) -> list[list[Any]]:
        """Name, size and told hash of each shard."""
        sidecars = {path: path.with_suffix(".json") for path in self._shards}
        told = {path: read_sidecar(side).sha256 for path, side in sidecars.items() if side.exists()}
        return [[path.name, path.stat().st_size, told.get(path)] for path in self._shards]

    def _refuse_other_tasks(self) -> None:
        """Raise a DataError if a shard's first sample says that it is of another task."""
        for number, path in enumerate(self._shards):
            indices = self.indices_in(number)
            try:
                record = self.record(indices[0]) if indices else {}
            except SampleError:
                continue  # one sample that cannot be used is for those who read it
            if record.get("task", self.task) != self.task:
                raise DataError(
                    f"{path} holds samples of the task {record['task']!r}, and lies in the folder of {self.task}; move "
                    "it to its own"
                )

    @property
    def files(self) -> list[Path]:
        """The shards, in the order in which their samples are numbered."""
        return self._shards

    @property
    def counts(self) -> list[int]:
        """How many samples each of `files` holds."""
        return np.bincount(self._places[:, 0], minlength=len(self._shards)).tolist()

    def file_of(self, index: int) -> Path:
        """The shard that holds a sample."""
        return self._shards[int(self._places[index, 0])]

    def indices_in(self, number: int) -> range:
        """The samples of the shard `files[number]`."""
        first, last = np.searchsorted(self._places[:, 0], [number, number + 1]).tolist()
        return range(first, last)

    def have(self, index: int) -> None:
        """Bring the shard of a sample to this machine, where it is not here already."""

    def read(self, index: int, *, target: bool = True, condition: bool = True) -> RawSample:
        """Read one sample; a picture that is not wanted is left empty.

        Raises:
            DataError: The shard is gone or was changed since it was indexed.
            SampleError: What the shard says of the sample is damaged.
        """
        number, *ranges = self._place(index)
        wanted = {2: target, 4: condition}
        pictures = [self._range(number, *ranges[i : i + 2]) if read else b"" for i, read in wanted.items()]
        return RawSample(self.key(index), self._shards[number].name, self.record(index), *pictures)

    def start_of_target(self, index: int, most: int | None) -> bytes:
        """The first bytes of a sample's target, `most` at most, or all; raises DataError as `read` does."""
        number, *_, offset, size = self._place(index)[:5]
        return self._range(number, offset, size if most is None else min(size, most))

    def record(self, index: int) -> dict[str, Any]:
        """What the shard says of one sample, without its pictures; raises DataError as `read` does, or SampleError."""
        number, offset, size = self._place(index)[:3]
        where = f"{self._shards[number]}: the json of sample {self.key(index)}"
        try:
            return parsed(self._range(number, offset, size), dict[str, Any])
        except RecordError as error:
            raise SampleError("damaged_json", f"{where} is damaged ({error})") from error

    def _place(self, index: int) -> list[int]:
        place: list[int] = self._places[index].tolist()
        return place

    def _range(self, number: int, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._descriptor(number), size, offset)
        except OSError as error:
            raise DataError(f"{self._shards[number]} cannot be read ({error.strerror})") from error
        if len(data) != size:
            raise DataError(f"{self._shards[number]} became shorter while it was in use; restore it and start again")
        return data

    def _descriptor(self, number: int) -> int:
        if self._owner != os.getpid():  # after a fork the descriptors belong to the parent too, which may close them
            self._open, self._owner = OrderedDict(), os.getpid()
        if number not in self._open:
            if len(self._open) >= _OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[number] = os.open(self._shards[number], os.O_RDONLY)
        self._open.move_to_end(number)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}


def index_shard(file: BinaryIO, path: Path, task: str) -> dict[str, list[int]]:
    """Key -> offset and size of the json, the target and the condition in one shard of a task.

    Args:
        file: The shard.
        path: What messages call it.
        task: The task's name.

    Raises:
        DataError: It is damaged, foreign or incomplete.
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.sparse is not None:
                    raise DataError(f"{path} holds the sparse file {member.name}, whose bytes do not lie in one piece")
                if member.isfile():
                    key, name = _split_name(member.name, path)
                    if found.setdefault(key, {}).setdefault(name, (member.offset_data, member.size)) != (
                        member.offset_data,
                        member.size,
                    ):
                        raise DataError(f"{path}: sample {key} holds {name} twice")
            end = tar.offset
        closed = _is_closed(file)
        more = _holds_more(file, end)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); build it again") from error
    if not closed:
        raise DataError(f"{path} is cut off; build it again")
    if more:
        raise DataError(f"{path} goes on after its end, as archives put together with cat do; build it again")
    if get_task(task).condition_is_target:
        for members in found.values():
            members["cond"] = members.get("target", (0, 0))
    for key, members in found.items():
        missing = [name for name in MEMBERS if name not in members]
        if missing:
            raise DataError(f"{path}: sample {key} has no {' and no '.join(missing)}")
    return {key: [value for name in MEMBERS for value in members[name]] for key, members in found.items()}


def _is_closed(file: BinaryIO) -> bool:
    """Whether a tar ends as the format wants, with two blocks of zeros; one cut between two members does not."""
    file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
    return not any(file.read())


def _holds_more(file: BinaryIO, end: int) -> bool:
    """Whether anything but zeros follows the two blocks that end a tar."""
    file.seek(end)
    while chunk := file.read(1 << 20):
        if any(chunk):
            return True
    return False


def _split_name(name: str, path: Path) -> tuple[str, str]:
    """A member's name as sample key and which member it is; only the first dot separates them, as in WebDataset."""
    key, _, rest = Path(name).name.partition(".")
    kind = rest.removesuffix("." + rest.rpartition(".")[2]) if rest.rpartition(".")[2] in _IMAGE_TYPES else rest
    if not SAMPLE_KEY.fullmatch(key) or kind not in MEMBERS:
        raise DataError(
            f"{path} holds {name!r}; members are <key>.json, <key>.target.jpg and <key>.cond.jpg, and a key is of a-z, "
            "0-9, _ and -"
        )
    return key, kind


@dataclass(frozen=True)
class ShardFacts:
    """What everybody reads of a shard's sidecar: its length, its SHA-256, and its samples."""

    bytes: int
    sha256: str | None = None
    samples: list[dict[str, Any]] = field(default_factory=list)


def _licence(sample: dict[str, Any]) -> str:
    source = sample.get("source")
    licence = source.get("licence") if isinstance(source, dict) else None
    name = licence.get("name") if isinstance(licence, dict) else None
    return name if isinstance(name, str) else "not stated"


def read_sidecar(path: Path) -> ShardFacts:
    """The sidecar of a shard.

    Raises:
        DataError: It is damaged.
    """
    try:
        return read_record(path, ShardFacts)
    except (OSError, RecordError) as error:
        raise DataError(f"{path} is damaged ({error}); build the shard again") from error


def _check_sidecar(path: Path) -> None:
    """Compare a shard with its sidecar; a foreign shard without one is accepted."""
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        log.debug("%s has no sidecar: nothing to compare it with", path)
        return
    expected = read_sidecar(sidecar).bytes
    if path.stat().st_size != expected:
        raise DataError(f"{path} has {path.stat().st_size} bytes, its sidecar says {expected}; build it again")
