"""What the training loss cannot show: the loss on fixed noise, and pictures. Neither touches training's randomness."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image
from torch import Tensor

from ipai.adapter.injection import Injection
from ipai.config import ValidationConfig
from ipai.data.collate import Batch, collate
from ipai.data.dataset import ValidationDataset
from ipai.tasks import TASKS
from ipai.training.step import DenoisingStep


class Validator:
    """Fixed samples, fixed noise and timesteps, so that two evaluations of one adapter give the same numbers.

    Args:
        step: Computes errors.
        samples: The held-out samples, in a fixed order; the ranks share the work.
        batch_size: How many are computed at once.
        rank, world_size: Which share of the samples is this process's.
    """

    def __init__(
        self, step: DenoisingStep, samples: ValidationDataset, batch_size: int, rank: int, world_size: int
    ) -> None:
        self.step = step
        self.samples = samples
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    @torch.no_grad()
    def losses(self, device: torch.device) -> dict[str, float]:
        """Mean squared error by task and over all, on noise that never changes."""
        sums = torch.zeros(2, len(TASKS), device=device)
        for batch in self._batches(list(range(self.rank, len(self.samples), self.world_size)), device):
            error = self.step.error(batch)
            sums.index_add_(1, batch.task_index, torch.stack([error, torch.ones_like(error)]))
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        total, count = sums.sum(dim=1).tolist()
        values = {"validation/loss": total / max(count, 1)}
        for name, (loss, n) in zip(TASKS, sums.T.tolist(), strict=True):
            if n:
                values[f"validation/loss/{name}"] = loss / n
        return values

    def _batches(self, indices: list[int], device: torch.device) -> Iterator[Batch]:
        for start in range(0, len(indices), self.batch_size):
            chunk = indices[start : start + self.batch_size]
            yield collate([self.samples[index] for index in chunk]).to(device)


class Painter:
    """Draws condition, generated picture and target side by side through diffusers' own pipeline.

    Args:
        validator: Whose samples and frozen stack are used.
        injection: Whose scale is turned down while painting.
        config: Steps, guidance and the adapter's scale.
        accelerator: For its autocast.
    """

    def __init__(
        self, validator: Validator, injection: Injection, config: ValidationConfig, accelerator: Accelerator
    ) -> None:
        self.validator = validator
        self.injection = injection
        self.accelerator = accelerator
        self.config = config
        base = validator.step.base
        self._pipeline = StableDiffusionPipeline(
            vae=base.vae, text_encoder=base.text_encoder, tokenizer=base.tokenizer, unet=base.unet,
            scheduler=DDIMScheduler.from_config(base.scheduler.config), requires_safety_checker=False,
            safety_checker=None, feature_extractor=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self._pipeline.set_progress_bar_config(disable=True)

    def grids(self, device: torch.device) -> dict[str, Image.Image]:
        """One picture a task: a row of condition | generated | target for each sample; the ranks share the rows."""
        chosen = self.validator.samples.first_of_each_task(self.config.images)
        own = chosen[self.validator.rank :: self.validator.world_size]
        self.injection.set_scale(self.config.adapter_scale)
        try:
            with self.accelerator.autocast():
                rows = [(index, *self._row(index, device)) for index in own]
        finally:
            self.injection.set_scale(1.0)
        if torch.distributed.is_initialized():
            rows = gather_object(rows)
        by_task: dict[str, list[Tensor]] = {}
        for _, task, row in sorted(rows, key=lambda item: item[0]):
            by_task.setdefault(task, []).append(row)
        return {task: _image(torch.cat(parts, dim=1)) for task, parts in by_task.items()}

    @torch.no_grad()
    def _row(self, index: int, device: torch.device) -> tuple[str, Tensor]:
        batch = collate([self.validator.samples[index]]).to(device)
        step, size = self.validator.step, batch.target.shape[-1]
        prompt, mask = step.base.encode_prompts(batch.prompts)
        adapter = step.module.adapter
        tokens = adapter(step.condition(batch), **step.instructions(batch, prompt, mask))
        unguided = batch.without_condition()
        null = adapter(step.null_condition, **step.instructions(unguided, *step.base.encode_prompts(unguided.prompts)))
        embeds = torch.cat([null, tokens])[:, None]
        picture = self._pipeline(
            prompt_embeds=prompt, negative_prompt_embeds=step.base.encode_prompts([""])[0],
            ip_adapter_image_embeds=[embeds], num_inference_steps=self.config.image_steps,
            guidance_scale=self.config.guidance_scale, height=size, width=size,
            generator=torch.Generator("cpu").manual_seed(index), output_type="pt",
        ).images[0]  # fmt: skip
        generated = (picture.float().clamp(0, 1) * 255).round().byte().cpu()
        condition = torch.nn.functional.interpolate(batch.condition.float(), size, mode="bilinear")[0].round().byte()
        return batch.tasks[0], torch.cat([condition.cpu(), generated, batch.target[0].cpu()], dim=2)


def _image(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
