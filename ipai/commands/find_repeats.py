"""Find samples that show what another shows, within and across data sets:

    python scripts/find_repeats.py data/shards my-shards

Two scores to filter by go beside each shard. `repeats` is 1 where target and condition look like those of a sample of
the same task before it (validation comes first, then the folders as they are given), `in_val` where a training sample
shows what a validation sample of any of the folders shows; else they are 0. Pictures are compared by perceptual hashes,
which see copies of other size and compression, not other cuts. A killed pass goes on where it was.
"""

import argparse
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SPLITS = ("val", "train")


def main() -> int:
    """Read the arguments, hash what is not hashed yet, compare, and say what was found."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from tqdm import tqdm

    from ipai.data.inspection import tasks_in
    from ipai.data.repeats import compare, hash_shard
    from ipai.data.shards import ShardSet
    from ipai.errors import DataError
    from ipai.tasks import get_task

    for task in arguments.tasks or ():
        get_task(task)
    roots = [root.expanduser() for root in arguments.roots]
    if len({root.resolve() for root in roots}) < len(roots):
        raise DataError("one folder is given twice; every sample of it would be a repeat")
    named = [
        (root, ShardSet.open(root, task, split))
        for root in roots
        for task in arguments.tasks or tasks_in(root)
        for split in SPLITS
        if any((root / task).glob(f"{split}-*.tar"))
    ]
    if empty := [str(root) for root in roots if root not in {found for found, _ in named}]:
        asked = f" of {', '.join(arguments.tasks)}" if arguments.tasks else " of train or val"
        raise DataError(
            f"there are no shards{asked} in {', '.join(empty)}; give the folder that holds <task>/train-*.tar"
        )
    sets = [held for _, held in named]
    total = sum(map(len, sets))
    bar = tqdm(desc="samples", unit=" samples", total=total, file=sys.stderr, disable=None)
    with bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        for held in sets:
            for number in range(len(held.files)):
                hash_shard(held, number, threads, bar.update)
    for (root, held), found in zip(named, compare(sets, arguments.within), strict=True):
        line = f"{root / held.task} {held.split}: {found.samples:,} samples, {found.repeats:,} repeats"
        if held.split == "train":
            line += f", {found.in_val:,} seen in validation"
        if found.unusable:
            line += f"; {found.unusable:,} could not be decoded and have no scores"
        print(line)
        if found.example:
            print("  such as {} and {}".format(*found.example))
    print('leave them out: "data.filter.TASK=scores.repeats == 0 and scores.in_val == 0", or as filter of data.sources')
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("roots", nargs="+", type=Path, help="folders that hold <task>/train-*.tar")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="these only (default: all that are there)")
    parser.add_argument(
        "--within",
        type=int,
        choices=range(9),
        default=3,
        help="pictures are alike if their hashes differ in at most so many of 64 bits (default: 3; 0: equal ones; more "
        "than 5 takes long for millions)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
