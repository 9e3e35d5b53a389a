"""Plain readers of WebDataset shards read ours."""

import io
import json
from pathlib import Path

import pytest
import webdataset
from PIL import Image

from tests.helpers.building import build_all, configure, samples_in

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, coco: Path) -> Path:
    output = tmp_path_factory.mktemp("shards")
    build_all(configure(coco, output))
    return output / "object"


def test_webdataset_reads_every_sample(shards: Path) -> None:
    paths = sorted(str(path) for path in shards.glob("*.tar"))
    samples = {sample["__key__"]: sample for sample in webdataset.WebDataset(paths, shardshuffle=False)}
    assert samples.keys() == samples_in(shards).keys()
    for sample in samples.values():
        assert json.loads(sample["json"])["task"] == "object"
        assert {Image.open(io.BytesIO(sample[name])).size for name in ("cond.jpg", "target.jpg")} == {(64, 64)}


def test_hugging_face_datasets_streams_every_sample(shards: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = {"train": str(shards / "train-*.tar"), "validation": str(shards / "val-*.tar")}
    loaded = datasets.load_dataset("webdataset", data_files=files, streaming=True)
    keys = [sample["__key__"] for split in files for sample in loaded[split]]
    assert sorted(keys) == sorted(samples_in(shards))
    first = next(iter(loaded["train"]))
    assert first["json"]["slot"] in first["json"]["cond_prompt"]
    assert first["cond.jpg"].size == (64, 64)
