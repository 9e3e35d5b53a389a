"""The real evaluation of the miniature's run: the same numbers whenever and however often it is killed, and errors."""

import io
import json
import shutil
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml
from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel
from hydra import compose, initialize_config_dir
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ipai.data.images import square_box
from ipai.errors import CheckpointError, ConfigError, DataError, WeightsError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.evaluating import Evaluated, evaluate
from ipai.evaluation.reporting.report import write_report
from ipai.evaluation.sampling.image_shards import read_part
from ipai.files import sha256_of
from ipai.schema import typed
from tests.helpers.answering_miniature import write_llava
from tests.helpers.composing import CONF
from tests.helpers.likeness_miniatures import write_csd, write_dino, write_faces
from tests.helpers.model_server import KEY, says, serving
from tests.helpers.small_pipeline import make_pipeline
from tests.integration.conftest import run, start

pytestmark = pytest.mark.slow
SMALL = ("limit=5", "part_size=2", "batch_size=2", "steps=2", "wandb=off", "clip.batch_size=4")


@contextmanager
def no_bar(_what: str, _total: int) -> Any:
    yield lambda _count: None


def evaluation(*overrides: str) -> Evaluated:
    """What scripts/evaluate.py does, in this process."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        raw = compose("evaluate", overrides=[*SMALL, *overrides])
    return evaluate(typed(raw, EvaluationConfig), no_bar)


def digests(folder: Path) -> dict[str, str]:
    """The hash of every file of an evaluation but its lock."""
    return {str(p.relative_to(folder)): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix}


@pytest.fixture(scope="module")
def held_out(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training shards as validation shards: the source's own validation samples are two."""
    root = tmp_path_factory.mktemp("held-out")
    (root / "object").mkdir()
    for path in (shards / "object").glob("train-*.tar"):
        shutil.copy(path, root / "object" / path.name.replace("train", "val"))
    return root


