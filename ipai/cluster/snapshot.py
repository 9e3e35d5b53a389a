"""The code a waiting job will run: a copy in the run folder, which edits of the working tree do not reach."""

import shutil
from pathlib import Path

from ipai.files import CONF, write_json, write_text
from ipai.runs.run_folder import GIT_STATE, git_state

_REPOSITORY = Path(__file__).parents[2]
_SCRIPT = 'from ipai.commands.train import main\n\nif __name__ == "__main__":\n    main()\n'


def freeze_code(folder: Path) -> Path:
    """Copy what training imports to `<folder>/code`, with the git state beside it; replaces an earlier copy.

    The caller holds the run folder, and no job of it waits or runs.
    """
    final, aside = folder / "code", folder / ".code.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for source in (CONF, _REPOSITORY / "ipai"):
        shutil.copytree(source, aside / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.tmp"))
    write_text(aside / "train.py", _SCRIPT)
    write_json(aside / GIT_STATE, git_state(_REPOSITORY))
    shutil.rmtree(final, ignore_errors=True)
    aside.replace(final)
    return final
