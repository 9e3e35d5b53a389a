"""Look at a data set; --help lists the settings. The same as `ipai inspect`."""

import sys

from ipai.cli import guarded
from ipai.commands.inspect_shards import main

if __name__ == "__main__":
    sys.exit(guarded(main))
