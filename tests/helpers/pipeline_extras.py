"""What stands beside an adapter: a ControlNet that changes something, and a LoRA file."""

from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict


def give_controlnet_a_say(controlnet: ControlNetModel) -> ControlNetModel:
    """Fill the outputs that begin at zero, so that its picture counts."""
    generator = torch.Generator().manual_seed(0)
    for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.1, generator=generator)
    torch.nn.init.normal_(controlnet.controlnet_cond_embedding.conv_out.weight, std=0.1, generator=generator)
    return controlnet


def write_lora(unet: Any, folder: Path) -> None:
    """Write random LoRA weights for the attentions of `unet` and leave it as it was."""
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]), "made")
    generator = torch.Generator().manual_seed(0)
    state = {
        name: torch.randn(value.shape, generator=generator) * 0.3
        for name, value in get_peft_model_state_dict(unet, adapter_name="made").items()
    }
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=convert_state_dict_to_diffusers(state))
    unet.unload_lora()
