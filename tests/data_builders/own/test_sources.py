"""Pictures in the forms of others: shards of img2dataset, and data sets of Hugging Face."""

import io
import json
import tarfile
import time
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow

from data_builders.engine.records import Drop
from data_builders.own.hugging_face import HuggingFacePictures
from data_builders.own.pairs import pairs_of
from data_builders.own.rows import Row
from data_builders.publishing import why_not
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError
from tests.helpers.building import build_all, configure, digests, samples_in

COLOURS = ("navy", "darkred", "green", "teal", "olive", "purple")


def encoded(colour: str, side: int = 80) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def as_img2dataset(number: int, colour: str) -> dict[str, bytes]:
    """The three files of a sample as img2dataset writes them, and what it says beside the caption."""
    key = f"{number:09d}"
    facts = {
        "caption": f"a {colour} picture",
        "url": f"https://pictures.example/{number}.jpg", "key": key, "status": "success",
        "error_message": None, "width": 80, "height": 80, "original_width": 800, "original_height": 800, "exif": "{}",
        "sha256": "0" * 64, "__index_level_0__": number, "artist": "anna" if number % 2 else "berta",
    }  # fmt: skip
    return {
        f"{key}.jpg": encoded(colour), f"{key}.json": json.dumps(facts).encode(),
        f"{key}.txt": facts["caption"].encode(),
    }  # fmt: skip


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of three samples."""
    root = tmp_path / "shards"
    for shard in range(2):
        members: dict[str, bytes] = {}
        for number in range(3 * shard, 3 * shard + 3):
            members |= as_img2dataset(number, COLOURS[number])
        write_shard(root / f"{shard:05d}.tar", members)
        (root / f"{shard:05d}_stats.json").write_text("{}")
    return root


WEBDATASET = "source.form=webdataset"
HUGGINGFACE = "source.form=huggingface"


def samples(root: Path, tmp_path: Path, *words: str) -> dict[str, dict[str, Any]]:
    config = configure(root, tmp_path / "out", *words)
    build_all(config)
    return samples_in(tmp_path / "out" / config.task)


def selected(root: Path, tmp_path: Path, *words: str) -> Any:
    return create_builder(configure(root, tmp_path / "out", *words)).select()


def test_shards_of_img2dataset_are_read_where_they_lie(shards: Path, tmp_path: Path) -> None:
    built = samples(shards, tmp_path, "task=own_copy", WEBDATASET)
    assert {sample["json"]["prompt"] for sample in built.values()} == {f"a {colour} picture" for colour in COLOURS}
    one = next(sample for sample in built.values() if sample["json"]["prompt"] == "a navy picture")
    assert one["json"]["source"]["id"] == "00000.tar/000000000.jpg"
    assert one["target.jpg"].getpixel((32, 32))[2] > 100 > one["target.jpg"].getpixel((32, 32))[0]


def test_columns_say_what_the_shards_call_it(shards: Path, tmp_path: Path) -> None:
    words = (
        "task=own_style",
        WEBDATASET,
        "source.columns.group=json.artist",
        "source.columns.prompt=json.url",
        "source.columns.licence=sha256",
    )
    chosen = selected(shards, tmp_path, *words)
    assert {record.group for record in chosen.records} == {"anna", "berta"}
    assert len(chosen.records) == 2 * 3 * 2
    assert chosen.records[0].fields["prompt"].startswith("https://pictures.example/")
    assert chosen.records[0].fields["licence"]["name"] == "0" * 64


def test_conditions_and_masks_lie_beside_the_target(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    members = {"a/7.target.png": encoded("red"), "a/7.cond.png": encoded("blue"), "a/7.txt": b"red from blue"}
    write_shard(root / "x.tar", members)
    (sample,) = samples(root, tmp_path, "task=own_style", WEBDATASET).values()
    assert sample["cond.jpg"].getpixel((9, 9))[2] > 200
    assert sample["target.jpg"].getpixel((9, 9))[0] > 200
    chosen = selected(
        root,
        tmp_path,
        "task=own_copy",
        WEBDATASET,
        "source.columns.target=cond.png",
        "source.columns.condition=target.png",
    )
    names = (chosen.records[0].fields[name].partition("@")[0] for name in ("target", "condition"))
    assert tuple(names) == (
        "x.tar/a/7.cond.png", "x.tar/a/7.target.png",
    )  # fmt: skip


def test_what_is_no_text_or_no_picture_is_counted_and_the_rest_is_built(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    members = as_img2dataset(0, "navy") | {"b.jpg": b"no picture", "b.txt": b"a caption", "c.jpg": encoded("red")}
    members |= {"c.json": b"{no json", "d.txt": b"a text alone", "e.jpg": encoded("red"), "e.txt": b"\xff\xfe\x00"}
    write_shard(root / "x.tar", members)
    config = configure(root, tmp_path / "out", "task=own_copy", WEBDATASET, "max_drop_fraction=1")
    plan, tally = build_all(config)
    assert dict(tally.drops) == {"not_an_image": 1}
    assert plan.selection.drops["no_caption"] == 2


def test_shards_that_cannot_be_read_are_named(shards: Path, tmp_path: Path) -> None:
    broken = shards / "00001.tar"
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(DataError, match=r"00001\.tar is damaged or cut off.*download it again"):
        selected(shards, tmp_path, "task=own_copy", WEBDATASET)
    broken.unlink()
    with pytest.raises(DataError, match=r"holds jpg, json, txt: say which with source\.columns\.target"):
        selected(shards, tmp_path, "task=own_copy", WEBDATASET, "source.columns.target=png")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"there is no \.tar below"):
        selected(tmp_path / "none", tmp_path, "task=own_copy", WEBDATASET)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A data set with two splits, a class for a label and a struct, as `save_to_disk` leaves it."""
    features = Features(
        {
            "image": Image(), "reference": Image(), "label": ClassLabel(names=["red mug", "blue mug"]),
            "said": {"short": Value("string")}, "person": Value("int64"), "__index_level_0__": Value("int64"),
        }
    )  # fmt: skip
    rows = [
        {
            "image": {"bytes": encoded(colour), "path": None}, "reference": {"bytes": encoded("white"), "path": None},
            "label": number % 2, "said": {"short": f"number {number}"}, "person": number // 3,
            "__index_level_0__": number,
        }
        for number, colour in enumerate(COLOURS)
    ]  # fmt: skip
    data = Dataset.from_list(rows, features=features)
    root = tmp_path / "saved"
    DatasetDict({"train": data, "test": data.select(range(2))}).save_to_disk(root)
    return root


