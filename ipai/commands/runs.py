"""All runs below a folder:  python scripts/runs.py [runs] [--watch]

Says for each whether it waits, runs, is finished, was stopped or failed and why, how far it is and how fast, when it
will be done, its last scores and its job in Slurm's queue.
"""

import argparse
import sys
import time
from pathlib import Path

_CLEAR = "\x1b[2J\x1b[H"


def main() -> int:
    """Read the arguments and print the table, once or every few seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=Path("runs"), help="where runs lie (default: runs)")
    parser.add_argument("--watch", action="store_true", help="print it again and again, until Ctrl-C")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two prints (default: 5)")
    arguments = parser.parse_args()

    from ipai.cluster.overview import survey, table

    if not arguments.root.is_dir():
        print(f"error: there is no folder {arguments.root}; name the one that holds the runs", file=sys.stderr)
        return 2
    try:
        while True:
            text = table(survey(arguments.root), now=time.time())
            print(_CLEAR + text if arguments.watch else text)
            if not arguments.watch:
                return 0
            time.sleep(arguments.every)
    except KeyboardInterrupt:
        return 0
