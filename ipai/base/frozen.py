"""The frozen stack in memory, and what it computes: prompts, condition images, targets (paper section 3.1)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ipai.base.config import PARTS, BaseConfig, config_problems
from ipai.base.dims import BaseDims, check_fit, read_configs, read_dims
from ipai.base.hub import locate
from ipai.base.loading import load_part, read_config, resolve_dtype
from ipai.errors import ConfigError, DataError, WeightsError


class FrozenBase:
    """The parts that never change: each network is in evaluation mode and none of its parameters takes gradients.

    A part that was not loaded raises a `WeightsError` when it is used. `image_encoder` lacks its last layer, so its
    `last_hidden_state` is the whole encoder's `hidden_states[-2]`: hand `encode_images`' result to pipelines, not it.
    """

    def __init__(self, config: BaseConfig, device: torch.device, parts: Mapping[str, Any]) -> None:
        self.config = config
        self.device = device
        self._parts = dict(parts)

    @property
    def unet(self) -> UNet2DConditionModel:
        """The denoiser."""
        return self._part("unet")

    @property
    def vae(self) -> AutoencoderKL:
        """Pixels to latents and back; in bf16 or fp32, never fp16."""
        return self._part("vae")

    @property
    def text_encoder(self) -> CLIPTextModel:
        """Encodes prompts."""
        return self._part("text_encoder")

    @property
    def tokenizer(self) -> CLIPTokenizer:
        """Cuts prompts into the text encoder's tokens."""
        return self._part("tokenizer")

    @property
    def image_encoder(self) -> CLIPVisionModelWithProjection:
        """Encodes condition images; without its last layer."""
        return self._part("image_encoder")

    @property
    def scheduler(self) -> DDPMScheduler:
        """The noise schedule of training."""
        return self._part("scheduler")

    @property
    def num_train_timesteps(self) -> int:
        """Length of the noise schedule."""
        return int(self.scheduler.alphas_cumprod.shape[0])

    def dims(self) -> BaseDims:
        """The sizes an adapter needs; reads the parts' configuration files.

        Raises:
            WeightsError: One of them, the instruction encoder's included, is missing.
        """
        return read_dims(self.config)

    def encode_prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Encode text prompts as Stable Diffusion does; longer ones are cut at 77 tokens.

        Returns:
            The last hidden states [B, 77, D], and a mask [B, 77] that is False on padding.
        """
        tokens = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        with frozen_forward(self.device):
            hidden = self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state
        return hidden, tokens.attention_mask.to(self.device).bool()

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode condition images, uint8 [B, 3, S, S] on this base's device, S being `config.image_size`.

        Returns:
            The penultimate hidden states [B, 257, 1280] (paper section 3.1, as IPAdapter+).

        Raises:
            DataError: `pixels` has another type or size.
        """
        _check_pixels(pixels, self.config.image_size, "condition")
        mean = torch.tensor(OPENAI_CLIP_MEAN, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(OPENAI_CLIP_STD, device=pixels.device).view(1, 3, 1, 1)
        return self._encode_normalised((pixels.float() / 255 - mean) / std)

    def null_condition(self) -> Tensor:
        """The condition of a dropped image, [1, 257, 1280]: the encoding of zeros in place of normalised pixels.

        IP-Adapter and diffusers do the same (paper section 4); zero after the normalisation is CLIP's mean colour.
        """
        size = self.config.image_size
        return self._encode_normalised(torch.zeros(1, 3, size, size, device=self.device))

    def encode_targets(self, pixels: Tensor, posterior_noise: Tensor) -> Tensor:
        """Encode target images to scaled latents, fp32 [B, 4, R/8, R/8].

        Args:
            pixels: uint8 [B, 3, R, R], R being `config.resolution`.
            posterior_noise: Standard normal, of the result's shape: the latents are mean + std * posterior_noise.

        Raises:
            DataError: `pixels` has another type or size.
        """
        return self.sample_latents(self.target_moments(pixels), posterior_noise)

    def target_moments(self, pixels: Tensor) -> Tensor:
        """The VAE's posterior of target images, unscaled: mean and log-variance in one fp32 [B, 8, R/8, R/8].

        Args:
            pixels: uint8 [B, 3, R, R], R being `config.resolution`.

        Raises:
            DataError: `pixels` has another type or size.
        """
        _check_pixels(pixels, self.config.resolution, "target")
        with frozen_forward(self.device):
            posterior = self.vae.encode((pixels.float() / 127.5 - 1).to(self.vae.dtype)).latent_dist
        return cast(Tensor, posterior.parameters).float()

    def sample_latents(self, moments: Tensor, posterior_noise: Tensor) -> Tensor:
        """Scaled latents, fp32 [B, 4, R/8, R/8], drawn from `target_moments`; the VAE itself need not be loaded."""
        mean, log_variance = moments.float().chunk(2, dim=1)
        std = (log_variance.clamp(-30, 20) / 2).exp()  # the limits are the VAE's own
        return (mean + std * posterior_noise.float()) * self.latent_scale

    @cached_property
    def latent_scale(self) -> float:
        """What the VAE's latents are multiplied by before they are noised."""
        folder = locate(self.config, ["vae"], weights=False)["vae"]
        return float(read_config("vae", folder).scaling_factor)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Turn scaled latents [B, 4, R/8, R/8] into pixels, uint8 [B, 3, R, R]."""
        unscaled = latents.float() / self.latent_scale
        with frozen_forward(self.device):
            image = self.vae.decode(unscaled.to(self.vae.dtype)).sample
        return ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def _encode_normalised(self, pixels: Tensor) -> Tensor:
        with frozen_forward(self.device):
            output = self.image_encoder.vision_model(pixels.to(self.image_encoder.dtype))
        return cast(Tensor, output.last_hidden_state)

    def use_channels_last(self) -> None:
        """Lay the convolutions' weights of the UNet and the VAE out with channels last; their images follow."""
        for name in {"unet", "vae"} & set(self._parts):
            self._parts[name].to(memory_format=torch.channels_last)

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            raise WeightsError(
                f"the {name} of the base {self.config.name} was not loaded; name it in load_base(only=...)"
            )
        return self._parts[name]


def load_base(config: BaseConfig, device: torch.device | str, *, only: Iterable[str] = PARTS) -> FrozenBase:
    """Find, check and load the frozen parts, those named in `only` or all.

    Raises:
        ConfigError: `config` or `only` cannot work.
        WeightsError: Parts are missing (each is named, with where it was looked for and the mend), do not fit together,
            or cannot be loaded.
    """
    device, parts = torch.device(device), tuple(only)
    unknown = [part for part in parts if part not in PARTS]
    problems = [
        *config_problems(config),
        *(f"the base has no part {part}; it has {', '.join(PARTS)}" for part in unknown),
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    folders = locate(config, parts)
    check_fit(config, read_configs(folders))
    dtype = resolve_dtype(config.dtype, device)
    return FrozenBase(config, device, {part: load_part(part, folders[part], dtype, device) for part in parts})


@contextmanager
def frozen_forward(device: torch.device) -> Iterator[None]:
    """No gradients, and no surrounding autocast: it would undo the precision that was chosen for a part."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def _check_pixels(pixels: Tensor, size: int, kind: str) -> None:
    if pixels.dtype != torch.uint8 or pixels.shape[1:] != (3, size, size):
        found = f"{str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}"
        raise DataError(f"{kind} images must be uint8 [B, 3, {size}, {size}], not {found}")
