"""The files that say what is asked of the model."""

from pathlib import Path

from ipai.errors import ConfigError

SHIPPED = Path(__file__).parent / "prompts"
_LONGEST = 20_000


def load_prompt(name: str, max_words: int) -> str:
    """The text of a prompt, `{max_words}` filled in.

    Args:
        name: One of the shipped prompts, or the path of a text file.
        max_words: The longest caption that is accepted.

    Raises:
        ConfigError: There is no such prompt, or the file is not a text of a sensible length.
    """
    path = SHIPPED / f"{name}.txt"
    if not name.isidentifier() or not path.exists():
        path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.txt")))
        raise ConfigError(
            f"cannot read captioner.prompt={name}: {error}; name one of {shipped}, or a UTF-8 text file"
        ) from error
    if not 0 < len(text) <= _LONGEST:
        raise ConfigError(f"captioner.prompt={name} has {len(text):,} characters; it must have 1 to {_LONGEST:,}")
    return text.replace("{max_words}", str(max_words))
