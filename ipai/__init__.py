"""IPAdapter-Instruct (arXiv 2408.03209): one image adapter for Stable Diffusion that is told by text what to take."""

from typing import Any

__version__ = "0.1.0"


def load(source: Any, **options: Any) -> Any:
    """Read an adapter from a folder, a file or the hub: `ipai.pipeline.sources.load`."""
    from ipai.pipeline.sources import load  # importing ipai stays instant: this one brings torch and diffusers

    return load(source, **options)
