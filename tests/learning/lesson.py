"""A short joint training in the toy world, whole or broken in a named way, and what the oracles say of it.

`python -m tests.learning.lesson 5` prints the numbers of five seeds and of every way to break the method, and with
`toy_prx` behind it those of the toy transformer: the margins of `test_learning.py` come from there, and
docs/toy-world.md holds its output.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from ipai.adapter.adapter import InstructAdapter, is_new_branch
from ipai.adapter.formats import load_adapter
from ipai.backbones.families import load_base, read_dims
from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder
from ipai.config import TrainingRun
from ipai.evaluation.sampling.asking import Sampling, taken
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.tasks import TASKS
from ipai.toyworld.oracles import load_oracles
from ipai.toyworld.questions import questions
from ipai.training import assemble, datasets
from ipai.training.conditioning import InstructionInputs
from ipai.training.run import train
from tests.helpers.building import build_all, configure
from tests.helpers.caching import make_cache
from tests.helpers.composing import compose

PAIRS, STEPS = 800, 560
ASKED = 64
SAMPLING = Sampling(steps=10)
FACTORS = ("style", "place", "mark", "colour", "background")


Taken = dict[str, float]
"""How often answers have the condition's factor, by factor."""


@dataclass(frozen=True)
class Lesson:
    """What one training taught.

    Attributes:
        losses: By task, the validation loss at the end over that at step 0.
        before: What is taken at step 0, whatever the instruction: IPAdapter+.
        style: What "use the style" takes afterwards.
        composition: What "use the composition" takes.
        object: What "use the object" takes; its prompts name the class, not the colour.
    """

    losses: dict[str, float]
    before: Taken
    style: Taken
    composition: Taken
    object: Taken

    @property
    def place_told_apart(self) -> float:
        """How much more often the composition's instruction takes the place than the style's does."""
        return self.composition["place"] - self.style["place"]

    @property
    def style_told_apart(self) -> float:
        """How much more often the style's instruction takes the style than the composition's does."""
        return self.style["style"] - self.composition["style"]

    @property
    def mark_told_apart(self) -> float:
        """How much more often the object's instruction takes the mark than the style's does."""
        return self.object["mark"] - self.style["mark"]

    @property
    def place_let_go(self) -> float:
        """How much less often "use the style" takes the place than step 0 does."""
        return self.before["place"] - self.style["place"]


def build_pairs(folder: Path) -> Path:
    """Rendered pairs of all tasks below `folder`, with what the frozen parts make of them: it halves the training."""
    for task in TASKS:
        build_all(configure(folder, folder, f"task=rendered_{task}", f"samples={PAIRS}", "shard_size=1000"))
    make_cache(folder, "base=toy", "batch_size=32")
    return folder


OTHER_BASE = (
    *("base=toy_prx", "objective=flow_noisy", "train.learning_rate=6e-4"),
    "data.weights={style: 2.0, object: 1.5, copy: 1.5}",
)
"""What makes the lesson one of the toy transformer."""


def teach(shards: Path, run: Path, seed: int, broken: str | None = None, others: Sequence[str] = ()) -> Lesson:
    """Train in `run`, then ask.

    Args:
        shards: What `build_pairs` made.
        run: A new folder.
        seed: Of the training.
        broken: A key of `BROKEN`, or None for the method as it is.
        others: Further settings, see `OTHER_BASE`.
    """
    config = compose(
        "experiment=joint", "recipe=toy", "logger=none", f"data.root={shards}", f"run={run}", f"train.seed={seed}",
        "data.latents=cache", "data.image_tokens=cache",
        f"train.steps={STEPS}", f"validation.every={STEPS}", "validation.images=0",
        "validation.samples=40", f"checkpoint.every={STEPS}", *others,
    )  # fmt: skip
    with BROKEN[broken]() if broken else nullcontext():
        assert train(config) == 0
    return _examined(config, run, zeros=broken == "zeros")


