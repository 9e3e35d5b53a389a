"""What `evaluate.measures` may name, and where the weights of those lie. Imports nothing slow."""

from dataclasses import dataclass, field

from ipai.backbones.config import WeightsFile

LIKENESSES = ("csd", "dino_i", "dino_structure")
"""Measures that need weights, see `ipai.evaluation.measures.likeness`."""

LICENCES = {"csd": "CC-BY-4.0", "dino": "Apache-2.0"}
"""Of the weights that are the default."""


@dataclass
class LikenessWeights:
    """Where the encoders lie."""

    csd: WeightsFile = field(default_factory=lambda: WeightsFile("yuxi-liu-wired/CSD", "model.safetensors"))
    dino: WeightsFile = field(default_factory=lambda: WeightsFile("facebook/dinov2-base", "model.safetensors"))
