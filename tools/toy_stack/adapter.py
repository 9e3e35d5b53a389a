"""The toy IPAdapters+: adapters without instructions, trained to give back what CLIP saw in the picture."""

from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import host_of
from ipai.adapter.hosts.injection import Injection
from ipai.adapter.spec import AdapterSpec
from ipai.objective import Flow, squared_error
from tools.toy_stack.clip import normalised
from tools.toy_stack.diffusion import add_noise, denoising_loss, draw_captions, tokenise
from tools.toy_stack.rendered_set import Pictures, draw_rows
from tools.toy_stack.sizes import CLIP_VISION, FLOW_SHIFT, RESAMPLER
from tools.toy_stack.stage import Losses

# IP-Adapter's own drops (paper section 5): text 5 %, image 5 %, both 5 %. Here the text is dropped more often, so that
# the adapter learns to say what plain captions say too.
_DROP_TEXT, _DROP_IMAGE, _DROP_BOTH = 0.15, 0.05, 0.05
# Min-SNR's gamma, lower still than the other stages': style and place are decided where next to nothing can be seen.
# With 0.25 the adapter took the colours within minutes and the place not at all. 600 more steps of the same adapter
# lowered the noise error beside a prompt, against no image, to -14 % at timesteps 850 and 980 with 0.06 and timesteps
# as likely as they are late, and to -18 % with 0.01 and the timesteps of `favour_noisy`.
_GAMMA = 0.01
# What is small, an object's class and mark, eyes, is decided later, where more can be seen. After the first stage, in
# which place and style come to 98 and 89 % and the mark to 31 %, the adapter learns on under milder noise.
DETAIL_GAMMA = 0.3
# The same two stages beside the transformer, as means of the logit-normal times: half of them above 0.82, then 0.5.
_FLOW_MEAN, _FLOW_DETAIL_MEAN = 1.5, 0.0
_FLOW_TIMESTEPS = 1000


def plus_spec(denoiser: Any) -> AdapterSpec:
    """IPAdapter+ in the toy stack's sizes, for the UNet or the transformer."""
    host = host_of(denoiser)
    return AdapterSpec(
        image_dim=CLIP_VISION["width"],
        token_dim=host.token_dim(denoiser),
        attention_sizes=tuple(site.size for site in host.sites(denoiser)),
        attention=host.attention,
        instruction="none",
        width=RESAMPLER.width,
        depth=RESAMPLER.depth,
        heads=RESAMPLER.heads,
        head_dim=RESAMPLER.head_dim,
        num_queries=RESAMPLER.num_queries,
    )


@torch.no_grad()
def take_over_reading(adapter: InstructAdapter, other: InstructAdapter) -> None:
    """Give a resampler the weights of another, but for the last layers, whose width is the denoiser's."""
    ours, theirs = adapter.image_proj.state_dict(), other.image_proj.state_dict()
    fitting = {name: value for name, value in theirs.items() if value.shape == ours[name].shape}
    adapter.image_proj.load_state_dict(ours | fitting)


@torch.no_grad()
def encode_condition(tower: CLIPVisionModelWithProjection, pixels: Tensor) -> Tensor:
    """Penultimate hidden states [B, 65, 128] of normalised pixels; a dropped image is all zeros."""
    output = tower.vision_model(pixels, output_hidden_states=True)
    tokens: Tensor = output.hidden_states[-2]
    return tokens


def adapter_loss(
    adapter: InstructAdapter,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tower: CLIPVisionModelWithProjection,
    schedule: DDPMScheduler,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    batch_size: int,
    detail: bool,
    generator: torch.Generator,
) -> Losses:
    """One step of IP-Adapter's training; `unet` holds the adapter (`ipai.adapter.inject`).

    `detail` chooses milder noise.
    """
    rows, prompts, pixels = _drawn(pictures, batch_size, generator)
    noise, timesteps, noisy = add_noise(schedule, latents[rows].float(), generator, favour_noisy=not detail)
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        with torch.no_grad():
            text = text_encoder(tokenise(tokenizer, prompts)).last_hidden_state
            seen = encode_condition(tower, pixels)
        tokens = adapter(seen)
        condition = {"image_embeds": [tokens[:, None]]}
        predicted = unet(noisy, timesteps, text, added_cond_kwargs=condition).sample
    return denoising_loss(schedule, predicted, noise, timesteps, DETAIL_GAMMA if detail else _GAMMA)


def flow_adapter_loss(
    injection: Injection,
    text_encoder: CLIPTextModel,
    tower: CLIPVisionModelWithProjection,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    generator: torch.Generator,
    *,
    batch_size: int,
    detail: bool,
) -> Losses:
    """`adapter_loss` beside the transformer: `injection` is of the adapter in it."""
    rows, prompts, pixels = _drawn(pictures, batch_size, generator)
    told = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    mask = told.attention_mask.bool()
    clean = latents[rows].float()
    noise = torch.randn(clean.shape, generator=generator)
    objective = Flow(_FLOW_TIMESTEPS, FLOW_SHIFT, time_mean=_FLOW_DETAIL_MEAN if detail else _FLOW_MEAN)
    timesteps = objective.timesteps(torch.rand(batch_size, generator=generator, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        with torch.no_grad():
            texts = text_encoder(told.input_ids, attention_mask=mask).last_hidden_state
            seen = encode_condition(tower, pixels)
        prompt = {"encoder_hidden_states": texts, "attention_mask": mask}
        tokens = injection.adapter(seen)
        velocity = injection.predict(objective.noised(clean, noise, timesteps), timesteps, prompt, [tokens])
    return {"loss": squared_error(velocity, objective.target(clean, noise, timesteps)).mean()}


def _drawn(pictures: Pictures, count: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
    """Random rows, their prompts and the pixels of their conditions, with IP-Adapter's drops."""
    rows = draw_rows(pictures, count, generator)
    lot = torch.rand(count, generator=generator)
    no_image = (lot < _DROP_IMAGE) | (lot >= 1 - _DROP_BOTH)
    no_text = (lot >= 1 - _DROP_BOTH - _DROP_TEXT).tolist()
    captions = draw_captions(pictures, rows, generator, drop=0.0)
    prompts = ["" if dropped else caption for caption, dropped in zip(captions, no_text, strict=True)]
    pixels = normalised(pictures.images(rows))
    pixels[no_image] = 0.0
    return rows, prompts, pixels
