"""Compute VAE moments and CLIP image tokens of shards once:  python scripts/cache_latents.py data.root=data/shards

`--help` lists the settings. One process for each visible GPU; the same command continues after an interruption.
"""

import os
import sys

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ipai.cli import command, started_as


@command("cache_latents")
def main(raw: DictConfig) -> int:
    """Fill the cache with a bar that counts samples; returns the exit code."""
    from ipai.caching.config import parse
    from ipai.launch.processes import inside_launcher, processes_wanted, run_processes

    config = parse(raw)
    processes = processes_wanted(config.launch)
    if processes > 1 and not inside_launcher():
        return run_processes(list(HydraConfig.get().overrides.task), processes, started_as("cache"))
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
