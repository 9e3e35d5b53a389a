"""Train IPAdapter-Instruct: `python train.py experiment=joint` (--help lists the choices, --cfg job every key).

The same command continues a run that was interrupted. Outside `torchrun` and `accelerate launch` it starts one process
for each visible GPU; `-m` starts one run for each combination, e.g. `-m experiment=joint,single_style`.
"""

import logging
import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ipai.config import TrainingRun, parse
from ipai.errors import IpaiError

_MISUSE = 2


def run(config: TrainingRun, overrides: list[str], sweeping: bool) -> int:
    """Train in this process, or start the processes that do; returns the exit code."""
    from ipai.training.launch import inside_launcher, processes_wanted, run_processes

    processes = processes_wanted(config.launch)
    if inside_launcher() or (processes == 1 and not sweeping):
        from ipai.training.run import train

        return train(config)
    return run_processes(overrides, processes)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(raw: DictConfig) -> Any:
    """Compose, check, train."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("ipai").setLevel(logging.INFO)
    try:
        job = HydraConfig.get()
        code = run(parse(raw), list(job.overrides.task), job.mode == RunMode.MULTIRUN)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        code = _MISUSE
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
