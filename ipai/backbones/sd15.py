"""Stable Diffusion 1.5 and all that has its parts: UNet, VAE, one CLIP text encoder, 77 prompt tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ipai.backbones.backbone import Backbone, EncodedPrompts, frozen_forward, vae_factor
from ipai.backbones.config import BaseConfig
from ipai.backbones.dims import BaseDims
from ipai.errors import WeightsError

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

PREDICTIONS = ("epsilon", "v_prediction")
_WITHOUT_CHECKER: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


class StableDiffusion15(Backbone):
    """The paper's base (section 3)."""

    called = "Stable Diffusion 1.5"
    terms = "CreativeML OpenRAIL-M"
    drawing: ClassVar[tuple[str, ...]] = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    parts: ClassVar[tuple[str, ...]] = (*drawing, "image_encoder")
    denoising = "unet"

    @property
    def text_encoder(self) -> "CLIPTextModel":
        """Encodes prompts."""
        return self._part("text_encoder")

    @property
    def tokenizer(self) -> "CLIPTokenizer":
        """Cuts prompts into the text encoder's tokens."""
        return self._part("tokenizer")

    @classmethod
    def problems(cls, config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
        """See `Backbone.problems`."""
        yield from _unet_problems(configs)
        yield from latent_problems(configs)
        yield from size_problems(config, configs)
        yield from text_problems(configs)

    @classmethod
    def multiple(cls, configs: Mapping[str, Any]) -> int:
        """See `Backbone.multiple`."""
        return _multiple(configs)

    @staticmethod
    def example_prompt(dims: BaseDims) -> dict[str, Any]:
        """See `Backbone.example_prompt`."""
        return {"encoder_hidden_states": torch.empty(1, dims.prompt_tokens, dims.prompt_dim)}

    def encode_prompts(self, prompts: Sequence[str], framing: Tensor | None = None) -> EncodedPrompts:  # noqa: ARG002
        """The last hidden states; prompts of more than 77 tokens are cut."""
        tokens = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        with frozen_forward(self.device):
            hidden = self.text_encoder(tokens.input_ids.to(self.device)).last_hidden_state
        mask = tokens.attention_mask.to(self.device).bool()
        return EncodedPrompts(hidden, mask, {"encoder_hidden_states": hidden}, {"prompt_embeds": hidden})

    def pipeline(self, **parts: Any) -> Any:
        """Text to image, with a ControlNet if there is one among `parts`."""
        from diffusers.pipelines.controlnet.pipeline_controlnet import StableDiffusionControlNetPipeline
        from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

        kind: Any = StableDiffusionControlNetPipeline if "controlnet" in parts else StableDiffusionPipeline
        pipeline = kind(**{part: self._part(part) for part in self.drawing} | parts, **_WITHOUT_CHECKER)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def refuse_controlnet(self, network: Any, name: str) -> None:
        """See `Backbone.refuse_controlnet`."""
        keys = ("in_channels", "cross_attention_dim")
        ours, its = (tuple(net.config[key] for key in keys) for net in (self.denoiser, network))
        if ours != its:
            raise WeightsError(
                f"controlnet={name} was made for latents and prompts of the widths {its}, and this base has {ours}; "
                "use one of this base model"
            )


def _unet_problems(configs: Mapping[str, Any]) -> Iterator[str]:
    if "unet" in configs:
        unet = configs["unet"].config
        if unet.addition_embed_type is not None or unet.encoder_hid_dim_type is not None:
            kind = unet.addition_embed_type or unet.encoder_hid_dim_type
            yield f"unet takes more than a text prompt ({kind}), as SDXL does; a UNet of Stable Diffusion 1.5 is needed"
        if "text_encoder" in configs and configs["text_encoder"].hidden_size != unet.cross_attention_dim:
            width = configs["text_encoder"].hidden_size
            yield f"text_encoder gives {width}-wide tokens, unet cross-attends to {unet.cross_attention_dim}-wide ones"


def latent_problems(configs: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit between UNet, VAE and noise schedule."""
    if "unet" in configs:
        unet = configs["unet"].config
        if unet.in_channels != unet.out_channels:
            yield (
                f"unet has {unet.in_channels} channels in and {unet.out_channels} out: "
                "inpainting and other special UNets cannot be used"
            )
        if "vae" in configs and configs["vae"].latent_channels != unet.in_channels:
            yield f"vae has {configs['vae'].latent_channels} latent channels, unet takes {unet.in_channels}"
    if "scheduler" in configs and configs["scheduler"].prediction_type not in PREDICTIONS:
        kind = configs["scheduler"].prediction_type
        yield f"scheduler has prediction_type {kind}; {' and '.join(PREDICTIONS)} are known"


def size_problems(config: BaseConfig, configs: Mapping[str, Any]) -> Iterator[str]:
    """What does not fit between the pictures' sizes and the networks."""
    if "vae" in configs and config.resolution % (multiple := _multiple(configs)):
        yield f"base.resolution={config.resolution} must be a multiple of {multiple} for this vae and unet"
    if "image_encoder" in configs and configs["image_encoder"].image_size != config.image_size:
        size = configs["image_encoder"].image_size
        yield f"image_encoder takes {size} px images; set base.image_size={size} (it is {config.image_size})"


def _multiple(configs: Mapping[str, Any]) -> int:
    """Of the VAE, and of the UNet where it is among `configs`."""
    levels = len(configs["unet"].config.block_out_channels) if "unet" in configs else 1
    return vae_factor(configs["vae"]) * 2 ** (levels - 1)


def text_problems(configs: Mapping[str, Any], number: str = "") -> Iterator[str]:
    """What does not fit between a text encoder and its tokenizer; `number` follows both names."""
    tokenizer, encoder = f"tokenizer{number}", f"text_encoder{number}"
    if tokenizer in configs and encoder in configs:
        length, positions = configs[tokenizer].get("model_max_length"), configs[encoder].max_position_embeddings
        if length != positions:
            yield f"{tokenizer} has model_max_length {length}, {encoder} has {positions} positions"
