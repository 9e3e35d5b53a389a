from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ipai.data.bucket_sizes import BucketConfig
from ipai.data.buckets import SetBuckets, members_of
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from tests.helpers.shard_writer import encode, noise_image, sample, write_shard

SIZES = BucketConfig(max_aspect=3, step=16).sizes(64)
SHAPES = {"square": (64, 64), "wide": (128, 64), "high": (60, 130)}


def shaped(width: int, height: int) -> Image.Image:
    return noise_image(0, 64).resize((width, height))


@pytest.fixture
def shards(tmp_path: Path) -> ShardSet:
    """A square, a wide and a high picture, one turned by its EXIF, one with a long header, and one that is none."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noted = Image.Exif()
    noted[0x010E] = "x" * 10_000  # a description, before the sizes
    files = [
        *(encode(shaped(*shape), "JPEG") for shape in SHAPES.values()),
        encode(shaped(*SHAPES["wide"]), "JPEG", exif=exif),
        encode(shaped(*SHAPES["wide"]), "JPEG", exif=noted),
        encode(shaped(*SHAPES["high"]), "PNG"),
        b"no picture",
    ]
    samples = [sample("copy", number) | {"target.png": data} for number, data in enumerate(files)]
    write_shard(tmp_path / "copy" / "train-000000.tar", samples)
    return ShardSet.open(tmp_path, "copy", "train")


def test_each_target_gets_the_nearest_size_as_it_is_seen(shards: ShardSet) -> None:
    buckets = SetBuckets.of(shards, SIZES)
    found = [buckets.size_of(index) for index in range(len(shards))]
    assert found[0] == (64, 64)
    assert found[6] == found[2]  # the most have it
    assert found[1] == found[4]
    assert found[1][1] > found[1][0]
    assert found[2] == found[5]
    assert found[3] == found[1][::-1]


def test_what_tells_no_size_counts_to_the_most(tmp_path: Path) -> None:
    files = [b"no picture", *[encode(shaped(*SHAPES["wide"]), "JPEG")] * 2]
    samples = [sample("copy", number) | {"target.png": data} for number, data in enumerate(files)]
    write_shard(tmp_path / "copy" / "train-000000.tar", samples)
    assert len(set(SetBuckets.of(ShardSet.open(tmp_path, "copy", "train"), SIZES).numbers.tolist())) == 1


def test_no_picture_is_decoded_for_its_size(shards: ShardSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("it was decoded"))
    SetBuckets.of(shards, SIZES)


def of_counts(*counts: int) -> SetBuckets:
    return SetBuckets(SIZES, np.repeat(np.arange(len(counts)), counts).astype(np.int16))


def test_sizes_that_fill_no_batch_are_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    found = members_of({"copy": of_counts(40, 15, 16), "style": of_counts(0, 20)}, batch_size=16)
    assert {name: {number: len(held) for number, held in of.items()} for name, of in found.items()} == {
        "copy": {0: 40, 2: 16},
        "style": {1: 20},
    }
    assert "15 of 71 samples are not trained on, as fewer than 16 have their size" in caplog.text
    with pytest.raises(DataError, match="copy has no 16 targets of one size"):
        members_of({"copy": of_counts(15, 15)}, batch_size=16)
    with pytest.raises(DataError, match="copy has no 10 targets"):
        members_of({"copy": of_counts(9)}, batch_size=1)
