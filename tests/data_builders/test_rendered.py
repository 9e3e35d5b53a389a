"""Pairs from the toy world's renderer: condition and target share what the task takes, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from data_builders.rendered.pairs import draw_pair
from ipai.tasks import TASKS
from ipai.toyworld.factors import COLOURS, OBJECTS
from ipai.toyworld.oracles import Oracle, load_oracles
from tests.helpers.building import build_all, configure, digests

COUNT = 60
ZOOM = (0.0, 1.5)


@pytest.fixture(scope="module")
def oracles() -> dict[str, Oracle]:
    return load_oracles()


def read(oracle: Oracle, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    import torch

    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return {name: values.numpy() for name, values in oracle.read(pixels).items()}


def shared(task: str, oracle: Oracle, portraits: bool) -> dict[str, float]:
    """How often condition and target of a task agree in a factor, as the oracle reads them."""
    pairs = [draw_pair(task, 5, index, 64, ZOOM) for index in range(4 * COUNT)]
    people = ["person" in pair.prompt or "face" in pair.prompt for pair in pairs]
    given = ["person" in pair.cond_prompt or "face" in pair.cond_prompt for pair in pairs]
    chosen = [p for p, t, c in zip(pairs, people, given, strict=True) if t == c == portraits][:COUNT]
    conditions = read(oracle, [pair.condition for pair in chosen if pair.condition is not None])
    targets = read(oracle, [pair.target for pair in chosen])
    return {name: float((conditions[name] == targets[name]).mean()) for name in conditions}


def test_style_shares_the_style_alone(oracles: dict[str, Oracle]) -> None:
    agree = shared("style", oracles["scenes"], portraits=False)
    assert agree["style"] > 0.95
    assert max(agree["object"], agree["colour"], agree["mark"], agree["place"], agree["background"]) < 0.35


def test_structure_shares_all_but_the_style(oracles: dict[str, Oracle]) -> None:
    agree = shared("structure", oracles["scenes"], portraits=False)
    assert min(agree["object"], agree["colour"], agree["mark"], agree["place"], agree["background"]) > 0.9
    assert agree["style"] < 0.35


def test_face_shares_the_identity_alone(oracles: dict[str, Oracle]) -> None:
    agree = shared("face", oracles["portraits"], portraits=True)
    assert min(agree["skin"], agree["hair_shape"], agree["glasses"], agree["beard"]) > 0.9
    assert max(agree["expression"], agree["background"], agree["style"]) < 0.5


def test_object_cuts_the_targets_own_object_and_names_it(oracles: dict[str, Oracle]) -> None:
    pairs = [draw_pair("object", 5, index, 64, ZOOM) for index in range(COUNT)]
    targets = read(oracles["scenes"], [pair.target for pair in pairs])
    assert all(pair.slot is not None and pair.slot in pair.prompt for pair in pairs)
    named = np.array([OBJECTS.index(str(pair.slot)) for pair in pairs])
    assert (targets["object"] == named).mean() > 0.95


def test_which_object_it_is_only_the_condition_says() -> None:
    """The prompt names no colour, and both pictures show the same two tones."""
    for index in range(COUNT):
        pair = draw_pair("object", 5, index, 64, ZOOM)
        assert not any(f"{colour} {pair.slot}" in pair.prompt for colour in COLOURS)
        assert pair.condition is not None
        tones = [{tuple(pixel) for pixel in picture.reshape(-1, 3)} for picture in (pair.condition, pair.target)]
        assert tones[0] & tones[1]


def test_copy_has_no_condition_of_its_own() -> None:
    assert draw_pair("copy", 5, 3, 64, ZOOM).condition is None


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in ("style", "object") else pytest.mark.long) for task in TASKS]
)
@pytest.mark.slow
def test_a_pair_depends_on_its_number_alone_and_a_build_on_its_settings(task: str, tmp_path: Path) -> None:
    first, again = (draw_pair(task, 5, 11, 64, ZOOM) for _ in range(2))
    assert np.array_equal(first.target, again.target)
    assert first.prompt == again.prompt
    for name, workers in (("a", 1), ("b", 2)):
        build_all(
            configure(tmp_path, tmp_path / name, f"task=rendered_{task}", "samples=8", f"executor.workers={workers}")
        )
    assert digests(tmp_path / "a" / task) == digests(tmp_path / "b" / task)


def test_an_objects_whole_scene_shares_the_object_alone(oracles: dict[str, Oracle]) -> None:
    pairs = [draw_pair("object", 5, index, 64, ZOOM, scenes=1.0) for index in range(COUNT)]
    conditions = read(oracles["scenes"], [pair.condition for pair in pairs if pair.condition is not None])
    targets = read(oracles["scenes"], [pair.target for pair in pairs])
    agree = {name: float((conditions[name] == targets[name]).mean()) for name in conditions}
    assert min(agree["object"], agree["colour"], agree["mark"]) > 0.9
    assert max(agree["place"], agree["style"], agree["background"]) < 0.35
    some = [draw_pair("object", 5, index, 64, ZOOM, scenes=0.5) for index in range(COUNT)]
    alone = [a for a, b in zip(some, pairs, strict=True) if not np.array_equal(a.condition, b.condition)]
    assert 0.25 * COUNT < len(alone) < 0.75 * COUNT
    assert all(pair.cond_prompt == f"a {pair.slot}" for pair in alone)
