"""The two pictures of a sample as the training step takes them: pixels, or what was computed of them beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from PIL import Image
from torch import Tensor

from ipai.data.bucket_sizes import Size
from ipai.data.buckets import SetBuckets
from ipai.data.cache import CachedArrays
from ipai.data.images import cut_to, decode_image, framing_of
from ipai.data.shards import RawSample, ShardSet
from ipai.tasks import get_task


@dataclass(frozen=True)
class Sizes:
    """What the pictures of samples are made to.

    Attributes:
        resolution: Side of a target, px, where its set has no buckets.
        image_size: Side of a condition, px.
        latent_shape: Of a square target's latents: channels, height, width.
        buckets: Name of a set -> the sizes of its targets.
    """

    resolution: int
    image_size: int
    latent_shape: tuple[int, int, int]
    buckets: Mapping[str, SetBuckets] = field(default_factory=dict)

    def target_of(self, set_name: str, index: int) -> Size:
        """Height and width of a sample's target, px."""
        if set_name not in self.buckets:
            return self.resolution, self.resolution
        return self.buckets[set_name].size_of(index)

    def latents_of(self, target: Size) -> tuple[int, int, int]:
        """The shape of a target's latents."""
        channels, side, _ = self.latent_shape
        height, width = (length * side // self.resolution for length in target)
        return channels, height, width


@dataclass(frozen=True)
class Cached:
    """What is cached of one task; None is computed online."""

    latents: CachedArrays | None = None
    image_tokens: CachedArrays | None = None


@dataclass(frozen=True)
class Pictures:
    """Pixels and cached arrays of one sample, named as in `ipai.data.collate.TrainingSample`."""

    target: Tensor | None
    framing: tuple[int, ...] | None
    condition: Tensor | None
    moments: Tensor | None
    cond_tokens: Tensor | None


class PictureReader:
    """Reads the samples of one task: what is cached is not decoded.

    Args:
        shards: The samples.
        cached: What is cached of them.
        sizes: Pixels of both pictures.
        max_pixels: Larger images are refused before they are decoded.
        always_targets, always_conditions: Give these pixels also where there is a cache, for those who show them.
    """

    def __init__(
        self,
        shards: ShardSet,
        cached: Cached,
        sizes: Sizes,
        max_pixels: int,
        always_targets: bool = False,
        always_conditions: bool = False,
    ) -> None:
        self._shards = shards
        self._cached = cached
        self._sizes = sizes
        self._max_pixels = max_pixels
        self._wants_target = always_targets or cached.latents is None
        self._wants_condition = always_conditions or cached.image_tokens is None
        self._same = get_task(shards.task).condition_is_target

    def __call__(self, index: int) -> tuple[RawSample, Pictures]:
        """The sample `index`: what its shard says of it, and its pictures.

        Raises:
            ImageError: A picture cannot be used.
            DataError: The shard or the cache was changed since it was opened.
        """
        cached = self._cached
        raw = self._shards.read(index, target=self._wants_target, condition=self._wants_condition)
        size = self._sizes.target_of(self._shards.name, index)
        latents = self._sizes.latents_of(size)[1:]
        moments = cached.latents.read(index, latents) if cached.latents else None
        cond_tokens = cached.image_tokens.read(index) if cached.image_tokens else None
        target = self._decode(raw.target) if self._wants_target else None
        condition = None
        if self._wants_condition:
            condition = target if self._same and target is not None else self._decode(raw.condition)
        return raw, Pictures(
            target=cut_to(target, size) if target is not None else None,
            framing=framing_of(target, size) if target is not None else None,
            condition=cut_to(condition, (self._sizes.image_size,) * 2) if condition is not None else None,
            moments=moments,
            cond_tokens=cond_tokens,
        )

    def _decode(self, data: bytes) -> Image.Image:
        return decode_image(data, self._max_pixels)
