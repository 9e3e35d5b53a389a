"""How shards are fetched from an object store. Imports nothing slow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipai.files import cache_folder


@dataclass
class StoreConfig:
    """Matters only where `data.root` is an address.

    Attributes:
        cache: Folder for fetched shards, on a disk of the node; null is `$IPAI_CACHE/shards`.
        cache_gb: What it may hold, in 10^9 bytes; the shards that were not read for longest go first.
        patience_minutes: How long a store that fails is asked again before the run saves itself and stops.
    """

    cache: str | None = None
    cache_gb: float = 100.0
    patience_minutes: float = 10.0

    @property
    def folder(self) -> Path:
        """Where fetched shards lie."""
        return Path(self.cache).expanduser() if self.cache else cache_folder() / "shards"

    def problems(self) -> Iterator[str]:
        """Why these values cannot work."""
        if not self.cache_gb > 0:
            yield f"data.store.cache_gb={self.cache_gb} must be above 0"
        if not self.patience_minutes >= 0:
            yield f"data.store.patience_minutes={self.patience_minutes} must not be negative"
