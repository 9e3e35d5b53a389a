"""How samples are read and what is dropped from them. Imports nothing slow."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.data.bucket_sizes import BucketConfig
from ipai.schema import above, at_least, between, one_of
from ipai.store.address import address_problems, is_url
from ipai.store.config import StoreConfig
from ipai.tasks import TASKS

SOURCES = ("online", "cache")
SET_NAME = re.compile(r"[a-z0-9_-]+")


@dataclass
class DropConfig:
    """Shares of samples that lose their prompt, their condition image, or both (IP-Adapter's training, inherited).

    Attributes:
        text: Only the prompt.
        image: Only the image; it becomes the encoding of an all-zero image.
        both: Both.
        instruction_with_image: A sample that loses its image loses its instruction too (ours; the paper is silent).
    """

    text: float = field(default=0.05, metadata=between(0, 1))
    image: float = field(default=0.05, metadata=between(0, 1))
    both: float = field(default=0.05, metadata=between(0, 1))
    instruction_with_image: bool = True


@dataclass
class ExtraSet:
    """A further set of a task, beside the one in `data.root`.

    Attributes:
        root: Folder with one folder of shards a task.
        task: Which of them.
        weight: How often it is drawn, relative to the task's set in `data.root`.
        filter: A condition on its records.
    """

    root: str
    task: str = field(metadata=one_of(*TASKS))
    weight: float = field(default=1.0, metadata=above(0))
    filter: str | None = None


@dataclass
class DataConfig:
    """Where shards lie and how they are read.

    Attributes:
        root: Folder with one folder of shards a task, or its address in an object store.
        store: How shards come from there.
        shuffle_shards: How many shards of a task are mixed at a time; null mixes all.
        filter: Task -> a condition on its records, see `ipai.data.sample_filter`; null uses all of its samples.
        weights: Task -> how often it is drawn, relative to the run's others; a task that is not named has 1.
        sources: Name -> a further set; the sets of a task share its weight.
        workers: Processes that decode; 0 decodes in the training process.
        prefetch: Micro-batches each worker keeps ready.
        max_pixels: Larger images are refused before they are decoded.
        max_skip_fraction: The run stops when a larger share of its samples could not be used.
        drop: What is dropped at training time.
        buckets: Which sizes targets are cut to.
        latents: Where the VAE's moments of the targets come from: computed `online`, or `cache`.
        image_tokens: Where CLIP's tokens of the condition images come from: `online` or `cache`.
        cache: What `scripts/cache_latents.py` wrote; null is `<root>/cache`.
    """

    root: str
    filter: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(TASKS), metadata=one_of(*TASKS))
    weights: dict[str, float] = field(default_factory=dict, metadata=one_of(*TASKS))
    sources: dict[str, ExtraSet] = field(default_factory=dict)
    workers: int = field(default=4, metadata=at_least(0))
    prefetch: int = field(default=4, metadata=above(0))
    max_pixels: int = field(default=64_000_000, metadata=above(0))
    max_skip_fraction: float = field(default=0.01, metadata=between(0, 1))
    drop: DropConfig = field(default_factory=DropConfig)
    latents: str = field(default="online", metadata=one_of(*SOURCES))
    image_tokens: str = field(default="online", metadata=one_of(*SOURCES))
    cache: str | None = None
    buckets: BucketConfig = field(default_factory=BucketConfig)
    shuffle_shards: int | None = field(default=None, metadata=above(0))
    store: StoreConfig = field(default_factory=StoreConfig)

    @property
    def is_remote(self) -> bool:
        """Whether the shards lie in an object store."""
        return is_url(self.root)

    def problems(self) -> Iterator[str]:
        """Why these values cannot work."""
        drop = self.drop
        if not drop.text + drop.image + drop.both <= 1:
            yield (
                f"data.drop.text={drop.text}, data.drop.image={drop.image} and data.drop.both={drop.both} are shares "
                "of the samples, and come to more than 1"
            )
        for name, extra in self.sources.items():
            if not SET_NAME.fullmatch(name):
                yield f"data.sources.{name}: a set's name is of a-z, 0-9, _ and -"
            if is_url(extra.root) or self.is_remote:
                yield f"data.sources.{name}: several sets are read from local folders only; copy them here"
        if self.is_remote:
            yield from address_problems(self.root)
            if self.buckets.max_aspect > 1:
                yield "data.buckets looks at every target first, so data.root must be a folder; copy the set there"
            for task, text in self.filter.items():
                if text:
                    yield f"data.filter.{task} reads every record, so data.root must be a folder; copy the set there"
            if "cache" in (self.latents, self.image_tokens):
                yield (
                    "data.latents=cache and data.image_tokens=cache belong to shards in a local folder; set both to "
                    "online, or copy the shards here"
                )

    @property
    def cache_root(self) -> Path:
        """The folder of what was computed beforehand."""
        return Path(self.cache).expanduser() if self.cache else Path(self.root).expanduser() / "cache"

    def cache_of(self, name: str) -> Path:
        """Likewise of a set, by its name (`sets_of`); a further set's lies beside its shards."""
        extra = self.sources.get(name.partition("/")[2])
        return Path(extra.root).expanduser() / "cache" if extra else self.cache_root

    def sets_of(self, task: str) -> dict[str, ExtraSet]:
        """The sets of a task by name: the one in `root` has the task's, a further one `TASK/NAME`."""
        own = ExtraSet(self.root, task, 1.0, self.filter.get(task))
        return {task: own} | {f"{task}/{name}": extra for name, extra in self.sources.items() if extra.task == task}
