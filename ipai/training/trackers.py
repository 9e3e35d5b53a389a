"""Other dashboards than wandb, through accelerate's trackers: the same names, over the same samples."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ipai.extras import missing_extra


class TrackerLogger:
    """A run's numbers, and its pictures where the tracker takes some, in TensorBoard or Trackio.

    Args:
        name: `tensorboard`, whose files go to the run folder, or `trackio`, which keeps its own.
        project: What Trackio files the run under; the run has its folder's name there.
        folder: The run folder.
        facts: The configuration, which Trackio shows.
        logged_until: Samples seen at the last line of an earlier start. What a resumed run computes again up to there
            is not sent again.

    Raises:
        ConfigError: The tracker's library is not installed.
    """

    def __init__(self, name: str, project: str, folder: Path, facts: dict[str, Any], logged_until: int = -1) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind: Any = LOGGER_TYPE_TO_CLASS[name]
        self._tracker = (
            kind(name, logging_dir=folder)
            if kind.requires_logging_directory
            else kind(project, name=folder.name, config=facts, resume="allow")
        )
        self._logged_until = logged_until
        try:
            self._tracker.start()
        except ImportError as error:
            raise missing_extra(error) or error from error

    def log(self, samples_seen: int, values: dict[str, float]) -> None:
        """Send numbers."""
        if samples_seen > self._logged_until:
            self._tracker.log(values, step=samples_seen)

    def log_images(self, samples_seen: int, images: dict[str, Image.Image]) -> None:
        """Send pictures below `samples/`; Trackio's tracker takes none."""
        if samples_seen > self._logged_until and hasattr(self._tracker, "log_images"):
            arrays = {f"samples/{name}": np.asarray(image)[None] for name, image in images.items()}
            self._tracker.log_images(arrays, step=samples_seen, dataformats="NHWC")

    def close(self) -> None:
        """Flush what is left."""
        self._tracker.finish()
