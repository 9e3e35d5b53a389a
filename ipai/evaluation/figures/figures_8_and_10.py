"""Figures 8 and 10: drawn anew, one held-out sample under rewordings, noises, with a ControlNet and with a LoRA."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ipai.conditioning import Conditioning
from ipai.evaluation.evaluated_run import read_run
from ipai.evaluation.figures.plates import plate
from ipai.evaluation.sampling.eval_samples import HeldOut, noise_seed
from ipai.instructions.pools import load_pool
from ipai.instructions.slots import fill_slot
from ipai.pipeline.encoding import Condition
from ipai.pipeline.picture_generator import PictureGenerator, PictureRequest, control_picture
from ipai.pipeline.sources import load

_CANNY = (100, 200)


@dataclass(frozen=True)
class Scene:
    """What figures 8 and 10 draw.

    Attributes:
        run: The run folder.
        root: Folder of the shards.
        task: Whose held-out sample it is.
        sample: Which of them.
        seeds: How many noises.
        seed: Of the noises.
        steps: Of the sampler; None is the run's.
        device: Where it runs.
    """

    run: Path
    root: Path
    task: str
    sample: int
    seeds: int
    seed: int
    steps: int | None
    device: str


def rewordings(scene: Scene, wordings: int) -> Figure:
    """Figure 8: a row for each held-out wording of an instruction, a column for each noise; below, what changes more.

    Raises:
        IpaiError: Run, shards or weights cannot be used.
    """
    generator = _SceneGenerator(scene)
    pool = load_pool(scene.task, "val")
    drawn = {
        instruction: generator.generate(instruction)
        for instruction in (
            fill_slot(template, generator.source.slot(generator.question)) for template in pool[:wordings]
        )
    }
    rows: list[tuple[str, list[Image.Image | None]]] = [
        (instruction, [generator.condition(), *pictures]) for instruction, pictures in drawn.items()
    ]
    figure = plate(rows, ["condition", *(f"noise {number}" for number in range(scene.seeds))])
    pixels = np.stack([[np.asarray(picture, dtype=np.float64) / 255 for picture in row] for row in drawn.values()])
    by_wording, by_noise = spreads(pixels)
    figure.supxlabel(f"mean difference between wordings {by_wording:.3f}, between noises {by_noise:.3f}", fontsize=7)
    return figure


def spreads(pixels: np.ndarray) -> tuple[float, float]:
    """Mean root-mean-square difference of pictures that differ only in the wording, and only in the noise.

    Args:
        pixels: 0..1, [wordings, noises, height, width, 3]; where there is one wording or noise the difference is NaN.
    """
    return _mean_distance(pixels.swapaxes(0, 1)), _mean_distance(pixels)


def _mean_distance(groups: np.ndarray) -> float:
    """Over all pairs within each group of [groups, members, ...]."""
    distances = [
        float(np.sqrt(np.mean((one - other) ** 2))) for group in groups for one, other in combinations(group, 2)
    ]
    return float(np.mean(distances)) if distances else float("nan")


def with_others(scene: Scene, controlnet: str | None, lora: str | None, lora_scale: float) -> Figure:
    """Figure 10: a row each without and with a ControlNet, a LoRA, and both; a column for each noise.

    The ControlNet gets the Canny lines of the sample's target.

    Raises:
        IpaiError: Run, shards or weights cannot be used.
    """
    variants: list[tuple[str, str | None, str | None]] = [("adapter alone", None, None)]
    variants += [("with ControlNet", controlnet, None)] if controlnet else []
    variants += [("with LoRA", None, lora)] if lora else []
    variants += [("with both", controlnet, lora)] if controlnet and lora else []
    rows: list[tuple[str, list[Image.Image | None]]] = []
    for name, net, style in variants:
        generator = _SceneGenerator(scene, net, style, lora_scale)
        lines = generator.lines() if net else None
        rows.append((name, [generator.condition(), lines, *generator.generate(generator.question.instruction, lines)]))
    return plate(rows, ["condition", "lines", *(f"noise {number}" for number in range(scene.seeds))])


class _SceneGenerator:
    """A generator in front of one held-out sample."""

    def __init__(
        self, scene: Scene, controlnet: str | None = None, lora: str | None = None, lora_scale: float = 1.0
    ) -> None:
        training = read_run(scene.run)
        self._scene, self._sampler = scene, training.validation
        self.source = HeldOut(scene.root, scene.task, load_pool(scene.task, "val"), scene.sample + 1, scene.seed, 1)
        self.question = self.source.questions[-1]
        loaded = load(scene.run)
        self._conditioning = Conditioning(loaded.adapter.spec)
        self._generator = PictureGenerator(
            training.base, loaded, scene.device, controlnet, lora=lora, lora_scale=lora_scale
        )
        self._generator.schedule("dpm++")
        self._generator.attached.set_scale(training.validation.adapter_scale)
        self._side = training.base.resolution

    def condition(self) -> Image.Image:
        return control_picture(self.source.condition(self.question), (self._side, self._side))

    def lines(self) -> Image.Image:
        target = control_picture(self.source.target(self.question), (self._side, self._side))
        edges = cv2.Canny(np.asarray(target.convert("L")), *_CANNY)
        return Image.fromarray(edges).convert("RGB")

    def generate(self, instruction: str, lines: Image.Image | None = None) -> Sequence[Image.Image]:
        words = self._conditioning.told(self._scene.task, instruction)
        self._generator.attached.condition(Condition(self.source.condition(self.question), words))
        steps, guidance = self._scene.steps or self._sampler.image_steps, self._sampler.guidance_scale
        seeds = [
            noise_seed(self._scene.task, "figure", number, self._scene.seed) for number in range(self._scene.seeds)
        ]
        return [
            self._generator.generate(PictureRequest(self.question.prompt, "", seed, steps, guidance, lines))
            for seed in seeds
        ]
