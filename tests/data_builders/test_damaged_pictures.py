"""Every builder against the corpus of damaged pictures, each with its stated outcome, and nothing else lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_builders.engine.image_files import decode_picture
from data_builders.engine.records import Drop
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from tests.helpers.building import build_all, configure, samples_in
from tests.helpers.catalog_source import photograph, row, write_part
from tests.helpers.celeba_source import CelebaWriter
from tests.helpers.coco_source import CocoWriter, textured
from tests.helpers.damaged_pictures import KEPT, PICTURES
from tests.helpers.journey_source import JourneyWriter
from tests.helpers.style_source import PROMPTS, write_captions, write_images
from tests.helpers.teacher_miniatures import edge_overrides

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
COMMON = ("source.max_pixels=200000", "max_drop_fraction=1", "shard_size=50")
Outcomes = dict[str, str]


def damaged(number: int, name: str, draw: Callable[[int], Image.Image]) -> bytes:
    return PICTURES[name][0](draw(number))


def scene(number: int) -> Image.Image:
    return textured(320, 240, 9000 + number)


def outcomes_of_shards(folder: Path) -> Outcomes:
    """What became of every planned sample, by key: KEPT or the reason of its drop."""
    found: Outcomes = {}
    for path in folder.glob("*-*.json"):
        sidecar = json.loads(path.read_text())
        found |= dict.fromkeys([sample["key"] for sample in sidecar["samples"]], KEPT)
        found |= {drop["key"]: drop["reason"] for drop in sidecar["dropped"]}
    assert {key for key, outcome in found.items() if outcome == KEPT} == set(samples_in(folder))
    return found


def test_the_corpus_is_large_enough() -> None:
    assert len(PICTURES) >= 40


@pytest.mark.parametrize("name", PICTURES)
def test_decoding_ends_as_stated(name: str) -> None:
    content, expected = damaged(1, name, scene), PICTURES[name][1]
    if expected == KEPT:
        picture = decode_picture(content, None, 200_000)
        assert (picture.mode, picture.size) == ("RGB", (320, 240))
    else:
        with pytest.raises(Drop) as drop:
            decode_picture(content, None, 200_000)
        assert drop.value.reason == expected


def test_coco(tmp_path: Path) -> None:
    writer = CocoWriter(tmp_path / "coco")
    names = {}
    for number, name in enumerate(PICTURES):
        photo = writer.photo(content=damaged(number, name, scene))
        names[writer.object(photo, (40, 30, 150, 150))] = name
    build_all(configure(writer.save(), tmp_path, *COMMON))
    found = outcomes_of_shards(tmp_path / "object")
    assert {names[int(key.split("-")[-1])]: outcome for key, outcome in found.items()} == stated()


def test_journeydb(tmp_path: Path) -> None:
    writer = JourneyWriter(tmp_path / "journey")
    names = {}
    for number, name in enumerate(PICTURES):
        names[writer.picture(number % 3, f"scene {number}", content=damaged(number, name, scene))[:8]] = name
    build_all(configure(writer.save(), tmp_path, "task=copy", "source.split=train", *COMMON))
    found = outcomes_of_shards(tmp_path / "copy")
    assert {next(name for part, name in names.items() if part in key): what for key, what in found.items()} == stated()


def test_commoncanvas(tmp_path: Path, teachers: Path) -> None:
    names = {str(100 + number): name for number, name in enumerate(PICTURES)}
    rows = [row(100 + number, jpg=damaged(number, name, photograph)) for number, name in enumerate(PICTURES)]
    write_part(tmp_path / "catalog", rows)
    words = ("task=structure", "source.min_side=200", *edge_overrides(teachers), *COMMON)
    build_all(configure(tmp_path / "catalog", tmp_path, *words))
    found = outcomes_of_shards(tmp_path / "structure")
    assert {names[key.split("-")[-1]]: outcome for key, outcome in found.items()} == stated()


def test_celeba(tmp_path: Path) -> None:
    """A pair is lost if either of its pictures is: both directions of each pair end alike."""
    writer = CelebaWriter(tmp_path / "celeba")
    names = {}
    for number, name in enumerate(PICTURES):
        names[writer.picture(identity=number, content=damaged(number, name, scene))] = name
        names[writer.picture(identity=number)] = name
    words = ("task=face", "source.split=all", "zoom.fraction=0", "pairs.max_per_identity=null", *COMMON)
    config = configure(writer.save(), tmp_path, *words)
    pictures = {
        record.key: names[record.fields["condition"]]
        for record in plan_build(create_builder(config), config).selection.records
    }
    build_all(config)
    found = outcomes_of_shards(tmp_path / "face")
    assert len(found) == 2 * len(PICTURES)
    for key, outcome in found.items():
        assert (pictures[key], outcome) == (pictures[key], stated()[pictures[key]])


def test_instantstyle(tmp_path: Path) -> None:
    """Style images are decoded for the plan, so their drops are its; each costs its three pairs."""
    contents = {f"images/{number:03d}.jpg": damaged(number, name, scene) for number, name in enumerate(PICTURES)}
    write_images(tmp_path, contents)
    write_captions(tmp_path, dict.fromkeys(contents, "a caption"))
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    words = ("task=style", "source.min_side=100", "source.min_distance=0", "dry_run=true", *COMMON)
    config = configure(tmp_path, Path("unused"), *words, f"source.prompts={tmp_path}/prompts.txt")
    selection = plan_build(create_builder(config), config).selection
    expected = stated()
    kept = sorted(place for place, name in zip(contents, PICTURES, strict=True) if expected[name] == KEPT)
    assert sorted({record.fields["file"] for record in selection.records}) == kept
    reasons = [outcome for outcome in expected.values() if outcome != KEPT]
    assert dict(selection.drops) == {reason: 3 * reasons.count(reason) for reason in set(reasons)}


def stated() -> Outcomes:
    return {name: outcome for name, (_, outcome) in PICTURES.items()}
