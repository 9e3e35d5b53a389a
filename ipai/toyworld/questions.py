"""Questions to an adapter: conditions and independent prompts, so that an answer shows what it took.

Prompts are as a task's prompts are in training. Told to take the object, the prompt names the condition's own class
and another background, but no colour: which star, in which colour, only the condition knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ipai.toyworld.captions import WITHOUT_COLOUR, WORDINGS, plain_captions
from ipai.toyworld.factors import HIDDEN, OBJECTS, Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.oracles import truth_of
from ipai.toyworld.render import render

QUESTION_SEED = 77  # of conditions and prompts; no data set is drawn with it
SCENE_TASKS = ("copy", "style", "object", "structure")
PORTRAIT_TASKS = ("copy", "style", "face")


@dataclass(frozen=True)
class Questions:
    """Conditions, and prompts for pictures that are independent of them; N of each.

    Attributes:
        conditions, wanted: Factors of what the conditions show, and of what the prompts describe.
        colours: The prompts name the object's colour.
    """

    conditions: Scenes | Portraits
    wanted: Scenes | Portraits
    colours: bool = True

    def pixels(self, side: int) -> Tensor:
        """The conditions, uint8 [N, 3, side, side]."""
        return torch.from_numpy(render(self.conditions, side)).permute(0, 3, 1, 2).contiguous()

    def prompts(self) -> list[str]:
        """Plain captions of what is wanted."""
        variants = np.arange(len(self.wanted)) % WORDINGS
        return plain_captions(self.wanted, variants + (0 if self.colours else WITHOUT_COLOUR))

    def shares(self, read: dict[str, Tensor], factors: Sequence[str]) -> dict[str, float]:
        """How often a factor of the answers is the condition's, counted where the prompt's differs from it."""
        given, wanted = truth_of(self.conditions, factors), truth_of(self.wanted, factors)
        result = {}
        for name in factors:
            counted = (given[name] != wanted[name]) & (given[name] != HIDDEN)
            result[name] = float((read[name] == given[name])[counted].float().mean())
        return result


def questions(portraits: bool, count: int, task: str) -> Questions:
    """Conditions, the same for every task, and prompts as the task's are that are otherwise independent of them."""
    draw = draw_portraits if portraits else draw_scenes
    conditions, wanted = draw(QUESTION_SEED, 0, count), draw(QUESTION_SEED, 100_000, count)
    if task == "object" and isinstance(conditions, Scenes) and isinstance(wanted, Scenes):
        return Questions(conditions, replace(wanted, object=conditions.object), colours=False)
    return Questions(conditions, wanted)


def object_names(conditions: Scenes | Portraits) -> list[str]:
    """What fills the slot of an instruction for each condition."""
    if isinstance(conditions, Scenes):
        return [OBJECTS[index] for index in conditions.object]
    return ["person"] * len(conditions)
