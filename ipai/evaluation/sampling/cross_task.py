"""The same conditions, prompts and noises under the instructions of every task (as the paper's Figure 9)."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

from PIL import Image

from ipai.evaluation.sampling.eval_samples import EvalSample, HeldOut, instruction_for, noise_seed
from ipai.instructions.slots import fill_slot

NAMELESS = "main object"  # fills the slot where nobody has named the object


class Crossed:
    """Conditions of all tasks under one task's instructions.

    Args:
        task: Whose instructions are asked.
        templates: Its instructions.
        conditions: EvalSource and question of each condition, see `crossed_sources`.
        seed: Of noises and instructions.
    """

    def __init__(
        self,
        task: str,
        templates: Sequence[str],
        conditions: Sequence[tuple[HeldOut, EvalSample, EvalSample]],
        seed: int,
    ) -> None:
        self.name, self.task = f"crossed-{task}", task
        self._conditions = list(conditions)
        template = instruction_for(task, "crossed", templates, seed)  # one for all conditions: a row has one wording
        self.questions = []
        for index, (source, shown, prompter) in enumerate(conditions):
            key = f"{source.name}-{shown.key}"
            instruction = fill_slot(template, source.slot(shown) or NAMELESS)
            noise = noise_seed("crossed", key, 0, seed)  # the same for all tasks
            self.questions.append(EvalSample(task, key, 0, index, prompter.prompt, None, instruction, noise))

    def condition(self, question: EvalSample) -> Image.Image:
        """The condition picture; raises DataError if it cannot be used."""
        source, shown, _ = self._conditions[question.index]
        return source.condition(shown)


def crossed_sources(
    held_out: Sequence[HeldOut], templates: Mapping[str, Sequence[str]], count: int, seed: int
) -> list[Crossed]:
    """One source a task over the same `count` conditions, taken from the tasks in turn; none for a single task.

    The prompt is that of another sample of the condition's task, so that it does not describe the condition.
    """
    if len(held_out) < 2:
        return []
    firsts = [[question for question in source.questions if question.number == 0] for source in held_out]
    turns = islice(cycle(range(len(held_out))), count)
    conditions = []
    for number, turn in enumerate(turns):
        own = firsts[turn]
        place = number // len(held_out)
        conditions.append((held_out[turn], own[place % len(own)], own[(place + 1) % len(own)]))
    return [Crossed(source.name, templates[source.name], conditions, seed) for source in held_out]
