"""How shards are fetched from an object store. Imports nothing slow."""

from dataclasses import dataclass, field
from pathlib import Path

from ipai.files import cache_folder
from ipai.schema import above, at_least


@dataclass
class StoreConfig:
    """Matters only where `data.root` is an address.

    Attributes:
        cache: Folder for fetched shards, on a disk of the node; null is `$IPAI_CACHE/shards`.
        cache_gb: What it may hold, in 10^9 bytes; the shards that were not read for longest go first.
        patience_minutes: How long a store that fails is asked again before the run saves itself and stops.
    """

    cache: str | None = None
    cache_gb: float = field(default=100.0, metadata=above(0))
    patience_minutes: float = field(default=10.0, metadata=at_least(0))

    @property
    def folder(self) -> Path:
        """Where fetched shards lie."""
        return Path(self.cache).expanduser() if self.cache else cache_folder() / "shards"
