"""Train IPAdapter-Instruct: `python train.py experiment=joint` (--help lists the choices, --cfg job every key).

The same command continues a run that was interrupted. Outside `torchrun` and `accelerate launch` it starts one process
for each visible GPU; `-m` starts one run for each combination, e.g. `-m experiment=joint,single_style`. With
`launch=slurm` each run is submitted as a job.
"""

import logging
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from ipai.cluster.naming import Point, distinct
from ipai.config import parse
from ipai.errors import IpaiError, StoreError

_MISUSE = 2
_TRY_LATER = 75  # EX_TEMPFAIL: not the command's fault, so a scheduler may repeat it
_points: list[Point] = []  # Hydra calls `compose` once for each point; nothing starts before all are checked
_sweeping = False


def run(point: Point) -> int:
    """Train in this process, or start the processes that do; returns the exit code."""
    from ipai.launch.processes import inside_launcher, processes_wanted, run_processes

    processes = processes_wanted(point.config.launch)
    if inside_launcher() or (processes == 1 and not _sweeping):
        from ipai.training.run import train

        return train(point.config)
    return run_processes(list(point.overrides), processes)


def submit(points: list[Point]) -> None:
    """Hand each point to Slurm and say where it is."""
    from ipai.cluster.slurm import submit as submit_one

    for point in tqdm(points, unit="run", desc="submitting", disable=None if len(points) > 1 else True):
        done = submit_one(point)
        tqdm.write(f"{done.folder}: {done.words}", file=sys.stdout)


def start(points: list[Point]) -> int:
    """Run or submit the points of one command, in order; the first that fails ends it with its exit code."""
    from ipai.launch.processes import inside_launcher

    points = distinct(points)
    if points and points[0].config.launch.name == "slurm" and not inside_launcher():
        submit(points)
        return 0
    return next((code for code in map(run, points) if code), 0)


def guarded(points: list[Point]) -> int:
    """`start`, with errors that say what to do shown without a traceback."""
    try:
        return start(points)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        return _TRY_LATER if isinstance(error, StoreError) else _MISUSE


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def compose(raw: DictConfig) -> None:
    """Compose and check one point."""
    global _sweeping
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("ipai").setLevel(logging.INFO)
    job = HydraConfig.get()
    _sweeping = job.mode == RunMode.MULTIRUN
    try:
        _points.append(Point(parse(raw), tuple(job.overrides.task)))
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


if __name__ == "__main__":
    compose()
    if _points:
        sys.exit(guarded(_points))
