"""A run's numbers and pictures in TensorBoard's files, through accelerate's tracker."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

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
    with pytest.raises(ConfigError, match=r"pip install '\.\[trackio\]'"):
        TrackerLogger("trackio", "ipai", tmp_path, {})


def test_trackio_gets_the_run_under_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its library is asked for; it is not installed here, and was never run."""
    asked: list[Any] = []
    run = SimpleNamespace(
        log=lambda values, step: asked.append((step, values)), finish=lambda: asked.append("finished")
    )
    trackio = ModuleType("trackio")
    trackio.init = lambda **given: asked.append(given) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    folder = tmp_path / "joint-toy"
    logger = TrackerLogger("trackio", "ipai", folder, {"seed": 1}, logged_until=8)
    logger.log(8, {"loss/train": 0.5})
    logger.log(16, {"loss/train": 0.25})
    logger.log_images(16, {"style": Image.new("RGB", (2, 2))})
    logger.close()
    begun = {"project": "ipai", "name": "joint-toy", "config": {"seed": 1}, "resume": "allow"}
    assert asked == [begun, (16, {"loss/train": 0.25}), "finished"]
