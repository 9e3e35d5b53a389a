"""Measure speed as ratios, side by side in one run:  python scripts/benchmark.py train [--quick]

train: our training step, with caches and without, against a reference step with the choices of IP-Adapter's tutorial
trainer. Full size is Stable Diffusion 1.5 with random weights (9 GB of disk in --work, made once); --quick takes a
small likeness, also with random weights.

loader: our loader, with caches and without, against plain webdataset with PIL and torchvision on the same shards.

resume: from the command to the first step, for a new run, at sample 10 and at sample 10 million.

generate: pictures with our adapter against diffusers' own IP-Adapter and against no adapter.

neighbour: training while another process keeps one core busy, by how long threads wait for each other.

card: train, generate and loader on one GPU, until --minutes are over, as a page: benchmarks/<card>.md or --output.

planning: the plan of a million candidates for each builder (20,000 with --quick), and near-duplicates among so many.

builders: the engine of data_builders/ with one worker and with two against a plain loop over the same toy samples.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # `benchmarks` is no part of the installed package

from benchmarks.options import BENCHMARKS, Options
from ipai.errors import IpaiError

_MISUSE = 2


def main() -> int:
    """Read the arguments, measure, print the table and write it where it is wanted."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from tqdm import tqdm

    from benchmarks.card import card_name, write_card
    from benchmarks.run import measure, repetitions

    options = Options(
        arguments.quick, arguments.work, arguments.rounds, arguments.repeats, arguments.batch_size,
        arguments.pictures, tuple(arguments.only),
    )  # fmt: skip
    try:
        if arguments.benchmark == "card":
            name = card_name()
            page = arguments.output or Path(__file__).parents[1] / "benchmarks" / f"{name}.md"
            write_card(name, options, arguments.minutes, page, lambda part, how: measure(part, how, lambda: None))
            print(page)
            return 0
        with tqdm(total=repetitions(arguments.benchmark, options), unit="work", disable=None) as bar:
            report = measure(arguments.benchmark, options, bar.update)
        if arguments.output is not None:
            report.write(arguments.output)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        return _MISUSE
    print(report.text())
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmark", choices=(*BENCHMARKS, "card"), help="what to measure")
    parser.add_argument("--quick", action="store_true", help="a small base: what it says of the full size is little")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="gets base, shards and cache")
    parser.add_argument("--rounds", type=_count, default=2, help="how often each contestant is made (default: 2)")
    parser.add_argument("--repeats", type=_count, default=3, help="measured repetitions in a round (default: 3)")
    parser.add_argument("--batch-size", type=_count, default=2, help="samples at once (default: 2)")
    parser.add_argument("--pictures", type=_count, default=1, help="drawn at once by generate (default: 1)")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which card begins nothing (default: 8)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="contestants; default: all")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the result, as JSON; the page of card")
    return parser.parse_args()


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} must be above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
