"""Find samples that show what another shows; --help lists the settings. The same as `ipai repeats`."""

import sys

from ipai.cli import guarded
from ipai.commands.find_repeats import main

if __name__ == "__main__":
    sys.exit(guarded(main))
