"""Archives that claim more than they hold."""

import gzip
import tarfile
from pathlib import Path

import pytest

from data_builders.journeydb.archives import pictures_of
from ipai.errors import DataError


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_gigabytes_is_damage(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("000/a.jpg")
    header.type, header.size = kind, 4 << 30
    path = tmp_path / "000.tgz"
    path.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 16)))
    with pytest.raises(DataError, match=r"damaged: .*claims 4,294,967,296 bytes"):
        list(pictures_of(path, ["a.jpg"]))
