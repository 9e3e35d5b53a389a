"""Looking at shards: counts, drops, scores, and the sheet, through the real command."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.browser import opened_page
from tests.helpers.building import build_all, configure, samples_in
from tests.integration.conftest import run


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve object pairs and ten copies; two of the former are said to have been dropped."""
    folder = tmp_path_factory.mktemp("shards")
    for task, samples in (("object", 12), ("copy", 10)):
        build_all(configure(folder, folder, f"task=rendered_{task}", f"samples={samples}"))
    path = folder / "object" / "train-000000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"drops": {"truncated": 2}}))
    return folder


def inspect(*words: str) -> subprocess.CompletedProcess[str]:
    return run("scripts/inspect_shards.py", *words)


def test_the_table_and_the_page_say_what_there_is(shards: Path, tmp_path: Path) -> None:
    done = inspect(str(shards), "--output", str(tmp_path / "page.html"), "--samples", "5")
    assert done.returncode == 0, done.stdout
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["object"][:2] == ["11", "1"]
    assert rows["object"][3:] == ["truncated", "2"]
    assert rows["copy"][3:] == ["nothing"]
    assert "WARNING" not in done.stdout
    page = (tmp_path / "page.html").read_text()
    body = page[page.index("<tbody>") :]
    assert body.count("<tr>") == 10
    assert body.count("data:image/jpeg;base64,") == 20
    assert "{object}" not in page
    assert 'src="http' not in page
    again = inspect(str(shards), "--output", str(tmp_path / "again.html"), "--samples", "5")
    assert again.returncode == 0
    assert (tmp_path / "again.html").read_text() == page


@pytest.mark.slow
def test_a_browser_shows_the_pictures_of_the_shards_and_finds_by_words(shards: Path, tmp_path: Path) -> None:
    assert inspect(str(shards), "--output", str(tmp_path / "page.html"), "--samples", "4").returncode == 0
    samples = samples_in(shards / "object") | samples_in(shards / "copy")
    with opened_page(f"file://{tmp_path}/page.html") as page:
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        page.on("request", lambda request: faults.append(request.url) if "data:" not in request.url[:5] else None)
        page.reload()
        rows = page.locator("#samples tbody tr")
        assert rows.count() == 8
        assert page.locator("#count").inner_text() == "8 of 8"
        for row in rows.all():
            key = row.locator("small").last.inner_text().split()[0]
            row.scroll_into_view_if_needed()
            target = row.locator("img").last
            page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=target.element_handle())
            task = key.split("-")[0]  # the same scene is the target of several tasks
            pictures = {other: sample["target.jpg"] for other, sample in samples.items() if other.startswith(task)}
            assert most_alike(target.screenshot(), pictures) == key
        page.fill("#search", "COPY")
        assert page.locator("#count").inner_text() == "4 of 8"
        assert [row.is_visible() for row in rows.all()].count(True) == 4
        page.fill("#search", "no such words")
        assert page.locator("#count").inner_text() == "0 of 8"
    assert [fault for fault in faults if not fault.startswith(f"file://{tmp_path}")] == []


def test_a_filter_counts_what_it_leaves_and_thresholds_are_shown(shards: Path, tmp_path: Path) -> None:
    words = (str(shards), "--output", str(tmp_path / "page.html"), "--tasks", "object", "--samples", "1")
    done = inspect(*words, "--filter", "slot == 'star'")
    assert done.returncode == 0, done.stdout
    left = int(done.stdout.splitlines()[1].split()[1])
    assert 0 < left < 11
    assert "left out by the filter: slot == 'star': " in done.stdout
    assert "nothing" not in done.stdout  # what was dropped while building is still told
    assert inspect(*words, "--filter", "os.system").returncode == 2


@pytest.mark.slow
def test_many_samples_come_in_pages_that_fit_a_phone(shards: Path, tmp_path: Path) -> None:
    assert inspect(str(shards), "--output", str(tmp_path / "page.html"), "--samples", "9").returncode == 0
    with opened_page(f"file://{tmp_path}/page.html", 390, 844) as page:
        visible = page.locator("#samples tbody tr:not([hidden])")
        assert (visible.count(), page.locator("#page").inner_text()) == (12, "1 of 2")
        assert page.locator("#back").is_disabled()
        page.click("#next")
        assert (visible.count(), page.locator("#page").inner_text()) == (6, "2 of 2")
        assert page.locator("#next").is_disabled()
        page.fill("#search", "copy")  # of a search the first page
        assert (visible.count(), page.locator("#page").inner_text()) == (9, "1 of 1")
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def most_alike(screenshot: bytes, pictures: dict[str, Image.Image]) -> str:
    """Which picture the browser drew. It may have drawn it half a pixel beside the grid, so lines are not compared."""

    def coarse(picture: Image.Image) -> np.ndarray:
        return np.asarray(picture.convert("RGB").resize((8, 8), Image.Resampling.BOX), dtype=float)

    seen = coarse(Image.open(io.BytesIO(screenshot)))
    return min(pictures, key=lambda key: float(np.abs(coarse(pictures[key]) - seen).mean()))


def test_captions_cannot_run_in_the_page(tmp_path: Path) -> None:
    """Captions come from strangers."""
    (tmp_path / "copy").mkdir()
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    record = json.dumps({"task": "copy", "prompt": hostile, "scores": {}, "source": {"dataset": hostile}}).encode()
    with tarfile.open(tmp_path / "copy" / "train-000000.tar", "w") as tar:
        for name, content in (("a.json", record), ("a.target.jpg", b"not a picture")):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    done = inspect(str(tmp_path))
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "inspection.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "there are no shards in nowhere"), ([".", "--tasks", "smell"], "there is no task 'smell'")],
)
def test_mistakes_end_with_2_and_a_message(words: list[str], message: str) -> None:
    done = inspect(*words)
    assert done.returncode == 2
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_a_group_in_both_splits_is_a_warning(shards: Path, tmp_path: Path) -> None:
    for path in (shards / "copy").iterdir():
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    val, train = (tmp_path / "copy" / f"{split}-000000.json" for split in ("val", "train"))
    sidecar = json.loads(val.read_text())
    sidecar["samples"][0]["group"] = json.loads(train.read_text())["samples"][0]["group"]
    val.write_text(json.dumps(sidecar))
    assert "WARNING: 1 groups are in both splits" in inspect(str(tmp_path)).stdout