@pytest.fixture(scope="module")
def folder(undisturbed: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose data has enough held-out samples."""
    copied = tmp_path_factory.mktemp("runs") / "run"
    shutil.copytree(undisturbed.parents[1], copied, symlinks=True)
    config = yaml.safe_load((copied / "config.yaml").read_text())
    config["data"]["root"] = str(held_out)
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    return copied


def test_pictures_in_another_precision_are_others_and_nearly_the_same(folder: Path, tmp_path: Path) -> None:
    words = (f"run={folder}", "oracles=0", "crossed=0", f"output={tmp_path}/out")
    full = evaluation(*words)
    half = evaluation(*words, "dtype=bf16")
    assert (full.scores["settings"]["dtype"], half.scores["settings"]["dtype"]) == ("float32", "bfloat16")
    wanted, found = (one.scores["tasks"]["object"]["clip_i"]["mean"] for one in (full, half))
    assert wanted != found, "drawn anew"
    assert found == pytest.approx(wanted, abs=0.05)
    with pytest.raises(ConfigError, match="dtype=bf16 is of the run's base, and weights=instruct_pix2pix draws with"):
        evaluation(*words, "dtype=bf16", "weights=instruct_pix2pix")


def test_a_baseline_of_other_settings_is_shown_and_not_compared(folder: Path, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    shutil.copytree(folder, run_folder, symlinks=True)
    words = (f"run={run_folder}", "oracles=0", "crossed=0")
    evaluation(*words, "weights=start", "steps=3")
    done = evaluation(*words)
    told = "evaluated with other settings, so not compared"
    assert told in write_report(run_folder, done, 1).read_text()
    evaluation(*words, "weights=start")
    assert told not in write_report(run_folder, done, 1).read_text()


def test_measures_with_weights_of_their_own_are_asked_for_by_name(folder: Path, tmp_path: Path) -> None:
    for name in ("csd", "dino"):
        (tmp_path / name).mkdir()
    write_csd(tmp_path / "csd")
    write_dino(tmp_path / "dino")
    files = dict(zip(("face_detector", "face_recogniser"), write_faces(tmp_path), strict=True))
    places = {name: tmp_path / name for name in ("csd", "dino")} | files | {"vqa": write_llava(tmp_path / "llava")}
    weights = [f"measure_weights.{name}.id={place}" for name, place in places.items()]
    names = "measures=[csd,dino_i,dino_structure,face_id,vqa]"
    done = evaluation(f"run={folder}", f"output={tmp_path}/out", names, *weights, "limit=2")
    assert {"csd", "dino_i", "dino_structure", "vqa_p", "vqa_t"} <= done.scores["tasks"]["object"].keys()
    assert str(tmp_path) not in json.dumps(done.scores["measures"]), "a folder of this machine"
    assert done.scores["measures"]["face_id"]["identity"].startswith("face-")
    assert done.scores["measures"]["csd"]["identity"].startswith("csd-")
    assert "## Taken and leaked" in (tmp_path / "out" / "table.md").read_text()
    assert "csd" in pyarrow.parquet.read_table(tmp_path / "out" / "scores.parquet").column_names
    with pytest.raises(WeightsError, match="cannot find"):
        evaluation(
            f"run={folder}", f"output={tmp_path}/b", "measures=[csd]", "measure_weights.csd.id=./none", "limit=2"
        )
    assert not list((tmp_path / "b").rglob("*.tar")), "said before anything was drawn"
    with pytest.raises(ConfigError, match="measures=clip is none of csd"):
        evaluation(f"run={folder}", f"output={tmp_path}/b", "measures=[clip]")


def test_instruct_pix2pix_is_a_row_of_its_own_and_draws_what_diffusers_draws(folder: Path, tmp_path: Path) -> None:
    editor = write_editor(tmp_path / "editor")
    words = (f"run={folder}", "weights=instruct_pix2pix", f"instruct_pix2pix.id={editor}", "limit=3", "oracles=0")
    words += ("instruct_pix2pix.resolution=64",)
    done = evaluation(
        *words, "crossed=0", "scheduler=ddim", "instruct_pix2pix.guidance_scale=7", f"output={tmp_path}/out"
    )
    assert done.scores["models"]["instruct_pix2pix"].startswith("editor (")
    assert "instruct_pix2pix, as it was released" in (tmp_path / "out" / "table.md").read_text()
    part = done.parts[0]
    question, content = next(iter(read_part(part)))
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(editor, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    condition = part.source.condition(question)
    theirs = pipe(
        prompt=f"{question.instruction}: {question.prompt}", negative_prompt="", num_inference_steps=2,
        image=condition.resize((64, 64), Image.Resampling.LANCZOS, box=square_box(condition)),
        guidance_scale=7, image_guidance_scale=1.5, generator=torch.Generator().manual_seed(question.seed),
    ).images[0]  # fmt: skip
    ours = Image.open(io.BytesIO(content))
    assert np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max() <= 1
    with pytest.raises(WeightsError, match=r"lacks 5 part(.|\n)*Point the id of instruct_pix2pix at a local folder"):
        evaluation(*words, f"instruct_pix2pix.id={tmp_path}/none", f"output={tmp_path}/b")
    with pytest.raises(ConfigError, match=r"instruct_pix2pix\.wording='x' must hold \{prompt\}"):
        evaluation(*words, "instruct_pix2pix.wording=x", f"output={tmp_path}/b")


def write_editor(folder: Path) -> Path:
    """A miniature of it: a UNet that sees the condition's latents beside its own."""
    pipe = make_pipeline()
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config({**pipe.unet.config, "in_channels": 2 * pipe.unet.config.in_channels})
    parts = {name: getattr(pipe, name) for name in ("vae", "text_encoder", "tokenizer")}
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    StableDiffusionInstructPix2PixPipeline(
        unet=unet, scheduler=scheduler, **parts, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_language_model_judges_what_was_drawn(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    verdict = {"reasons": "alike", "style": 8, "composition": 1, "object": 3, "face": None}
    words = (f"run={folder}", "measures=[judge]", f"judge.cache={tmp_path}/answers.sqlite", "limit=2", "oracles=0")
    with serving(lambda _: says(verdict)) as server:
        done = evaluation(*words, f"output={tmp_path}/out", f"judge.base_url={server.url}")
        asked = len(server.requests)
    assert asked == sum(row["judge_style"] is not None for row in done.rows) > 0
    assert done.scores["tasks"]["object"]["judge_style"]["mean"] == 0.8
    assert "judge_face" not in done.scores["tasks"]["object"]
    page = (tmp_path / "out" / "table.md").read_text()
    assert "judged style, judged composition, judged object, judged face: gpt-4o (as its server says)" in page
    assert KEY not in (tmp_path / "out" / "scores.json").read_text()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):  # before anything is drawn
        evaluation(f"run={folder}", "measures=[judge]", f"judge.cache={tmp_path}/none", f"output={tmp_path}/c")
    assert not (tmp_path / "c").exists()


@pytest.mark.ci
@pytest.mark.long
def test_two_evaluations_and_a_killed_one_leave_the_same_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation(f"run={folder}", f"output={tmp_path}/one")
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path / "cache"))  # so that nothing is read from a cache of embeddings
    words = ("scripts/evaluate.py", f"run={folder}", f"output={tmp_path}/two", *SMALL)
    victim = start(*words)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "two").glob("images-*/object-000000.tar")):
        assert victim.poll() is None, victim.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.kill()
    victim.communicate()
    assert not (tmp_path / "two" / "scores.json").exists()
    result = run(*words)
    assert result.returncode == 0, result.stdout
    assert "RANDOM weights" in result.stdout
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert len(digests(tmp_path / "one")) >= 3 + 2


