"""Looking at shards: counts, drops, scores, and the sheet, through the real command."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.data_builders.building import ROOT, build_all, configure, environment


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
    command = [sys.executable, str(ROOT / "scripts" / "inspect_shards.py"), *words]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)


def test_the_table_and_the_page_say_what_there_is(shards: Path, tmp_path: Path) -> None:
    done = inspect(str(shards), "--output", str(tmp_path / "page.html"), "--samples", "5")
    assert done.returncode == 0, done.stderr
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
    assert done.returncode == 0, done.stderr
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
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_group_in_both_splits_is_a_warning(shards: Path, tmp_path: Path) -> None:
    for path in (shards / "copy").iterdir():
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    val, train = (tmp_path / "copy" / f"{split}-000000.json" for split in ("val", "train"))
    sidecar = json.loads(val.read_text())
    sidecar["samples"][0]["group"] = json.loads(train.read_text())["samples"][0]["group"]
    val.write_text(json.dumps(sidecar))
    assert "WARNING: 1 groups are in both splits" in inspect(str(tmp_path)).stdout
