"""What a builder found in its source, kept: a start that finds everything as it was does not read it again.

Everything is the code of both packages and the library that decodes, the settings, and the name, size and time of
change of every file that the source's settings name. Kept only where reading took a while; `verify=true` reads anew.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ipai
from data_builders.engine.config import BuildConfig, deciding_settings
from data_builders.engine.keyed_hash import canonical, digest_of
from data_builders.engine.listing import listed
from data_builders.engine.records import Builder, Locality, Record, Selection
from ipai.files import atomic_path, cache_folder

log = logging.getLogger(__name__)

_SLOW_S = 5.0  # what takes less to read is not worth a file
_KEPT = 16  # selections; those that were not used for longest go first
_CODE = (Path(__file__).parents[1], Path(ipai.__file__).parent)
_PATHS = ("root", "prompts")  # settings of a source that name files, the first its folder
_FACTS = ("considered", "drops", "facts", "not_drawn", "more")


def selected(builder: Builder, config: BuildConfig) -> Selection:
    """As `builder.select()`, read back where nothing changed since.

    Raises:
        DataError: As `select`.
    """
    named = _named(config)
    if not named:  # a hub, say, that may answer otherwise tomorrow
        return builder.select()
    # Of the source before it is read: what changes meanwhile is seen the next time.
    path = cache_folder() / "plans" / f"{_digest(builder, config, named)}.jsonl"
    if not config.verify and (known := _read(path)) is not None:
        log.info("%s did not change; what was found in it is read from %s", config.task, path)
        return known
    began = time.monotonic()
    found = builder.select()
    if time.monotonic() - began >= _SLOW_S:
        _keep(path, found)
    return found


def _named(config: BuildConfig) -> list[Path]:
    """Files and folders that the source's settings name, its root among them; none where that is no folder."""
    source = asdict(config).get("source") or {}
    paths = [Path(source[key]).expanduser() for key in _PATHS if source.get(key)]
    return paths if source.get("root") and paths[0].is_dir() else []


def _digest(builder: Builder, config: BuildConfig, named: list[Path]) -> str:
    files = sorted(entry for path in named for entry in listed(path.absolute()))
    code = [path.read_text(encoding="utf-8") for package in _CODE for path in sorted(_texts(package))]
    # Another prompt is another plan, though it may change: records name what will be asked.
    asks = [asdict(config.captioner), _content(getattr(config.captioner, "prompt", ""))]
    return digest_of([builder.name, builder.version, deciding_settings(config), asks, files, code, version("pillow")])


def _texts(package: Path) -> Iterator[Path]:
    """Code, and the texts that come with it, such as prompts."""
    return (path for path in package.rglob("*") if path.suffix in (".py", ".txt"))


def _content(name: str) -> str:
    path = Path(name).expanduser()
    return path.read_text(encoding="utf-8") if name and path.is_file() else ""


def _read(path: Path) -> Selection | None:
    """What is kept there; None where nothing is, or it is no more what was written."""
    digest = hashlib.sha256()
    records = []
    try:
        with path.open("rb") as file:
            last = file.readline()
            for line in file:
                digest.update(last)
                records.append(Record.of_text(*last.rstrip(b"\n").split(b"\t")))
                last = line
        facts = json.loads(last)
        if facts.pop("sha256") != digest.hexdigest():
            raise ValueError("its records are not those that were written")
        locality = facts.pop("locality")
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be used (%s); the source is read again", path, error)
        return None
    return Selection(records, locality=None if locality is None else Locality(**locality), **facts)


def _keep(path: Path, found: Selection) -> None:
    """Write it whole, and let go of the oldest; a full disk or a cache that cannot be written stops nothing.

    A line for each record, then one of the other facts: millions of records are never held as text.
    """
    facts: dict[str, Any] = {name: getattr(found, name) for name in _FACTS}
    locality = None if found.locality is None else asdict(found.locality)
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part, part.open("wb") as file:
            for record in found.records:
                line = record.line() + b"\n"
                digest.update(line)
                file.write(line)
            file.write(canonical(facts | {"locality": locality, "sha256": digest.hexdigest()}).encode())
        kept = sorted(path.parent.glob("*.jsonl"), key=lambda one: one.stat().st_mtime_ns, reverse=True)
        for old in kept[_KEPT:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("what was found in the source is not kept for the next start: %s", error)
