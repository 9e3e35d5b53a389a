"""JourneyDB's .tgz files, read as streams: nothing is unpacked to disk, and no file is read twice for one shard."""

import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from data_builders.engine.records import Drop
from data_builders.engine.web_page import LOOKED_AT, web_page
from ipai.errors import DataError

_GZIP = b"\x1f\x8b"
_LFS = b"version https://git-lfs"
_AT_ONCE = 1 << 20  # bytes
# A picture file larger than this is damaged or hostile; JourneyDB's are under 1 MiB.
_MOST_BYTES = 64 << 20
_MOST_OF_A_HEADER = 1 << 20  # bytes of a long name or of further fields
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _BoundedHeader(tarfile.TarInfo):
    """A header that claims to go on for gigabytes is damage: tarfile would read them all into memory."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> "_BoundedHeader":  # type: ignore[override]
        """See `tarfile.TarInfo.frombuf`; raises tarfile.ReadError."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _HEADERS and found.size > _MOST_OF_A_HEADER:
            raise tarfile.ReadError(f"a header claims {found.size:,} bytes")
        return found


def pictures_of(path: Path, names: Collection[str]) -> Iterator[tuple[str, bytes | Drop]]:
    """The files called `names` in an archive, in the archive's order; it stops reading after the last of them.

    A file of more than 64 MiB gives Drop("too_many_bytes"). The folder of a file inside the archive does not matter. A
    folder in place of the archive is one that somebody has unpacked.

    Raises:
        DataError: The archive is missing, cut short or damaged before the last name was found.
    """
    if path.is_dir():
        yield from ((name, _read(path / name)) for name in sorted(names) if (path / name).is_file())
        return
    left = set(names)
    with streamed(path) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            if name in left and member.isfile():
                left.remove(name)
                yield name, content_of(archive, member)
            if not left:
                return


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | Drop:
    """A file's bytes."""
    if member.size > _MOST_BYTES:
        return Drop("too_many_bytes")
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _read(path: Path) -> bytes | Drop:
    try:
        return Drop("too_many_bytes") if path.stat().st_size > _MOST_BYTES else path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; mend that and repeat the command") from error


@contextmanager
def streamed(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a .tgz for one pass from its beginning. What damage the block meets is raised as an error that names it.

    Raises:
        DataError: The file is missing, unreadable, cut short or damaged.
    """
    try:
        # gzip by itself, not tarfile's: that one takes a file that was cut short for one that ended.
        with (
            gzip.open(path) as plain,
            tarfile.open(fileobj=plain, mode="r|", bufsize=_AT_ONCE, tarinfo=_BoundedHeader) as archive,
        ):
            yield archive
    except (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise DataError(
            f"{path} ({path.stat().st_size:,} bytes) is cut short or damaged: {error}. Download it anew and repeat the "
            "command; finished shards are kept"
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; mend that and repeat the command. To build without an "
            "archive, take it away before the build is started, and give it a new output="
        ) from error


def present_archives(folder: Path) -> dict[str, Path]:
    """The picture archives of a split's folder by their number: `{"000": folder/imgs/000.tgz, ...}`.

    An archive that is there only unpacked, as the folder `imgs/000`, counts too.

    Raises:
        DataError: One of them is not a gzip file at all: empty, an error page, a Git LFS pointer.
    """
    archives = {path.name[:3]: path for path in sorted((folder / "imgs").glob("[0-9][0-9][0-9].tgz"))}
    unpacked = (path for path in sorted((folder / "imgs").glob("[0-9][0-9][0-9]")) if path.is_dir())
    for path in archives.values():
        start = _start_of(path)
        if not start.startswith(_GZIP):
            pointer = "only a Git LFS pointer (git lfs pull fetches the file)" if start.startswith(_LFS) else None
            kind = pointer or web_page(start) or "not a gzip file"
            raise DataError(
                f"{path} is {kind}. Download it anew, or take it away: pictures of archives that are not there are "
                "left out and counted"
            )
    return {path.name: path for path in unpacked} | archives


def archive_path(folder: Path, number: str) -> Path:
    """Where the archive of this number is, or the folder that it was unpacked to."""
    packed = folder / "imgs" / f"{number}.tgz"
    return packed if packed.is_file() or not packed.with_suffix("").is_dir() else packed.with_suffix("")


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LOOKED_AT)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; mend that and repeat the command") from error
