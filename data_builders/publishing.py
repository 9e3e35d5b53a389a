"""A set that may be passed on, as a folder in the hub's layout: refused where one record's licence forbids it."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_builders.engine.licences import is_permissive
from ipai.errors import ConfigError, DataError
from ipai.files import sha256_of, sync, write_json, write_text
from ipai.pages import render_page
from ipai.records import RecordError, read_record

VERSIONS = "versions.json"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_SPLITS = ("train", "val")
_NAMED = 5  # records that a refusal names
_BESIDE = ("manifest.jsonl", "card.md", "build.json")


@dataclass(frozen=True)
class TaskFacts:
    """What of one task would be published.

    Attributes:
        task: Its name.
        files: Shards with their sidecars, manifest, card and settings.
        samples: Split -> how many.
        bytes: Of all files.
        licences: Name -> how many samples.
        refused: Why a licence forbids it -> the records, `shard/key (licence)`.
        digest: Of the shards' hashes: equal sets have equal ones.
    """

    task: str
    files: list[Path]
    samples: dict[str, int]
    bytes: int
    licences: dict[str, int]
    refused: dict[str, list[str]]
    digest: str


@dataclass
class Version:
    """One published state of a set.

    Attributes:
        version: major.minor.patch.
        changes: What is new, in words.
        samples: Of all tasks.
        digests: Task -> digest of its shards.
    """

    version: str
    changes: str
    samples: int
    digests: dict[str, str] = field(default_factory=dict)


def survey(root: Path, tasks: Sequence[str], accepted: Sequence[str]) -> list[TaskFacts]:
    """Read what the sidecars say of every sample.

    Args:
        root: Folder of a set: one folder of shards a task.
        tasks: Which of them.
        accepted: Names of licences that whoever publishes says permit it, beside those that are known to.

    Raises:
        DataError: A task has no finished shards, or a sidecar is missing or damaged.
    """
    return [_surveyed(root / task, task, accepted) for task in tasks]


def refuse_forbidden(found: Sequence[TaskFacts]) -> None:
    """Raise a DataError that names records whose licence forbids passing the set on, if there are any."""
    lines = []
    for facts in found:
        for reason, records in facts.refused.items():
            more = f" and {len(records) - _NAMED:,} more" if len(records) > _NAMED else ""
            lines.append(f"  {facts.task}: {len(records):,} records {reason}: {', '.join(records[:_NAMED])}{more}")
    if lines:
        raise DataError(
            "this set may not be published:\n"
            + "\n".join(lines)
            + "\nBuild it of pictures whose licences permit it (objects, structures: source.licences=permissive; "
            "copies: task=catalog_copy), leave the task out, or say --accept LICENCE if you know better"
        )


def write_release(root: Path, found: Sequence[TaskFacts], name: str, version: str, changes: str, output: Path) -> Path:
    """Write the folder to upload: links or copies of the files, a card, a changelog. Whole or not at all.

    Args:
        root: Folder of the set; its `versions.json` remembers what was released.
        found: Of `survey`, with nothing refused.
        name: Title of the card, best the id on the hub.
        version: major.minor.patch, above the last one.
        changes: What is new.
        output: The new folder.

    Raises:
        ConfigError: The version is none, is not above the last, or `output` exists.
        DataError: A record's licence forbids it, or `versions.json` is damaged.
    """
    refuse_forbidden(found)
    released = read_versions(root)
    _refuse_version(version, released)
    if output.exists():
        raise ConfigError(f"{output} exists; give another --output")
    samples = sum(count for facts in found for count in facts.samples.values())
    released.append(Version(version, changes, samples, {facts.task: facts.digest for facts in found}))
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        for facts in found:
            (aside / facts.task).mkdir()
            for path in facts.files:
                if path.suffix == ".tar" and sha256_of(path) != _sidecar(path)["sha256"]:
                    raise DataError(f"{path} is not what its sidecar says (SHA-256); build it again")
                _place(path, aside / facts.task / path.name)
        write_text(aside / "README.md", card(found, name, released))
        for path in aside.rglob("*"):
            sync(path)
        aside.chmod(0o755)
        aside.rename(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    write_json(root / VERSIONS, [vars(one) for one in released])
    return output


def card(found: Sequence[TaskFacts], name: str, released: Sequence[Version]) -> str:
    """The data card of the hub: how to read it, counts, licences, versions; the tasks' own cards lie beside."""
    licences: Counter[str] = Counter()
    for facts in found:
        licences.update(facts.licences)
    return render_page(
        "dataset_card.md.jinja",
        package="data_builders",
        name=name,
        found=found,
        splits=_SPLITS,
        licences=sorted(licences.items()),
        share_alike=any(re.search(r"\bSA\b|ShareAlike", licence, re.IGNORECASE) for licence in licences),
        released=list(reversed(released)),
    )


