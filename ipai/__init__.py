"""IPAdapter-Instruct (arXiv 2408.03209): one image adapter for Stable Diffusion that is told by text what to take."""

__version__ = "0.1.0"
