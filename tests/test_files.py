from pathlib import Path

from ipai.files import fingerprint


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
