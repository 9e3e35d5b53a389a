"""Caches in tests, made in this process by the real code."""

from pathlib import Path

from hydra import compose, initialize_config_dir

from ipai.caching.building import fill_cache
from ipai.caching.config import CachingConfig, parse
from ipai.caching.plan import plan_cache
from tests.helpers.composing import CONF


def configure(root: Path, *overrides: str) -> CachingConfig:
    """What `scripts/cache_latents.py` would do with the shards of `root`: latents and image tokens of base=micro."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        given = ["base=micro", f"data.root={root}", "data.workers=0", "image_tokens=true", "batch_size=3"]
        return parse(compose("cache_latents", overrides=[*given, *overrides]))


def make_cache(root: Path, *overrides: str) -> CachingConfig:
    """Write that cache; what it was made with."""
    config = configure(root, *overrides)
    fill_cache(config, plan_cache(config), lambda _count: None)
    return config
