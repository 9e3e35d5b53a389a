"""`scripts/cache_latents.py`, killed and repeated."""

import signal
import time
from pathlib import Path

import pytest

from ipai.files import sha256_of
from tests.caching.test_cache import make_cache
from tests.integration.conftest import run, start


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.rglob("*.*") if path.suffix in (".tar", ".json", ".npy")}


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.long
def test_killed_and_repeated_the_cache_is_the_same(shards: Path, tmp_path: Path) -> None:
    overrides = ["base=micro", f"data.root={shards}", "data.workers=0", "image_tokens=false", "batch_size=3"]
    cache = tmp_path / "killed"
    killed = start("scripts/cache_latents.py", *overrides, f"data.cache={cache}")
    while killed.poll() is None and not list(cache.rglob("*.json")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    again = run("scripts/cache_latents.py", *overrides, f"data.cache={cache}")
    assert again.returncode == 0, again.stdout
    make_cache(shards, f"data.cache={tmp_path / 'whole'}", "image_tokens=false")
    assert hashes(cache) == hashes(tmp_path / "whole")
