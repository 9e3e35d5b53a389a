"""From pictures to one row of scores each."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from ipai.clip.model import ClipModel
from ipai.clip.scores import CLIP_SCORE_SCALE, clip_i, clip_s, clip_score, diversity
from ipai.evaluation.measures.likeness import Measured
from ipai.evaluation.measures.settings import VQA_COLUMNS
from ipai.evaluation.sampling.eval_samples import EvalSample, HeldOut
from ipai.evaluation.sampling.image_shards import Part, read_part
from ipai.evaluation.scoring.pixel_scores import edge_f1, palette_distance
from ipai.evaluation.scoring.statistics import Row

if TYPE_CHECKING:  # transformers' models take seconds to import
    from ipai.evaluation.measures.questions import YesProbability


def score_part(
    part: Part,
    source: HeldOut,
    clip: ClipModel,
    measures: Mapping[str, Measured],
    asking: "YesProbability | None",
    progress: Callable[[int], object],
) -> list[Row]:
    """A row for each picture of a part, with the scores of `measures` under their names, and what `asking` answers.

    Raises:
        DataError: A picture is missing or damaged.
    """
    questions, contents = zip(*read_part(part), strict=True)
    generated = clip.pictures(contents, progress)
    columns = _clip_columns(clip, source, questions, generated)
    conditions = [source.condition_bytes(question) for question in questions] if measures else []
    columns |= {name: list(measure(contents, conditions)) for name, measure in measures.items()}
    if asking is not None:
        of_prompt, of_caption = VQA_COLUMNS
        columns[of_prompt] = asking(contents, [question.prompt for question in questions])
        columns[of_caption] = asking(contents, [question.caption for question in questions])
    rows = []
    for place, (question, content) in enumerate(zip(questions, contents, strict=True)):
        picture, condition = Image.open(io.BytesIO(content)).convert("RGB"), source.condition(question)
        pixels = {
            "edge_f1": edge_f1(picture, condition),
            "palette_distance": palette_distance(picture, condition),
        }
        scores = {name: values[place] for name, values in columns.items()}
        rows.append({**_asked(question), **scores, **pixels, "diversity": None})
    _add_diversity(rows, generated)
    return rows


def _clip_columns(
    clip: ClipModel, source: HeldOut, questions: Sequence[EvalSample], generated: Tensor
) -> dict[str, list[float | None]]:
    condition = clip.pictures([source.condition_bytes(question) for question in questions])
    prompts = clip.texts([question.prompt for question in questions])
    captions = clip.texts([question.caption or "" for question in questions])
    has_caption = [question.caption is not None for question in questions]

    def only_captioned(values: Tensor) -> list[float | None]:
        return [value if known else None for value, known in zip(values.tolist(), has_caption, strict=True)]

    raw = clip_s(generated, prompts, condition, captions)
    return {
        "clip_i": clip_i(generated, condition).tolist(),
        "clip_t": only_captioned(clip_score(generated, captions)),
        "clip_p": clip_score(generated, prompts).tolist(),
        "clip_s": only_captioned(CLIP_SCORE_SCALE * raw),
        "clip_s_raw": only_captioned(raw),
    }


def _asked(question: EvalSample) -> Row:
    return {name: value for name, value in asdict(question).items() if name != "index"}


def _add_diversity(rows: list[Row], generated: Tensor) -> None:
    """Into the first row of each sample that was drawn with several noises, which lie next to each other."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row["key"], []).append(place)
    for of_sample in places.values():
        if len(of_sample) > 1:
            rows[of_sample[0]]["diversity"] = diversity(generated[torch.tensor(of_sample)]).item()
