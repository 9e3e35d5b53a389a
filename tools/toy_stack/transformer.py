"""The toy base of the newer kind: PRX's transformer with flow matching, in the same latents.

Its text encoder begins as the UNet's and learns on with it: in the UNet's the words of a background hardly differ from
each other, and the padding after a caption, which the UNet reads too, is masked by PRX's attention.

A transformer without an image's structure built in learns slowly what shapes are. So its tokens also learn to be read
as the CLIP's tokens of the clean picture (representation alignment, 2410.06940, eq. 6; PRX's authors train so too), by
a small network that is thrown away.
"""

import torch
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ipai.objective import Flow, squared_error
from tools.toy_stack.adapter import encode_condition
from tools.toy_stack.clip import normalised
from tools.toy_stack.diffusion import draw_captions
from tools.toy_stack.rendered_set import Pictures, draw_rows
from tools.toy_stack.sizes import CLIP_VISION, FLOW_SHIFT, TRANSFORMER
from tools.toy_stack.stage import Losses

_TIMESTEPS = 1000
_ALIGNMENT = 0.5  # weight of the alignment's loss, as there
_ALIGNED_BLOCK = 3  # of eight, counted from 0: what comes out of it is read


def fresh_transformer(seed: int) -> PRXTransformer2DModel:
    """As its authors begin it: every block changes nothing, and the last layer says zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PRXTransformer2DModel(**TRANSFORMER)
    for last in (model.final_layer.linear, model.final_layer.adaLN_modulation[-1]):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    return model


class AlignedTransformer(nn.Module):
    """The transformer, its text encoder, and what reads the CLIP's tokens from the transformer's own."""

    def __init__(self, transformer: PRXTransformer2DModel, text_encoder: CLIPTextModel, seed: int) -> None:
        super().__init__()
        self.transformer, self.text_encoder = transformer, text_encoder
        width = TRANSFORMER["hidden_size"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.reader = nn.Sequential(
                nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, CLIP_VISION["width"])
            )

    def forward(self, latents: Tensor, times: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity [B, C, h, w] at times from 0 to 1, and the tokens [B, L, 128] that are read.

        `ids` are the captions', int [B, T], `mask` bool [B, T] says which are no padding.
        """
        texts = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        seen: list[Tensor] = []
        block = self.transformer.blocks[_ALIGNED_BLOCK]
        hook = block.register_forward_hook(lambda *call: seen.append(call[-1]))
        with sdpa_kernel(SDPBackend.MATH):  # on CPUs the fused kernel's backward pass is slower
            velocity = self.transformer(
                hidden_states=latents, timestep=times, encoder_hidden_states=texts, attention_mask=mask
            ).sample
        hook.remove()
        return velocity, self.reader(seen[0])


def flow_schedule() -> FlowMatchEulerDiscreteScheduler:
    """The noise schedule that it is trained and drawn with."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=_TIMESTEPS, shift=FLOW_SHIFT)


def flow_loss(
    model: AlignedTransformer,
    tower: CLIPVisionModelWithProjection,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """One step of text-to-image training with flow matching (`ipai.objective.Flow`) and alignment."""
    rows = draw_rows(pictures, batch_size, generator)
    captions = draw_captions(pictures, rows, generator)
    told = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    clean = latents[rows].float()
    noise = torch.randn(clean.shape, generator=generator)
    objective = Flow(_TIMESTEPS, FLOW_SHIFT)
    times = objective.timesteps(torch.rand(batch_size, generator=generator, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            patches = encode_condition(tower, normalised(pictures.images(rows)))[:, 1:]
        noisy = objective.noised(clean, noise, times)
        velocity, read = model(noisy, times / _TIMESTEPS, told.input_ids, told.attention_mask.bool())
    error = squared_error(velocity, objective.target(clean, noise, times)).mean()
    likeness = functional.cosine_similarity(read.float(), patches.float(), dim=-1).mean()
    return {"loss": error + _ALIGNMENT * (1 - likeness), "error": error, "likeness": likeness}
