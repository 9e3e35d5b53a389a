"""A pass over finished shards that adds scores beside them; killed, it goes on where it was."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ipai.clip.model import ClipModel
from ipai.data.inspection import tasks_in
from ipai.data.shard_scores import read_scores
from ipai.data.shards import ShardSet
from ipai.evaluation.measures.likeness import likenesses
from ipai.evaluation.measures.settings import LIKENESSES
from ipai.evaluation.scoring.scoring_settings import CLIP_SCORES, ShardScoring
from ipai.evaluation.scoring.shard_scorers import Scorer, scorers

_SPLITS = ("train", "val")


def load_scorers(settings: ShardScoring) -> dict[str, Scorer]:
    """The scores that are asked for, their models loaded onto the GPU if there is one.

    Raises:
        WeightsError: A model cannot be had.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clip = None
    if set(settings.names) & set(CLIP_SCORES):
        clip = ClipModel(settings.clip, settings.pretrained, device, settings.batch_size)
    learned = [name for name in settings.names if name in LIKENESSES]
    found = scorers(
        settings.names, clip, likenesses(learned, settings.weights, device, settings.batch_size, cache=None)
    )
    if settings.classifiers:
        # Only now: transformers' models take seconds to import.
        from ipai.evaluation.scoring.classifier_scores import LabelProbability

        for name, classifier in settings.classifiers.items():
            probability = LabelProbability(classifier, device, settings.batch_size)
            found[name] = Scorer(probability.identity, probability)
    return found


def shards_to_score(root: Path, tasks: Sequence[str] | None) -> list[tuple[ShardSet, int]]:
    """Each shard of the tasks (None: all that are there): its set and its number in it."""
    return [
        (held, number)
        for task in tasks or tasks_in(root)
        for split in _SPLITS
        if any((root / task).glob(f"{split}-*.tar"))
        for held in [ShardSet.open(root, task, split)]
        for number in range(len(held.files))
    ]


def score_counts(work: Sequence[tuple[ShardSet, int]], names: Iterable[str]) -> dict[str, int]:
    """How many samples of these shards have each score: a face's identity, say, only those that show one."""
    found = [read_scores(held.files[number]).values for held, number in work]
    return {name: sum(len(values.get(name, ())) for values in found) for name in names}