def read_versions(root: Path) -> list[Version]:
    """What was released before, oldest first; raises DataError if the list is damaged."""
    path = root / VERSIONS
    if not path.exists():
        return []
    try:
        return read_record(path, list[Version])
    except (OSError, RecordError) as error:
        raise DataError(f"{path} is damaged ({error}); restore it, it holds what was released") from error


def summary(found: Sequence[TaskFacts]) -> Iterator[str]:
    """A line for each task and each licence."""
    for facts in found:
        counts = ", ".join(f"{count:,} {split}" for split, count in facts.samples.items())
        yield f"{facts.task}: {counts} samples, {facts.bytes / 1e9:,.2f} GB in {len(facts.files)} files"
        yield from (f"  {licence}: {count:,}" for licence, count in facts.licences.items())


def _surveyed(folder: Path, task: str, accepted: Sequence[str]) -> TaskFacts:
    shards = sorted(path for split in _SPLITS for path in folder.glob(f"{split}-*.tar"))
    absent = [name for name in _BESIDE if not (folder / name).is_file()]
    if not shards or absent:
        raise DataError(
            f"{folder} is no finished set (it lacks {', '.join(absent) or 'shards'}); build it with "
            "scripts/build_datasets.py"
        )
    samples, licences = Counter(dict.fromkeys(_SPLITS, 0)), Counter[str]()
    refused: dict[str, list[str]] = {}
    hashes = []
    for path in shards:
        sidecar = _sidecar(path)
        hashes.append(sidecar["sha256"])
        for sample in sidecar["samples"]:
            licence = sample["source"]["licence"]
            called = licence["name"] if licence else "not stated"
            licences[called] += 1
            samples[path.name.partition("-")[0]] += 1
            if called not in accepted and (reason := why_not(licence)):
                refused.setdefault(reason, []).append(f"{path.stem}/{sample['key']} ({called})")
    files = [each for path in shards for each in (path, path.with_suffix(".json"))]
    files += [folder / name for name in _BESIDE]
    return TaskFacts(
        task=task,
        files=files,
        samples=dict(samples),
        bytes=sum(path.stat().st_size for path in files),
        licences=dict(sorted(licences.items())),
        refused=refused,
        digest=_digest(hashes),
    )


def why_not(licence: dict[str, str] | None) -> str | None:
    """Why a licence forbids passing on what was derived from a picture; None where it is known to permit it."""
    if licence is None or not licence["name"]:
        return "state no licence"
    words = f"{licence['name']} {licence.get('url', '')}"
    if re.search(r"\bNC\b|by-nc|non-?commercial", words, re.IGNORECASE):
        return "are non-commercial"
    if re.search(r"\bND\b|-nd\b|no-?deriv", words, re.IGNORECASE):
        return "allow no derivatives"
    return None if is_permissive(licence) else "have a licence that is not known to permit it"


def _sidecar(shard: Path) -> dict[str, Any]:
    path = shard.with_suffix(".json")
    try:
        found = read_record(path, dict[str, Any])
        for sample in found["samples"]:
            _ = sample["key"], sample["source"]["licence"]
        _ = found["sha256"]
    except (OSError, RecordError, KeyError, TypeError) as error:
        raise DataError(f"{path} is missing or damaged ({error}); build the shard again") from error
    return found


def _digest(hashes: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(hashes)).encode()).hexdigest()


def _refuse_version(version: str, released: Sequence[Version]) -> None:
    if not _VERSION.fullmatch(version):
        raise ConfigError(f"--version {version} is none; give major.minor.patch, such as 1.0.0")
    if released and _numbers(version) <= _numbers(released[-1].version):
        raise ConfigError(f"--version {version} is not above {released[-1].version}, which was released last")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _place(source: Path, target: Path) -> None:
    """Link a file, or copy it where the disk is another one."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
