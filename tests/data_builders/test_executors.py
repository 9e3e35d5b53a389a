"""Pool, Ray and Slurm: the same bytes from each, and what becomes of a worker that dies."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from data_builders.engine.executors import run_jobs
from data_builders.engine.executors.config import ExecutorConfig, RayExecutor, SlurmExecutor
from ipai.errors import ConfigError, DataError
from tests.helpers.building import build_all, configure, digests

pytestmark = pytest.mark.slow

RAY = RayExecutor(name="ray", cpus=0.25)


def shard_of(folder: Path, number: int) -> int:
    """Stands for a shard: the process that gets number 1 first is killed."""
    mark = folder / "killed"
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def failing(number: int) -> int:
    raise DataError(f"source {number} is gone; bring it back")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, coco: Path) -> dict[str, str]:
    """What one process makes."""
    folder = tmp_path_factory.mktemp("reference")
    build_all(configure(coco, folder))
    return digests(folder / "object")


_LONG = pytest.mark.long  # a Ray worker takes ten seconds to start


@pytest.mark.parametrize("workers", [pytest.param(1, marks=_LONG), 2, pytest.param(4, marks=_LONG)])
def test_ray_makes_the_bytes_that_one_process_makes(
    tmp_path: Path, coco: Path, ray: None, reference: dict[str, str], workers: int
) -> None:
    config = configure(coco, tmp_path, "executor=ray", f"executor.workers={workers}", "executor.cpus=0.25")
    build_all(config)
    assert digests(tmp_path / "object") == reference


def test_four_pool_workers_make_them_too(tmp_path: Path, coco: Path, reference: dict[str, str]) -> None:
    build_all(configure(coco, tmp_path, "executor.workers=4"))
    assert digests(tmp_path / "object") == reference


@pytest.mark.ci
@_LONG
def test_a_killed_ray_worker_costs_what_it_had_in_hand(tmp_path: Path, ray: None) -> None:
    results = run_jobs(partial(shard_of, tmp_path), list(range(6)), RAY, needs_gpu=False)
    assert sorted(results) == [0, 1, 4, 9, 16, 25]
    assert (tmp_path / "killed").exists()


@_LONG
def test_a_ray_worker_that_always_dies_is_reported(ray: None) -> None:
    config = RayExecutor(name="ray", cpus=0.25, retries=1)
    with pytest.raises(DataError, match="died 2 times at the same shard"):
        list(run_jobs(os._exit, [3], config, needs_gpu=False))


def test_an_error_from_ray_is_the_one_that_was_raised(ray: None) -> None:
    with pytest.raises(DataError, match=r"^source 7 is gone; bring it back$"):
        list(run_jobs(failing, [7], RAY, needs_gpu=False))


def test_a_ray_without_room_is_refused(ray: None) -> None:
    with pytest.raises(ConfigError, match=r"too few for one worker of executor\.cpus=99"):
        list(run_jobs(abs, [1], RayExecutor(name="ray", cpus=99), needs_gpu=False))


def test_each_executor_refuses_the_others_keys(tmp_path: Path, coco: Path) -> None:
    for words, key in (
        (["executor.partition=gpu"], "executor.partition"),
        (["executor=ray", "executor.partition=gpu"], "executor.partition"),
        (["executor=slurm", "executor.address=here"], "executor.address"),
    ):
        with pytest.raises(Exception, match=key):
            configure(coco, tmp_path, *words)
    with pytest.raises(ConfigError, match=r"executor\.shards_per_job=0 must be above 0"):
        configure(coco, tmp_path, "executor=slurm", "executor.shards_per_job=0")


def test_the_executor_does_not_decide_the_bytes(tmp_path: Path, coco: Path) -> None:
    from data_builders.engine.config import hash_of

    hashes = {hash_of(configure(coco, tmp_path, f"executor={name}")) for name in ("pool", "ray", "slurm")}
    assert len(hashes) == 1


def slurm_config(folder: Path, **settings: object) -> SlurmExecutor:
    small = {"cpus": 1, "memory_gb": None, "minutes": 5, "shards_per_job": 2, "poll_seconds": 0.5, "workers": 2}
    return SlurmExecutor(name="slurm", folder=str(folder / "jobs"), **small | settings)  # type: ignore[arg-type]


def test_slurm_makes_the_bytes_that_one_process_makes(
    tmp_path: Path, coco: Path, slurm: None, reference: dict[str, str]
) -> None:
    config = configure(coco, tmp_path)
    config.executor = slurm_config(tmp_path)
    build_all(config)
    assert digests(tmp_path / "object") == reference


def test_a_lost_slurm_job_is_submitted_again(tmp_path: Path, slurm: None) -> None:
    results = run_jobs(partial(shard_of, tmp_path), list(range(5)), slurm_config(tmp_path), needs_gpu=False)
    assert sorted(results) == [0, 1, 4, 9, 16]
    assert (tmp_path / "killed").exists()


def test_an_error_in_a_slurm_job_is_the_one_that_was_raised(tmp_path: Path, slurm: None) -> None:
    with pytest.raises(DataError, match=r"^source 7 is gone; bring it back$"):
        list(run_jobs(failing, [7], slurm_config(tmp_path), needs_gpu=False))


def test_without_slurm_the_refusal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="there is no sbatch here"):
        list(run_jobs(abs, [1], slurm_config(tmp_path), needs_gpu=False))


def test_the_pool_stays_the_default(tmp_path: Path, coco: Path) -> None:
    assert type(configure(coco, tmp_path).executor) is ExecutorConfig
