"""The toy world as the real sources lie on disk, read by the real builders."""

import hashlib
import json
from pathlib import Path

import pytest
import webdataset
from pyarrow import parquet
from pycocotools.coco import COCO

from ipai.errors import ConfigError
from ipai.toyworld.factors import OBJECTS, draw_scenes
from ipai.toyworld.layers import scene_layers
from ipai.toyworld.sources.write import SOURCES, SourcesConfig, write_sources
from tests.data_builders.building import build_all, configure

SAMPLES = 60


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "sources"
    assert tuple(write_sources(SourcesConfig(str(folder), SAMPLES, 0, 64))) == SOURCES
    return folder


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def test_equal_settings_give_equal_bytes_and_are_not_written_twice(sources: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    list(write_sources(SourcesConfig(str(again), SAMPLES, 0, 64)))
    assert digest(again) == digest(sources)
    assert list(write_sources(SourcesConfig(str(again), SAMPLES, 0, 64))) == []


def test_other_settings_and_foreign_folders_are_refused(sources: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seed=0 there, 1 asked for"):
        list(write_sources(SourcesConfig(str(sources), SAMPLES, 1, 64)))
    with pytest.raises(ConfigError, match="holds no toy sources"):
        list(write_sources(SourcesConfig(str(tmp_path), SAMPLES, 0, 64)))
    with pytest.raises(ConfigError, match="samples=3"):
        list(write_sources(SourcesConfig(str(tmp_path / "new"), 3, 0, 64)))


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    writing = write_sources(SourcesConfig(str(tmp_path / "sources"), SAMPLES, 0, 64))
    next(writing)
    writing.close()
    assert list(tmp_path.iterdir()) == []


def test_cocos_own_library_reads_the_masks(sources: Path) -> None:
    coco = COCO(str(sources / "coco/annotations/instances_train2017.json"))
    scenes = draw_scenes(1020, 0, SAMPLES)
    drawn = scene_layers(scenes, 64)[0].distance < 0
    for annotation in coco.loadAnns(coco.getAnnIds(iscrowd=False)):
        row = (annotation["image_id"] - 1) // 3
        assert coco.loadCats(annotation["category_id"])[0]["name"] == OBJECTS[scenes.object[row]]
        assert (coco.annToMask(annotation).astype(bool) ^ drawn[row]).mean() < 0.03
    assert coco.annToMask(coco.loadAnns(coco.getAnnIds(iscrowd=True))[0]).sum() == 16 * 32
    assert any(image not in {a["image_id"] for a in coco.dataset["annotations"]} for image in coco.imgs)


def test_commoncatalog_has_both_forms_of_the_picture(tmp_path: Path) -> None:
    from ipai.toyworld.sources.commoncatalog import write_commoncatalog

    write_commoncatalog(tmp_path, 520, 0, 16)
    kinds = {str(parquet.read_schema(path).field("jpg").type) for path in tmp_path.rglob("*.parquet")}
    assert kinds == {"binary", "struct<bytes: binary, path: string>"}


@pytest.mark.parametrize(
    ("choice", "root", "task", "fewest"),
    [("toy_copy", "journeydb", "copy", 60), ("toy_object", "coco", "object", 55), ("toy_face", "celeba", "face", 40)],
)
def test_the_real_builders_read_it(
    sources: Path, tmp_path: Path, choice: str, root: str, task: str, fewest: int
) -> None:
    build_all(configure(sources / root, tmp_path, f"task={choice}", "shard_size=500"))
    manifest = [json.loads(line) for line in (tmp_path / task / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) >= fewest
    shard = webdataset.WebDataset(str(tmp_path / task / "train-000000.tar"), shardshuffle=False).decode("rgb8")
    assert all(sample["target.jpg"].shape == (64, 64, 3) for sample in shard)
