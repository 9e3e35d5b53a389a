"""The yardstick: a training step with the choices of IP-Adapter's tutorial trainer (`tutorial_train_plus.py`).

Written anew. The choices are the point, and none is improved on: the UNet's weights stay in fp32 under autocast, VAE,
CLIP's image and text encoder compute in half precision for every sample of every step, everything is eager and in
PyTorch's default memory layout, AdamW is the default one, and the loss is gathered and read by the host each step. The
pictures come through PIL, torchvision and transformers' CLIPImageProcessor. Attention is PyTorch's own, as there.
"""

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision import transforms
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection
from webdataset import WebDataset

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import inject
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.config import BaseConfig
from ipai.backbones.families import read_dims
from ipai.backbones.hub import locate
from ipai.backbones.loading import load_part
from ipai.conditioning import spec_of
from ipai.config import AdapterConfig
from ipai.training.predictor import NoisePredictor

_DROP = 0.05  # of the image, of the text, of both


class TutorialStep:
    """IPAdapter+ in training on a base, one `__call__` a step.

    Args:
        config: The base.
        accelerator: Its precision is the half precision of the frozen encoders and of autocast.
        batches: Endless batches as `tutorial_batches` makes them.
    """

    def __init__(self, config: BaseConfig, accelerator: Accelerator, batches: Iterator[dict[str, Any]]) -> None:
        self.accelerator = accelerator
        self.batches = batches
        device = accelerator.device
        self.dtype = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
        folders = locate(config, ["unet", "vae", "text_encoder", "scheduler", "image_encoder"])
        self.scheduler = load_part("scheduler", folders["scheduler"], torch.float32, device)
        unet = load_part("unet", folders["unet"], torch.float32, device)
        self.vae = load_part("vae", folders["vae"], self.dtype, device)
        self.text_encoder = load_part("text_encoder", folders["text_encoder"], self.dtype, device)
        # All layers and the projection, of which only the last but one's output is used.
        self.image_encoder = CLIPVisionModelWithProjection.from_pretrained(folders["image_encoder"], dtype=self.dtype)
        self.image_encoder.requires_grad_(False).to(device)
        adapter = InstructAdapter(plus_spec(config)).to(device)
        model: nn.Module = NoisePredictor(inject(unet, adapter))
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-4, weight_decay=1e-2)
        self.model, self.optimizer = accelerator.prepare(model, optimizer)

    def __call__(self) -> float:
        """One step; returns the loss, which the host has waited for."""
        batch = next(self.batches)
        device, dtype = self.accelerator.device, self.dtype
        with torch.no_grad():
            latents = self.vae.encode(batch["images"].to(device, dtype=dtype)).latent_dist.sample()
            latents = latents * self.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, len(self.scheduler.alphas_cumprod), (len(latents),), device=device).long()
        noisy_latents = self.scheduler.add_noise(latents, noise, timesteps)
        clip_images = torch.stack(
            [
                torch.zeros_like(image) if dropped else image
                for image, dropped in zip(batch["clip_images"], batch["drop"], strict=True)
            ]
        )
        with torch.no_grad():
            encoded = self.image_encoder(clip_images.to(device, dtype=dtype), output_hidden_states=True)
            text = self.text_encoder(batch["input_ids"].to(device))[0]
        prediction, _ = self.model(noisy_latents, timesteps, {"encoder_hidden_states": text}, encoded.hidden_states[-2])
        loss = functional.mse_loss(prediction.float(), noise.float(), reduction="mean")
        average: float = self.accelerator.gather(loss.repeat(len(latents))).mean().item()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return average


def plus_spec(config: BaseConfig) -> AdapterSpec:
    """IPAdapter+ in the base's sizes."""
    return spec_of(AdapterConfig(variant="ip_adapter_plus"), config, read_dims(config))


class TutorialPictures:
    """Target and condition as the tutorial's data set makes them.

    Args:
        resolution: Pixels of the target's side.
        image_size: Pixels of the condition's side.
    """

    def __init__(self, resolution: int, image_size: int) -> None:
        self._transform = transforms.Compose(
            [
                transforms.Resize(resolution, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(resolution),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )
        size = {"height": image_size, "width": image_size}
        self._processor = CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=size)

    def __call__(self, sample: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Pixels of a decoded sample: fp32 [3, R, R] in -1..1, and fp32 [3, S, S] as CLIP wants them."""
        target: Image.Image = sample["target.jpg"]
        condition: Image.Image = sample.get("cond.jpg", target)
        pixels: Tensor = self._processor(images=condition, return_tensors="pt").pixel_values[0]
        return self._transform(target.convert("RGB")), pixels


def tutorial_batches(config: BaseConfig, files: list[str], batch_size: int) -> Iterator[dict[str, Any]]:
    """Endless batches of plain webdataset shards, decoded in this process with PIL, torchvision and CLIPImageProcessor.

    Args:
        config: The base, for its tokenizer and sizes.
        files: The shards.
        batch_size: Samples a batch.

    Yields:
        images [B, 3, R, R], clip_images [B, 3, S, S], input_ids [B, 77], drop [B].
    """
    tokenizer = load_part("tokenizer", locate(config, ["tokenizer"])["tokenizer"], torch.float32, torch.device("cpu"))
    pictures = TutorialPictures(config.resolution, config.image_size)
    generator = torch.Generator().manual_seed(0)
    samples = WebDataset(files, shardshuffle=False).decode("pil").repeat()
    rows: list[tuple[Tensor, Tensor, Tensor, bool]] = []
    for sample in samples:
        number = float(torch.rand((), generator=generator))
        text = "" if number < _DROP or number > 1 - _DROP else sample["json"]["prompt"]
        rows.append(
            (
                *pictures(sample),
                tokenizer(text, max_length=77, padding="max_length", truncation=True, return_tensors="pt").input_ids[0],
                number > 1 - 2 * _DROP,
            )
        )
        if len(rows) == batch_size:
            images, clip_images, input_ids, drop = zip(*rows, strict=True)
            yield {
                "images": torch.stack(images),
                "clip_images": torch.stack(clip_images),
                "input_ids": torch.stack(input_ids),
                "drop": list(drop),
            }
            rows = []
