"""The toy scribble ControlNet: white Canny lines on black, at the final size, to the picture they were found in."""

import cv2
import numpy as np
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from tools.toy_stack.diffusion import (
    CONDITION_GAMMA,
    add_noise,
    denoising_loss,
    draw_captions,
    tokenise,
    use_plain_attention,
)
from tools.toy_stack.rendered_set import Pictures, draw_rows
from tools.toy_stack.sizes import CONTROLNET_EMBEDDING
from tools.toy_stack.stage import Losses

_CANNY = (100, 200)  # thresholds


def fresh_controlnet(unet: UNet2DConditionModel, seed: int) -> ControlNetModel:
    """A copy of the UNet's encoder, its outputs zero (ControlNet, 2302.05543)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=CONTROLNET_EMBEDDING)
    use_plain_attention(controlnet)
    return controlnet


def edges_of(pixels: Tensor) -> Tensor:
    """Canny edges of RGB uint8 [B, 3, S, S]: 0 or 1, fp32, in the same shape."""
    pictures = pixels.permute(0, 2, 3, 1).numpy()
    edges = np.stack([cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), *_CANNY) for picture in pictures])
    return torch.from_numpy(edges).float().div(255)[:, None].expand(-1, 3, -1, -1)


def controlnet_loss(
    controlnet: ControlNetModel,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    schedule: DDPMScheduler,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """One step of ControlNet's training."""
    rows = draw_rows(pictures, batch_size, generator)
    captions = draw_captions(pictures, rows, generator, drop=0.3)
    noise, timesteps, noisy = add_noise(schedule, latents[rows].float(), generator)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            text = text_encoder(tokenise(tokenizer, captions)).last_hidden_state
        down, middle = controlnet(noisy, timesteps, text, edges_of(pictures.pixels[rows]), return_dict=False)
        predicted = unet(
            noisy, timesteps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
    return denoising_loss(schedule, predicted, noise, timesteps, CONDITION_GAMMA)