def test_what_is_written_agrees(folder: Path, tmp_path: Path) -> None:
    done = evaluation(f"run={folder}", f"output={tmp_path}/out", "seeds_per_sample=2", "limit=3", "part_size=3")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    assert rows == done.rows
    assert len(rows) == 6
    assert [row["number"] for row in rows] == [0, 1] * 3
    assert len({row["seed"] for row in rows}) == 6
    assert [row["diversity"] is None for row in rows] == [False, True] * 3
    assert scores["tasks"]["object"]["clip_i"]["n"] == 3
    assert scores["tasks"]["object"]["clip_i"]["mean"] == pytest.approx(sum(row["clip_i"] for row in rows) / 6)
    assert (scores["run"], scores["step"], scores["samples_seen"], scores["random_weights"]) == ("run", 24, 192, True)
    parts = sorted((tmp_path / "out").glob("images-*/*.tar"))
    assert [path.name for path in parts] == ["object-000000.tar", "object-000001.tar"]
    with tarfile.open(parts[0]) as tar:
        picture = Image.open(io.BytesIO(tar.extractfile(f"{rows[0]['key']}.png").read()))  # type: ignore[union-attr]
    assert picture.size == (64, 64)


def test_seeds_and_wordings_belong_to_the_sample_and_not_to_the_run(folder: Path, tmp_path: Path) -> None:
    few = evaluation(f"run={folder}", f"output={tmp_path}/few", "limit=2", "weights=raw")
    more = evaluation(f"run={folder}", f"output={tmp_path}/more", "limit=4", "weights=start")
    asked = [{key: row[key] for key in ("key", "seed", "instruction", "prompt")} for row in few.rows + more.rows[:2]]
    assert asked[:2] == asked[2:]
    assert [row["clip_i"] for row in few.rows] != [row["clip_i"] for row in more.rows[:2]]
    fixed = evaluation(f"run={folder}", f"output={tmp_path}/fixed", "limit=2", "instructions=fixed")
    assert all(row["instruction"].startswith("use the ") for row in fixed.rows)
    assert [row["seed"] for row in fixed.rows] == [row["seed"] for row in few.rows]


def test_step_0_draws_what_ip_adapter_plus_draws(folder: Path, tmp_path: Path) -> None:
    for weights in ("start", "ip_adapter_plus"):
        evaluation(f"run={folder}", f"weights={weights}", "limit=2", f"output={tmp_path}/{weights}")
    pictures = [sorted((tmp_path / name).glob("images-*/*.tar")) for name in ("start", "ip_adapter_plus")]
    assert [[sha256_of(path) for path in paths] for paths in pictures[:1]] == [
        [sha256_of(path) for path in paths] for paths in pictures[1:]
    ]


def test_a_changed_setting_draws_anew_and_removes_what_has_no_scores(folder: Path, tmp_path: Path) -> None:
    for scale in (0.5, 0.9):
        done = evaluation(f"run={folder}", f"output={tmp_path}/out", "limit=2", f"scale={scale}")
        assert done.scores["settings"]["sampling"]["object"]["scale"] == scale
        assert len(list((tmp_path / "out").glob("images-*"))) == 1


