"""Scores of the pairs in a data set, to filter by: does the target fit its prompt, its condition, its object's name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from ipai.clip.model import ClipModel
from ipai.clip.scores import clip_i, clip_s, clip_score
from ipai.data.images import MAX_PIXELS, ImageError, decode_image
from ipai.data.shard_scores import ShardScores, read_scores, write_scores
from ipai.data.shards import RawSample, ShardSet
from ipai.errors import SampleError
from ipai.evaluation.measures.likeness import PictureMeasure
from ipai.evaluation.scoring.scoring_settings import CLIP_SCORES, SHARPNESS

_SHARPNESS_SIDE = 256  # px: sharpness is compared at one size
_BATCH = 64

Values = dict[str, float]
"""Key of a sample -> score; a sample without what a score needs is left out."""


@dataclass(frozen=True)
class Scorer:
    """One score.

    Attributes:
        by: What computes it, for the record.
        values: Of some samples whose pictures can be decoded.
    """

    by: str
    values: Callable[[Sequence[RawSample]], Values]


def scorers(
    names: Sequence[str], clip: ClipModel | None, likenesses: Mapping[str, PictureMeasure]
) -> dict[str, Scorer]:
    """The scores that are asked for, by name.

    Args:
        names: Of `SHARD_SCORES`.
        clip: For those of `CLIP_SCORES`.
        likenesses: Measures with weights of their own.
    """
    found: dict[str, Scorer] = {}
    if clip is not None:
        clip.remember(2 * _BATCH)  # several scores look at the same pictures, one after another
    for name in names:
        if name in _OF_CLIP:
            assert clip is not None
            found[name] = Scorer(clip.identity, _with(_OF_CLIP[name], clip))
        elif name == SHARPNESS:
            found[name] = Scorer(f"variance of the Laplacian at {_SHARPNESS_SIDE} px", _sharpness)
        else:
            found[name] = Scorer(likenesses[name].identity, _like(likenesses[name]))
    return found


def score_shard(shards: ShardSet, number: int, asked: Mapping[str, Scorer], progress: Callable[[int], object]) -> int:
    """Add scores to one shard, unless it has them by the same models; how many samples could not be scored.

    Args:
        shards: The set.
        number: Of the shard among `shards.files`.
        asked: What to score.
        progress: Told how many samples are done.

    Raises:
        DataError: The shard or its scores are damaged.
    """
    path, indices = shards.files[number], shards.indices_in(number)
    known = read_scores(path)
    missing = {name: scorer for name, scorer in asked.items() if known.by.get(name) != scorer.by}
    values: dict[str, Values] = {name: {} for name in missing}
    unusable = 0
    for start in range(indices.start, indices.stop, _BATCH):
        chunk = range(start, min(start + _BATCH, indices.stop))
        samples = _usable(shards, chunk) if missing else []
        unusable += len(chunk) - len(samples) if missing else 0
        for name, scorer in missing.items():
            values[name] |= scorer.values(samples) if samples else {}
        progress(len(chunk))
    if missing:
        by = known.by | {name: scorer.by for name, scorer in missing.items()}
        write_scores(path, ShardScores(known.shard, by, known.values | values))
    return unusable


def _usable(shards: ShardSet, indices: range) -> list[RawSample]:
    """The samples whose pictures can be decoded; others are left without a score, and trainings skip them."""
    found = []
    for index in indices:
        try:
            sample = shards.read(index)
            for content in {sample.target, sample.condition}:
                decode_image(content, MAX_PIXELS)
            found.append(sample)
        except (SampleError, ImageError):
            continue
    return found


def _with(score: Callable[[ClipModel, Sequence[RawSample]], Values], clip: ClipModel) -> Callable[..., Values]:
    return lambda samples: score(clip, samples)


def _like(likeness: PictureMeasure) -> Callable[[Sequence[RawSample]], Values]:
    def values(samples: Sequence[RawSample]) -> Values:
        found = likeness([sample.target for sample in samples], [sample.condition for sample in samples])
        return {sample.key: value for sample, value in zip(samples, found, strict=True) if value is not None}

    return values


def _clip_i(clip: ClipModel, samples: Sequence[RawSample]) -> Values:
    """Target and condition."""
    targets, conditions = _pictures(clip, samples)
    return _keyed(samples, clip_i(targets, conditions).tolist())


def _clip_t(clip: ClipModel, samples: Sequence[RawSample]) -> Values:
    """Target and its prompt."""
    told = _having(samples, "prompt")
    return _text_scores(clip, told, [str(sample.record["prompt"]) for sample in told])


def _clip_slot(clip: ClipModel, samples: Sequence[RawSample]) -> Values:
    """Target and the name of its object."""
    told = _having(samples, "slot")
    return _text_scores(clip, told, [f"a photo of a {sample.record['slot']}" for sample in told])


def _clip_s(clip: ClipModel, samples: Sequence[RawSample]) -> Values:
    """What target and condition share beyond their captions: the style, for style pairs."""
    told = _having(_having(samples, "prompt"), "cond_prompt")
    if not told:
        return {}
    targets, conditions = _pictures(clip, told)
    prompts, captions = (clip.texts([str(one.record[name]) for one in told]) for name in ("prompt", "cond_prompt"))
    return _keyed(told, clip_s(targets, prompts, conditions, captions).tolist())


_OF_CLIP: dict[str, Callable[[ClipModel, Sequence[RawSample]], Values]] = dict(
    zip(CLIP_SCORES, (_clip_i, _clip_t, _clip_s, _clip_slot), strict=True)
)


def _sharpness(samples: Sequence[RawSample]) -> Values:
    """Of the target."""
    found = {}
    for sample in samples:
        grey = decode_image(sample.target, MAX_PIXELS).convert("L").resize((_SHARPNESS_SIDE, _SHARPNESS_SIDE))
        found[sample.key] = float(cv2.Laplacian(np.asarray(grey, np.float64), cv2.CV_64F).var())
    return found


def _having(samples: Sequence[RawSample], name: str) -> list[RawSample]:
    return [sample for sample in samples if isinstance(sample.record.get(name), str) and sample.record[name]]


def _pictures(clip: ClipModel, samples: Sequence[RawSample]) -> tuple[Tensor, Tensor]:
    return (
        clip.pictures([sample.target for sample in samples]),
        clip.pictures([sample.condition for sample in samples]),
    )


def _text_scores(clip: ClipModel, samples: Sequence[RawSample], texts: list[str]) -> Values:
    if not samples:
        return {}
    pictures = clip.pictures([sample.target for sample in samples])
    return _keyed(samples, clip_score(pictures, clip.texts(texts)).tolist())


def _keyed(samples: Sequence[RawSample], values: list[float]) -> Values:
    return dict(zip((sample.key for sample in samples), values, strict=True))
