"""Add scores to finished shards, to filter by:  python scripts/score_shards.py data/shards --scores clip_i clip_t

They go into `train-000000.scores` beside each shard, which stays as it is. A killed pass goes on where it was; several
GPUs take a part each: --part 1/4, --part 2/4, ...
"""

import argparse
import logging
import sys
from pathlib import Path

SPLITS = ("train", "val")
_WEIGHTS = {"csd": "CSD", "dino": "a DINO", "face_detector": "YuNet", "face_recogniser": "SFace"}


def main() -> int:
    """Read the arguments, score every shard of the part, say what could not be scored."""
    arguments = _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)

    import torch
    from tqdm import tqdm

    from ipai.clip.model import ClipModel
    from ipai.data.inspection import tasks_in
    from ipai.data.shards import ShardSet
    from ipai.evaluation.measures.likeness import likenesses
    from ipai.evaluation.measures.settings import LIKENESSES, LikenessWeights
    from ipai.evaluation.scoring.shard_scorers import CLIP_SCORES, score_shard, scorers
    from ipai.tasks import get_task

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = LikenessWeights.given({part: getattr(arguments, part) for part in _WEIGHTS})
    clip = None
    if set(arguments.scores) & set(CLIP_SCORES):
        clip = ClipModel(arguments.clip, arguments.pretrained, device, arguments.batch_size)
    learned = [name for name in arguments.scores if name in LIKENESSES]
    asked = scorers(arguments.scores, clip, likenesses(learned, weights, device, arguments.batch_size, cache=None))

    root = arguments.root.expanduser()
    for task in arguments.tasks or ():
        get_task(task)
    work = [
        (held, number)
        for task in arguments.tasks or tasks_in(root)
        for split in SPLITS
        if any((root / task).glob(f"{split}-*.tar"))
        for held in [ShardSet.open(root, task, split)]
        for number in range(len(held.files))
    ][arguments.part[0] - 1 :: arguments.part[1]]
    total = sum(held.counts[number] for held, number in work)
    with tqdm(desc="samples", unit=" samples", total=total, file=sys.stderr, disable=None) as bar:
        unusable = sum(score_shard(held, number, asked, bar.update) for held, number in work)
    print(f"{total:,} samples in {len(work)} shards have {', '.join(asked)}; {unusable:,} could not be scored now")
    print(f"see what a threshold leaves: python scripts/inspect_shards.py {root}")
    return 0


def _arguments() -> argparse.Namespace:
    from ipai.evaluation.measures.settings import LIKENESSES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds <task>/train-*.tar, for example data/shards")
    parser.add_argument(
        "--scores",
        nargs="+",
        required=True,
        choices=("clip_i", "clip_t", "clip_s", "clip_slot", "sharpness", *LIKENESSES),
        help="of target and: condition | prompt | both beyond the texts | object's name; the target alone; "
        "target and condition by CSD, DINO, or the largest face in each",
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="these only (default: all that are there)")
    parser.add_argument("--clip", default="ViT-L-14", help="open_clip's name, a folder, or toy (default: ViT-L-14)")
    parser.add_argument("--pretrained", default="openai", help="open_clip's tag of its weights (default: openai)")
    for part, called in _WEIGHTS.items():
        option = f"--{part.replace('_', '-')}"
        parser.add_argument(option, metavar="FILE", help=f"weights of {called} (default: from the hub)")
    parser.add_argument("--batch-size", type=int, default=32, help="pictures at once (default: 32)")
    parser.add_argument("--part", type=_part, default=(1, 1), metavar="I/N", help="every N-th shard, from the I-th on")
    return parser.parse_args()


def _part(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    try:
        found = int(number), int(count)
    except ValueError:
        found = 0, 0
    if not 1 <= found[0] <= found[1]:
        raise argparse.ArgumentTypeError(f"{text} is no part; give 1/4 for the first of four")
    return found
