"""CommonCatalog's form: both kinds of picture cells, captions, licences, and what must not be passed on."""

import hashlib
import io
from collections import Counter
from pathlib import Path
from urllib.parse import unquote_plus

from PIL import Image
from pyarrow import parquet

from data_builders.engine.licences import allows_derivatives
from ipai.toyworld.sources.commoncatalog import write_commoncatalog
from tests.toyworld.sources.conftest import SAMPLES, SIDE


def test_both_forms_of_the_picture_are_there_and_hash_as_stated(sources: Path) -> None:
    paths = sorted((sources / "commoncatalog").glob("[0-9]/least_dim_range=512-768/**/*.parquet"))
    kinds = [str(parquet.read_schema(path).field("jpg").type) for path in paths]
    assert kinds == ["binary", "struct<bytes: binary, path: string>"]
    rows = [row for path in paths for row in parquet.read_table(path).to_pylist()]
    assert len(rows) == SAMPLES == len({row["photoid"] for row in rows})
    for row in rows:
        content = row["jpg"]["bytes"] if isinstance(row["jpg"], dict) else row["jpg"]
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert Image.open(io.BytesIO(content)).size == (row["width"], row["height"]) == (SIDE, SIDE)


def test_the_clean_caption_is_plain_and_the_other_is_encoded(sources: Path) -> None:
    for path in (sources / "commoncatalog").rglob("*.parquet"):
        for row in parquet.read_table(path).to_pylist():
            assert " " not in row["caption"]
            assert "style" not in row["blip2_caption"]
            assert set("+%") & set(row["caption"])
            assert unquote_plus(row["caption"]) != row["blip2_caption"].strip()
            assert -180 <= row["longitude"] <= 180
            assert -90 <= row["latitude"] <= 90
            assert row["exif"]


def test_some_licences_forbid_derivatives_and_each_row_has_an_author(tmp_path: Path) -> None:
    assert sum(write_commoncatalog(tmp_path, 1200, 1, 16)) == 1200
    paths = sorted(tmp_path.rglob("*.parquet"))
    assert [path.relative_to(tmp_path).parts[0] for path in paths] == ["0", "1", "2"]
    rows = [row for path in paths for row in parquet.read_table(path, columns=_COLUMNS).to_pylist()]
    allowed = Counter(allows_derivatives({"name": row["licensename"], "url": row["licenseurl"]}) for row in rows)
    assert 0.05 < allowed[False] / len(rows) < 0.15
    assert all(row["unickname"] and row["pageurl"] for row in rows)


_COLUMNS = ["licensename", "licenseurl", "unickname", "pageurl"]