def test_where_an_evaluation_goes(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(folder, copied, symlinks=True)
    checkpoint = copied / "checkpoints" / "step-00000018"
    done = evaluation(f"checkpoint={checkpoint}", "limit=1", "weights=raw")
    assert done.folder == copied / "evaluation" / "step-00000018-raw"
    assert done.scores["step"] == 18


def test_a_checkpoint_of_another_architecture_is_told(folder: Path, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the adapter was made for a UNet with"):
        evaluation(
            f"checkpoint={folder}/checkpoints/latest/adapter.safetensors", "base=toy", f"data.root={shards}",
            f"output={tmp_path}", "tasks=[object]",
        )  # fmt: skip


def test_an_empty_validation_set_is_told(folder: Path, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "object").mkdir()
    words = (f"run={folder}", f"data.root={tmp_path}", f"output={tmp_path}/out")
    with pytest.raises(DataError, match="there are no shards"):
        evaluation(*words)
    with tarfile.open(tmp_path / "object" / "val-000000.tar", "w"):
        pass
    with pytest.raises(DataError, match="hold no samples"):
        evaluation(*words)


def _without(tar: Path, copy: Path, suffix: str) -> None:
    """Copy a shard without its first member of that suffix."""
    left_out = False
    with tarfile.open(tar) as old, tarfile.open(copy, "w") as new:
        for member in old:
            if not left_out and member.name.endswith(suffix):
                left_out = True
                continue
            new.addfile(member, old.extractfile(member))


def test_a_missing_image_is_told(folder: Path, held_out: Path, tmp_path: Path) -> None:
    (tmp_path / "object").mkdir()
    _without(next((held_out / "object").glob("val-*.tar")), tmp_path / "object" / "val-000000.tar", ".cond.jpg")
    with pytest.raises(DataError, match="has no cond"):
        evaluation(f"run={folder}", f"data.root={tmp_path}", f"output={tmp_path}/out")
    done = evaluation(f"run={folder}", f"output={tmp_path}/out", "limit=2")
    part = done.parts[0].path
    _without(part, part.with_suffix(".new"), ".png")
    part.with_suffix(".new").replace(part)
    with pytest.raises(DataError, match=r"the picture of object/\S+ is missing from"):
        evaluation(f"run={folder}", f"output={tmp_path}/out", "limit=2")


def test_a_nan_image_is_told_and_not_scored(folder: Path, tmp_path: Path) -> None:
    latest = folder / "checkpoints" / "latest" / "adapter.safetensors"
    state = load_file(latest)
    state["ip_adapter.1.to_v_ip.weight"] *= 1e38  # finite, as NaN in a file is refused when it is read
    with safe_open(latest, "pt") as file:
        save_file(state, tmp_path / "broken.safetensors", file.metadata())
    with pytest.raises(DataError, match=r"the picture of seed \d+ and the prompt .* is NaN or infinite"):
        evaluation(f"run={folder}", f"checkpoint={tmp_path}/broken.safetensors", f"output={tmp_path}/out")
    assert not list((tmp_path / "out").rglob("*.tar"))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((), "give run=FOLDER or checkpoint=FILE"),
        (("run=nowhere",), "nowhere is no run folder"),
        (("run=x", "guidance=many", "limit=0"), "guidance=many is none of"),
        (("checkpoint=x", "weights=start"), "give run= and no checkpoint="),
        (("run=x", "+scale_by_task.moon=1.0"), "scale_by_task=moon is none of"),
    ],
)
def test_settings_that_cannot_work_are_told(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=says):
        evaluation(*overrides)


@pytest.mark.long
@pytest.mark.parametrize("artist", [pytest.param("adapter", marks=pytest.mark.ci), "instruct_pix2pix"])
def test_several_processes_draw_the_same(folder: Path, tmp_path: Path, artist: str) -> None:
    words = [f"run={folder}", "limit=4", "device=cpu"]
    if artist == "instruct_pix2pix":
        words += ["weights=instruct_pix2pix", f"instruct_pix2pix.id={write_editor(tmp_path / 'editor')}"]
        words += ["instruct_pix2pix.resolution=64", "oracles=0", "crossed=0"]
    for processes in (1, 2):
        evaluation(*words, f"output={tmp_path}/{processes}", f"processes={processes}")
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
