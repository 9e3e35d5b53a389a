"""Runs side by side with the paper's Table 1; --help lists the settings. The same as `ipai compare`."""

import sys

from ipai.cli import guarded
from ipai.commands.compare import main

if __name__ == "__main__":
    sys.exit(guarded(main))