def _examined(config: TrainingRun, run: Path, zeros: bool) -> Lesson:
    trained = load_adapter(run / "checkpoints/latest/adapter.safetensors")
    before = assemble.build_adapter(config, read_dims(config.base), load_base(config.base, "cpu"))
    oracle = load_oracles()["scenes"]

    def taken_by(adapter: InstructAdapter, task: str) -> Taken:
        generator = PictureGenerator(config.base, adapter, "cpu")
        asked = questions(portraits=False, count=ASKED, task=task)
        return taken(generator, asked, config.instructions.fixed[task], oracle, FACTORS, SAMPLING)

    with _silent() if zeros else nullcontext():
        answers = [taken_by(before, "style"), *(taken_by(trained, task) for task in ("style", "structure", "object"))]
    return Lesson(_loss_ratios(run), *answers)


def _loss_ratios(run: Path) -> dict[str, float]:
    points = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [point for point in points if "validation/loss" in point]
    return {task: losses[-1][f"validation/loss/{task}"] / losses[0][f"validation/loss/{task}"] for task in TASKS}


@contextmanager
def _silent() -> Iterator[None]:
    """The instruction encoder says nothing: zeros in the shape of its encodings."""
    real = OpenClipInstructionEncoder.encode

    def encode(self: OpenClipInstructionEncoder, texts: list[str]) -> Any:
        encoded = real(self, texts)
        return encoded._replace(tokens=torch.zeros_like(encoded.tokens), pooled=torch.zeros_like(encoded.pooled))

    with mock.patch.object(OpenClipInstructionEncoder, "encode", encode):
        yield


@contextmanager
def _swapped() -> Iterator[None]:
    """Style is trained with the instructions of structure, and structure with those of style."""
    real = datasets.instructions_of
    other = {"style": "structure", "structure": "style"}

    def instructions_of(config: TrainingRun, split: str) -> dict[str, tuple[str, ...]]:
        pools = real(config, split)
        return {task: pools[other.get(task, task)] for task in pools}

    with mock.patch.object(datasets, "instructions_of", instructions_of):
        yield


@contextmanager
def _frozen() -> Iterator[None]:
    """The new branch learns nothing: its gradients are zero, and what leaves it stays zero as at the start."""
    real = assemble.build_adapter

    def build_adapter(*arguments: Any) -> InstructAdapter:
        adapter = real(*arguments)
        for name, parameter in adapter.named_parameters():
            if is_new_branch(name):
                parameter.register_hook(torch.zeros_like)
        return adapter

    with mock.patch.object(assemble, "build_adapter", build_adapter):
        yield


@contextmanager
def _zeros() -> Iterator[None]:
    """Every instruction is zeros."""
    real = InstructionInputs.__call__

    def call(self: InstructionInputs, *arguments: Any) -> dict[str, Any]:
        inputs = real(self, *arguments)
        instruction = inputs["instruction"]
        assert instruction is not None
        return inputs | {"instruction": torch.zeros_like(instruction)}

    with mock.patch.object(InstructionInputs, "__call__", call):
        yield


BROKEN: dict[str, Callable[[], Any]] = {"swapped": _swapped, "frozen": _frozen, "zeros": _zeros}


def main(seeds: int, others: Sequence[str]) -> None:
    """Print the numbers of so many seeds, and of each way to break the method; `others` as in `teach`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = build_pairs(folder / "shards")
        for seed, broken in [*((seed, None) for seed in range(seeds)), *((0, broken) for broken in BROKEN)]:
            lesson = teach(shards, folder / f"{broken}-{seed}", seed, broken, others)
            losses = " ".join(f"{task} {ratio:.3f}" for task, ratio in lesson.losses.items())
            taken = "  ".join(
                f"{name}: " + " ".join(f"{factor} {share:.2f}" for factor, share in getattr(lesson, name).items())
                for name in ("before", "style", "composition", "object")
            )
            sys.stdout.write(f"{broken or 'whole'} {seed}  {taken}  losses: {losses}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, OTHER_BASE if "toy_prx" in sys.argv else ())
