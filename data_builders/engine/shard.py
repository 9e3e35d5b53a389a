"""Building one shard: a pure function of its plan. The tar is written aside and renamed; the sidecar comes last.

A shard is done when its sidecar is there, so a build may be killed at any moment and is continued by the same command.
"""

import hashlib
import io
import json
import logging
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_builders.engine.plan import ShardPlan
from data_builders.engine.records import BatchBuilder, Builder, Drop, Record, Sample
from ipai.errors import DataError
from ipai.files import atomic_path, sha256_of, write_json
from ipai.records import RecordError, read_record

logger = logging.getLogger(__name__)

# Fewer losses than this say nothing about a source, however small the shard.
_DROPS_ALWAYS_ALLOWED = 10


@dataclass(frozen=True)
class Stamp:
    """What the shards of one build have in common; it is written to every sidecar and, in short, to every sample."""

    task: str
    builder: str
    builder_version: int
    config_hash: str


def build_shard(
    builder: Builder, plan: ShardPlan, stamp: Stamp, folder: Path, max_drop_fraction: float
) -> dict[str, Any]:
    """Build `<folder>/<plan.name>.tar` and its sidecar; return what the sidecar holds.

    Raises:
        DataError: Too many samples were dropped, the source cannot be read, or the shard cannot be written. Then the
            sidecar does not appear.
    """
    with writing(folder):
        tar = folder / f"{plan.name}.tar"
        with atomic_path(tar) as aside:
            samples, dropped = _write_tar(aside, builder, plan, stamp)
            _refuse_many_drops(plan, dropped, max_drop_fraction)
        sidecar = {
            **asdict(stamp),
            "shard": plan.name,
            "split": plan.split,
            "plan_hash": plan.hash,
            "planned": len(plan.records),
            "count": len(samples),
            "bytes": tar.stat().st_size,
            "sha256": sha256_of(tar),
            "drops": dict(Counter(entry["reason"] for entry in dropped)),
            "dropped": dropped,
            "samples": samples,
        }
        write_json(folder / f"{plan.name}.json", sidecar)
    return sidecar


def finished(plan: ShardPlan, stamp: Stamp, folder: Path, verify: bool) -> dict[str, Any] | None:
    """The sidecar of a shard that is done, or None where it is still to be built.

    A tar whose size differs from the sidecar's (or, with `verify`, whose SHA-256 does) counts as not built.

    Raises:
        DataError: The sidecar belongs to another build.
    """
    path, tar = folder / f"{plan.name}.json", folder / f"{plan.name}.tar"
    if not path.exists():
        return None
    sidecar = _read_sidecar(path)
    if (sidecar.get("config_hash"), sidecar.get("plan_hash")) != (stamp.config_hash, plan.hash):
        raise DataError(f"{path} belongs to a build with other settings or another source; choose another output=")
    if not tar.exists() or tar.stat().st_size != sidecar["bytes"] or (verify and sha256_of(tar) != sidecar["sha256"]):
        logger.warning("%s is not what its sidecar says; it is built anew", tar)
        return None
    return sidecar


def make_all(builder: Builder, records: Sequence[Record]) -> Iterator[Sample | Drop]:
    """One result for each record, in their order; raises DataError as the builder does."""
    if isinstance(builder, BatchBuilder):
        yield from builder.make_many(records)
        return
    for record in records:
        try:
            yield builder.make(record)
        except Drop as drop:
            yield drop


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a failed write inside the block into a DataError that says what to do; nothing finished is lost."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write in {folder}: {error.strerror or error}. Finished shards are kept: free space there, make it "
            "writable, or choose another output=, then repeat the command"
        ) from error


def _write_tar(
    path: Path, builder: Builder, plan: ShardPlan, stamp: Stamp
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    samples: list[dict[str, Any]] = []
    dropped: list[dict[str, str]] = []
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for record, sample in zip(plan.records, make_all(builder, plan.records), strict=True):
            if isinstance(sample, Drop):
                dropped.append({"key": record.key, "reason": sample.reason})
                continue
            members = _members(sample, stamp)
            for extension in sorted(members):
                tar.addfile(_header(f"{record.key}.{extension}", members[extension]), io.BytesIO(members[extension]))
            samples.append(_entry(record, sample, members))
    return samples, dropped


def _header(name: str, content: bytes) -> tarfile.TarInfo:
    """A header that holds no time, owner or machine, so that equal content gives equal bytes."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mode = 0o644
    return header


def _members(sample: Sample, stamp: Stamp) -> dict[str, bytes]:
    facts = {
        "task": stamp.task,
        "prompt": sample.prompt,
        "cond_prompt": sample.cond_prompt,
        "slot": sample.slot,
        "source": asdict(sample.source),
        "generation": sample.generation,
        "scores": sample.scores,
        "builder": {"name": stamp.builder, "version": stamp.builder_version, "config_hash": stamp.config_hash},
    }
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, allow_nan=False)
    members = {"json": text.encode(), "target.jpg": sample.target}
    return members if sample.condition is None else members | {"cond.jpg": sample.condition}


def _entry(record: Record, sample: Sample, members: dict[str, bytes]) -> dict[str, Any]:
    hashes = {extension: hashlib.sha256(content).hexdigest() for extension, content in sorted(members.items())}
    source = asdict(sample.source)
    return {"key": record.key, "group": record.group, "slot": sample.slot, "source": source, "sha256": hashes}


def _refuse_many_drops(plan: ShardPlan, dropped: list[dict[str, str]], max_drop_fraction: float) -> None:
    allowed = max(_DROPS_ALWAYS_ALLOWED, max_drop_fraction * len(plan.records))
    if len(dropped) > allowed:
        reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(e["reason"] for e in dropped).most_common())
        captions = sum(entry["reason"].startswith("caption_") for entry in dropped)
        cause = (
            "so the language model's answers are the cause. Mend that (captioner.*)"
            if 2 * captions > len(dropped)
            else "so the source is probably incomplete. Complete it"
        )
        raise DataError(
            f"{len(dropped)} of the {len(plan.records)} samples of {plan.name} cannot be built ({reasons}; the first "
            f"is {dropped[0]['key']}), {cause} and repeat the command, or allow the loss with max_drop_fraction=1"
        )


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        return read_record(path, dict[str, Any])
    except (OSError, RecordError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete it and repeat the command to build its shard anew"
        ) from error
