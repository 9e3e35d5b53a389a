"""In the toy world, what CLIP cannot say: was the asked-for factor taken, did others leak, was the prompt followed.

Conditions and prompts are drawn independently of each other, so a factor of the condition that is found in the answer
was taken from it. A pair that agrees in a factor anyway says nothing of it and is not counted.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ipai.evaluation.sampling.eval_samples import EvalSample, instruction_for, noise_seed
from ipai.evaluation.sampling.image_shards import Part, read_part
from ipai.evaluation.scoring.statistics import Mean
from ipai.image_io import to_image
from ipai.instructions.slots import fill_slot
from ipai.toyworld.factors import HIDDEN, IDENTITY
from ipai.toyworld.oracles import TRUSTED, Oracle, truth_of
from ipai.toyworld.questions import PORTRAIT_TASKS, SCENE_TASKS, object_names, questions

ASKED: dict[str, tuple[str, ...]] = {
    "copy": ("object", "colour", "mark", "size", "place", *IDENTITY, "expression", "background", "style"),
    "style": ("style",),
    "object": ("object", "colour", "mark"),
    "structure": ("place", "size"),
    "face": IDENTITY,
}
"""Which factors of the condition an instruction of each task asks for; another one that comes along is a leak."""

PROMPTED = {"scenes": ("object", "colour", "background"), "portraits": ("background",)}
"""Which factors a plain caption names."""

TASKS_OF = {"scenes": SCENE_TASKS, "portraits": PORTRAIT_TASKS}
SIDE = 64


class OracleQuestions:
    """Toy conditions under the instructions of one task, with prompts for independent pictures.

    Args:
        kind: "scenes" or "portraits".
        task: Whose instructions are asked.
        templates: Its instructions.
        count: How many conditions.
        seed: Of noises and instructions.
    """

    def __init__(self, kind: str, task: str, templates: Sequence[str], count: int, seed: int) -> None:
        self.kind, self.task = kind, task
        self.name = f"oracle-{kind}-{task}"
        self.asked = questions(kind == "portraits", count, task)
        self._pixels = self.asked.pixels(SIDE)
        names, prompts = object_names(self.asked.conditions), self.asked.prompts()
        keys = [f"{kind}-{index:05d}" for index in range(count)]  # the noise of a condition is the same for all tasks
        self.questions = [
            EvalSample(
                task, key, 0, index, prompts[index], None,
                fill_slot(instruction_for(self.name, key, templates, seed), names[index]),
                noise_seed("oracle", key, 0, seed),
            )
            for index, key in enumerate(keys)
        ]  # fmt: skip

    def condition(self, question: EvalSample) -> Image.Image:
        """The rendered condition."""
        return to_image(self._pixels[question.index])


def oracle_sources(
    tasks: Sequence[str], templates: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[OracleQuestions]:
    """The questions of all tables."""
    return [
        OracleQuestions(kind, task, templates[task], count, seed)
        for kind, asked in TASKS_OF.items()
        for task in asked
        if task in tasks
    ]


def oracle_report(parts: Sequence[Part], oracles: Mapping[str, Oracle]) -> dict[str, Any]:
    """What the oracles find in the answers.

    Args:
        parts: Shards whose sources are `OracleQuestions`.
        oracles: By kind of picture.

    Returns:
        `accuracy` and `not_scored` by kind, and `tables`: kind -> task -> factor -> `asked`, `taken` and, where the
        prompt names the factor, `followed`, each a mean with its standard error.

    Raises:
        DataError: A picture is missing.
    """
    tables: dict[str, dict[str, Any]] = {}
    for kind, task in dict.fromkeys((part.source.kind, part.source.task) for part in parts):  # type: ignore[attr-defined]
        own = [part for part in parts if part.source.name == f"oracle-{kind}-{task}"]
        source = own[0].source
        assert isinstance(source, OracleQuestions)
        tables.setdefault(kind, {})[task] = _table(source, oracles[kind], _pixels(own))
    return {
        "tables": tables,
        "accuracy": {kind: oracles[kind].accuracy for kind in tables},
        "not_scored": {
            kind: sorted(name for name, value in oracles[kind].accuracy.items() if value <= TRUSTED) for kind in tables
        },
    }


def _table(source: OracleQuestions, oracle: Oracle, pictures: Tensor) -> dict[str, Any]:
    factors = [name for name, value in oracle.accuracy.items() if value > TRUSTED]
    read = oracle.read(pictures)
    given, wanted = truth_of(source.asked.conditions, factors), truth_of(source.asked.wanted, factors)
    result: dict[str, Any] = {}
    for name in factors:
        told = (given[name] != wanted[name]) & (given[name] != HIDDEN)
        result[name] = {"asked": name in ASKED[source.task], "taken": _share(read[name] == given[name], told)}
        if name in PROMPTED[source.kind] and (source.asked.colours or name != "colour"):
            result[name]["followed"] = _share(read[name] == wanted[name], told)
    return result


def _share(hits: Tensor, counted: Tensor) -> dict[str, Any] | None:
    values = hits[counted].double().tolist()
    return asdict(Mean.of(values)) if values else None


def _pixels(parts: Sequence[Part]) -> Tensor:
    """The pictures of several parts, uint8 [N, 3, 64, 64]."""
    pictures = [
        np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for part in parts for _, content in read_part(part)
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
