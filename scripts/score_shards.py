"""Add scores to finished shards; --help lists the settings. The same as `ipai score`."""

import sys

from ipai.cli import guarded
from ipai.commands.score_shards import main

if __name__ == "__main__":
    sys.exit(guarded(main))
