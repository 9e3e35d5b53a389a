"""All builds of the paper's recipe: planned and checked as a whole before anything is downloaded, asked or made."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_builders.engine import room
from ipai.errors import DataError
from ipai.toyworld.sources.config import SourcesConfig
from ipai.toyworld.sources.write import write_sources
from tests.helpers.building import ROOT, run_command

pytestmark = pytest.mark.slow

TASKS = ("copy", "style", "object", "structure", "face")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world's sources in the real layouts and at a real size."""
    folder = tmp_path_factory.mktemp("sources") / "all"
    for _ in write_sources(SourcesConfig(output=str(folder), samples=24, size=512, seed=0)):
        pass
    return folder


def words(sources: Path, output: Path, *overrides: str) -> list[str]:
    places = (f"all.sources={sources}", f"output={output}", "executor.workers=1")
    return [str(ROOT / "scripts/build_datasets.py"), *places, *overrides]


def run(sources: Path, output: Path, *overrides: str) -> SimpleNamespace:
    done = run_command([sys.executable, *words(sources, output, *overrides)], output.parent)
    ends = {line.split()[0]: " ".join(line.split()[1:]) for line in done.stdout.splitlines()[-len(TASKS) :]}
    return SimpleNamespace(code=done.returncode, ends=ends, told=done.stderr)


def test_all_five_are_planned_with_no_setting_but_the_place(sources: Path, tmp_path: Path) -> None:
    done = run(sources, tmp_path / "shards", "dry_run=true")
    assert (done.code, done.ends) == (0, dict.fromkeys(TASKS, "planned")), done.told
    assert not (tmp_path / "shards").exists()


def test_all_that_is_missing_is_said_before_weights_are_looked_for(sources: Path, tmp_path: Path) -> None:
    shutil.copytree(sources, tmp_path / "sources")
    for name in ("coco", "celeba", "prompts.txt"):
        gone = tmp_path / "sources" / name
        gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    done = run(tmp_path / "sources", tmp_path / "shards")
    missing = dict.fromkeys(("style", "object", "face"), "MISSING, see above")
    assert (done.code, done.ends) == (2, missing | {"copy": "done", "structure": "FAILED, see above"}), done.told
    places = [done.told.index(text) for text in ("error: style:", "error: object:", "error: face:", "lacks 6 part(s)")]
    assert places == sorted(places)


def test_a_missing_key_is_said_before_weights_are_looked_for(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path / "cache"))
    done = run(sources, tmp_path / "shards", "all.style_captions=openai")
    assert done.ends["style"] == "MISSING, see above"
    assert "error: style: the environment variable OPENAI_API_KEY is not set" in done.told
    assert "instantstyle_sdxl lacks" not in done.told


def test_too_small_a_disk_is_refused_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000_000))
    room.refuse_too_little(1_000_000_000, tmp_path / "not" / "there")
    with pytest.raises(DataError, match=r"has 2\.0 GB free, and the shards take 3\.0 GB at the least"):
        room.refuse_too_little(3_000_000_000, tmp_path / "not" / "there")
