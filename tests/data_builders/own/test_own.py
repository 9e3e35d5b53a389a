"""A folder of one's own pictures becomes the set of any task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_builders.engine.config import deciding_settings
from data_builders.own.conditions import recoloured
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers.building import build_all, configure, digests, samples_in


def picture(path: Path, colour: str = "navy", mode: str = "RGB", size: tuple[int, int] = (96, 80)) -> Path:
    """A bright square in the upper left quarter of a coloured picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    image.paste("white", (10, 10, 40, 40))
    if mode == "RGBA":
        alpha = Image.new("L", image.size, 0)
        alpha.paste(255, (10, 10, 40, 40))
        image.putalpha(alpha)
    image.save(path)
    return path


def told(path: Path, text: str) -> None:
    path.with_suffix(".txt").write_text(text, encoding="utf-8")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two folders of three pictures with captions, and one picture alone."""
    root = tmp_path / "pictures"
    for folder in ("anna", "red_mug"):
        for number, colour in enumerate(("navy", "darkred", "green")):
            told(picture(root / folder / "deep" / f"{number}.png", colour), f"number {number} of {folder}")
    told(picture(root / "alone.jpg"), "a picture alone")
    return root


def built(root: Path, tmp_path: Path, task: str, *words: str) -> dict[str, dict[str, Any]]:
    build_all(configure(root, tmp_path / "out", f"task=own_{task}", *words))
    return samples_in(tmp_path / "out" / task)


def planned(root: Path, tmp_path: Path, *words: str) -> Any:
    return create_builder(configure(root, tmp_path / "out", *words)).select()


def test_copy_takes_every_picture_with_the_text_beside_it(pictures: Path, tmp_path: Path) -> None:
    samples = built(pictures, tmp_path, "copy")
    assert len(samples) == 7
    assert {sample["json"]["prompt"] for sample in samples.values()} >= {"a picture alone", "number 1 of anna"}
    assert all("cond.jpg" not in sample and sample["target.jpg"].size == (64, 64) for sample in samples.values())


def test_targets_keep_their_shape_where_they_are_asked_to(tmp_path: Path) -> None:
    root = tmp_path / "wide"
    told(picture(root / "wide.png", size=(120, 80)), "a wide picture")
    told(picture(root / "high.png", size=(50, 400)), "a high picture")
    samples = built(root, tmp_path, "copy", "max_aspect=2", "val.fraction=0")
    assert {sample["json"]["prompt"]: sample["target.jpg"].size for sample in samples.values()} == {
        "a wide picture": (96, 64),
        "a high picture": (64, 128),
    }
    card = (tmp_path / "out" / "copy" / "card.md").read_text()
    assert "its shape kept up to 2 : 1, the shorter side scaled to 64 px (Lanczos)\n- condition: the target" in card
    squares = configure(root, tmp_path / "out", "task=own_copy")
    assert "max_aspect" not in deciding_settings(squares)  # sets of before go on


@pytest.mark.parametrize("task", ["style", "face"])
def test_groups_are_paired_and_never_split(pictures: Path, tmp_path: Path, task: str) -> None:
    chosen = planned(pictures, tmp_path, f"task=own_{task}")
    assert chosen.drops["alone_in_its_group"] == 1
    assert len(chosen.records) == 2 * 3 * 2
    for record in chosen.records:
        assert record.fields["condition"] != record.fields["target"]
        assert record.fields["condition"].split("/")[0] == record.fields["target"].split("/")[0]
        assert record.group == "/".join(record.fields["target"].split("/")[:2])
    assert len(planned(pictures, tmp_path, f"task=own_{task}", "pairs.per_picture=1").records) == 6


def test_structure_keeps_the_edges_and_changes_the_colours(pictures: Path, tmp_path: Path) -> None:
    samples = built(pictures, tmp_path, "structure")
    for sample in samples.values():
        target, condition = (np.asarray(sample[name], np.int16) for name in ("target.jpg", "cond.jpg"))
        assert np.abs(target - condition).mean() > 10
    stripes = Image.fromarray(np.tile(np.repeat(np.arange(8) * 30, 8).astype(np.uint8)[None, :, None], (64, 1, 3)))
    for name in "abcdef":
        changed = np.asarray(recoloured(stripes, 0, name), np.int16)
        edges = (np.abs(np.diff(changed, axis=1)).max((0, 2)) > 0).nonzero()[0]
        assert edges.tolist() == [7, 15, 23, 31, 39, 47, 55]


@pytest.mark.parametrize("how", ["mask", "alpha"])
def test_an_object_is_cut_out_by_its_mask_or_alpha(tmp_path: Path, how: str) -> None:
    root = tmp_path / "pictures"
    path = picture(root / "red_mug" / "a.png", "navy", "RGBA" if how == "alpha" else "RGB")
    told(path, "a mug on a table")
    if how == "mask":
        mask = Image.new("L", (96, 80), 0)
        mask.paste(255, (10, 10, 40, 40))
        mask.save(path.with_name("a.mask.png"))
    (sample,) = built(root, tmp_path, "object").values()
    assert sample["json"]["slot"] == "red mug"
    condition = np.asarray(sample["cond.jpg"])
    assert (condition[24:40, 24:40] > 240).all(), "the object fills the middle"
    assert not (condition[:2] > 240).all(2).any(), "and something else is around it"


def test_what_lacks_a_mask_or_a_name_is_dropped_with_the_reason(pictures: Path, tmp_path: Path) -> None:
    assert planned(pictures, tmp_path, "task=own_object").drops["no_slot"] == 1  # the one that lies in no folder
    _, tally = build_all(configure(pictures, tmp_path / "out", "task=own_object", "max_drop_fraction=1"))
    assert dict(tally.drops) == {"no_mask": 6}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_list_decides(pictures: Path, tmp_path: Path, form: str) -> None:
    rows = [
        {"file_name": "alone.jpg", "prompt": "the target", "condition": "anna/deep/0.png", "licence": "CC0-1.0"},
        {"file_name": "anna/deep/1.png", "text": "hugging face's name of it", "condition": "anna/deep/2.png"},
    ]
    if form == "jsonl":
        (pictures / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = ["file_name", "prompt", "text", "condition", "licence"]
        lines = [",".join(names), *(",".join(f'"{row.get(name, "")}"' for name in names) for row in rows)]
        (pictures / "metadata.csv").write_text("\n".join(lines))
    samples = built(pictures, tmp_path, "style")
    told = {sample["json"]["prompt"]: sample["json"]["source"]["licence"] for sample in samples.values()}
    assert told == {"the target": {"name": "CC0-1.0", "url": ""}, "hugging face's name of it": None}


BAD = {
    "no JSON": ("{", "line 1 is not JSON"),
    "a list": ("[1]", "line 1 is no JSON object"),
    "no picture": ('{"prompt": "x"}', "line 1 names no picture"),
    "a number": ('{"file_name": "alone.jpg", "prompt": 3}', "prompt is 3, not text"),
    "outside": ('{"file_name": "../alone.jpg"}', "outside of source.root"),
    "an absolute mask": ('{"file_name": "alone.jpg", "mask": "/etc/hosts"}', "hosts lies outside"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named(pictures: Path, tmp_path: Path, case: str) -> None:
    line, message = BAD[case]
    (pictures / "metadata.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        planned(pictures, tmp_path, "task=own_copy")


def test_missing_folders_lists_and_pictures_are_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        planned(tmp_path / "nowhere", tmp_path, "task=own_copy")
    with pytest.raises(DataError, match=r"source\.metadata=list\.csv is no file"):
        planned(pictures, tmp_path, "task=own_copy", "source.metadata=list.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no picture below"):
        planned(tmp_path / "empty", tmp_path, "task=own_copy")


def test_pictures_without_a_caption_are_counted_or_get_a_template(pictures: Path, tmp_path: Path) -> None:
    (pictures / "alone.txt").unlink()
    assert planned(pictures, tmp_path, "task=own_copy").drops["no_caption"] == 1
    words = ("task=own_copy", "captioner=template", "captioner.template='a photo of {objects}'")
    prompts = {record.fields["prompt"] for record in planned(pictures, tmp_path, *words).records}
    assert prompts == {"a photo of something", "a photo of deep"}
    with pytest.raises(ConfigError, match=r"captioner\.template is empty"):
        configure(pictures, tmp_path / "out", "task=own_copy", "captioner=template", "captioner.template=")


def test_damaged_pictures_are_dropped_and_the_rest_is_built(pictures: Path, tmp_path: Path) -> None:
    (pictures / "alone.jpg").write_bytes(b"no picture")
    _, tally = build_all(configure(pictures, tmp_path / "out", "task=own_copy"))
    assert dict(tally.drops) == {"not_an_image": 1}


def test_a_build_depends_on_the_pictures_alone(pictures: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        build_all(configure(pictures, tmp_path / name, "task=own_style", f"executor.workers={workers}"))
    assert digests(tmp_path / "a" / "style") == digests(tmp_path / "b" / "style")
