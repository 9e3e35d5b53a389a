"""The real builders run on the toy sources unchanged."""

from pathlib import Path

import pytest

from tests.helpers.building import build_all, configure, samples_in
from tests.helpers.teacher_miniatures import edge_overrides, style_overrides, write_teachers
from tests.toyworld.sources.conftest import SAMPLES, SIDE

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Teachers with random weights."""
    return write_teachers(tmp_path_factory.mktemp("teachers") / "hub")


def built(source: Path, output: Path, *overrides: str) -> dict[str, dict]:  # type: ignore[type-arg]
    """The samples of a task; checks what holds for all of them."""
    plan, tally = build_all(configure(source, output, "shard_size=100", *overrides))
    assert tally.written == sum(len(shard.records) for shard in plan.shards) - tally.drops.total()
    (folder,) = [path for path in output.iterdir() if path.is_dir()]
    samples = samples_in(folder)
    assert len(samples) == tally.written
    groups = {"train": set(), "val": set()}  # type: dict[str, set[str]]
    for shard in plan.shards:
        groups[shard.split] |= {record.group for record in shard.records}
    assert groups["train"]
    assert groups["val"]
    assert not groups["train"] & groups["val"]
    for sample in samples.values():
        assert sample["target.jpg"].size == (SIDE, SIDE)
        assert sample["json"]["prompt"]
        assert sample["json"]["source"]["licence"]["url"]
    return samples


def test_copy(sources: Path, tmp_path: Path) -> None:
    samples = built(sources / "journeydb", tmp_path, "task=toy_copy")
    assert len(samples) == SAMPLES
    assert not [s for s in samples.values() if "--" in s["json"]["prompt"] or s["json"]["prompt"].endswith(",")]


def test_object(sources: Path, tmp_path: Path) -> None:
    samples = built(sources / "coco", tmp_path, "task=toy_object")
    assert len(samples) == 52  # of 54, one is a crowd and one shows a face
    for sample in samples.values():
        facts = sample["json"]
        assert facts["slot"] in facts["prompt"]
        assert facts["slot"] in facts["cond_prompt"]


def test_face(sources: Path, tmp_path: Path) -> None:
    samples = built(sources / "celeba", tmp_path, "task=face", "image_size=64", "limit=null")
    assert len(samples) > 30
    zoomed = [sample for sample in samples.values() if sample["json"]["scores"]["zoomed"]]
    assert 0 < len(zoomed) < len(samples)
    # A cut around eyes and mouth shows most of the face, so it is well inside of the picture.
    assert all(60 < sample["json"]["scores"]["cond_side"] < 150 for sample in zoomed)


def test_structure(sources: Path, teachers: Path, tmp_path: Path) -> None:
    words = ("task=structure", "source.min_side=64", "edges.min_density=0", "edges.max_density=1", "limit=6")
    samples = built(sources / "commoncatalog", tmp_path, *words, *edge_overrides(teachers))
    assert len(samples) == 6
    assert not [sample for sample in samples.values() if "nd" in sample["json"]["source"]["licence"]["url"].split("/")]


def test_style(sources: Path, teachers: Path, tmp_path: Path) -> None:
    prompts = sources / "prompts.txt"
    words = ("task=style", "source.min_side=64", "source.min_distance=1", f"source.prompts={prompts}", "limit=6")
    samples = built(sources / "midjourney", tmp_path, *words, *style_overrides(teachers))
    assert len(samples) == 6
    for sample in samples.values():
        assert sample["json"]["prompt"] != sample["json"]["cond_prompt"]
