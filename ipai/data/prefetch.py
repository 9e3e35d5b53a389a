"""Fetches the shards that the next samples of a process lie in, before its workers ask for them.

The order of samples is known for the whole run, so nothing is guessed. Between the sample that is trained on and the
one that is looked at lie no more bytes of shards than half the cache holds, so that what was fetched ahead is still
there when its time comes; a cache that holds all shards is simply filled.
"""

import threading
from collections.abc import Generator, Iterator

from torch.utils.data import DataLoader

from ipai.data.collate import Batch, TrainingSample
from ipai.data.dataset import TrainingDataset
from ipai.data.loader import SlotBatches, micro_batches
from ipai.data.order import Order
from ipai.data.remote_shards import RemoteShardSet
from ipai.errors import StoreError
from ipai.store.cache import Blob

_THREADS = 4


class FetchAhead:
    """Threads that run until `close`, or until all shards were fetched.

    Args:
        shards: Name of a set -> its shards.
        order: Which sample sits where.
        batches: What this process computes.
    """

    def __init__(self, shards: dict[str, RemoteShardSet], order: Order, batches: SlotBatches) -> None:
        self._shards = shards
        self._order = order
        everything = {blob for held in shards.values() for blob in held.blobs}
        self._count = len(everything)
        limit = next(iter(shards.values())).cache_limit
        self._all_fit = sum(blob.bytes for blob in everything) <= limit
        self._limit = limit if self._all_fit else limit // 2
        self._until: dict[Blob, int] = {}  # the last micro-batch, of those looked at, that reads a shard
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._wanted = self._walk(batches)
        self._lock = threading.Lock()
        for _ in range(_THREADS):
            threading.Thread(target=self._work, daemon=True).start()

    def trained(self, number: int) -> None:
        """Say that the micro-batch `number` of this start has been read: what only it needed may go."""
        with self._changed:
            self._until = {blob: last for blob, last in self._until.items() if last > number}
            self._changed.notify_all()

    def close(self) -> None:
        """Fetch nothing more; what is being fetched is finished or left unfinished with the process."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()

    def _walk(self, batches: SlotBatches) -> Iterator[tuple[str, Blob]]:
        """Each shard when the walk through the coming samples first meets it, or meets it again after it was let go."""
        met: set[Blob] = set()
        for number, batch in enumerate(batches):
            for step, slot in batch:
                draw = self._order.at(step, slot)
                blob = self._shards[draw.set_name].blob_of(draw.index)
                if self._meet(blob, number):
                    yield draw.set_name, blob
                    met.add(blob)
            if self._closed.is_set() or (self._all_fit and len(met) == self._count):
                return

    def _meet(self, blob: Blob, number: int) -> bool:
        """Note that a micro-batch reads a shard; waits while too much is ahead. Whether it is new."""
        with self._changed:
            new = blob not in self._until
            while new and not self._closed.is_set() and self._until and self._ahead() + blob.bytes > self._limit:
                self._changed.wait()
            self._until[blob] = number
            return new

    def _ahead(self) -> int:
        return sum(blob.bytes for blob in self._until)

    def _work(self) -> None:
        while True:
            with self._lock:
                found = next(self._wanted, None)
            if found is None:
                return
            name, blob = found
            while not self._closed.is_set():
                try:
                    self._shards[name].fetch(blob)
                    break
                except StoreError:  # whoever needs the shard will meet it and say so; until then it may come back
                    self._closed.wait(1.0)


def fetched_ahead(
    training: TrainingDataset, batches: SlotBatches, loader: "DataLoader[TrainingSample]"
) -> Generator[Batch, None, None]:
    """The micro-batches of `loader`, whose shards are fetched while earlier ones are trained on.

    Raises:
        StoreError: A shard could not be had in time.
    """
    shards = {name: held for name, held in training.shards.items() if isinstance(held, RemoteShardSet)}
    ahead = FetchAhead(shards, training.order, batches)
    try:
        for number, batch in enumerate(micro_batches(loader)):
            yield batch
            ahead.trained(number)
    except StoreError as error:
        raise StoreError(_own_words(error)) from None
    finally:
        ahead.close()


def _own_words(error: StoreError) -> str:
    """The message without the traceback of the worker process that torch puts around it."""
    return str(error).rpartition(f"{StoreError.__module__}.{StoreError.__name__}: ")[2].strip()
