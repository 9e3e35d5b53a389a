"""From COCO files to a trained adapter with the commands of the README."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ipai.adapter.formats import load_adapter, read_metadata
from ipai.tasks import TASKS
from ipai.training.wandb_workspace import SECTIONS
from tests.integration.conftest import fingerprint, run, train, training_command


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_the_loss_on_fixed_noise_falls(undisturbed: Path) -> None:
    losses = [line["validation/loss"] for line in metrics(undisturbed.parents[1]) if "validation/loss" in line]
    assert len(losses) == 3  # before the first step, half-way, at the end
    assert losses[-1] < 0.99 * losses[0]


def test_the_run_folder_holds_what_it_should(undisturbed: Path) -> None:
    folder = undisturbed.parents[1]
    assert {"config.yaml", "environment.json", "metrics.jsonl", "checkpoints"} <= {p.name for p in folder.iterdir()}
    assert sorted(path.name for path in (folder / "checkpoints").glob("step-*")) == [
        f"step-{step:08d}" for step in (12, 18, 24)
    ]
    assert (folder / "checkpoints" / "latest").resolve() == undisturbed.resolve()


def test_what_the_saved_wandb_view_shows_is_logged(undisturbed: Path) -> None:
    logged = {name for line in metrics(undisturbed.parents[1]) for name in line}
    sections = ("Does it learn", "Is it healthy", "Is it fast")  # the others need a CLIP and an evaluation
    shown = {metric for section in sections for panel in SECTIONS[section].values() for metric in panel}
    of_other_tasks = {metric for metric in shown for task in TASKS if task != "object" and metric.endswith(f"/{task}")}
    assert shown - of_other_tasks <= logged | {f"loss/timestep/{start:04d}" for start in range(0, 1000, 100)}
    assert any(name.startswith("loss/timestep/") for name in logged)


@pytest.mark.parametrize("name", ["adapter.safetensors", "ema.safetensors"])
def test_a_checkpoint_is_an_adapter_file_that_says_where_it_belongs(undisturbed: Path, name: str) -> None:
    adapter = load_adapter(undisturbed / name)
    assert adapter.spec.instruction == "tokens"
    facts = read_metadata(undisturbed / name)
    assert (facts["base"], facts["random_weights"], facts["samples_seen"]) == ("micro-random", "true", "192")


def test_a_finished_run_is_left_as_it_is(shards: Path, undisturbed: Path) -> None:
    before = fingerprint(undisturbed)
    result = run(*training_command(shards, undisturbed.parents[1]))
    assert result.returncode == 0
    assert "is finished" in result.stdout
    assert fingerprint(undisturbed) == before


def test_a_changed_configuration_is_refused_with_the_difference(shards: Path, undisturbed: Path) -> None:
    result = run(*training_command(shards, undisturbed.parents[1], "train.learning_rate=0.5"))
    assert result.returncode == 2
    assert "train.learning_rate: 0.0003 -> 0.5" in result.stdout
    assert "Traceback" not in result.stdout


def test_a_dry_run_says_its_facts_and_writes_nothing(shards: Path, tmp_path: Path) -> None:
    result = run(*training_command(shards, tmp_path / "run", "dry_run=true"))
    assert result.returncode == 0, result.stdout
    for fact in (
        "trainable parameters 395,488; frozen ",
        "GFLOP a sample",
        "a checkpoint has",
        "GiB a process in bfloat16",
    ):
        assert fact in result.stdout
    assert "object: 22 samples in 1 shards" in result.stdout
    assert not (tmp_path / "run").exists()


def test_missing_shards_and_unknown_keys_are_one_clear_line(tmp_path: Path) -> None:
    result = run(*training_command(tmp_path, tmp_path / "run"))
    assert result.returncode == 2
    assert "there are no train-*.tar of object" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (tmp_path / "run").exists()  # a start that failed leaves nothing behind


@pytest.mark.parametrize(
    "script",
    [
        "train.py",
        *(f"scripts/{name}.py" for name in ("build_datasets", "generate", "export", "app")),
        *(f"scripts/{name}.py" for name in ("evaluate", "compare", "figures", "reproduce_toy")),
    ],
)
@pytest.mark.slow
def test_help_shows_examples(script: str) -> None:
    result = run(script, "--help")
    assert result.returncode == 0, result.stdout
    assert f"python {script}" in result.stdout


@pytest.mark.ci
@pytest.mark.long
def test_a_sweep_trains_each_point_in_its_own_folder(shards: Path, tmp_path: Path) -> None:
    script, *keys = training_command(shards, tmp_path, "train.seed=0,1", f"runs_root={tmp_path}")
    kept = [key for key in keys if not key.startswith(("run=", "train.steps="))]
    result = run(script, "-m", *kept, "train.steps=2", "run=seed-${train.seed}")
    assert result.returncode == 0, result.stdout
    weights = [load_file(tmp_path / f"seed-{seed}/checkpoints/latest/adapter.safetensors") for seed in (0, 1)]
    assert not torch.equal(weights[0]["image_proj.latents"], weights[1]["image_proj.latents"])


@pytest.mark.slow
def test_bf16_trains_with_fp32_masters(shards: Path, tmp_path: Path) -> None:
    final = train(shards, tmp_path / "run", "base.dtype=bf16", "validation.images=1", "validation.image_steps=2")
    adapter = load_file(final / "adapter.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    losses = [line["validation/loss"] for line in metrics(tmp_path / "run") if "validation/loss" in line]
    assert losses[-1] < losses[0]
    assert list((tmp_path / "run" / "samples").glob("*-object.png"))


def test_a_diverging_run_stops_names_the_samples_and_keeps_the_last_good_checkpoint(
    shards: Path, tmp_path: Path
) -> None:
    result = run(
        *training_command(shards, tmp_path / "run", "train.learning_rate=1e18", "train.clip_norm=null",
                          "train.warmup_steps=24", "checkpoint.every=1", "logger.every=1", "train.epsilon=1e-30")
    )  # fmt: skip
    assert result.returncode == 2
    assert "is NaN or infinite: object/" in result.stdout
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert checkpoints
    for name in ("adapter.safetensors", "ema.safetensors"):
        for checkpoint in checkpoints:
            assert all(tensor.isfinite().all() for tensor in load_file(checkpoint / name).values())


def test_wandb_offline_keeps_one_id_for_the_life_of_the_folder(shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    overrides = ("logger=offline", "checkpoint.every=2")
    first = [part for part in training_command(shards, folder, *overrides) if not part.startswith("train.steps")]
    for _ in range(2):
        assert run(*first, "train.steps=4").returncode == 0
    run_id = (folder / "wandb" / "run_id").read_text().strip()
    assert list((folder / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))
