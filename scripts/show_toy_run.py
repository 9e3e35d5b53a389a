"""What a toy run's training did, as a picture; --help lists the settings. The same as `ipai show`."""

import sys

from ipai.cli import guarded
from ipai.commands.show_toy_run import main

if __name__ == "__main__":
    sys.exit(guarded(main))