def test_a_saved_data_set_is_built(saved: Path, tmp_path: Path) -> None:
    words = (
        "task=own_object",
        HUGGINGFACE,
        "source.columns.condition=reference",
        "source.columns.slot=label",
        "source.columns.prompt=said.short",
    )
    built = samples(saved, tmp_path, *words)
    assert {sample["json"]["slot"] for sample in built.values()} == {"red mug", "blue mug"}
    assert {sample["json"]["prompt"] for sample in built.values()} == {f"number {number}" for number in range(6)}
    for sample in built.values():
        assert sample["cond.jpg"].getpixel((9, 9)) == (255, 255, 255)


def test_groups_may_be_numbers_and_splits_are_chosen(saved: Path, tmp_path: Path) -> None:
    columns = ("source.columns.group=person", "source.columns.prompt=short")
    assert {record.group for record in selected(saved, tmp_path, "task=own_face", HUGGINGFACE, *columns).records} == {
        "0", "1",
    }  # fmt: skip
    words = ("task=own_copy", HUGGINGFACE, *columns, "source.split=test")
    assert len(selected(saved, tmp_path, *words).records) == 2
    with pytest.raises(DataError, match=r"no split 'val'; it has train, test"):
        selected(saved, tmp_path, "task=own_copy", HUGGINGFACE, "source.split=val")


