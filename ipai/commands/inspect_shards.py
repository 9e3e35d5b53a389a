"""Look at a data set:  python scripts/inspect_shards.py data/shards

Prints counts and drops, and writes a page with the scores and a sheet of samples that can be searched.
"""

import argparse
import logging
import sys
from pathlib import Path


def main() -> int:
    """Read the arguments, survey, write the page, say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds <task>/train-*.tar, for example data/shards")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="these only (default: all that are there)")
    parser.add_argument("--samples", type=int, default=24, help="samples a task on the sheet (default: 24)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the samples (default: 0)")
    parser.add_argument("--pools", type=Path, help="folder of instruction pools (default: the shipped ones)")
    parser.add_argument(
        "--filter",
        metavar="CONDITION",
        help="of the records, such as 'scores.visible > 0.95'; looks at what meets it, and counts the rest",
    )
    parser.add_argument("--output", type=Path, help="the page (default: <root>/inspection.html)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from tqdm import tqdm

    from ipai.data import inspection
    from ipai.data.sample_filter import SampleFilter
    from ipai.files import write_text

    root = arguments.root.expanduser()
    output = arguments.output or root / "inspection.html"
    wanted = SampleFilter(arguments.filter) if arguments.filter else None
    tasks = arguments.tasks or inspection.tasks_in(root)
    with tqdm(
        desc="records", unit=" records", total=inspection.count_samples(root, tasks), file=sys.stderr, disable=None
    ) as bar:
        facts = [inspection.survey(root, task, bar.update, wanted) for task in tasks]
    shown = [
        sample
        for task in tasks
        for sample in inspection.draw_samples(root, task, arguments.samples, arguments.seed, arguments.pools, wanted)
    ]
    write_text(output, inspection.page(root, facts, shown))
    print(f"{inspection.summary(facts)}\npage: {output}")
    return 0
