"""IPAdapter-Instruct (arXiv 2408.03209): training, data sets, evaluation and use of one adapter told by text what to take."""

__version__ = "0.1.0"
