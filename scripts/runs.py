"""All runs below a folder; --help lists the settings. The same as `ipai runs`."""

import sys

from ipai.cli import guarded
from ipai.commands.runs import main

if __name__ == "__main__":
    sys.exit(guarded(main))
