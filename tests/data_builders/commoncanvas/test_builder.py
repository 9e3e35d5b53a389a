"""The CommonCanvas builder on small Parquet files: counts, samples, damaged rows and files, any number of workers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from data_builders.commoncanvas.builder import CommonCanvasBuilder
from data_builders.commoncanvas.config import Edges
from data_builders.commoncanvas.lines import agreement, density, edge_map
from data_builders.engine import run as engine_run
from data_builders.engine.plan import Plan
from data_builders.engine.records import Drop
from data_builders.engine.run import plan_build
from data_builders.registry import create_builder
from ipai.errors import ConfigError, DataError, WeightsError
from tests.helpers import building
from tests.helpers.building import build_all, command, digests, samples_in
from tests.helpers.catalog_source import photograph, row, write_catalog_source, write_part
from tests.helpers.coco_source import jpeg
from tests.helpers.killing import killed_and_continued
from tests.helpers.teacher_miniatures import edge_overrides

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
WORDS = ("task=structure", "source.min_side=200")
CC = "http://creativecommons.org/licenses/"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalog_source(tmp_path_factory.mktemp("catalog"), photos=8)


def configure(source: Path, output: Path, teachers: Path, *overrides: str) -> Any:
    return building.configure(source, output, *WORDS, *edge_overrides(teachers), *overrides)


def plan(source: Path, *overrides: str) -> Plan:
    config = building.configure(source, Path("unused"), "task=structure", "dry_run=true", *overrides)
    return plan_build(create_builder(config), config)


def test_every_reason_is_counted_once_and_in_order(tmp_path: Path) -> None:
    rows = [
        row(1),
        row(2, status="failed"),
        row(3, photoid=None),
        row(4, photoid="../4"),
        row(5, blip2_caption=" \n"),
        row(6, blip2_caption="word " * 100),
        row(7, blip2_caption=None),
        row(8, licenseurl=CC + "by-nd/2.0/"),
        row(9, licenseurl=CC + "by-nc-nd/2.0/"),
        row(10, licenseurl=None),
        row(11, licenseurl="http://example.org/all-rights-reserved"),
        row(12, licenseurl=CC + "by-nc/2.0/"),
        row(1, sha256=None),
        row(14, sha256=f"{1:064x}"),
        row(15, sha256=None, status=None, unickname=None, pageurl=None, licensename=None),
        row(16, sha256="no hash"),
    ]
    for line in rows:  # a column has one type
        line["photoid"] = None if line["photoid"] is None else str(line["photoid"])
    write_part(tmp_path, rows)
    selection = plan(tmp_path).selection
    assert selection.drops == {
        "status": 1,
        "photoid": 2,
        "caption": 3,
        "no_derivatives": 4,
        "licence": 1,
        "duplicate": 2,
    }
    assert list(selection.drops) == ["status", "photoid", "caption", "no_derivatives", "licence", "duplicate"]
    assert selection.considered == len(rows) == len(selection.records) + sum(selection.drops.values())
    found = {record.key: record.fields["source"] for record in selection.records}
    assert sorted(found) == ["flickr-1", "flickr-15", "flickr-16"]
    assert found["flickr-15"]["attribution"] is None
    assert found["flickr-15"]["licence"]["name"] == CC + "by/2.0/"
    assert "licence" not in plan(tmp_path, "source.licences=derivatives").selection.drops


@pytest.mark.parametrize(
    ("nickname", "author"),
    [("Ana+Lua", "Ana Lua"), ("C++ fan", "C++ fan"), ("%C3%89mile", "Émile"), ("a\u202eb\n", "a b"), ("", None)],
)
def test_names_are_freed_of_their_encoding(tmp_path: Path, nickname: str, author: str | None) -> None:
    write_part(tmp_path, [row(1, unickname=nickname, pageurl=None)])
    (record,) = plan(tmp_path).selection.records
    assert record.fields["source"]["attribution"] == author


@pytest.mark.parametrize("kind", [int, str, float])
def test_the_id_may_be_a_number_or_text(tmp_path: Path, kind: type) -> None:
    write_part(tmp_path, [row(1, photoid=kind(12345678901))])
    assert [record.key for record in plan(tmp_path).selection.records] == ["flickr-12345678901"]


def test_the_limit_holds_no_more_and_counts_all(catalog: Path) -> None:
    small, whole = plan(catalog, "limit=3"), plan(catalog)
    assert len(small.selection.records) == 3
    assert (small.selection.not_drawn, small.beyond_limit, small.selection.considered) == (5, 5, 8)
    keys = [record.key for record in whole.selection.records]
    assert [record.key for record in small.selection.records] == keys[:3]


def test_a_sample_holds_what_the_contract_says(tmp_path: Path, catalog: Path, teachers: Path) -> None:
    build_all(configure(catalog, tmp_path, teachers))
    samples = samples_in(tmp_path / "structure")
    assert len(samples) == 8
    key, sample = sorted(samples.items())[0]
    assert key == "flickr-100"
    facts = sample["json"]
    assert facts["prompt"] == facts["cond_prompt"] == "photo number 100"
    assert facts["slot"] is None
    assert facts["source"] == {
        "dataset": "commoncatalog",
        "id": "100",
        "licence": {"name": "Attribution License", "url": CC + "by/2.0/"},
        "attribution": "Ana 100, http://www.flickr.com/photos/ana/100/",
    }
    assert facts["generation"]["teacher"] == "scribble_sd15"
    assert facts["generation"]["models"]["controlnet"]["id"].endswith("controlnet")
    assert facts["generation"]["seed"] >= 0
    assert 0.01 <= facts["scores"]["edge_density"] <= 0.25
    assert 0 <= facts["scores"]["edge_f1"] <= 1
    assert sample["cond.jpg"].size == sample["target.jpg"].size == (64, 64)
    middle = photograph(100).crop((40, 0, 280, 240)).resize((64, 64), Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(sample["cond.jpg"]).astype(int) - np.asarray(middle))
    assert difference.mean() < 6
    assert len({sample["json"]["generation"]["seed"] for sample in samples.values()}) == 8


def test_position_and_camera_are_nowhere(tmp_path: Path, catalog: Path, teachers: Path) -> None:
    build_all(configure(catalog, tmp_path, teachers))
    for path in (tmp_path / "structure").iterdir():
        content = path.read_bytes()
        assert b"SECRET CAMERA" not in content
        assert b"52.5" not in content


def test_what_only_reading_shows_is_dropped_and_counted(tmp_path: Path, teachers: Path) -> None:
    good = jpeg(photograph(1))
    cells = {
        1: good,
        2: None,
        3: b"",
        4: b"text",
        5: good[: len(good) // 2],
        6: jpeg(photograph(6, width=150)),
        7: jpeg(photograph(7, width=900, height=700)),
        8: jpeg(Image.new("RGB", (320, 240), (9, 9, 9))),
        9: jpeg(photograph(9, lines=300)),
        10: jpeg(photograph(10).convert("L")),
        11: jpeg(photograph(11).convert("CMYK")),
    }
    write_part(tmp_path / "in", [row(photo, jpg=content) for photo, content in cells.items()])
    _, tally = build_all(configure(tmp_path / "in", tmp_path / "out", teachers, "source.max_pixels=100000"))
    assert dict(tally.drops) == {
        "no_picture": 2,
        "not_an_image": 1,
        "truncated": 1,
        "too_small": 1,
        "too_many_pixels": 1,
        "few_edges": 1,
        "many_edges": 1,
    }
    assert sorted(samples_in(tmp_path / "out" / "structure")) == ["flickr-1", "flickr-10", "flickr-11"]
    assert "few_edges (found when reading)" in (tmp_path / "out" / "structure" / "card.md").read_text()


def test_a_struct_of_bytes_and_path_gives_the_same_samples(tmp_path: Path, teachers: Path) -> None:
    for name, struct in (("bytes", False), ("struct", True)):
        source = write_catalog_source(tmp_path / name, photos=3, struct=struct)
        build_all(configure(source, tmp_path / f"{name}-out", teachers))
    plain, wrapped = (digests(tmp_path / f"{name}-out" / "structure") for name in ("bytes", "struct"))
    assert plain == wrapped


@pytest.mark.ci
@pytest.mark.long  # several processes import everything
def test_the_same_bytes_for_any_worker_count_and_after_a_kill(tmp_path: Path, catalog: Path, teachers: Path) -> None:
    for workers in (1, 2):
        build_all(configure(catalog, tmp_path / str(workers), teachers, f"executor.workers={workers}"))
    one, two = (digests(tmp_path / str(workers) / "structure") for workers in (1, 2))
    assert one == two
    killed = command(catalog, tmp_path / "3", *WORDS, *edge_overrides(teachers))
    done, files = killed_and_continued(killed, tmp_path / "3" / "structure")
    assert 0 < done < 4
    assert files == one


def test_one_sample_alone_is_the_one_in_the_shard(tmp_path: Path, catalog: Path, teachers: Path) -> None:
    config = configure(catalog, tmp_path, teachers)
    builder = CommonCanvasBuilder(config)
    records = builder.select().records
    together = list(builder.make_many(records))
    assert builder.make(records[4]) == together[4]


def test_a_row_group_is_read_once_a_shard(
    tmp_path: Path, catalog: Path, teachers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_builders.engine.parquet import PictureCells

    reads: list[str] = []
    original = PictureCells._read_group

    def counting(self: PictureCells, place: str) -> dict[int, bytes]:
        reads.append(place)
        return original(self, place)

    monkeypatch.setattr(PictureCells, "_read_group", counting)
    build_all(configure(catalog, tmp_path, teachers, "val.max=0", "shard_size=100"))
    assert len(reads) == len(set(reads)) == 4


def test_no_photograph_is_in_both_splits(catalog: Path) -> None:
    found = plan(catalog, "val.fraction=0.4")
    sides = {
        split: {r.group for s in found.shards if s.split == split for r in s.records} for split in ("train", "val")
    }
    assert sides["val"]
    assert sides["train"]
    assert not sides["train"] & sides["val"]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def lfs_pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")


def other_columns(path: Path) -> None:
    path.unlink()
    write_part(path.parent, [{"image": 1, "text": "a"}], path.name)


def no_file(path: Path) -> None:
    path.unlink()


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "no whole Parquet file.*cut short"),
        (lfs_pointer, "LFS pointer"),
        (empty_file, "no whole Parquet file"),
        (other_columns, r"lacks the column\(s\) photoid, blip2_caption, licenseurl, jpg"),
        (no_file, r"(?s)matches no file.*How to obtain CommonCatalog.*hf download"),
    ],
)
def test_damaged_sources_are_refused_by_name(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = write_part(tmp_path, [row(1), row(2)])
    damage(path)
    with pytest.raises(DataError, match=message):
        plan(tmp_path)


def test_a_damaged_row_group_costs_its_rows_only(tmp_path: Path, teachers: Path) -> None:
    path = write_part(tmp_path / "in", [row(number) for number in range(1, 7)])
    content = bytearray(path.read_bytes())
    group = parquet.ParquetFile(path).metadata.row_group(0)
    pictures = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "jpg")
    at = pictures.dictionary_page_offset or pictures.data_page_offset
    content[at : at + 36] = b"\xff" * 36
    path.write_bytes(bytes(content))
    _, tally = build_all(configure(tmp_path / "in", tmp_path / "out", teachers, "max_drop_fraction=1"))
    assert dict(tally.drops) == {"damaged_row_group": 3}
    assert sorted(samples_in(tmp_path / "out" / "structure")) == ["flickr-4", "flickr-5", "flickr-6"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("captioner=template", "captioner=template: CommonCatalog has a caption"),
        ("source.licences=any", "source.licences=any is none of permissive, derivatives"),
        ("source.files=/etc/*.parquet", "must be a pattern below source.root"),
        ("source.files=../*.parquet", "must be a pattern below source.root"),
        ("source.min_side=0", "source.min_side=0 must be above 0"),
        ("edges.low=300", "edges.low=300.0 must be above 0 and at most edges.high"),
        ("edges.min_density=0.5", "must be below edges.max_density"),
        ("edges.dilation=-1", "edges.dilation=-1 must not be negative"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        building.configure(tmp_path, tmp_path, "task=structure", override)


def test_a_missing_teacher_stops_after_the_plan_and_before_any_shard(
    tmp_path: Path, catalog: Path, teachers: Path
) -> None:
    config = configure(catalog, tmp_path, teachers, "teacher.unet.id=/nowhere")
    builder = create_builder(config)
    plan = plan_build(builder, config)
    with pytest.raises(WeightsError, match=r"(?s)teacher scribble_sd15 lacks.*teacher\.<part>\.id"):
        list(engine_run.build(builder, config, plan))
    assert not list(tmp_path.rglob("*.tar"))


class TestLines:
    def test_dilation_thickens_and_density_counts(self) -> None:
        picture = photograph(3)
        thin, thick = (edge_map(picture, Edges(dilation=pixels)) for pixels in (0, 1))
        assert set(np.unique(thin)) == {0, 255}
        assert density(thick) > 1.5 * density(thin) > 0
        assert density(np.zeros((4, 4), np.uint8)) == 0

    def test_agreement_allows_the_tolerance_and_no_more(self) -> None:
        one = np.zeros((20, 20), np.uint8)
        one[5] = 255
        assert agreement(one, one, 0) == 1
        for shift, score in ((2, 1.0), (3, 0.0)):
            assert agreement(one, np.roll(one, shift, axis=0), 2) == score
        both = np.maximum(one, np.roll(one, 9, axis=0))
        assert agreement(one, both, 2) == pytest.approx(2 / 3)
        assert agreement(np.zeros_like(one), one, 2) == 0


def test_a_drop_is_a_result_in_a_batch_and_raised_alone(tmp_path: Path, teachers: Path) -> None:
    write_part(tmp_path, [row(1, jpg=b"text")])
    builder = CommonCanvasBuilder(configure(tmp_path, tmp_path / "out", teachers))
    (record,) = builder.select().records
    (result,) = builder.make_many([record])
    assert isinstance(result, Drop)
    with pytest.raises(Drop, match="not_an_image"):
        builder.make(record)
