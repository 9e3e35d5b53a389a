"""Asking a trained adapter: conditions under an instruction, and what of them the oracles find in the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.injection import inject
from ipai.adapter.one_each import OneEachPipeline
from ipai.base.frozen import FrozenBase
from ipai.base.instruction_encoder import InstructionEncoder
from ipai.toyworld.captions import plain_captions
from ipai.toyworld.factors import HIDDEN, OBJECTS, Portraits, Scenes, draw_portraits, draw_scenes
from ipai.toyworld.oracles import Oracle, truth_of
from ipai.toyworld.render import render

QUESTION_SEED = 77  # of conditions and prompts; no data set is drawn with it
SCENE_TASKS = ("copy", "style", "object", "structure")
PORTRAIT_TASKS = ("copy", "style", "face")
_BATCH = 48


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn: denoising steps, guidance, the adapter's scale, and the first of the noises' seeds."""

    steps: int = 15
    guidance_scale: float = 3.0
    adapter_scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Questions:
    """Conditions, and prompts for pictures that are independent of them; N of each.

    Attributes:
        conditions, wanted: Factors of what the conditions show, and of what the prompts describe.
    """

    conditions: Scenes | Portraits
    wanted: Scenes | Portraits

    def pixels(self, side: int) -> Tensor:
        """The conditions, uint8 [N, 3, side, side]."""
        return torch.from_numpy(render(self.conditions, side)).permute(0, 3, 1, 2).contiguous()

    def prompts(self) -> list[str]:
        """Plain captions of what is wanted."""
        return plain_captions(self.wanted, torch.arange(len(self.wanted)).numpy())

    def shares(self, read: dict[str, Tensor], factors: Sequence[str]) -> dict[str, float]:
        """How often a factor of the answers is the condition's, counted where the prompt's differs from it."""
        given, wanted = truth_of(self.conditions, factors), truth_of(self.wanted, factors)
        result = {}
        for name in factors:
            counted = (given[name] != wanted[name]) & (given[name] != HIDDEN)
            result[name] = float((read[name] == given[name])[counted].float().mean())
        return result


def questions(portraits: bool, count: int) -> Questions:
    """Conditions and prompts that are independent of each other."""
    draw = draw_portraits if portraits else draw_scenes
    return Questions(draw(QUESTION_SEED, 0, count), draw(QUESTION_SEED, 100_000, count))


def object_names(conditions: Scenes | Portraits) -> list[str]:
    """What fills the slot of an instruction for each condition."""
    if isinstance(conditions, Scenes):
        return [OBJECTS[index] for index in conditions.object]
    return ["person"] * len(conditions)


class Subject:
    """An adapter in its base, ready to be asked; `close` takes it out again."""

    def __init__(self, base: FrozenBase, adapter: InstructAdapter, encoder: InstructionEncoder) -> None:
        self._base, self._adapter, self._encoder = base, adapter, encoder
        self._injection = inject(base.unet, adapter)
        self._pipeline = OneEachPipeline(
            vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=base.unet,
            scheduler=DPMSolverMultistepScheduler.from_config(base.scheduler.config), requires_safety_checker=False,
            safety_checker=None, feature_extractor=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self._pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def answer(
        self, conditions: Tensor, prompts: Sequence[str], instructions: Sequence[str], sampling: Sampling
    ) -> Tensor:
        """One picture for each condition.

        Args:
            conditions: uint8 [N, 3, S, S].
            prompts: N text prompts.
            instructions: N instructions, their slots filled.
            sampling: The noise of picture i has seed `sampling.seed + i`.

        Returns:
            uint8 [N, 3, R, R].
        """
        self._injection.set_scale(sampling.adapter_scale)
        nothing = self._tokens(self._base.null_condition(), [""])
        pictures = []
        for start in range(0, len(prompts), _BATCH):
            rows = slice(start, start + _BATCH)
            tokens = self._tokens(self._base.encode_images(conditions[rows]), instructions[rows])
            seeds = range(sampling.seed + start, sampling.seed + start + len(tokens))
            output = self._pipeline(
                list(prompts[rows]),
                ip_adapter_image_embeds=[torch.cat([nothing.expand_as(tokens), tokens])[:, None]],
                num_inference_steps=sampling.steps,
                guidance_scale=sampling.guidance_scale,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="pt",
            )
            pictures.append((output.images.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu())
        return torch.cat(pictures)

    def taken(
        self, questions: Questions, instruction: str, oracle: Oracle, factors: Sequence[str], sampling: Sampling
    ) -> dict[str, float]:
        """How often the answers to one instruction have the condition's factors, see `Questions.shares`."""
        conditions = questions.pixels(self._base.config.image_size)
        prompts = questions.prompts()
        pictures = self.answer(conditions, prompts, [instruction] * len(prompts), sampling)
        return questions.shares(oracle.read(pictures), factors)

    def close(self) -> None:
        """Leave the base as it was."""
        self._injection.eject()

    def _tokens(self, condition: Tensor, instructions: Sequence[str]) -> Tensor:
        if self._adapter.spec.instruction == "none":
            return self._adapter(condition)
        encoded = self._encoder.encode(instructions)
        pooled = self._adapter.spec.instruction == "pooled"
        return self._adapter(
            condition,
            (encoded.pooled if pooled else encoded.tokens).to(condition.device),
            instruction_mask=None if pooled else encoded.mask.to(condition.device),
        )
