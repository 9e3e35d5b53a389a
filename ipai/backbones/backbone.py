"""The frozen stack in memory, and what it computes: prompts, condition images, targets (paper section 3.1)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ipai.adapter.hosts.inject import host_of
from ipai.backbones import samplers
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.backbones.hub import locate
from ipai.backbones.loading import read_config
from ipai.errors import ConfigError, DataError, WeightsError

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from transformers import CLIPVisionModelWithProjection


class EncodedPrompts(NamedTuple):
    """B encoded text prompts.

    Attributes:
        tokens: What an adapter's prompt branch reads, [B, T, D].
        mask: [B, T], False on padding.
        arguments: All that the denoiser is told of them, by the names of its arguments.
        embeds: The same as diffusers' pipelines take it, by the names of their arguments; with `negative_` before
            each, what guidance leads away from.
    """

    tokens: Tensor
    mask: Tensor
    arguments: dict[str, Any]
    embeds: dict[str, Tensor]


class Backbone(ABC):
    """A family of frozen stacks: each network is in evaluation mode and none of its parameters takes gradients.

    A part that was not loaded raises a `WeightsError` when it is used. `image_encoder` lacks its last layer, so its
    `last_hidden_state` is the whole encoder's `hidden_states[-2]`: hand `encode_images`' result to pipelines, not it.

    Attributes:
        called: How people call its bases.
        terms: The licence of their weights.
        parts: What can be loaded, in the order in which errors name it.
        drawing: Those of them that a pipeline of diffusers is made of.
        denoising: The one that denoises.
        sees_framing: The denoiser is told of what size a picture was and where it was cut.
        samplers: Schedulers of diffusers that draw with it, by short names; the first one while training.
    """

    called: ClassVar[str]
    terms: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    drawing: ClassVar[tuple[str, ...]]
    denoising: ClassVar[str]
    sees_framing: ClassVar[bool] = False
    samplers: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = samplers.DIFFUSION

    def __init__(self, config: BaseConfig, device: torch.device, parts: Mapping[str, Any]) -> None:
        self.config = config
        self.device = device
        self._parts = dict(parts)
        if "image_encoder" in self._parts:
            _drop_last_layer(self._parts["image_encoder"])

    @classmethod
    @abstractmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """What does not fit together in the parts' configurations, as far as they are among `configs`."""

    @classmethod
    def measure(cls, config: BaseConfig, configs: Mapping[str, Any]) -> BaseDims:
        """The sizes that follow from the parts' configurations."""
        image, vae, denoiser = configs["image_encoder"], configs["vae"], configs[cls.denoising]
        side, host = config.resolution // vae_factor(vae), host_of(denoiser)
        instruction = configs.get("instruction_encoder")
        return BaseDims(
            image_dim=image.hidden_size,
            image_tokens=(image.image_size // image.patch_size) ** 2 + 1,
            prompt_dim=configs["text_encoder"].hidden_size,
            token_dim=host.token_dim(denoiser),
            instruction_dim=None if instruction is None else instruction["text_cfg"]["width"],
            attention_sizes=tuple(site.size for site in host.sites(denoiser)),
            latent_shape=(vae.latent_channels, side, side),
            resolution=config.resolution,
            multiple=cls.multiple(configs),
            image_size=config.image_size,
            attention=host.attention,
        )

    @classmethod
    @abstractmethod
    def multiple(cls, configs: Mapping[str, Any]) -> int:
        """What the sides of a picture must be multiples of, px, for the VAE and the denoiser among `configs`."""

    @staticmethod
    @abstractmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """`EncodedPrompts.arguments` for a batch of one on the default device; for counting arithmetic."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:
        """Encode text prompts as the base's own pipelines do.

        Args:
            prompts: B texts.
            framing: Of the pictures that go with them, [B, 6], see `ipai.data.images.framing_of`; None stands for
                pictures of `config.resolution` that were not cut. Only some families read it.
        """

    @staticmethod
    def nothing_asked(negative: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """What the third pass of the released guidance is told: the negative prompts' texts, if there are any.

        Args:
            negative: They, or None if only their encoding is known.
        """
        return negative

    @abstractmethod
    def pipeline(self, **parts: Any) -> Any:
        """diffusers' pipeline for drawing; `parts` come in place of the base's own or beside them."""

    @abstractmethod
    def refuse_controlnet(self, network: Any, name: str) -> None:
        """Raise a WeightsError if a ControlNet was made for another base; `name` is how the user calls it."""

    @property
    def denoiser(self) -> Any:
        """What predicts the noise."""
        return self._part(self.denoising)

    @property
    def vae(self) -> "AutoencoderKL":
        """Pixels to latents and back; in bf16 or fp32, never fp16."""
        return self._part("vae")

    @property
    def image_encoder(self) -> "CLIPVisionModelWithProjection":
        """Encodes condition images; without its last layer."""
        return self._part("image_encoder")

    @property
    def scheduler(self) -> Any:
        """The noise schedule of training, as diffusers has it."""
        return self._part("scheduler")

    @property
    def predicts(self) -> str:
        """What the denoiser predicts, as an objective's `scheduler` calls it."""
        return str(self.scheduler.config["prediction_type"])

    @property
    def schedule(self) -> dict[str, Any]:
        """What objectives are told of the noise schedule, by the names of their fields."""
        return {"alphas_cumprod": self.scheduler.alphas_cumprod.to(self.device)}

    def sampler(self, name: str) -> Any:
        """A scheduler of diffusers that draws on this noise schedule.

        Args:
            name: Of `samplers`.

        Raises:
            ConfigError: This family has none of that name.
        """
        if name not in self.samplers:
            raise ConfigError(
                f"scheduler={name} does not draw with base.family={self.config.family}; choose one of "
                f"{', '.join(self.samplers)}"
            )
        import diffusers

        kind, options = self.samplers[name]
        return getattr(diffusers, kind).from_config(self.scheduler.config, **options)

    def call_arguments(self, guidance_scale: float) -> dict[str, Any]:
        """How this family's pipelines are called under a scale of guidance, besides what all are told."""
        return {"guidance_scale": guidance_scale}

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode condition images, uint8 [B, 3, S, S] on this base's device, S being `config.image_size`.

        Returns:
            The penultimate hidden states [B, 257, 1280] (paper section 3.1, as IPAdapter+).

        Raises:
            DataError: `pixels` has another type or size.
        """
        _check_pixels(pixels, (self.config.image_size,) * 2, "condition")
        mean = torch.tensor(OPENAI_CLIP_MEAN, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(OPENAI_CLIP_STD, device=pixels.device).view(1, 3, 1, 1)
        return self._encode_normalised((pixels.float() / 255 - mean) / std)

    def null_condition(self) -> Tensor:
        """The condition of a dropped image, [1, 257, 1280]: the encoding of zeros in place of normalised pixels.

        IP-Adapter and diffusers do the same (paper section 4); zero after the normalisation is CLIP's mean colour.
        """
        size = self.config.image_size
        return self._encode_normalised(torch.zeros(1, 3, size, size, device=self.device))

    def target_moments(self, pixels: Tensor) -> Tensor:
        """The VAE's posterior of target images, unscaled: mean and log-variance in one fp32 [B, 8, R/8, R/8].

        Args:
            pixels: uint8 [B, 3, R, R], R being `config.resolution`, or of another height and width that the VAE
                takes.

        Raises:
            DataError: `pixels` has another type or size.
        """
        factor = vae_factor(self._vae_config)
        _check_pixels(pixels, tuple(side // factor * factor for side in pixels.shape[2:]), "target")
        with frozen_forward(self.device):
            posterior = self.vae.encode((pixels.float() / 127.5 - 1).to(self.vae.dtype)).latent_dist
        return cast(Tensor, posterior.parameters).float()

    def sample_latents(self, moments: Tensor, posterior_noise: Tensor) -> Tensor:
        """Scaled latents, fp32 [B, C, R/8, R/8], drawn from `target_moments`; the VAE itself need not be loaded."""
        mean, log_variance = moments.float().chunk(2, dim=1)
        std = (log_variance.clamp(-30, 20) / 2).exp()  # the limits are the VAE's own
        latents = mean + std * posterior_noise.float()
        return (latents - self.latent_shift if self.latent_shift else latents) * self.latent_scale

    @cached_property
    def latent_scale(self) -> float:
        """What the VAE's latents are multiplied by before they are noised."""
        return float(self._vae_config.scaling_factor)

    @cached_property
    def latent_shift(self) -> float:
        """What is taken from them before; 0 for most VAEs."""
        return float(getattr(self._vae_config, "shift_factor", None) or 0.0)

    @cached_property
    def _vae_config(self) -> Any:
        return read_config("vae", locate(self.config, ["vae"], weights=False)["vae"])

    @property
    def side_multiple(self) -> int:
        """What the sides of a picture must be multiples of, px; see `multiple`."""
        return self.multiple({"vae": self._vae_config, self.denoising: self.denoiser})

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Turn scaled latents [B, C, R/8, R/8] into pixels, uint8 [B, 3, R, R]."""
        unscaled = latents.float() / self.latent_scale + self.latent_shift
        with frozen_forward(self.device):
            image = self.vae.decode(unscaled.to(self.vae.dtype)).sample
        return ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def _encode_normalised(self, pixels: Tensor) -> Tensor:
        with frozen_forward(self.device):
            output = self.image_encoder.vision_model(pixels.to(self.image_encoder.dtype))
        return cast(Tensor, output.last_hidden_state)

    def use_channels_last(self) -> None:
        """Lay the convolutions' weights of the denoiser and the VAE out with channels last; their images follow."""
        for name in {self.denoising, "vae"} & set(self._parts):
            self._parts[name].to(memory_format=torch.channels_last)

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            raise WeightsError(
                f"the {name} of the base {self.config.name} was not loaded; name it in load_base(only=...)"
            )
        return self._parts[name]


def vae_factor(vae: Any) -> int:
    """Pixels per latent along one side, by a VAE's configuration."""
    return int(2 ** (len(vae.block_out_channels) - 1))


@contextmanager
def frozen_forward(device: torch.device) -> Iterator[None]:
    """No gradients, and no surrounding autocast: it would undo the precision that was chosen for a part."""
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def _check_pixels(pixels: Tensor, size: tuple[int, ...], kind: str) -> None:
    if pixels.dtype != torch.uint8 or pixels.shape[1:] != (3, *size):
        found = f"{str(pixels.dtype).removeprefix('torch.')} {list(pixels.shape)}"
        raise DataError(f"{kind} images must be uint8 [B, 3, {', '.join(map(str, size))}], not {found}")


def _drop_last_layer(encoder: "CLIPVisionModelWithProjection") -> None:
    layers = encoder.vision_model.encoder.layers
    encoder.vision_model.encoder.layers = layers[:-1]
    encoder.config.num_hidden_layers = len(layers) - 1
