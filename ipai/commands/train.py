"""Train IPAdapter-Instruct: `python train.py experiment=joint` (--help lists the choices, --cfg job every key).

The same command continues a run that was interrupted. Outside `torchrun` and `accelerate launch` it starts one process
for each visible GPU; `-m` starts one run for each combination, e.g. `-m experiment=joint,single_style`. With
`launch=slurm` each run is submitted as a job.
"""

import sys

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from ipai.cli import command, guarded, started_as
from ipai.cluster.naming import Point, distinct
from ipai.config import parse

_points: list[Point] = []  # Hydra calls `compose` once for each point; nothing starts before all are checked
_sweeping = False


def run(point: Point) -> int:
    """Train in this process, or start the processes that do; returns the exit code."""
    from ipai.launch.processes import inside_launcher, processes_wanted, run_processes

    processes = processes_wanted(point.config.launch)
    if inside_launcher() or (processes == 1 and not _sweeping):
        from ipai.training.run import train

        return train(point.config)
    return run_processes(list(point.overrides), processes, started_as("train"))


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


@command("train", progress=True)
def compose(raw: DictConfig) -> None:
    """Compose and check one point."""
    global _sweeping
    job = HydraConfig.get()
    _sweeping = job.mode == RunMode.MULTIRUN
    _points.append(Point(parse(raw), tuple(job.overrides.task)))


def main() -> None:
    """Compose every point of the command, then start them."""
    compose()
    if _points:
        sys.exit(guarded(lambda: start(_points)))
