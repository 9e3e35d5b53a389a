"""The pools, from the first request to the files.

What is asked next depends only on the settings and on earlier answers, which the cache keeps: an interrupted command
that is repeated takes the same way without paying again, and ends with the same bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_builders.engine.keyed_hash import rank
from data_builders.instructions.config import InstructionsConfig
from data_builders.instructions.judging import Collection
from data_builders.instructions.pool_file import Written, write_pools
from data_builders.instructions.prompts import kind_of, question_of
from ipai.errors import InstructionError
from ipai.llm.asking import Report, Tally, ask_all
from ipai.llm.budget import likely_cost
from ipai.llm.cache import AnswerCache
from ipai.llm.config import cache_path
from ipai.llm.question import Answer, Question

# Of the lines of a request, the share that is expected to be new and allowed; decides how many are asked at once.
_LIKELY_YIELD = 0.5
# Requests between two looks at what is known, which the next ones are told to avoid.
_WAVE = 8


@dataclass(frozen=True)
class Pool:
    """A task's pool that was written: its files, how many requests it took, and the lines that were left out."""

    task: str
    files: tuple[Path, Path]
    requests: int
    dropped: dict[str, int]


def build_pools(config: InstructionsConfig, report: Report) -> Iterator[Pool]:
    """Write the pools of the chosen tasks, one task after the other; `report` is called for every settled request.

    Raises:
        ConfigError: The key is missing.
        DataError: The budget is used up, or the server refuses or stays down; answers are kept.
        InstructionError: The model does not find enough different instructions.
    """
    asking = _Asking(config, report)
    for task in config.chosen:
        yield _build(task, config, asking)


def pool_bill(config: InstructionsConfig) -> tuple[int, float]:
    """How many requests the pools are likely to take, and for how many dollars, if none is known yet."""
    requests = len(config.chosen) * _requests_for(config.count.train + config.count.val, config)
    path = cache_path(config.writer)
    if not path.exists():
        return requests, requests * likely_cost(config.writer, None)
    cache = AnswerCache(path)
    each = [likely_cost(config.writer, cache.observed(kind_of(task, config.writer))) for task in config.chosen]
    cache.close()
    return requests, requests * sum(each) / len(each)


def _build(task: str, config: InstructionsConfig, asking: "_Asking") -> Pool:
    collection = Collection(task, config.max_words, config.max_overlap)
    wanted = config.count.train + config.count.val
    written: list[Written] = []
    asked = stale = 0
    while len(collection.lines) < wanted:
        wave = min(_WAVE, _requests_for(wanted - len(collection.lines), config))
        questions = [
            question_of(task, asked + number, config.per_request, collection.lines, config.seed, config.writer)
            for number in range(wave)
        ]
        asked += wave
        answers = asking.answers(questions)
        stale += len(questions) - len(answers)
        for answer in answers:
            before = len(collection.lines)
            if answer.outcome == "text":
                for line in json.loads(answer.content)["instructions"]:
                    collection.add(line)
                written.append(Written(answer.model, answer.date))
            stale = 0 if len(collection.lines) > before else stale + 1
        if stale >= config.stale_requests:
            raise _given_up(task, collection, wanted, config)
    files = write_pools(Path(config.output).expanduser(), task, _split(collection.lines[:wanted], config), written)
    return Pool(task, files, asked, dict(collection.dropped))


class _Asking:
    """Asks for the sake of one output, wave after wave."""

    def __init__(self, config: InstructionsConfig, report: Report) -> None:
        self._model = config.writer
        self._scope = str(Path(config.output).expanduser().resolve())
        self._report = report
        self._tally = Tally()

    def answers(self, questions: list[Question]) -> list[Answer]:
        """The answers to all of them, in their order, without those that nothing usable came to."""
        total = self._tally.settled + len(questions)
        ask_all(iter(questions), total, self._model, self._scope, self._tally, self._report)
        cache = AnswerCache(cache_path(self._model))
        found = [cache.answer(question.key) for question in questions]
        cache.close()
        return [answer for answer in found if answer is not None]


def _requests_for(missing: int, config: InstructionsConfig) -> int:
    return -(-missing // max(1, round(config.per_request * _LIKELY_YIELD)))


def _split(lines: list[str], config: InstructionsConfig) -> tuple[list[str], list[str]]:
    """Train and validation, drawn and ordered by keyed hashes."""
    drawn = sorted(lines, key=lambda line: rank(config.seed, "val", line))
    return drawn[config.count.val :], drawn[: config.count.val]


def _given_up(task: str, collection: Collection, wanted: int, config: InstructionsConfig) -> InstructionError:
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in collection.dropped.most_common()) or "nothing"
    return InstructionError(
        f"the model {config.writer.model} finds no more instructions for {task}: {len(collection.lines):,} of "
        f"{wanted:,} (left out: {left_out}). Ask for fewer with count.train and count.val, allow nearer wordings with "
        "max_overlap, or choose another writer.model or writer.temperature. All answers are kept"
    )
