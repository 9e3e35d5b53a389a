"""Each diffusers pipeline class of Stable Diffusion 1.5's kind, made of a miniature's parts, and its call."""

import inspect
from typing import Any

import diffusers
import torch
from diffusers import ControlNetModel, MotionAdapter, SparseControlNetModel, T2IAdapter
from PIL import Image

from tests.helpers.pipeline_extras import give_controlnet_a_say

SIDE = 64
START = Image.new("RGB", (SIDE, SIDE), "navy")
LINES = Image.effect_noise((SIDE, SIDE), 90).convert("RGB")
MASK = Image.new("L", (SIDE, SIDE), 255)
DEPTH = torch.linspace(0, 1, SIDE).expand(1, SIDE, SIDE)
FRAMES = {"num_frames": 3}
VIDEO = [START, LINES, START]
PAG = {"pag_scale": 3.0}

CALLED_WITH: dict[str, dict[str, Any]] = {
    "AnimateDiffControlNetPipeline": FRAMES | {"conditioning_frames": VIDEO},
    "AnimateDiffPAGPipeline": FRAMES | PAG,
    "AnimateDiffPipeline": FRAMES,
    "AnimateDiffSparseControlNetPipeline": FRAMES | {"conditioning_frames": [START], "controlnet_frame_indices": [0]},
    "AnimateDiffVideoToVideoControlNetPipeline": {"video": VIDEO, "conditioning_frames": VIDEO, "strength": 1.0},
    "AnimateDiffVideoToVideoPipeline": {"video": VIDEO, "strength": 1.0},
    "LatentConsistencyModelImg2ImgPipeline": {"image": START, "strength": 1.0, "original_inference_steps": 20},
    "LatentConsistencyModelPipeline": {"original_inference_steps": 20},
    "PIAPipeline": FRAMES | {"image": START},
    "StableDiffusionAdapterPipeline": {"image": START},
    "StableDiffusionControlNetImg2ImgPipeline": {"image": START, "control_image": LINES, "strength": 1.0},
    "StableDiffusionControlNetInpaintPipeline": {
        "image": START, "mask_image": MASK, "control_image": LINES, "strength": 1.0,
    },
    "StableDiffusionControlNetPAGInpaintPipeline": PAG
    | {"image": START, "mask_image": MASK, "control_image": LINES, "strength": 1.0},
    "StableDiffusionControlNetPAGPipeline": PAG | {"image": LINES},
    "StableDiffusionControlNetPipeline": {"image": LINES},
    "StableDiffusionDepth2ImgPipeline": {"image": START, "depth_map": DEPTH, "strength": 1.0},
    "StableDiffusionImg2ImgPipeline": {"image": START, "strength": 1.0},
    "StableDiffusionInpaintPipeline": {"image": START, "mask_image": MASK, "strength": 1.0},
    "StableDiffusionInstructPix2PixPipeline": {"image": START, "image_guidance_scale": 1.5},
    "StableDiffusionLDM3DPipeline": {"output_type": "np"},
    "StableDiffusionPAGImg2ImgPipeline": PAG | {"image": START, "strength": 1.0},
    "StableDiffusionPAGInpaintPipeline": PAG | {"image": START, "mask_image": MASK, "strength": 1.0},
    "StableDiffusionPAGPipeline": PAG,
    "StableDiffusionPanoramaPipeline": {"width": 128},
    "StableDiffusionPipeline": {},
}  # fmt: skip
"""What each class that works is called with, besides prompt, sizes and steps."""

_OTHER_UNETS = {
    "Pix2Pix": {"in_channels": 8},
    "Depth2Img": {"in_channels": 5},
    "LatentConsistency": {"time_cond_proj_dim": 32},
}