def test_a_folder_of_parquet_gives_the_same(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "parquet"
    folder.mkdir()
    from datasets import load_from_disk

    load_from_disk(saved)["train"].to_parquet(folder / "train-00000-of-00001.parquet")
    words = ("task=own_copy", HUGGINGFACE, "source.columns.prompt=said.short")
    for name, root in (("a", saved), ("b", folder)):
        build_all(configure(root, tmp_path / name, *words))
    a, b = (samples_in(tmp_path / name / "copy") for name in "ab")
    assert {key: sample["target.jpg"].tobytes() for key, sample in a.items()} == {
        key: sample["target.jpg"].tobytes() for key, sample in b.items()
    }


def test_what_a_data_set_lacks_is_named(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"no column of pictures for mask; it has image, reference, and others: __index"
    ):
        selected(saved, tmp_path, "task=own_copy", HUGGINGFACE, "source.columns.mask=label")
    with pytest.raises(DataError, match=r"prompt is 0, not text; source\.columns\.prompt"):
        selected(saved, tmp_path, "task=own_copy", HUGGINGFACE, "source.columns.prompt=__index_level_0__")
    monkeypatch.setattr("datasets.config.HF_DATASETS_OFFLINE", True)
    with pytest.raises(DataError, match=r"source\.root=.*nowhere is neither"):
        selected(tmp_path / "nowhere", tmp_path, "task=own_copy", HUGGINGFACE)


def test_settings_of_another_form_are_refused(saved: Path, tmp_path: Path) -> None:
    for words, message in (
        (("source.form=tar",), r"source\.form=tar is none of folder"),
        ((WEBDATASET, "source.metadata=list.csv"), r"source\.form=webdataset reads none"),
        (("source.revision=main",), r"belong to source\.form=huggingface"),
        ((WEBDATASET, "source.split=test"), r"source\.split, source\.revision and source\.first belong"),
        ((WEBDATASET, "source.first=9"), r"source\.first belong"),
        (("+source.columns.caption=x",), r"source\.columns=caption is none of"),
    ):
        with pytest.raises(ConfigError, match=message):
            configure(saved, tmp_path / "out", "task=own_copy", *words)


@pytest.mark.parametrize("form", [WEBDATASET, HUGGINGFACE])
def test_a_build_depends_on_the_source_alone(shards: Path, saved: Path, tmp_path: Path, form: str) -> None:
    root = shards if form == WEBDATASET else saved
    columns = {
        WEBDATASET: ["source.columns.group=artist"],
        HUGGINGFACE: ["source.columns.group=person", "source.columns.prompt=short"],
    }[form]
    for name, workers in (("a", 1), ("b", 2)):
        build_all(configure(root, tmp_path / name, "task=own_style", form, *columns, f"executor.workers={workers}"))
    assert digests(tmp_path / "a" / "style") == digests(tmp_path / "b" / "style")


def test_a_pair_of_two_licences_names_both(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    members: dict[str, bytes] = {}
    for number, licence in enumerate(("CC0-1.0", "CC-BY-NC-4.0", None)):
        facts = {"caption": f"number {number}", "style": "ink", "terms": licence}
        members |= {f"{number}.jpg": encoded(COLOURS[number]), f"{number}.json": json.dumps(facts).encode()}
    write_shard(root / "x.tar", members)
    words = ("task=own_style", WEBDATASET, "source.columns.group=style", "source.columns.licence=terms")
    said = {record.fields["licence"]["name"] for record in selected(root, tmp_path, *words).records}
    assert said == {f"{one} and {other}" for one, other in permutations(("CC0-1.0", "CC-BY-NC-4.0", "not stated"), 2)}
    assert why_not({"name": "CC0-1.0 and CC-BY-NC-4.0", "url": ""}) == "are non-commercial"
    assert why_not({"name": "CC0-1.0 and not stated", "url": ""}) == "have a licence that is not known to permit it"
    assert why_not({"name": "CC0-1.0 and CC-BY-4.0", "url": ""}) is None


def test_a_shard_is_read_once_for_its_rows_and_then_by_place(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(shards, tmp_path / "out", "task=own_copy", WEBDATASET)
    builder = create_builder(config)
    records = builder.select().records
    monkeypatch.setattr(tarfile, "open", None)
    assert {builder.make(record).prompt for record in records} == {f"a {colour} picture" for colour in COLOURS}


def test_pairs_of_a_large_group_take_no_time(tmp_path: Path) -> None:
    rows = [Row(f"{number}.jpg", prompt="a", group="all", slot="x" if number % 2 else None) for number in range(30_000)]
    before = time.process_time()
    pairs, alone = pairs_of("style", rows, 2, 0)
    assert time.process_time() - before < 5
    assert (len(pairs), alone) == (60_000, 0)
    assert all(pair.condition != pair.row.target for pair in pairs)
    assert max(Counter(pair.condition for pair in pairs).values()) == 2, "each is the condition as often as any other"


def test_a_class_that_is_none_is_no_group(tmp_path: Path) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=["a", "b"]), "text": Value("string")})
    rows = [{"image": {"bytes": encoded("red"), "path": None}, "label": label, "text": "x"} for label in (-1, -1, 0, 0)]
    Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "saved")
    chosen = selected(tmp_path / "saved", tmp_path, "task=own_style", HUGGINGFACE, "source.columns.group=label")
    assert {record.group for record in chosen.records} == {"a"}
    assert chosen.drops["alone_in_its_group"] == 2


def test_bytes_are_pictures_and_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(encoded("red"))
    rows = [{"jpg": encoded("navy"), "text": "bytes"}]
    Dataset.from_list(rows, features=Features({"jpg": Value("binary"), "text": Value("string")})).save_to_disk(
        tmp_path / "bytes"
    )
    (sample,) = samples(tmp_path / "bytes", tmp_path, "task=own_copy", HUGGINGFACE).values()
    assert sample["json"]["source"]["id"] == "train/0/jpg"
    named = [{"image": {"bytes": encoded("red"), "path": None}, "text": "x"}, {"image": None, "text": "y"}]
    features = Features({"image": Image(), "text": Value("string")})
    Dataset.from_list(named, features=features).save_to_disk(tmp_path / "named")
    pictures = HuggingFacePictures(configure(tmp_path / "named", tmp_path, "task=own_copy", HUGGINGFACE).source)
    names = [row.target for row in pictures.rows()]
    assert pictures.read(names[0]) == encoded("red")
    with pytest.raises(Drop, match="missing_file"):
        pictures.read(names[1])
    (tmp_path / "named" / "own.png").write_bytes(encoded("navy"))
    assert pictures._read_file(tmp_path / "named" / "own.png") == encoded("navy")
    with pytest.raises(Drop, match="outside_source"):
        pictures._read_file(secret)
