"""What style images show, from a file beside them; the score CLIP-S subtracts it."""

import json
from pathlib import Path

from data_builders.instantstyle.config import StyleBuild
from ipai.errors import DataError
from ipai.words import one_line

# As `datasets` calls them: each line is {"file_name": below this folder, "text": ...}.
_NAMES = ("captions.jsonl", "metadata.jsonl")


def captions_of(config: StyleBuild) -> dict[str, str] | None:
    """Captions by the place of the picture below the root; None where they come from elsewhere.

    Raises:
        DataError: captioner=dataset, and there is no file of captions, or one is damaged.
    """
    if config.captioner.name != "dataset":
        return None
    root = Path(config.source.root).expanduser()
    files = sorted(path for name in _NAMES for path in root.rglob(name))
    if not files:
        raise DataError(
            f"{root} has no captions of its pictures, and CLIP-S needs them. Write them to {root}/{_NAMES[0]}, a line "
            '{"file_name": "images/1.png", "text": "what it shows"} each, let a language model write them with '
            "captioner=openai, or do without with captioner=template"
        )
    return {place: text for path in files for place, text in _read(path, root).items()}


def _read(path: Path, root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name, text = entry["file_name"], entry["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f'{path} is damaged: line {number} is not {{"file_name": ..., "text": ...}} ({error!r})'
            ) from error
        if isinstance(name, str) and isinstance(text, str):
            found[(path.parent.relative_to(root) / name).as_posix()] = one_line(text)
    return found
