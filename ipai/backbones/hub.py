"""Finding the files of each part: in a local folder, in the hub's cache, or on the hub."""

import importlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ipai.backbones.config import BUILTIN_TOY, MINIATURES, BaseConfig, WeightsFile, WeightsRef
from ipai.backbones.parts import row_of, shards_named_in
from ipai.backbones.shipped import shipped_stack
from ipai.errors import WeightsError

log = logging.getLogger(__name__)


def _builtin(ref: WeightsRef) -> Path | None:
    """The folder of a stack that this project brings along or makes; None for other ids."""
    if ref.id == BUILTIN_TOY:
        return shipped_stack()
    name = ref.id.removeprefix("builtin:")
    if name == ref.id or name not in MINIATURES:
        return None
    # Only now: making one needs open_clip, which takes seconds to import.
    folder: Path = getattr(importlib.import_module(f"ipai.backbones.{name}"), f"ensure_{name}")()
    return folder


class _Absent(Exception):
    """One part cannot be had; the message says why."""


@dataclass
class _Hub:
    """Asks the hub, but not again once it could not be reached: a retry for every part would take minutes."""

    unreachable: str | None = None

    def fetch(self, ref: WeightsRef, sets: Iterable[Sequence[str]]) -> Path:
        """The folder with one of the `sets` of files, from the cache if one is there, else downloaded."""
        wanted = [[f"{ref.subfolder}/{name}" if ref.subfolder else name for name in names] for names in sets]
        for paths in wanted:
            try:
                return _download(ref, paths, cached=True)
            except LocalEntryNotFoundError:
                log.debug("the cache lacks some of %s from %s", paths, ref)
            except HFValidationError as error:
                raise _Absent(f"this is neither a folder nor a hub id ({error})") from error
        reasons = []
        for paths in wanted:
            try:
                return self._download(ref, paths)
            except _Absent as error:
                reasons.append(str(error))
        raise _Absent("; ".join(dict.fromkeys(reasons)))

    def _download(self, ref: WeightsRef, paths: list[str]) -> Path:
        self._reach(ref, paths[0])
        log.info("fetching %s", ref)
        try:
            return _download(ref, paths, cached=False)
        except RemoteEntryNotFoundError as error:
            raise _Absent(f"the repository does not have all of {', '.join(paths)}") from error
        except Exception as error:  # httpx, Xet and the disk each have errors of their own
            raise _Absent(f"the download failed ({type(error).__name__}: {error.__cause__ or error})") from error

    def _reach(self, ref: WeightsRef, path: str) -> None:
        """Ask for one file's metadata without the retries (20 s and more) that `hf_hub_download` would make."""
        if self.unreachable:
            raise _Absent(self.unreachable)
        try:
            get_hf_file_metadata(hf_hub_url(ref.id, path, revision=ref.revision))
        except GatedRepoError as error:
            raise _Absent("the repository is gated: accept its terms on the hub and run `hf auth login`") from error
        except RepositoryNotFoundError as error:
            raise _Absent("the hub has no such repository, or it is private: run `hf auth login`") from error
        except RevisionNotFoundError as error:
            raise _Absent(f"the repository has no revision {ref.revision}") from error
        except RemoteEntryNotFoundError as error:
            raise _Absent(f"the repository has no file {path}") from error
        except Exception as error:  # connection, timeout, offline mode, server error
            self.unreachable = f"not in the cache, and the hub cannot be reached ({type(error).__name__}: {error})"
            raise _Absent(self.unreachable) from error


def locate(config: BaseConfig, parts: Iterable[str], *, weights: bool = True) -> dict[str, Path]:
    """Find the local folder of each of `parts`, downloading what is not there yet.

    Args:
        config: Where the parts lie.
        parts: Of its family.
        weights: False looks for the small configuration file only.

    Returns:
        For each part the folder that holds its files.

    Raises:
        WeightsError: Names every part that is missing, where it was looked for, why, and which files it needs.
    """
    refs = {part: getattr(config, part) for part in parts}
    return locate_refs(refs, f"the base {config.name}", "base", weights=weights, family=config.family)


