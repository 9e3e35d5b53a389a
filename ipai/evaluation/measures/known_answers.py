"""Toy answers of which it is known what they took: renders that share some factors with their condition."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ipai.evaluation.scoring.oracle_tables import ASKED, TASKS_OF
from ipai.toyworld.captions import WORDINGS, plain_captions
from ipai.toyworld.factors import HIDDEN, visible_factors
from ipai.toyworld.oracles import KINDS
from ipai.toyworld.questions import questions
from ipai.toyworld.render import render

SIDE = 64


@dataclass(frozen=True)
class KnownAnswers:
    """N answers to the questions of one task.

    Attributes:
        task: Whose instruction was given.
        kind: Scenes or portraits.
        conditions, answers: RGB pictures.
        captions: Plain captions of the conditions.
        prompts: Plain captions of what was wanted.
        taken: Share of the asked-for factors that are the condition's, of those that tell, [N]; NaN where none does.
        leaked: Of the other factors, likewise.
    """

    task: str
    kind: str
    conditions: list[Image.Image]
    answers: list[Image.Image]
    captions: list[str]
    prompts: list[str]
    taken: np.ndarray
    leaked: np.ndarray


def tasks_and_kinds() -> list[tuple[str, str]]:
    """All questions that there are: of each task by kind of picture."""
    return [(task, kind) for kind, tasks in TASKS_OF.items() for task in tasks]


def known_answers(task: str, kind: str, count: int, seed: int) -> KnownAnswers:
    """Answers that take what is asked, and what is not, each with a probability of its own: from nothing to all.

    Args:
        task: Of `tasks_and_kinds`.
        kind: Likewise.
        count: How many.
        seed: Of what is taken.
    """
    asked = questions(kind == "portraits", count, task)
    random = np.random.default_rng([seed, *task.encode()])
    chances = random.random((2, count))  # of each answer: for what is asked, and for the rest
    mixed, same = {}, {}
    for name in KINDS[kind]:
        take = random.random(count) < chances[0 if name in ASKED[task] else 1]
        given, wanted = getattr(asked.conditions, name), getattr(asked.wanted, name)
        mixed[name] = np.where(take, given, wanted)
    answers = replace(asked.wanted, **mixed)
    given, wanted, found = (visible_factors(each, KINDS[kind]) for each in (asked.conditions, asked.wanted, answers))
    for name in KINDS[kind]:
        tells = (given[name] != wanted[name]) & (given[name] != HIDDEN)
        same[name] = np.where(tells, found[name] == given[name], np.nan)
    return KnownAnswers(
        task=task,
        kind=kind,
        conditions=[Image.fromarray(pixels) for pixels in render(asked.conditions, SIDE)],
        answers=[Image.fromarray(pixels) for pixels in render(answers, SIDE)],
        captions=plain_captions(asked.conditions, np.arange(count) % WORDINGS),
        prompts=asked.prompts(),
        taken=_mean([same[name] for name in KINDS[kind] if name in ASKED[task]]),
        leaked=_mean([same[name] for name in KINDS[kind] if name not in ASKED[task]]),
    )


def _mean(columns: list[np.ndarray]) -> np.ndarray:
    """Of what is known in each row, [N]; NaN where nothing is."""
    if not columns:
        return np.full(0, np.nan)
    values = np.stack(columns)
    known = ~np.isnan(values)
    counts = known.sum(0)
    sums = np.where(known, values, 0.0).sum(0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
