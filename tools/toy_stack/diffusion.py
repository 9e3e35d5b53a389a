"""The toy base model: UNet and text encoder trained together on plain captions, in the VAE's latents."""

from collections.abc import Sequence

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ipai.objective import Epsilon, squared_error
from tools.toy_stack.rendered_set import Pictures, draw_rows, draw_variants
from tools.toy_stack.sizes import SCHEDULER, SD_TEXT, UNET
from tools.toy_stack.stage import Losses

_DROP = 0.1  # share of captions left out, for guidance
# Min-SNR's gammas, lower than its usual 5: what there is and where is decided under strong noise, and these models are
# trained too briefly to spend their steps on the last grain. With the second all noise levels weigh about the same in
# the loss of the finished UNet; a ControlNet's edges have most to say where least can be seen.
_GAMMA, CONDITION_GAMMA = 1.0, 0.25


class Denoiser(nn.Module):
    """UNet and text encoder, as one model to train."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.unet = UNet2DConditionModel(**UNET)
            # The tokenizer's last two entries begin and end a text.
            begin, end = vocabulary - 2, vocabulary - 1
            config = CLIPTextConfig(**SD_TEXT, vocab_size=vocabulary, bos_token_id=begin, eos_token_id=end)
            self.text_encoder = CLIPTextModel(config)
        use_plain_attention(self.unet)


def use_plain_attention(unet: UNet2DConditionModel | ControlNetModel) -> None:
    """Attention without a fused kernel: on CPUs the fused one's backward pass takes as long as the rest of the step."""
    unet.set_attn_processor(AttnProcessor())


def noise_schedule() -> DDPMScheduler:
    """SD1.5's own noise schedule."""
    return DDPMScheduler(**SCHEDULER)


def tokenise(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Ids, int [B, T]."""
    ids: Tensor = tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids
    return ids


def draw_captions(pictures: Pictures, rows: Tensor, generator: torch.Generator, drop: float = _DROP) -> list[str]:
    """Plain captions of `rows`, some of them empty."""
    captions = pictures.plain(rows, draw_variants(len(rows), generator))
    keep = torch.rand(len(rows), generator=generator) >= drop
    return [caption if kept else "" for caption, kept in zip(captions, keep.tolist(), strict=True)]


def add_noise(
    schedule: DDPMScheduler, latents: Tensor, generator: torch.Generator, favour_noisy: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, timesteps (uniform, or half of them above 840 of 1,000) and the latents with the noise added."""
    noise = torch.randn(latents.shape, generator=generator)
    count = schedule.config["num_train_timesteps"]
    if favour_noisy:
        timesteps = (count * torch.rand(len(latents), generator=generator) ** 0.25).long().clamp(max=count - 1)
    else:
        timesteps = torch.randint(count, (len(latents),), generator=generator)
    return noise, timesteps, schedule.add_noise(latents, noise, timesteps)


def denoising_loss(
    schedule: DDPMScheduler, predicted: Tensor, noise: Tensor, timesteps: Tensor, gamma: float
) -> Losses:
    """Squared error of the noise with min-SNR weights, and beside it the plain mean (paper eq. 2)."""
    errors = squared_error(predicted, noise)
    weights = Epsilon(schedule.alphas_cumprod, min_snr_gamma=gamma).weights(timesteps)
    assert weights is not None
    return {"loss": (weights * errors).mean(), "unweighted": errors.detach().mean()}


def denoiser_loss(
    model: Denoiser,
    schedule: DDPMScheduler,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """One step of text-to-image training."""
    rows = draw_rows(pictures, batch_size, generator)
    ids = tokenise(tokenizer, draw_captions(pictures, rows, generator))
    noise, timesteps, noisy = add_noise(schedule, latents[rows].float(), generator)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model.unet(noisy, timesteps, model.text_encoder(ids).last_hidden_state).sample
    return denoising_loss(schedule, predicted, noise, timesteps, _GAMMA)
