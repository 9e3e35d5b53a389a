"""Which claims the miniature can answer, and its answers."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ipai.evaluation.figures.figure_7 import evaluated_checkpoints
from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.claims.claim import (
    NO,
    NOT_RUN,
    UNKNOWN,
    YES,
    Claim,
    Gaps,
    answer_of,
    holds_over_seeds,
    interval,
    pooled,
)
from ipai.evaluation.reporting.claims.shares import TELLING, Share, share_in, share_of_runs
from ipai.evaluation.reporting.comparing import Line, columns, paired, read_evaluation
from ipai.evaluation.reporting.reproducing import NOISES, TOLD_BY, ReproduceConfig, run_folder, seeds_of, then_new_task
from ipai.evaluation.scoring.statistics import SCORES, by_sample
from ipai.tasks import TASKS, get_task

MARGIN = 0.1
"""Of the other's mean, and of all answers: how far below something that is "on a par" may lie."""

LEAK = 0.25
"""The share of kept places above which something leaks, as docs/toy-world.md has it; chance is a ninth."""


def claims(config: ReproduceConfig) -> Iterator[Claim]:
    """The claims about the experiments that were run.

    Raises:
        DataError: An evaluation is missing.
    """
    if config.experiments:
        yield from _of_experiments(config)
    if config.new_task is not None:
        yield from _new_task(config, config.new_task)
    if config.experiments:
        yield Claim(
            "InstructPix2Pix edits the condition where the adapter takes from it (Fig. 9)", NOT_RUN,
            "it needs its real weights: `ipai evaluate run=RUN weights=instruct_pix2pix`",
        )  # fmt: skip


