"""Runs side by side with the paper's Table 1:  python scripts/compare.py runs/joint-toy runs/single_*-toy

Each run must have been evaluated (scripts/evaluate.py). The first is the reference: below the table stand its paired
differences to the others with 95 % bootstrap intervals. The runs of single tasks make one row. Baselines that were
evaluated in a run (weights=start, ip_adapter_plus or instruct_pix2pix) have rows of their own.
"""

import argparse
from pathlib import Path


def main() -> int:
    """Read the arguments, print the comparison, write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or folders with a scores.json")
    parser.add_argument("--output", type=Path, help="also write FILE.md, FILE.html and FILE.json", metavar="FILE")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")
    arguments = parser.parse_args()

    from ipai.evaluation.reporting.comparing import read_lines
    from ipai.evaluation.reporting.comparison_page import as_data, compared
    from ipai.files import write_json, write_text

    lines = read_lines(arguments.runs)
    found = compared(lines, arguments.seed)
    if arguments.output is not None:
        write_text(arguments.output.with_suffix(".md"), found.markdown())
        write_text(arguments.output.with_suffix(".html"), found.page())
        write_json(arguments.output.with_suffix(".json"), as_data(lines, arguments.seed))
    print(found.markdown())
    return 0
