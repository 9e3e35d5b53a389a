"""What a run is made from, by content: told apart when it starts, compared when it goes on.

The cheap part is always taken: settings, the index of the shards, samples of large weights and the whole of small ones,
pools, and the caches' own tables. `verify=true` reads everything: shards and caches against the hashes in their
sidecars, and weights whole.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ipai.backbones.hub import resolve_file
from ipai.backbones.parts import files_of, row_of
from ipai.config import TrainingRun
from ipai.data.cache import IMAGE_TOKENS, LATENTS, cache_shard, null_path
from ipai.data.shards import ShardSet
from ipai.errors import CheckpointError, ConfigError, DataError
from ipai.files import fingerprint, sha256_of, write_json
from ipai.pipeline.sources import adapter_file, locate_adapter
from ipai.records import RecordError, read_record
from ipai.runs.run_folder import digest_of_settings

NAME = "made_from.json"
_SMALL = 64 << 20  # bytes that take a moment to read whole


def made_from(
    config: TrainingRun,
    shards: Iterable[ShardSet],
    instructions: Mapping[str, Mapping[str, tuple[str, ...]]],
    folders: Mapping[str, Path],
) -> dict[str, str]:
    """Digests of all that decides a run's numbers, by what they are of.

    Args:
        config: The run.
        shards: Of every task, for training and for validation.
        instructions: Split -> task -> the instructions to draw from.
        folders: Where the parts of the base lie that are read.

    Raises:
        DataError: With `verify=true`, a shard or a cache is not what its sidecar says.
        WeightsError: A file is missing.
    """
    shards = list(shards)
    facts = {"settings": digest_of_settings(config)}
    facts |= {f"shards of {held.name}, {held.split}": held.digest() for held in shards}
    for split, of_task in instructions.items():
        facts |= {f"instructions of {task}, {split}": _digest(texts) for task, texts in of_task.items()}
    files = dict(_weights(config, folders))
    facts |= {f"weights: {name}": _content(path) for name, path in files.items()}
    for kind in _cached(config):
        facts |= {f"{kind} cache of {held.name}, {held.split}": _tables(config, kind, held) for held in shards}
    if config.verify:
        _verify_sidecars(config, shards)
        facts |= {f"weights, whole: {name}": sha256_of(path) for name, path in files.items()}
    return facts


def compare(folder: Path, facts: Mapping[str, str], saved: Mapping[str, str] | None) -> None:
    """Write `made_from.json` of a new run; of one that goes on, refuse what differs.

    Args:
        folder: The run's.
        facts: What `made_from` tells now.
        saved: What the checkpoint says, from which the run goes on; None for a new run.

    Raises:
        ConfigError: Something is not what it was; the message lists it.
        CheckpointError: `made_from.json` is damaged.
    """
    path = folder / NAME
    then = _read(path) if saved is not None and path.exists() else {}
    if saved is not None:
        # The settings were compared before, in words; only `train.steps` can differ here.
        settings = {"settings": saved.get("settings", facts["settings"])}
        differing = [
            name for name, digest in facts.items() if then.get(name, digest) != digest and name not in settings
        ]
        differing += [f"{name} (gone)" for name in then.keys() - facts.keys() if "whole" not in name]
        same = digest_of({**facts, **settings})
        lost = not then and saved.get("made_from", same) != same
        if differing or lost:
            what = (
                "\n".join(f"  {name}" for name in sorted(differing)) or f"  something: {path} is gone, which told what"
            )
            raise ConfigError(
                f"{folder} was made from other files than are there now:\n{what}\nRestore them to continue it, or give "
                "a new name with run=NAME"
            )
    write_json(path, {**then, **facts})


def digest_of(facts: Mapping[str, str]) -> str:
    """One digest of the cheap facts, for the checkpoints."""
    return _digest(sorted((name, digest) for name, digest in facts.items() if "whole" not in name))


def refuse_shared_samples(training: Mapping[str, ShardSet], validation: Mapping[str, ShardSet]) -> None:
    """Raise a DataError if a sample is in both, so that a run would be validated on what it has seen."""
    for name in training.keys() & validation.keys():
        shared = training[name].keys() & validation[name].keys()
        if shared:
            raise DataError(
                f"{len(shared):,} samples of {name} are in its train-*.tar and its val-*.tar, such as {min(shared)}; "
                "take the copies out, or build the set again"
            )


def _verify_sidecars(config: TrainingRun, shards: list[ShardSet]) -> None:
    paths = [path for held in shards for path in held.local_files]
    paths += [
        cache_shard(config.data.cache_of(held.name), kind, held.task, path)
        for kind in _cached(config)
        for held in shards
        for path in held.local_files
    ]
    for path in tqdm(paths, unit="file", desc="verifying", delay=2, leave=False):
        sidecar = path.with_suffix(".json")
        said = _read(sidecar).get("sha256") if sidecar.exists() else None
        if said is None:
            continue  # a foreign shard, or a cache of an earlier version, says nothing
        if sha256_of(path) != said:
            raise DataError(f"{path} is not what {sidecar.name} says (SHA-256); make it again")


def _cached(config: TrainingRun) -> list[str]:
    wanted = {LATENTS: config.data.latents, IMAGE_TOKENS: config.data.image_tokens}
    return [kind for kind, source in wanted.items() if source == "cache"]


def _tables(config: TrainingRun, kind: str, held: ShardSet) -> str:
    root = config.data.cache_of(held.name)
    sidecars = [cache_shard(root, kind, held.task, path).with_suffix(".json") for path in held.files]
    null = [null_path(root)] if kind == IMAGE_TOKENS else []
    return _digest([sha256_of(path) for path in [*sidecars, *null]])


def _weights(config: TrainingRun, folders: Mapping[str, Path]) -> Iterator[tuple[str, Path]]:
    for part, folder in folders.items():
        names = files_of(row_of(part, config.base.family), folder)
        yield from ((f"{part}/{name}", folder / name) for name in names)
    if config.train.init_from is not None:
        yield "init_from", adapter_file(locate_adapter(config.train.init_from))
    elif config.base.adapter_init is not None:
        yield "adapter_init", resolve_file(config.base.adapter_init)


def _content(path: Path) -> str:
    return sha256_of(path) if path.stat().st_size <= _SMALL else fingerprint(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_record(path, dict[str, Any])
    except (OSError, RecordError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); remove it to go on without what it tells") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
