"""JourneyDB's form: archives, the annotation file, prompts as users write them."""

import hashlib
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from data_builders.journeydb.prompts import clean
from ipai.toyworld.sources.journeydb import write_journeydb
from ipai.toyworld.sources.source_files import draw_mixture
from ipai.toyworld.sources.write import WRITERS, seed_of
from tests.toyworld.sources.conftest import SAMPLES, SIDE


def lines_of(folder: Path) -> list[dict]:  # type: ignore[type-arg]
    with tarfile.open(folder / "data/train/train_anno_realease_repath.jsonl.tgz") as archive:
        (member,) = archive.getmembers()
        assert member.name == "train_anno_realease_repath.jsonl"
        file = archive.extractfile(member)
        assert file is not None
        return [json.loads(line) for line in file.read().splitlines()]


def pictures_of(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted((folder / "data/train/imgs").glob("*.tgz")):
        with tarfile.open(path) as archive:
            for member in archive:
                found[f"./{member.name}"] = np.asarray(Image.open(archive.extractfile(member)))  # type: ignore[arg-type]
                assert member.name.startswith(f"{path.stem}/")
                assert (member.mtime, member.uname, member.uid) == (0, "", 0)
    return found


def test_every_line_has_a_picture_and_the_fields(sources: Path) -> None:
    lines, pictures = lines_of(sources / "journeydb"), pictures_of(sources / "journeydb")
    assert len(lines) == SAMPLES
    assert {line["img_path"] for line in lines} == set(pictures)
    assert len({path[:5] for path in pictures}) == 4
    for line in lines:
        assert line.keys() - {"Task2"} == {"img_path", "prompt", "Task1", "Task3"}
        assert line["Task1"].keys() == {"Style", "Content", "Atmosphere", "Others"}
    assert 0 < sum("Task2" in line for line in lines) < SAMPLES
    assert len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures.values()}) == SAMPLES


def test_prompts_are_repeated_and_true_of_every_picture_of_theirs(tmp_path: Path) -> None:
    """The contents of the pictures of a prompt are equal, and what the builder makes of it is the plain caption."""
    count = 400
    list(write_journeydb(tmp_path, count, 7, 16))
    lines = lines_of(tmp_path)
    by_prompt = defaultdict(set)
    for line in lines:
        content = (*line["Task1"]["Content"], *line["Task1"]["Atmosphere"])
        by_prompt[line["prompt"]].add(content)
        words = clean(line["prompt"])
        assert set(content) - {"face"} - _BACKGROUNDS <= set(words.split())
        assert "--" not in words
        assert not words.endswith(",")
    assert all(len(contents) == 1 for contents in by_prompt.values())
    assert 0.3 * count < len(by_prompt) < 0.7 * count
    raw = [line["prompt"] for line in lines]
    assert any("--ar" in prompt for prompt in raw)
    assert any(prompt.endswith(",") for prompt in raw)


_BACKGROUNDS = {"sky", "sand", "night", "meadow", "stone", "wood", "snow", "lavender"}


def test_three_tenths_are_portraits_and_all_styles_are_there(sources: Path) -> None:
    styles = {line["Task1"]["Style"][0] for line in lines_of(sources / "journeydb")}
    assert len(styles) == 8
    mixture = draw_mixture(seed_of(0, list(WRITERS).index("journeydb")), SAMPLES)
    assert mixture.is_portrait.any()
    assert all(picture.shape == (SIDE, SIDE, 3) for picture in pictures_of(sources / "journeydb").values())
