"""What `make demo` runs, command by command, with a handful of pictures and two steps."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from ipai.tasks import TASKS
from tests.data_builders.building import digests, samples_in
from tests.integration.conftest import run, start
from tests.shared_folder import made_once

BRIEF = ("train.steps=2", "validation.samples=2", "validation.images=0")


def places(folder: Path) -> tuple[str, str]:
    return f"all.sources={folder}/sources", f"all.output={folder}/shards"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sources, shards, and a run of two steps."""
    return made_once(tmp_path_factory, "demo", _make_demo)


def _make_demo(folder: Path) -> None:
    joint = ("train.py", "experiment=joint", "recipe=toy", "logger=none")
    for words in (
        ("scripts/make_toy_sources.py", f"output={folder}/sources", "samples=40"),
        ("scripts/build_datasets.py", "recipe=toy", *places(folder), "limit=12"),
        (*joint, f"data.root={folder}/shards", f"run={folder}/run", *BRIEF),
    ):  # fmt: skip
        done = run(*words)
        assert done.returncode == 0, done.stdout[-3000:]


def test_all_five_data_sets_are_built(demo: Path) -> None:
    for task in TASKS:
        samples = samples_in(demo / "shards" / task)
        assert {sample["json"]["task"] for sample in samples.values()} == {task}


def test_hugging_face_datasets_reads_all_five(demo: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for task in TASKS:
        folder = demo / "shards" / task
        files = {split: str(folder / f"{split}-*.tar") for split in ("train", "val")}
        loaded = datasets.load_dataset("webdataset", data_files=files, streaming=True)
        samples = {sample["__key__"]: sample for split in files for sample in loaded[split]}
        assert sorted(samples) == sorted(samples_in(folder))
        for sample in samples.values():
            assert sample["json"]["task"] == task
            assert sample["target.jpg"].size == (64, 64)
            assert ("cond.jpg" in sample) == (task != "copy")


@pytest.mark.slow
def test_all_five_killed_ten_times_give_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    sources, _ = places(demo)
    words = ("scripts/build_datasets.py", "recipe=toy", sources, f"all.output={tmp_path}", "limit=12")
    draw = random.Random(0)
    shards_at_kill: list[int] = []
    for _ in range(10):
        victim = start(*words)
        try:
            victim.wait(timeout=draw.uniform(2, 12))
        except subprocess.TimeoutExpired:
            victim.kill()
        victim.communicate()
        shards_at_kill.append(len(list(tmp_path.glob("*/*-*.json"))))
    assert any(0 < shards < 10 for shards in shards_at_kill), f"no kill fell into the building: {shards_at_kill}"
    done = run(*words)
    assert done.returncode == 0, done.stdout[-3000:]
    for task in TASKS:
        assert digests(tmp_path / task) == digests(demo / "shards" / task)


def test_a_build_that_lacks_its_source_is_named_and_the_others_are_made(tmp_path: Path, demo: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "celeba").symlink_to(demo / "sources" / "celeba")
    done = run("scripts/build_datasets.py", "recipe=toy", *places(tmp_path), "limit=8")
    assert done.returncode == 2
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["face", "done"] in lines
    assert ["copy", "MISSING,", "see", "above"] in lines
    assert str(tmp_path / "sources" / "coco") in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_the_report_shows_before_and_after_for_every_instruction(demo: Path) -> None:
    done = run("scripts/show_toy_run.py", str(demo / "run"), "--samples", "2")
    assert done.returncode == 0, done.stdout[-3000:]
    report = demo / "run" / "report"
    taken = json.loads((report / "taken.json").read_text())
    assert set(taken) >= {"before", "after"}
    page = (report / "index.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", ""), "the page does not stand alone"
    fixed = OmegaConf.load(demo / "run" / "config.yaml").instructions.fixed
    for task in TASKS:
        assert fixed[task].replace("{object}", "") in page.replace("{object}", "")
    assert Image.open(report / "instructions.png").width > 300


def test_the_users_own_instruction_is_answered_and_the_picture_says_how(demo: Path, tmp_path: Path) -> None:
    image = tmp_path / "condition.png"
    Image.effect_noise((64, 64), 90).convert("RGB").save(image)
    settings = (f"checkpoint={demo}/run", f"image={image}", "prompt=a red star", "steps=2", "seeds=[0,1]")
    order = ("scripts/generate.py", *settings, "instruction=take nothing but the colours")
    pictures = []
    for name in ("one.png", "two.png"):
        done = run(*order, f"output={tmp_path}/{name}")
        assert done.returncode == 0, done.stdout[-3000:]
        picture = Image.open(tmp_path / name)
        facts = json.loads(picture.info["ipai"])
        assert facts["settings"]["instruction"] == ["take nothing but the colours"]
        assert facts["settings"]["base"]["name"] == "toy"
        pictures.append(picture.convert("RGB").tobytes())
    assert picture.width == 2 * 64 + 4
    assert pictures[0] == pictures[1]
    done = run("scripts/generate.py", f"repeat={tmp_path}/one.png", f"output={tmp_path}/three.png")
    assert done.returncode == 0, done.stdout[-3000:]
    assert Image.open(tmp_path / "three.png").convert("RGB").tobytes() == pictures[0]


@pytest.mark.parametrize(
    ("words", "messages"),
    [(("steps=0", "output=x.jpg"), ("steps=0 must be at least 1", "must end in .png")), (("stepps=1",), ("stepps",))],
)
def test_mistakes_in_generating_end_with_2_and_a_message(
    demo: Path, words: tuple[str, ...], messages: tuple[str, ...]
) -> None:
    done = run("scripts/generate.py", f"checkpoint={demo}/run", "image=x.png", "instruction=use it", *words)
    assert done.returncode == 2
    assert [message for message in messages if message not in done.stdout] == []
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_the_permissive_recipe_asks_only_sources_that_may_be_shared_and_drops_the_others_photographs(
    demo: Path,
) -> None:
    """The toy photographs are too small for COCO's paper settings: every one is counted out, by licence or by side."""
    done = run("scripts/build_datasets.py", "recipe=permissive", *places(demo), "dry_run=true")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[0] for line in lines if line[-1:] == ["done"] or "MISSING," in line} == {"object", "structure"}
    assert "dropped: licence " in done.stdout, done.stdout[-3000:]