def locate_refs(
    refs: Mapping[str, WeightsRef], owner: str, key: str, *, weights: bool = True, family: str = ""
) -> dict[str, Path]:
    """As `locate`, for parts of anything: errors call it `owner`, its settings `key`.<part>.id; "" has one id for all.

    Raises:
        WeightsError: Names every part that is missing, where it was looked for, why, and which files it needs.
    """
    hub = _Hub()
    folders: dict[str, Path] = {}
    missing = []
    for part, ref in refs.items():
        files = row_of(part, family).files
        sets = files if weights else tuple(dict.fromkeys(names[:1] for names in files))
        try:
            folders[part] = _locate(ref, sets, hub)
        except _Absent as error:
            needs = " or ".join(", ".join(names) for names in sets)
            missing.append(f"  - {part} from {ref}: {error}. It needs {needs}")
    if missing:
        place = f"{key}.<part>.id (and {key}.<part>.subfolder)" if key else f"the id of {owner}"
        mend = f"Point {place} at a local folder, or connect once to download."
        raise WeightsError("\n".join([f"{owner} lacks {len(missing)} part(s):", *missing, mend]))
    return folders


def is_here(part: str, ref: WeightsRef, family: str) -> bool:
    """Whether all files of a part of a family are on this machine; asks nobody."""
    sets = row_of(part, family).files
    local = Path(ref.id).expanduser()
    if (builtin := _builtin(ref)) is not None or local.is_dir():
        folder = (builtin or local) / (ref.subfolder or "")
        return any(not _lacking(folder, names) for names in sets)
    if _names_a_folder(ref.id):
        return False
    prefix = f"{ref.subfolder}/" if ref.subfolder else ""
    cached = (
        [try_to_load_from_cache(ref.id, prefix + name, revision=ref.revision) for name in names] for names in sets
    )
    return any(
        all(isinstance(path, str) for path in paths) and not _lacking(Path(str(paths[0])).parent, names)
        for names, paths in zip(sets, cached, strict=True)
    )


def resolve_file(ref: WeightsFile) -> Path:
    """The local path of one weights file, downloaded if need be.

    Raises:
        WeightsError: It is neither there nor to be had.
    """
    local = Path(ref.id).expanduser()
    if local.is_file():
        return local
    try:
        folder, name = str(Path(ref.filename).parent), Path(ref.filename).name
        part = WeightsRef(ref.id, ref.revision, None if folder == "." else folder)
        return _locate(part, ((name,),), _Hub()) / name
    except _Absent as error:
        mend = "point its id at a local folder or at the file itself, or connect once to download it"
        raise WeightsError(f"cannot find {ref}: {error}; {mend}") from error


def _locate(ref: WeightsRef, sets: tuple[tuple[str, ...], ...], hub: _Hub) -> Path:
    if (builtin := _builtin(ref)) is not None:
        return _in_folder(builtin / (ref.subfolder or ""), sets)
    local = Path(ref.id).expanduser()
    if local.is_dir():
        return _in_folder(local / (ref.subfolder or ""), sets)
    if _names_a_folder(ref.id):
        raise _Absent("there is no such folder")
    return hub.fetch(ref, sets)


def _names_a_folder(name: str) -> bool:
    """Whether an id can be no hub id."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1


def _in_folder(folder: Path, sets: tuple[tuple[str, ...], ...]) -> Path:
    if not folder.is_dir():
        raise _Absent(f"there is no folder {folder}")
    lacks = [_lacking(folder, names) for names in sets]
    if all(lacks):
        raise _Absent(f"the folder {folder} lacks " + " or ".join(", ".join(names) for names in lacks))
    return folder


def _lacking(folder: Path, names: Sequence[str]) -> list[str]:
    """Those of a set of files that are not in the folder, with those that a list among them names."""
    lacks = [name for name in names if not (folder / name).is_file()]
    if lacks:
        return lacks
    try:
        named = [shard for name in names for shard in shards_named_in(folder / name)]
    except (OSError, ValueError) as error:
        return [f"a list of its files that can be read ({error})"]
    return [shard for shard in named if not (folder / shard).is_file()]


def _download(ref: WeightsRef, paths: list[str], *, cached: bool) -> Path:
    """The snapshot folder that holds all of `paths` and what they name; `cached` looks on this machine only."""

    def fetched(path: str) -> Path:
        return Path(hf_hub_download(ref.id, path, revision=ref.revision, local_files_only=cached))

    files = [fetched(path) for path in paths]
    for path, file in zip(paths, files, strict=True):
        try:
            shards = shards_named_in(file)
        except (OSError, ValueError) as error:
            raise _Absent(f"{path} does not say which files there are ({error})") from error
        for shard in shards:
            fetched(str(PurePosixPath(path).with_name(shard)))
    return files[0].parent
