"""The toy stack's sizes: SD1.5's classes and block names, so few channels that two CPU cores can train them.

64 px pictures, 8 x 16 x 16 latents. The latents have 8 channels, not 4: at this size the decoder has nothing but the
latents to tell an eye from a pair of glasses.
"""

from typing import Any

from ipai.backbones.config import ResamplerSize

RESOLUTION = 64
LATENT_SIDE = 16
TEXT_WIDTH = 128
CONTEXT = 77  # of instructions
PROMPT_CONTEXT = 32  # the longest caption has 14 tokens

VAE: dict[str, Any] = {
    "latent_channels": 8,
    "layers_per_block": 1,
    "sample_size": RESOLUTION,
    "shift_factor": 0.0,  # PRX's pipeline adds it
    # Few groups: a group of one or two channels would normalise a picture's mean colour away.
    "norm_num_groups": 4,
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
}
UNET: dict[str, Any] = {
    "sample_size": LATENT_SIDE,
    "in_channels": 8,
    "out_channels": 8,
    "cross_attention_dim": TEXT_WIDTH,
    # As in SD1.5, the numbers of heads. One at the highest resolution: on a CPU attention among 256 places costs by the
    # head, and with four of them took half of a step.
    "attention_head_dim": (1, 2, 4, 4),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "block_out_channels": (32, 64, 96, 64),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
TRANSFORMER: dict[str, Any] = {  # PRX's: 8 x 8 tokens, 4.5 M parameters
    "in_channels": 8,
    "patch_size": 2,
    "context_in_dim": TEXT_WIDTH,
    "hidden_size": 160,
    "mlp_ratio": 3.0,
    "num_heads": 5,
    "depth": 8,
    "axes_dim": [16, 16],
}
FLOW_SHIFT = 1.0
# Edges at 64 px to features at 16 px: two halvings.
CONTROLNET_EMBEDDING = (16, 32, 32)
SCHEDULER: dict[str, Any] = {  # SD1.5's own
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "steps_offset": 1,
}
CLIP_VISION: dict[str, Any] = {"image_size": RESOLUTION, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8}
CLIP_TEXT: dict[str, Any] = {"context_length": CONTEXT, "width": TEXT_WIDTH, "heads": 4, "layers": 3}
SD_TEXT: dict[str, Any] = {
    "max_position_embeddings": PROMPT_CONTEXT,
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": TEXT_WIDTH,
}
# Heads of 64, because diffusers takes every IPAdapter+ to have them.
RESAMPLER = ResamplerSize(width=128, depth=4, heads=2, head_dim=64, num_queries=16)
# In the stack's folder; the other parts lie where diffusers looks for them.
IP_ADAPTER_FILE = "ip_adapter/ip-adapter-plus_toy.safetensors"
TRANSFORMER_IP_ADAPTER_FILE = "ip_adapter/ip-adapter-plus_toy-prx.safetensors"
