"""A run's numbers and pictures in TensorBoard's files, through accelerate's tracker."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from ipai.errors import ConfigError
from ipai.training.trackers import TrackerLogger

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_numbers_and_pictures_go_by_samples_and_once(tmp_path: Path) -> None:
    first = TrackerLogger("tensorboard", "ipai", tmp_path, {})
    first.log(8, {"loss/train": 0.5})
    first.log_images(8, {"style": Image.new("RGB", (12, 4), "red")})
    first.close()
    resumed = TrackerLogger("tensorboard", "ipai", tmp_path, {}, logged_until=8)
    resumed.log(8, {"loss/train": 0.7})  # computed again, logged before
    resumed.log(16, {"loss/train": 0.25})
    resumed.close()
    read = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("loss/train")] == [(8, 0.5), (16, 0.25)]
    (picture,) = read.Images("samples/style")
    assert (picture.step, picture.width, picture.height) == (8, 12, 4)


def test_a_missing_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ConfigError, match=r"pip install \"ipai\[trackio\]\""):
        TrackerLogger("trackio", "ipai", tmp_path, {})
