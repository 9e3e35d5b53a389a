"""Which measure tells what was taken; --help lists the settings. The same as `ipai measures`."""

import sys

from ipai.cli import guarded
from ipai.commands.measures import main

if __name__ == "__main__":
    sys.exit(guarded(main))
