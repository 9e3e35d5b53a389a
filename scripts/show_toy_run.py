"""Show what a run in the toy world learned:  python scripts/show_toy_run.py runs/joint-toy

Writes `report/index.html` into the run folder: one image under five instructions before and after training, and how
often each factor of a condition was taken under each instruction.
"""

import argparse
import logging
import sys
from pathlib import Path

from ipai.errors import IpaiError

_MISUSE = 2


def main() -> int:
    """Read the arguments, write the report, say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder, for example runs/joint-toy")
    parser.add_argument("--samples", type=int, default=48, help="conditions for each line of the tables (default: 48)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from tqdm import tqdm

    from ipai.toyworld.showing import show_run

    try:
        with tqdm(desc="report", unit=" parts", file=sys.stderr, disable=None) as bar:

            def show(what: str) -> None:
                bar.set_postfix_str(what)
                bar.update()

            page = show_run(arguments.run, arguments.samples, show)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        return _MISUSE
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
