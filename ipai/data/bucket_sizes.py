"""Aspect buckets: a few sizes of about the same area, so that pictures of any shape lose little when they are cut.

A step's pictures are of one size (SDXL trains so: 2307.01952, section 2.3). With `max_aspect=1`, the default, the only
size is the square. Imports nothing slow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ipai.schema import above, between

Size = tuple[int, int]
"""Height and width, px."""


@dataclass
class BucketConfig:
    """Which sizes targets are cut to.

    Attributes:
        max_aspect: Longer over shorter side of the widest and the highest size; 1 is squares alone.
        step: Sides are multiples of it, px; None is an eighth of the base's resolution.
    """

    max_aspect: float = field(default=1.0, metadata=between(1, 4))
    step: int | None = field(default=None, metadata=above(0))

    def sizes(self, resolution: int) -> tuple[Size, ...]:
        """The square first, then ever wider and higher ones; none has more pixels than the square.

        >>> BucketConfig(max_aspect=2).sizes(512)
        ((512, 512), (448, 576), (576, 448), (384, 640), (640, 384))
        """
        square = (resolution, resolution)
        if self.max_aspect == 1:
            return (square,)
        return (square, *self._longer(resolution, self.step or max(resolution // 8, 1)))

    def problems(self, base: str, resolution: int, multiple: int) -> Iterator[str]:
        """Why a base that draws multiples of so many pixels cannot be trained on these sizes."""
        if self.max_aspect == 1:
            return
        sizes = self.sizes(resolution)
        odd = sorted({side for size in sizes for side in size if side % multiple})
        if not odd and len(sizes) > 1:
            return
        finest = replace(self, step=multiple)
        if len(finest.sizes(resolution)) == 1:
            yield (
                f"data.buckets.max_aspect={self.max_aspect:g}: the base {base} draws multiples of {multiple} px, and "
                f"no such shape has as few pixels as {resolution} x {resolution}; raise it (4 is the most), "
                "raise base.resolution, or set it to 1"
            )
        elif odd:
            yield (
                f"data.buckets.step makes targets of {', '.join(map(str, odd))} px, and the base {base} draws "
                f"multiples of {multiple}; set data.buckets.step={multiple} or a multiple of it"
            )
        else:
            yield f"data.buckets.step={self.step} leaves the square alone; set data.buckets.step={multiple}"

    def _longer(self, resolution: int, step: int) -> Iterator[Size]:
        found: dict[int, int] = {}  # the longest side of each shorter one comes last
        for long in range((resolution // step + 1) * step, int(resolution * self.max_aspect) + 1, step):
            short = resolution**2 // long // step * step
            if short and long / short <= self.max_aspect:
                found[short] = long
        for short, long in found.items():
            yield from ((short, long), (long, short))


def nearest(height: int, width: int, sizes: tuple[Size, ...]) -> int:
    """The number of the size whose shape is the nearest: the least is cut away."""
    aspect = math.log(width / height)
    return min(range(len(sizes)), key=lambda number: abs(aspect - math.log(sizes[number][1] / sizes[number][0])))