def _of_experiments(config: ReproduceConfig) -> Iterator[Claim]:
    joint = pooled("joint", seeds_of(config, "joint"))
    specialists = [name for name in config.experiments if name.startswith("single_")]
    if specialists:
        single = pooled("single-task", [run_folder(config, name) for name in specialists])
        yield _on_a_par(joint, single, specialists)
        yield from _on_a_par_by_oracles(config, specialists)
        if len(specialists) == len(TASKS):
            yield _cost(joint.samples_seen // len(seeds_of(config, "joint")), single.samples_seen)
    for other in ("fixed_instruction", "average_instruction"):
        if other in config.experiments:
            yield _better_on_unseen(config, joint, other)
            yield from _better_on_unseen_by_oracles(config, other)
    if config.curve:
        yield _lower_than_a_copy(config)
    yield _leak_resolved(config)
    yield _rewordings(run_folder(config, "joint") / FOLDER)


def _on_a_par(joint: Line, single: Line, specialists: Sequence[str]) -> Claim:
    gaps = Gaps(joint, single)
    margins = [(gap, -MARGIN * abs(gap.of)) for gap in gaps.all]
    under = [gap for gap, margin in margins if gap.difference.high is not None and gap.difference.high < margin]
    reaching = [gap for gap, margin in margins if gap.difference.low is None or gap.difference.low < margin]
    open_ = [gap for gap in reaching if gap not in under]
    answer = NO if under else UNKNOWN if open_ else YES
    reach = "".join(
        f"; {how} more than {MARGIN:.0%} below in {', '.join(map(str, found))}"
        for how, found in (("lies", under), ("may lie", open_))
        if found
    )
    which = "" if len(specialists) == len(TASKS) else f" ({', '.join(specialists)})"
    return Claim(
        f"joint is on a par with the single-task runs{which} or better, by the scores", answer, f"{gaps}{reach}"
    )


def _asked_for(
    config: ReproduceConfig, others: Callable[[str], Sequence[Path]], wordings: str = ""
) -> Iterator[tuple[Share, Share, str]]:
    """How often the joint run and another one took what tells most of a task, where both were asked."""
    for task, (kind, factor) in TELLING.items():
        ours = share_of_runs(seeds_of(config, "joint"), kind, task, factor)
        runs = others(task)
        theirs = share_of_runs(runs, kind, task, factor, wordings) if runs else None
        if ours is not None and theirs is not None:
            yield ours, theirs, f"{task}: {factor} {ours} against {theirs}"


def _on_a_par_by_oracles(config: ReproduceConfig, specialists: Sequence[str]) -> Iterator[Claim]:
    answers, texts = [], []

    def specialist(task: str) -> list[Path]:
        return [run_folder(config, f"single_{task}")] if f"single_{task}" in specialists else []

    for ours, theirs, text in _asked_for(config, specialist):
        gap, half = ours.above(theirs)
        _, wide = ours.above(theirs, tests=len(TELLING))  # one of several is enough for a no, and all for a yes
        answers.append(NO if gap + wide < -MARGIN else YES if gap - half > -MARGIN else UNKNOWN)
        texts.append(f"{text}, {100 * gap:+.0f} ± {100 * half:.0f} points")
    if answers:
        answer = next((one for one in (NO, UNKNOWN) if one in answers), YES)
        yield Claim("The same, by how often the oracles find one factor that was asked for", answer, "; ".join(texts))


def _cost(joint: int, single: int) -> Claim:
    evidence = f"{joint:,} samples for a joint run, {single:,} for the single-task runs together, as they were set"
    return Claim("joint has at most a fifth of their cost", YES if 5 * joint <= single else NO, evidence)


def _better_on_unseen(config: ReproduceConfig, joint: Line, other: str) -> Claim:
    """Clear over the samples, and where both have several seeds over those too."""
    ours, theirs = seeds_of(config, "joint"), seeds_of(config, other)
    gaps = Gaps(joint, pooled(other, theirs, "val"))
    answer, evidence = _over_seeds(gaps, ours, theirs, ("", "val"))
    return Claim(f"Told by unseen wordings, joint is better than {other}", answer, evidence)


def _over_seeds(gaps: Gaps, ours: Sequence[Path], theirs: Sequence[Path], wordings: tuple[str, str]) -> tuple[str, str]:
    """Whether the first is better: over the samples, and over the training seeds where both have several."""
    answer, clear, seeds = gaps.answer, (*gaps.above, *gaps.below), f"{len(ours)} against {len(theirs)}"
    if min(len(ours), len(theirs)) == 1:
        return answer, f"{gaps}; over the samples only (training seeds: {seeds})"
    firm = [gap for gap in clear if holds_over_seeds(gap, ours, theirs, wordings, len(clear))]
    held = f"{len(firm)} of the clear ones over the training seeds too ({seeds})"
    return answer if firm else UNKNOWN, f"{gaps}; {held}"


def _better_on_unseen_by_oracles(config: ReproduceConfig, other: str) -> Iterator[Claim]:
    texts, above, below = [], 0, 0
    for ours, theirs, text in _asked_for(config, lambda _task: seeds_of(config, other), "val"):
        gap, half = ours.above(theirs, tests=len(TELLING))
        above, below = above + (gap > half), below + (gap < -half)
        texts.append(f"{text}, {100 * gap:+.0f} ± {100 * half:.0f} points")
    if texts:
        answer = UNKNOWN if bool(above) == bool(below) else YES if above else NO
        yield Claim(f"The same of {other}, by the oracles", answer, "; ".join(texts))


def _lower_than_a_copy(config: ReproduceConfig) -> Claim:
    end = run_folder(config, "joint") / FOLDER
    (_, before), (_, after) = read_evaluation(end / "start"), read_evaluation(end)
    found = {}
    for task in config.curve:
        score = get_task(task).scores[0]
        first, last = by_sample(before, task, score), by_sample(after, task, score)
        if not first:
            continue
        found[f"{task} {SCORES[score]}"] = paired(np.array([last[key] - first[key] for key in first]))
    return Claim(
        "Scores against the condition are lower after training than before, when all is copied (Fig. 7)",
        answer_of(list(found.values()), -1),
        "from step 0 to the end " + ", ".join(f"{name} {interval(one)}" for name, one in found.items()),
    )  # fmt: skip


def _leak_resolved(config: ReproduceConfig) -> Claim:
    text = "joint leaks at first, and further training resolves it"
    if "style" not in config.curve or not config.oracles:
        return Claim(text, NOT_RUN, "it needs style in curve, and oracles")
    points = [
        (scores["samples_seen"], share)
        for scores in evaluated_checkpoints(run_folder(config, "joint"))
        if scores["samples_seen"] and (share := share_in(scores, "scenes", "style", "place")) is not None
    ]
    if len(points) < 2:
        return Claim(text, NOT_RUN, "it needs two checkpoints")
    (early, first), (late, last) = points[0], points[-1]
    gap, half = first.above(last)
    leaks, has_leaked = (share.mean - 2 * share.error > LEAK for share in (last, first))
    none, never = (share.mean + 2 * share.error <= LEAK for share in (last, first))
    answer = YES if has_leaked and none and gap > half else NO if leaks or never else UNKNOWN
    return Claim(
        text, answer,
        f'"use the style" keeps the place in {first} after {early:,} samples, the first checkpoint that was '
        f"asked, and in {last} after {late:,} (a leak: more than {LEAK:.0%}; chance 11 %)",
    )  # fmt: skip


def _rewordings(evaluation: Path) -> Claim:
    """Each sample drawn again with the same noise and another wording, and with the same wording and another noise."""
    (_, drawn), (_, reworded), (_, noises) = (read_evaluation(evaluation / name) for name in ("", "train", NOISES))
    other_noise = [row for row in noises if row["number"] == 1]
    found, ratios = [], []
    for task, score in columns():
        first, worded, noised = (by_sample(rows, task, score) for rows in (drawn, reworded, other_noise))
        by_wording = {key: abs(first[key] - worded[key]) for key in first}
        by_noise = {key: abs(first[key] - noised[key]) for key in first}
        if usual := sum(by_noise.values()) / max(len(by_noise), 1):
            ratios.append(float(np.mean(list(by_wording.values()))) / usual)
            found.append(paired(np.array([by_wording[key] - by_noise[key] for key in first])))
    return Claim(
        "Another wording moves a sample's scores less than another noise (Fig. 8)", answer_of(found, -1),
        f"a wording of training in place of an unseen one moves them {np.mean(ratios):.2f} times as far "
        f"as another noise does (from {min(ratios):.2f} to {max(ratios):.2f} over the scores)",
    )  # fmt: skip


def _new_task(config: ReproduceConfig, task: str) -> Iterator[Claim]:
    """By the scores, which fall as the adapter stops to copy, and by whether the oracles find what was asked for."""
    by_text, by_embedding = (then_new_task(config, name) for name in TOLD_BY)
    first = pooled("text", by_text)
    gaps, before = (
        Gaps(pooled("text", by_text, wordings), pooled("embedding", by_embedding, wordings))
        for wordings in ("", "start")
    )
    answer, evidence = _over_seeds(gaps, by_text, by_embedding, ("", ""))
    yield Claim(
        f"A new task ({task}, after the others) starts better from a text than from an embedding, by the scores",
        answer,
        f"after {first.samples_seen // len(by_text):,} samples of it {evidence}; before the first of them {before}",
    )  # fmt: skip
    if task not in TELLING:
        return
    kind, factor = TELLING[task]
    text, embedding, text_before, embedding_before = (
        share_of_runs(runs, kind, task, factor, wordings)
        for wordings in ("", "start") for runs in (by_text, by_embedding)
    )  # fmt: skip
    if text is not None and embedding is not None:
        gap, half = text.above(embedding)
        yield Claim(
            "The same, by the oracles", YES if gap > half else NO if gap < -half else UNKNOWN,
            f"{factor} taken in {text} by text and in {embedding} by embedding, {100 * gap:+.0f} ± {100 * half:.0f} "
            f"points; before the first sample in {text_before} and {embedding_before}",
        )  # fmt: skip
