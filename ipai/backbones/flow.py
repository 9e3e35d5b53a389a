"""What bases have in common whose denoiser is a transformer that learned flow matching."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ipai.backbones import samplers
from ipai.backbones.backbone import Backbone, vae_factor
from ipai.backbones.config import BaseConfig
from ipai.errors import ConfigError


class FlowTransformer(Backbone):
    """A transformer that predicts the velocity from latents to noise."""

    denoising = "transformer"
    samplers: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = samplers.FLOW
    predicts = "flow"

    @classmethod
    def patch(cls, sizes: Any) -> int:
        """Latents along the side of one of the transformer's tokens."""
        return int(sizes.patch_size)

    @classmethod
    def multiple(cls, configs: Mapping[str, Any]) -> int:
        """See `Backbone.multiple`."""
        return vae_factor(configs["vae"]) * cls.patch(configs["transformer"].config)

    @property
    def schedule(self) -> dict[str, Any]:
        """See `Backbone.schedule`."""
        config = self.scheduler.config
        return {"train_timesteps": int(config["num_train_timesteps"]), "base_shift": self.time_shift}

    @property
    def time_shift(self) -> float:
        """How far this base moves times towards the noise at its resolution (2403.03206, section 5.3.2)."""
        return float(self.scheduler.config["shift"])

    def sampler(self, name: str) -> Any:
        """See `Backbone.sampler`; those that draw with diffusions too are told what they call otherwise."""
        if name not in self.samplers or not self.samplers[name][1]:
            return super().sampler(name)
        import diffusers

        config, (kind, options) = self.scheduler.config, self.samplers[name]
        kept = {key: config[key] for key in ("num_train_timesteps", "use_dynamic_shifting")}
        return getattr(diffusers, kind)(**kept, flow_shift=config["shift"], **options)

    def refuse_controlnet(self, network: Any, name: str) -> None:  # noqa: ARG002
        """Of these families ControlNets are not loaded here; diffusers' pipelines take them beside `attach`."""
        raise ConfigError(
            f"controlnet={name} is for UNets, and base.family={self.config.family} has none; attach() the adapter to "
            "diffusers' own ControlNet pipeline of this base"
        )


def transformer_problems(config: BaseConfig, configs: Mapping[str, Any], channels: int, patch: int) -> Iterator[str]:
    """What does not fit between a transformer, the VAE and the pictures' sizes.

    Args:
        config: Of the base.
        configs: Of its parts.
        channels: Latent channels that the transformer takes.
        patch: Latents along the side of one of its tokens.
    """
    if "vae" in configs:
        if configs["vae"].latent_channels != channels:
            yield f"vae has {configs['vae'].latent_channels} latent channels, transformer takes {channels}"
        multiple = vae_factor(configs["vae"]) * patch
        if config.resolution % multiple:
            yield f"base.resolution={config.resolution} must be a multiple of {multiple} for this vae and transformer"
    if "image_encoder" in configs and configs["image_encoder"].image_size != config.image_size:
        size = configs["image_encoder"].image_size
        yield f"image_encoder takes {size} px images; set base.image_size={size} (it is {config.image_size})"


def length_problems(config: BaseConfig) -> Iterator[str]:
    """What is wrong with the length of a T5 prompt."""
    if config.prompt_tokens is None:
        yield f"base.family={config.family} needs base.prompt_tokens, the length of its T5 prompts, such as 256"


def padded(tokenizer: Any, texts: Sequence[str], length: int) -> Any:
    """Token numbers [B, length] of texts, cut or padded."""
    return tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
