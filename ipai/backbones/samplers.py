"""Schedulers of diffusers that draw pictures, by short names. Imports nothing slow."""

from typing import Any

DIFFUSION: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
}
"""For bases that predict the noise or its velocity along a diffusion: class and settings."""

_OF_FLOWS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", _OF_FLOWS),
    "unipc": ("UniPCMultistepScheduler", _OF_FLOWS),
}
"""For flow-matching bases."""
