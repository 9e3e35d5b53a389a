"""Prepare a data set for the hub; --help lists the settings. The same as `ipai publish`."""

import sys

from data_builders.publish_command import main
from ipai.cli import guarded

if __name__ == "__main__":
    sys.exit(guarded(main))