def sd15_classes() -> list[str]:
    """The classes of the installed diffusers that take SD1.5's kind of UNet and a CLIP text encoder, and only those."""
    found = []
    for name in dir(diffusers):
        if not name.endswith("Pipeline"):
            continue
        parameters = inspect.signature(getattr(diffusers, name).__init__).parameters
        unet, encoder = (
            str(parameters[part].annotation) if part in parameters else "" for part in ("unet", "text_encoder")
        )
        takes_ours = any(kind in unet.split(".")[-1] for kind in ("UNet2DConditionModel", "UNetMotionModel"))
        if takes_ours and encoder.rstrip("'>").endswith(".CLIPTextModel") and "text_encoder_2" not in parameters:
            found.append(name)
    return found


def made(name: str, parts: dict[str, Any]) -> Any:
    """A pipeline of this class with the miniature's parts and the further ones it wants."""
    kind = getattr(diffusers, name)
    wanted = inspect.signature(kind.__init__).parameters
    unet, vae = parts["unet"], parts["vae"]
    for word, changes in _OTHER_UNETS.items():
        unet = _changed(unet, **changes) if word in name else unet
    vae = _changed(vae, out_channels=6) if "LDM3D" in name else vae  # colours and depth
    given = {key: value for key, value in (parts | {"unet": unet, "vae": vae}).items() if key in wanted}
    if "motion_adapter" in wanted:
        given["motion_adapter"] = _motion(unet, 9 if name == "PIAPipeline" else None)
    if "controlnet" in wanted:
        given["controlnet"] = _controlnet(unet, sparse="Sparse" in name)
    if "adapter" in wanted:
        channels = list(unet.config.block_out_channels)
        given["adapter"] = T2IAdapter(channels=channels, num_res_blocks=1, downscale_factor=8)
    if "scheduler" in wanted and name.startswith("LatentConsistency"):
        given["scheduler"] = diffusers.LCMScheduler.from_config(parts["scheduler"].config)
    for key in ("safety_checker", "feature_extractor", "image_encoder", "depth_estimator"):
        if key in wanted:
            given[key] = None
    if "requires_safety_checker" in wanted:
        given["requires_safety_checker"] = False
    pipe = kind(**given)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def called(pipe: Any, **options: Any) -> torch.Tensor:
    """The latents that two steps draw."""
    accepted = inspect.signature(pipe.__call__).parameters
    settings = {
        "prompt": "a cat", "negative_prompt": "a dog", "num_inference_steps": 2, "guidance_scale": 5.0,
        "height": SIDE, "width": SIDE, "output_type": "latent", "generator": torch.Generator().manual_seed(0),
    }  # fmt: skip
    settings |= CALLED_WITH.get(type(pipe).__name__, {}) | options
    output = pipe(**{key: value for key, value in settings.items() if key in accepted}, return_dict=False)
    return torch.as_tensor(output[0][0] if isinstance(output[0], tuple) else output[0])  # LDM3D: colours and depth


def _changed(model: Any, **changes: Any) -> Any:
    """The model with another configuration and new random weights."""
    torch.manual_seed(0)
    return type(model).from_config({**model.config, **changes}).eval()


def _motion(unet: Any, inputs: int | None) -> MotionAdapter:
    torch.manual_seed(0)
    return MotionAdapter(
        block_out_channels=unet.config.block_out_channels,
        motion_layers_per_block=2,
        motion_num_attention_heads=2,
        motion_norm_num_groups=8,
        use_motion_mid_block=False,
        conv_in_channels=inputs,
    )


def _controlnet(unet: Any, sparse: bool) -> Any:
    torch.manual_seed(0)
    if not sparse:
        return give_controlnet_a_say(ControlNetModel.from_unet(unet))
    return SparseControlNetModel(
        in_channels=4,
        conditioning_channels=4,
        down_block_types=tuple(
            "CrossAttnDownBlockMotion" if "CrossAttn" in kind else "DownBlockMotion"
            for kind in unet.config.down_block_types
        ),
        block_out_channels=tuple(unet.config.block_out_channels),
        layers_per_block=unet.config.layers_per_block,
        cross_attention_dim=unet.config.cross_attention_dim,
        norm_num_groups=unet.config.norm_num_groups,
        attention_head_dim=unet.config.attention_head_dim,
        motion_max_seq_length=32,
        motion_num_attention_heads=2,
        use_simplified_condition_embedding=True,
    )
