"""What cached arrays depend on, from the configuration of the base."""

from ipai.backbones.config import BaseConfig
from ipai.backbones.hub import locate
from ipai.backbones.parts import PARTS
from ipai.data.cache import LATENTS, CacheIdentity
from ipai.files import fingerprint

FORMAT = 2  # counts up when arrays would come out differently for the same network and pictures


def identity_of(kind: str, config: BaseConfig) -> CacheIdentity:
    """The identity of a cache for this base: network, revision, content of the weights, crop and pixels.

    Raises:
        WeightsError: The network's files are missing.
    """
    part, pixels = ("vae", config.resolution) if kind == LATENTS else ("image_encoder", config.image_size)
    ref = getattr(config, part)
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
            "crop": "centred square, bicubic",
            "pixels": pixels,
        },
    )
