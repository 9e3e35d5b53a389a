from pathlib import Path

import pytest
from PIL import Image

from ipai.data.bucket_sizes import BucketConfig
from ipai.data.buckets import SetBuckets, told
from ipai.data.shards import ShardSet
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
    assert found[0] == found[6] == (64, 64)
    assert found[1] == found[4]
    assert found[1][1] > found[1][0]
    assert found[2] == found[5]
    assert found[3] == found[1][::-1]


def test_those_of_one_size_are_known(shards: ShardSet) -> None:
    buckets = SetBuckets.of(shards, SIZES)
    assert buckets.alike(0).tolist() == [0, 6]
    assert sorted(index for members in buckets.members().values() for index in members) == list(range(7))
    (line,) = told({"copy": buckets})
    assert line.startswith("copy: targets of 64 x 64: 2, ")
