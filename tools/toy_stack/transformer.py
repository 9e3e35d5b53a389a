"""The toy base of the newer kind: PRX's transformer with flow matching, in the same latents, told by the same texts."""

import torch
from diffusers.models.transformers.transformer_prx import PRXTransformer2DModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from ipai.objective import Flow, squared_error
from tools.toy_stack.diffusion import draw_captions
from tools.toy_stack.rendered_set import Pictures, draw_rows
from tools.toy_stack.sizes import FLOW_SHIFT, TRANSFORMER
from tools.toy_stack.stage import Losses

_TIMESTEPS = 1000


def fresh_transformer(seed: int) -> PRXTransformer2DModel:
    """As its authors begin it: every block changes nothing, and the last layer says zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PRXTransformer2DModel(**TRANSFORMER)
    for last in (model.final_layer.linear, model.final_layer.adaLN_modulation[-1]):
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    return model


def flow_schedule() -> FlowMatchEulerDiscreteScheduler:
    """The noise schedule that it is trained and drawn with."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=_TIMESTEPS, shift=FLOW_SHIFT)


def flow_loss(
    model: PRXTransformer2DModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    pictures: Pictures,
    latents: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """One step of text-to-image training with flow matching (`ipai.objective.Flow`)."""
    rows = draw_rows(pictures, batch_size, generator)
    captions = draw_captions(pictures, rows, generator)
    told = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    clean = latents[rows].float()
    noise = torch.randn(clean.shape, generator=generator)
    objective = Flow(_TIMESTEPS, FLOW_SHIFT)
    times = objective.timesteps(torch.rand(batch_size, generator=generator, dtype=torch.float64))
    mask = told.attention_mask.bool()
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            texts = text_encoder(told.input_ids, attention_mask=told.attention_mask).last_hidden_state
        predicted = model(
            hidden_states=objective.noised(clean, noise, times), timestep=times / _TIMESTEPS,
            encoder_hidden_states=texts, attention_mask=mask,
        ).sample  # fmt: skip
    return {"loss": squared_error(predicted, objective.target(clean, noise, times)).mean()}
