"""Every form of one's own pictures is killed ten times and ends with the same bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

from tests.data_builders.own.test_sources import write_shard
from tests.helpers.building import command, digests, run_command
from tests.helpers.killing import killed_ten_times, shards_of

COUNT = 60


def photo(path: Path, number: int) -> bytes:
    """A picture of noise, which takes a builder some time."""
    noise = np.random.default_rng(number).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(noise).save(path, "JPEG", quality=90)
    return path.read_bytes()


def a_folder(root: Path) -> None:
    for number in range(COUNT):
        photo(root / f"{number % 4}" / f"{number}.jpg", number)
        (root / f"{number % 4}" / f"{number}.txt").write_text(f"number {number}")


def a_list(root: Path) -> None:
    rows = []
    for number in range(COUNT):
        photo(root / f"{number}.jpg", number)
        rows.append({"file_name": f"{number}.jpg", "prompt": f"number {number}", "group": str(number % 4)})
    (root / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def shards(root: Path) -> None:
    for shard in range(3):
        members: dict[str, bytes] = {}
        for number in range(shard, COUNT, 3):
            told = {"caption": f"number {number}", "artist": str(number % 4)}
            content = photo(root.parent / "one.jpg", number)
            members |= {f"{number:05d}.jpg": content, f"{number:05d}.json": json.dumps(told).encode()}
        write_shard(root / f"{shard:05d}.tar", members)


def a_saved_data_set(root: Path) -> None:
    rows = [
        {
            "image": {"bytes": photo(root.parent / "one.jpg", number), "path": None},
            "text": f"number {number}", "person": number % 4,
        }
        for number in range(COUNT)
    ]  # fmt: skip
    features = Features({"image": Image(), "text": Value("string"), "person": Value("int64")})
    Dataset.from_list(rows, features=features).save_to_disk(root)


FORMS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "folder": (a_folder, ()),
    "list": (a_list, ()),
    "webdataset": (shards, ("source.form=webdataset", "source.columns.group=artist")),
    "huggingface": (a_saved_data_set, ("source.form=huggingface", "source.columns.group=person")),
}


@pytest.mark.long
@pytest.mark.parametrize("task", ["copy", "style", "structure"])
@pytest.mark.parametrize("form", FORMS)
def test_killed_ten_times_at_random_moments_gives_the_same_bytes(tmp_path: Path, form: str, task: str) -> None:
    write, words = FORMS[form]
    write(tmp_path / "source")
    settings = (f"task=own_{task}", *words, "image_size=128", "shard_size=3", "executor.workers=2")
    whole = run_command(command(tmp_path / "source", tmp_path / "whole", *settings), tmp_path)
    assert whole.returncode == 0, whole.stderr
    expected = digests(tmp_path / "whole" / task)
    killed = command(tmp_path / "source", tmp_path / "killed", *settings)
    assert killed_ten_times(killed, tmp_path / "killed" / task, shards_of(expected)) == expected
