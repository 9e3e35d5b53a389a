"""The image folder with its captions, and the prompts."""

import hashlib
import json
from collections import Counter
from pathlib import Path

from PIL import Image

from data_builders.instantstyle.content import content_words
from tests.toyworld.sources.conftest import SAMPLES, SIDE


def test_every_picture_has_a_caption_and_some_are_there_twice(sources: Path) -> None:
    folder = sources / "midjourney"
    captions = {}
    for line in (folder / "captions.jsonl").read_text().splitlines():
        entry = json.loads(line)
        captions[entry["file_name"]] = entry["text"]
    assert set(captions) == {path.relative_to(folder).as_posix() for path in (folder / "images").iterdir()}
    assert len(captions) == SAMPLES
    by_content: dict[str, list[str]] = {}
    forms: Counter[str] = Counter()
    for name, text in captions.items():
        by_content.setdefault(hashlib.sha256((folder / name).read_bytes()).hexdigest(), []).append(text)
        with Image.open(folder / name) as picture:
            assert picture.size == (SIDE, SIDE)
            assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[Path(name).suffix]
            forms[str(picture.format)] += 1
    twice = [texts for texts in by_content.values() if len(texts) > 1]
    assert len(twice) == SAMPLES // 25
    assert all(len(set(texts)) == 1 for texts in twice)
    assert forms["PNG"] > 0.1 * SAMPLES
    assert forms["JPEG"] > 0.5 * SAMPLES


def test_prompts_are_one_a_line_and_keep_their_content(sources: Path) -> None:
    lines = (sources / "prompts.txt").read_text().splitlines()
    assert lines.count("") == 1
    prompts = [line for line in lines if line]
    assert len(prompts) == SAMPLES
    for prompt in prompts:
        assert len(content_words(prompt).split()) >= 3
