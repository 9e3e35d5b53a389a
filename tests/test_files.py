import subprocess
import sys
from pathlib import Path

import pytest

from ipai.errors import ConfigError
from ipai.files import fingerprint, held_alone, is_held


def test_fingerprint_reads_files_of_any_length(tmp_path: Path) -> None:
    prints, path = set(), tmp_path / "weights"
    for content in (b"", b"a", b"a" * 5000, b"b" * 5000, b"a" * 5_000_000, b"b" * 5_000_000):
        path.write_bytes(content)
        prints.add(fingerprint(path))
    assert len(prints) == 6


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 10_000)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        ("bytes", "File too large"),
        ("safetensors", "File too large"),
        ("torch", "torch.save could not write all of it"),
    ],
)
def test_a_full_disk_is_an_error_of_the_system_that_names_the_file(tmp_path: Path, write: str, told: str) -> None:
    """Each library has its own words for it. A limit on the size of files stands in for the disk."""
    program = f"""
import resource
from pathlib import Path

import pytest

import torch
from safetensors.torch import save_file
from ipai.files import atomic_path
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
tensors = {{"weight": torch.zeros(100_000)}}
writers = dict(
    bytes=lambda path: path.write_bytes(bytes(400_000)),
    safetensors=lambda path: save_file(tensors, path),
    torch=lambda path: torch.save(tensors, path),
)
try:
    with atomic_path(Path({str(tmp_path / "file")!r})) as aside:
        writers[{write!r}](aside)
except OSError as error:
    print(error.filename, error.strerror)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == f"{tmp_path / 'file'} {told}", result.stderr
    assert list(tmp_path.iterdir()) == []


def test_who_may_only_read_a_folder_sees_that_it_is_held(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with held_alone(tmp_path, ConfigError("held")):
        (tmp_path / ".lock").chmod(0o444)
        assert is_held(tmp_path)
        with pytest.raises(ConfigError, match="held"), held_alone(tmp_path, ConfigError("held")):
            pass
    assert not is_held(tmp_path)
