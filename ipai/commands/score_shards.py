"""Add scores to finished shards, to filter by:  python scripts/score_shards.py data/shards --scores clip_i clip_t

They go into `train-000000.scores` beside each shard, which stays as it is. A killed pass goes on where it was; several
GPUs take a part each: --part 1/4, --part 2/4, ...

Any image classifier of transformers' gives a score as well, the probability of a label by which the target is filtered:
--classifier nsfw=Falconsai/nsfw_image_detection:nsfw
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipai.evaluation.scoring.scoring_settings import Classifier, ShardScoring

_WEIGHTS = {"csd": "CSD", "dino": "a DINO", "face_detector": "YuNet", "face_recogniser": "SFace"}
_WEIGHTS |= {"vgg": "VGG-16", "lpips": "LPIPS"}


def main() -> int:
    """Read the arguments, score every shard of the part, say what could not be scored."""
    arguments, settings = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    from tqdm import tqdm

    from ipai.evaluation.scoring.scoring_pass import load_scorers, score_counts, shards_to_score
    from ipai.evaluation.scoring.shard_scorers import score_shard
    from ipai.tasks import get_task

    for task in arguments.tasks or ():
        get_task(task)
    root = arguments.root.expanduser()
    asked = load_scorers(settings)
    work = shards_to_score(root, arguments.tasks)[arguments.part[0] - 1 :: arguments.part[1]]
    total = sum(held.counts[number] for held, number in work)
    with tqdm(desc="samples", unit=" samples", total=total, file=sys.stderr, disable=None) as bar:
        unusable = sum(score_shard(held, number, asked, bar.update) for held, number in work)
    counts = ", ".join(f"{name} of {count:,}" for name, count in score_counts(work, asked).items())
    print(f"{counts}; samples in {len(work)} shards: {total:,}, of them cannot be read: {unusable:,}")
    print(f"see what a threshold leaves: python scripts/inspect_shards.py {root}")
    return 0


def _arguments() -> "tuple[argparse.Namespace, ShardScoring]":
    from ipai.evaluation.measures.settings import LikenessWeights
    from ipai.evaluation.scoring.scoring_settings import SHARD_SCORES, ShardScoring
    from ipai.schema import out_of_bounds, refuse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds <task>/train-*.tar, for example data/shards")
    parser.add_argument(
        "--scores",
        nargs="+",
        default=[],
        choices=SHARD_SCORES,
        help="of target and: condition | prompt | both beyond the texts | object's name; the target alone; "
        "target and condition by CSD, DINO, LPIPS, or the largest face in each",
    )
    parser.add_argument(
        "--classifier",
        action="append",
        default=[],
        type=_classifier,
        metavar="NAME=MODEL:LABEL",
        help="a further score, the probability of a label by an image classifier; may be given several times",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="these only (default: all that are there)")
    parser.add_argument("--clip", default="ViT-L-14", help="open_clip's name, a folder, or toy (default: ViT-L-14)")
    parser.add_argument("--pretrained", default="openai", help="open_clip's tag of its weights (default: openai)")
    for part, called in _WEIGHTS.items():
        option = f"--{part.replace('_', '-')}"
        parser.add_argument(option, metavar="FILE", help=f"weights of {called} (default: from the hub)")
    parser.add_argument("--batch-size", type=int, default=32, help="pictures at once (default: 32)")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="every N-th shard, from the I-th on")
    arguments = parser.parse_args()
    settings = ShardScoring(
        names=arguments.scores,
        clip=arguments.clip,
        pretrained=arguments.pretrained,
        weights=LikenessWeights.given({part: getattr(arguments, part) for part in _WEIGHTS}),
        classifiers=dict(arguments.classifier),
        batch_size=arguments.batch_size,
    )
    if not settings:
        parser.error("say what to score: --scores, --classifier or both")
    if len(settings.classifiers) < len(arguments.classifier):
        parser.error("--classifier: two of them have one name")
    refuse([*out_of_bounds(settings), *settings.problems("scores")])
    return arguments, settings


def _classifier(text: str) -> "tuple[str, Classifier]":
    from ipai.evaluation.scoring.scoring_settings import Classifier

    name, _, rest = text.partition("=")
    model, _, label = rest.rpartition(":")
    if not (name and model and label):
        raise argparse.ArgumentTypeError(f"{text} is no classifier; give nsfw=Falconsai/nsfw_image_detection:nsfw")
    return name, Classifier(id=model, label=label)


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    try:
        found = int(number), int(count)
    except ValueError:
        found = 0, 0
    if not 1 <= found[0] <= found[1]:
        raise argparse.ArgumentTypeError(f"{text} is no part; give 1/4 for the first of four")
    return found
