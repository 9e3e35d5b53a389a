"""Which measure tells what was taken:  python scripts/measures.py --output docs/measures.md

Renders toy pictures that share known factors with their condition, scores them with every measure that runs here, and
prints how each goes along with what was taken and with what leaked. Minutes on two CPU cores; nothing is downloaded.
"""

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Read the arguments, print the page, write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="answers to each task (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of answers and intervals (default: 0)")
    parser.add_argument("--output", type=Path, help="also write the page there", metavar="FILE.md")
    arguments = parser.parse_args()
    if arguments.count < 10:
        parser.error("--count must be at least 10: intervals are of resampled answers")

    from tqdm import tqdm

    from ipai.clip.model import TOY, ClipModel, embedding_cache
    from ipai.evaluation.measures.agreement import agreement
    from ipai.evaluation.measures.known_answers import tasks_and_kinds
    from ipai.evaluation.measures.measures import MEASURES
    from ipai.evaluation.measures.page import page
    from ipai.files import write_text

    clip, questions = ClipModel(TOY, None, cache=embedding_cache()), tasks_and_kinds()
    with tqdm(total=len(questions) * len(MEASURES), unit=" scores", file=sys.stderr, disable=None) as bar:
        lines = agreement(questions, clip, arguments.count, arguments.seed, bar.update)
    command = f"python scripts/measures.py --count {arguments.count} --seed {arguments.seed} --output docs/measures.md"
    text = page(lines, arguments.count, clip.identity, command)
    if arguments.output is not None:
        write_text(arguments.output, text)
    print(text)
    return 0
