"""What cached arrays depend on, from the configuration of the base."""

from ipai.backbones.config import BaseConfig
from ipai.backbones.hub import locate
from ipai.backbones.parts import PARTS
from ipai.data.bucket_sizes import BucketConfig
from ipai.data.cache import LATENTS, CacheIdentity
from ipai.files import fingerprint

FORMAT = 2  # counts up when arrays would come out differently for the same network and pictures


def identity_of(kind: str, config: BaseConfig, buckets: BucketConfig) -> CacheIdentity:
    """The identity of a cache for this base: network, revision, content of the weights, crop and pixels.

    Args:
        kind: `latents` or `image_tokens`.
        config: The base.
        buckets: Which sizes targets are cut to; conditions are squares.

    Raises:
        WeightsError: The network's files are missing.
    """
    part, pixels = ("vae", config.resolution) if kind == LATENTS else ("image_encoder", config.image_size)
    ref = getattr(config, part)
    sizes = buckets.sizes(pixels) if kind == LATENTS else ()
    weights = locate(config, [part])[part] / PARTS[part].weights
    return CacheIdentity(
        kind,
        {
            "format": FORMAT,
            "network": part,
            "id": ref.id,
            "revision": ref.revision,
            "subfolder": ref.subfolder,
            "weights": fingerprint(weights),
            "crop": "centred, in aspect buckets, bicubic" if len(sizes) > 1 else "centred square, bicubic",
            "pixels": [list(size) for size in sizes] if len(sizes) > 1 else pixels,
        },
    )
