"""Compute VAE moments and CLIP image tokens of shards once:  python scripts/cache_latents.py data.root=data/shards

`--help` lists the settings. One process for each visible GPU; the same command continues after an interruption.
"""

import logging
import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="cache_latents")
def main(raw: DictConfig) -> None:
    """Compose, check, compute in this process or start those that do."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        code = run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        code = _MISUSE
    if code:
        sys.exit(code)


def run(raw: DictConfig) -> int:
    """Fill the cache with a bar that counts samples; returns the exit code."""
    from ipai.caching.config import parse
    from ipai.launch.processes import inside_launcher, processes_wanted, run_processes

    config = parse(raw)
    processes = processes_wanted(config.launch)
    if processes > 1 and not inside_launcher():
        return run_processes(list(HydraConfig.get().overrides.task), processes)
    from tqdm import tqdm

    from ipai.caching.building import fill_cache
    from ipai.caching.plan import plan_cache

    plan = plan_cache(config)
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    total = sum(len(work.samples) for work in plan.share(rank, world))
    if total:
        with tqdm(total=total, unit=" samples", desc="cache", disable=rank > 0, file=sys.stderr) as bar:
            fill_cache(config, plan, bar.update)
    if rank == 0:
        kinds, there = " and ".join(plan.identities), len(plan.works) - len(plan.todo)
        print(f"{config.data.cache_root}: {kinds} of {len(plan.todo)} shards written, {there} were there")
    return 0


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
