"""Measures of likeness between an answer and its condition: those that run here, and what others need weights for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from ipai.clip.model import ClipModel
from ipai.clip.scores import CLIP_SCORE_SCALE, clip_i, clip_s, clip_score
from ipai.evaluation.measures.known_answers import KnownAnswers
from ipai.evaluation.measures.likeness import PictureMeasure
from ipai.evaluation.scoring.pixel_scores import edge_f1, palette_distance
from ipai.toyworld.sources.source_files import png


@dataclass(frozen=True)
class Measure:
    """One of them.

    Attributes:
        called: What tables call it.
        score: A number for each answer, [N]; larger is more like the condition (for CLIP-P: like the prompt).
    """

    called: str
    score: Callable[[KnownAnswers, ClipModel], np.ndarray]


def _clip_i(asked: KnownAnswers, clip: ClipModel) -> np.ndarray:
    return clip_i(_embedded(clip, asked.answers), _embedded(clip, asked.conditions)).numpy()


def _clip_t(asked: KnownAnswers, clip: ClipModel) -> np.ndarray:
    return clip_score(_embedded(clip, asked.answers), clip.texts(asked.captions)).numpy()


def _clip_p(asked: KnownAnswers, clip: ClipModel) -> np.ndarray:
    return clip_score(_embedded(clip, asked.answers), clip.texts(asked.prompts)).numpy()


def _clip_s(asked: KnownAnswers, clip: ClipModel) -> np.ndarray:
    pictures, conditions = _embedded(clip, asked.answers), _embedded(clip, asked.conditions)
    raw = clip_s(pictures, clip.texts(asked.prompts), conditions, clip.texts(asked.captions))
    return CLIP_SCORE_SCALE * raw.numpy()


def _edges(asked: KnownAnswers, _: ClipModel) -> np.ndarray:
    return np.array([edge_f1(*pair) for pair in zip(asked.answers, asked.conditions, strict=True)])


def _palette(asked: KnownAnswers, _: ClipModel) -> np.ndarray:
    return np.array([1 - palette_distance(*pair) for pair in zip(asked.answers, asked.conditions, strict=True)])


def _embedded(clip: ClipModel, pictures: list[Image.Image]) -> Tensor:
    return clip.pictures([png(np.asarray(picture)) for picture in pictures])


MEASURES = {
    "clip_i": Measure("CLIP-I", _clip_i),
    "clip_t": Measure("CLIP-T", _clip_t),
    "clip_p": Measure("CLIP-P", _clip_p),
    "clip_s": Measure("CLIP-S", _clip_s),
    "edge_f1": Measure("edge F1", _edges),
    "palette": Measure("1 - palette distance", _palette),
}
"""By name."""

WITH_WEIGHTS = {
    "csd": "CSD (style descriptors, 2404.01292)",
    "dino_i": "DINOv2's class token (2304.07193)",
    "dino_structure": "self-similarity of DINOv2's patches (2201.00424)",
    "lpips": "1 - LPIPS (1801.03924)",
    "face_id": "SFace (2205.12010) on the largest face that YuNet finds",
}
"""Those of `ipai evaluate measures=`, which run here where their weights are given."""


def of_likeness(name: str, likeness: PictureMeasure) -> Measure:
    """A measure of `ipai evaluate measures=` as one of these."""

    def score(asked: KnownAnswers, _: ClipModel) -> np.ndarray:
        answers, conditions = (
            [png(np.asarray(picture)) for picture in pictures] for pictures in (asked.answers, asked.conditions)
        )
        return np.array(likeness(answers, conditions), np.float64)

    return Measure(WITH_WEIGHTS[name], score)
