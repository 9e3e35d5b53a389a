"""Save a view of a wandb project for this project's runs; --help lists the settings. The same as `ipai wandb-view`."""

import sys

from ipai.cli import guarded
from ipai.commands.wandb_workspace import main

if __name__ == "__main__":
    sys.exit(guarded(main))
