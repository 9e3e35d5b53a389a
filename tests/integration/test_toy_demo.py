"""What `make demo` runs, command by command, with a handful of pictures and two steps."""

import html
import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from ipai.evaluation.figures.config import FigureConfig
from ipai.evaluation.figures.drawing import draw_figure
from ipai.schema import typed
from ipai.tasks import TASKS
from tests.helpers.building import digests, samples_in
from tests.helpers.composing import CONF
from tests.helpers.shared_folder import made_once
from tests.integration.conftest import run, start

pytestmark = pytest.mark.slow

BRIEF = ("train.steps=2", "validation.samples=2", "validation.images=0")


def places(folder: Path) -> tuple[str, str]:
    return f"all.sources={folder}/sources", f"all.output={folder}/shards"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sources, shards, and a run of two steps."""
    return made_once(tmp_path_factory, "demo", _make_demo)


def _make_demo(folder: Path) -> None:
    joint = (
        "train.py",
        "experiment=joint",
        "recipe=toy",
        "logger=none",
        "data.latents=cache",
        "data.image_tokens=cache",
    )
    cache = (
        "scripts/cache_latents.py",
        f"data.root={folder}/shards",
        "base=toy",
        "image_tokens=true",
        "data.workers=0",
        "batch_size=32",
    )
    for words in (
        ("scripts/make_toy_sources.py", f"output={folder}/sources", "samples=40"),
        ("scripts/build_datasets.py", "recipe=toy", *places(folder), "limit=12"),
        (*cache, "launch.cpu_processes=2"),
        (*joint, f"data.root={folder}/shards", f"run={folder}/run", *BRIEF, "launch.cpu_processes=2"),
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


@pytest.mark.long
def test_all_five_killed_ten_times_give_the_same_bytes(demo: Path, tmp_path: Path) -> None:
    sources, _ = places(demo)
    words = ("scripts/build_datasets.py", "recipe=toy", sources, f"all.output={tmp_path}", "limit=12")
    draw = random.Random(0)
    shards_at_kill: list[int] = []
    for number in range(10):  # a moment after each shard is done
        victim, until = start(*words), time.monotonic() + 60
        while victim.poll() is None and len(list(tmp_path.glob("*/*-*.json"))) <= number and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.2))
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
    assert str(tmp_path / "sources" / "journeydb") in done.stdout
    assert "Traceback" not in done.stdout


EVALUATION = ("limit=2", "oracles=2", "crossed=2", "shown=2", "steps=2", "part_size=4")


@pytest.fixture(scope="module")
def report(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report's page after the picture and the two evaluations of `make demo`."""

    def make(folder: Path) -> None:
        shown = run("scripts/show_toy_run.py", f"{demo}/run", "--seeds", "1")
        assert shown.returncode == 0, shown.stdout[-3000:]
        for weights in ("start", "ema"):
            done = run("scripts/evaluate.py", f"run={demo}/run", f"weights={weights}", *EVALUATION)
            assert done.returncode == 0, done.stdout[-3000:]
        assert f"report: {demo}/run/report/index.html" in done.stdout

    made_once(tmp_path_factory, "demo-report", make)
    return demo / "run" / "report" / "index.html"


def scores_of(report: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((report.parents[1] / "evaluation" / "scores.json").read_text())
    return scores


@pytest.mark.ci
@pytest.mark.long
def test_the_report_stands_alone_and_shows_everything(report: Path) -> None:
    page = html.unescape(report.read_text())
    assert "http" not in page, "the page does not stand alone"
    for words in ("Toy world", "step 0", "the paper's joint", "1.1171", "minus step 0", "One image, 5 instructions",
                  "What the training did", "What the oracles find", "Not scored",
                  "curve against samples seen"):  # fmt: skip
        assert words in page, words
    scores = scores_of(report)
    for task in TASKS:
        assert f"{scores['tasks'][task]['clip_i']['mean']:.4f}" in page


def test_only_a_toy_run_is_shown_before_and_after(undisturbed: Path) -> None:
    done = run("scripts/show_toy_run.py", str(undisturbed.parents[1]))
    assert done.returncode == 2
    assert "base=toy" in done.stdout


@pytest.mark.ci
@pytest.mark.long
def test_a_browser_shows_the_report(report: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium or Chrome on this machine")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.getuid() == 0 else [])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        requests, mistakes = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: mistakes.append(message.text) if message.type == "error" else None)
        page.goto(report.as_uri())
        assert page.locator("#instructions + p + .scroll img").count() == 2 * (1 + len(TASKS))
        assert page.locator("h3").count() == len(TASKS)
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        samples = sum(of["clip_i"]["n"] for of in scores_of(report)["tasks"].values())
        assert page.locator("img[alt=target]").count() == samples
        assert page.evaluate("document.body.scrollWidth <= window.innerWidth")
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        assert mistakes == []
        browser.close()


@pytest.mark.ci
@pytest.mark.long
def test_every_figure_is_drawn_as_png_and_svg(report: Path, tmp_path: Path) -> None:
    folder = report.parents[1]
    brief = ("steps=1", "wordings=2", "seeds=2", "count=12")
    for number in (4, 5, 6, 7, 8, 9, 10):
        source = f"runs=[{folder}]" if number in (6, 7) else f"run={folder}"
        words = [
            f"figure={number}",
            source,
            f"output={tmp_path}",
            *brief,
            *(["controlnet=toy"] if number == 10 else []),
        ]
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            config = typed(compose("figures", overrides=words), FigureConfig)
        png, svg = draw_figure(config)
        picture = Image.open(png).convert("RGB")
        assert picture.width > 600, number
        assert len(picture.getcolors(1_000_000) or range(1000)) > 20, number
        assert svg.read_text().startswith("<?xml"), number
        before = png.read_bytes(), svg.read_bytes()
        if number in (4, 9):
            assert tuple(path.read_bytes() for path in draw_figure(config)) == before  # the same every time


@pytest.mark.ci
@pytest.mark.long
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
    [
        (("steps=0",), ("steps=0 must lie between 1 and 1000",)),
        pytest.param(("output=x.jpg",), ("must end in .png",), marks=pytest.mark.long),
        pytest.param(("stepps=1",), ("stepps",), marks=pytest.mark.long),
    ],
)
def test_mistakes_in_generating_end_with_2_and_a_message(
    demo: Path, words: tuple[str, ...], messages: tuple[str, ...]
) -> None:
    done = run("scripts/generate.py", f"checkpoint={demo}/run", "image=x.png", "instruction=use it", *words)
    assert done.returncode == 2
    assert [message for message in messages if message not in done.stdout] == []
    assert "Traceback" not in done.stdout


def test_the_permissive_recipe_asks_only_sources_that_may_be_shared_and_drops_the_others_photographs(
    demo: Path,
) -> None:
    """The toy photographs are too small for COCO's paper settings: every one is counted out, by licence or by side."""
    done = run("scripts/build_datasets.py", "recipe=permissive", *places(demo), "dry_run=true")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {line[0] for line in lines if line[-1:] == ["planned"] or "MISSING," in line} == {
        "copy",
        "style",
        "object",
        "structure",
        "face",
    }
    assert "dropped: licence " in done.stdout, done.stdout[-3000:]
