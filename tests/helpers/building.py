"""Runs builders in tests: through the library, and through the real command."""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from PIL import Image

from data_builders.coco.config import ObjectBuild
from data_builders.engine.config import parse
from data_builders.engine.plan import Plan
from data_builders.engine.report import Tally
from data_builders.engine.run import build, plan_build
from data_builders.registry import create_builder, schema_of

ROOT = Path(__file__).parents[2]
SMALL = ("image_size=64", "shard_size=4", "executor.workers=1")


def configure(source: Path, output: Path, *overrides: str) -> ObjectBuild:
    """The checked settings of `build_datasets.py` for a small source; later overrides win."""
    words = words_of(source, output, overrides)
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf" / "build")):
        raw = compose("build_datasets", overrides=words)
    config: ObjectBuild = parse(raw, schema_of(raw.task, raw.get("builder")))
    return config


def build_all(config: ObjectBuild) -> tuple[Plan, Tally]:
    """Plan and build in this process."""
    builder = create_builder(config)
    plan = plan_build(builder, config)
    tally = Tally()
    for progress in build(builder, config, plan):
        tally.add(progress)
    return plan, tally


def command(source: Path, output: Path, *overrides: str) -> list[str]:
    """The words of the real command for a small source."""
    script = str(ROOT / "scripts" / "build_datasets.py")
    return [sys.executable, script, *words_of(source, output, overrides)]


def words_of(source: Path, output: Path, overrides: Sequence[str]) -> list[str]:
    """The overrides for a small source, which is COCO's unless they name a task; rendered pairs have none."""
    if any(word.startswith("task=rendered_") for word in overrides):
        return [f"output={output}", *SMALL, *overrides]
    coco = () if any(word.startswith("task=") for word in overrides) else ("task=object", "source.split=val2017")
    return [f"source.root={source}", f"output={output}", *SMALL, *coco, *overrides]


def run_command(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, check=False)


def environment() -> dict[str, str]:
    """The environment of the command: this checkout is the one that is imported."""
    return os.environ | {"PYTHONPATH": str(ROOT)}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a task's folder but the lock, by name."""
    files = [path for path in folder.iterdir() if path.name != ".lock"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def samples_in(folder: Path, pattern: str = "*.tar") -> dict[str, dict[str, Any]]:
    """Every sample of the shards: `json` parsed and pictures opened, by key."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob(pattern)):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".", 1)
                file = tar.extractfile(member)
                assert file is not None
                content = file.read()
                value = json.loads(content) if extension == "json" else Image.open(io.BytesIO(content)).convert("RGB")
                found.setdefault(key, {})[extension] = value
    return found
