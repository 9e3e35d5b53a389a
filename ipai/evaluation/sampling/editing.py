"""InstructPix2Pix (2211.09800) as a baseline: it edits the condition as a text says, and knows no adapter.

The paper compares with the pretrained pipeline (section 4.4, Fig. 9) and says neither what it was told nor with which
scales: both are settings.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from ipai.backbones.config import WeightsRef
from ipai.backbones.hub import locate_refs
from ipai.backbones.loading import load_part, resolve_device, resolve_dtype
from ipai.backbones.samplers import DIFFUSION
from ipai.data.images import square_box
from ipai.evaluation.config import EditorChoice
from ipai.evaluation.sampling.eval_samples import EvalSample
from ipai.evaluation.sampling.image_shards import Part, write_part
from ipai.evaluation.sampling.settings import TaskSampling

_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


class EditingGenerator:
    """Answers questions by editing their conditions.

    Args:
        editor: Where the pipeline lies, and how it is told.
        sampling: By task: its steps and negative prompt are read, scales and forms of guidance are an adapter's.
        scheduler: Short name of the sampler.
        batch_size: Pictures at once.
        device: Where it runs.

    Raises:
        WeightsError: Parts of it are missing; each is named, with the mend.
    """

    def __init__(
        self,
        editor: EditorChoice,
        sampling: dict[str, TaskSampling],
        scheduler: str,
        batch_size: int,
        device: str,
    ) -> None:
        self._editor, self._sampling, self._batch_size = editor, sampling, batch_size
        self._pipeline = _load(editor, scheduler, resolve_device(device))

    def draw(self, part: Part, progress: Callable[[int], object]) -> None:
        """Draw one part and write it; batches are the same whenever and wherever it is drawn."""
        pictures = []
        for start in range(0, len(part.questions), self._batch_size):
            batch = part.questions[start : start + self._batch_size]
            pictures += self._edited(batch, [self._square(part.source.condition(question)) for question in batch])
            progress(len(batch))
        write_part(part, pictures)

    def _square(self, picture: Image.Image) -> Image.Image:
        side = self._editor.resolution
        return picture.resize((side, side), Image.Resampling.LANCZOS, box=square_box(picture))

    def _edited(self, batch: Sequence[EvalSample], conditions: list[Image.Image]) -> list[Image.Image]:
        sampling = self._sampling[batch[0].task]
        drawn = self._pipeline(
            prompt=[told(self._editor, question) for question in batch],
            image=conditions,
            negative_prompt=[sampling.negative] * len(batch),
            num_inference_steps=sampling.steps,
            guidance_scale=self._editor.guidance_scale,
            image_guidance_scale=self._editor.image_guidance_scale,
            generator=[torch.Generator().manual_seed(question.seed) for question in batch],
        )
        return list(drawn.images)


def told(editor: EditorChoice, question: EvalSample) -> str:
    """What it is told of a sample."""
    return editor.wording.replace("{instruction}", question.instruction).replace("{prompt}", question.prompt).strip()


def _load(editor: EditorChoice, scheduler: str, device: torch.device) -> Any:
    import diffusers

    refs = {part: WeightsRef(editor.id, editor.revision, part) for part in _PARTS}
    folders = locate_refs(refs, "instruct_pix2pix", "")
    dtype = resolve_dtype("auto", device)
    parts = {part: load_part(part, folder, dtype, device) for part, folder in folders.items()}
    kind, options = DIFFUSION[scheduler]
    parts["scheduler"] = getattr(diffusers, kind).from_config(parts["scheduler"].config, **options)
    pipeline: Any = diffusers.StableDiffusionInstructPix2PixPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
