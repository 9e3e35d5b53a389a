"""Which measure tells what was taken:  python scripts/measures.py --output docs/measures.md

Renders toy pictures that share known factors with their condition, scores them with every measure that runs here, and
prints how each goes along with what was taken and with what leaked. Minutes on two CPU cores; nothing is downloaded.
"""

import argparse
import sys
from pathlib import Path

_BATCH = 32


def main() -> int:
    """Read the arguments, print the page, write it where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400, help="answers to each task (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of answers and intervals (default: 0)")
    parser.add_argument("--output", type=Path, help="also write the page there", metavar="FILE.md")
    for part, names in _measures_of_parts().items():
        parser.add_argument(f"--{part.replace('_', '-')}", help=f"weights for {' and '.join(names)}", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.count < 10:
        parser.error("--count must be at least 10: intervals are of resampled answers")

    for parts in _parts_of_measures():
        given = [part for part in parts if getattr(arguments, part)]
        if given and len(given) < len(parts):
            other = next(part for part in parts if part not in given)
            parser.error(f"--{given[0].replace('_', '-')} needs --{other.replace('_', '-')} beside it")

    import torch
    from tqdm import tqdm

    from ipai.clip.model import TOY, ClipModel, embedding_cache
    from ipai.evaluation.measures.agreement import agreement
    from ipai.evaluation.measures.known_answers import tasks_and_kinds
    from ipai.evaluation.measures.likeness import likenesses
    from ipai.evaluation.measures.measures import MEASURES, of_likeness
    from ipai.evaluation.measures.page import page
    from ipai.evaluation.measures.settings import PARTS, LikenessWeights
    from ipai.files import write_text

    weights = LikenessWeights.given({part: getattr(arguments, part) for part in _measures_of_parts()})
    names = [name for name, parts in PARTS.items() if all(getattr(arguments, part) for part in parts)]
    loaded = likenesses(names, weights, torch.device("cpu"), _BATCH, embedding_cache())
    measures = MEASURES | {name: of_likeness(name, likeness) for name, likeness in loaded.items()}
    clip, questions = ClipModel(TOY, None, cache=embedding_cache()), tasks_and_kinds()
    with tqdm(total=len(questions) * len(measures), unit=" scores", file=sys.stderr, disable=None) as bar:
        lines = agreement(questions, measures, clip, arguments.count, arguments.seed, bar.update)
    command = f"python scripts/measures.py --count {arguments.count} --seed {arguments.seed} --output docs/measures.md"
    text = page(lines, measures, arguments.count, clip.identity, command)
    if arguments.output is not None:
        write_text(arguments.output, text)
    print(text)
    return 0


def _parts_of_measures() -> list[tuple[str, ...]]:
    from ipai.evaluation.measures.settings import PARTS

    return list(PARTS.values())


def _measures_of_parts() -> dict[str, list[str]]:
    """Weights -> the measures that need them."""
    from ipai.evaluation.measures.settings import PARTS

    found: dict[str, list[str]] = {}
    for name, parts in PARTS.items():
        for part in parts:
            found.setdefault(part, []).append(name)
    return found
