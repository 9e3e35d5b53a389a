"""What `ipai evaluate measures=` may name, and where the weights of those lie. Imports nothing slow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ipai.backbones.config import WeightsFile, WeightsRef
from ipai.llm.config import LanguageModel
from ipai.schema import above, at_least, one_of

PARTS = {
    "csd": ("csd",),
    "dino_i": ("dino",),
    "dino_structure": ("dino",),
    "face_id": ("face_detector", "face_recogniser"),
    "lpips": ("vgg", "lpips"),
}
"""Measures that compare a picture with its condition -> which of `LikenessWeights` they need."""

LIKENESSES = tuple(PARTS)

VQA = "vqa"
VQA_COLUMNS = ("vqa_p", "vqa_t")
"""The measure that asks a model whether a picture shows a text, and what it gives: of the prompt, of the caption."""

JUDGE = "judge"
JUDGED = {f"judge_{respect}": respect for respect in ("style", "composition", "object", "face")}
"""What the measure `judge` gives, by the respect that its columns are about; see `ipai.evaluation.measures.judge`."""

LICENCES = {
    "csd": "CC-BY-4.0",
    "dino": "Apache-2.0",
    "face_detector": "MIT",
    "face_recogniser": "Apache-2.0",
    "vgg": "BSD-3-Clause",
    "lpips": "BSD-2-Clause",
    "vqa": "Apache-2.0",
}
"""Of the weights that are the default."""


@dataclass
class LikenessWeights:
    """Where the encoders lie."""

    csd: WeightsFile = field(default_factory=lambda: WeightsFile("yuxi-liu-wired/CSD", "model.safetensors"))
    dino: WeightsFile = field(default_factory=lambda: WeightsFile("facebook/dinov2-base", "model.safetensors"))
    face_detector: WeightsFile = field(
        default_factory=lambda: WeightsFile("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
    )
    face_recogniser: WeightsFile = field(
        default_factory=lambda: WeightsFile("opencv/face_recognition_sface", "face_recognition_sface_2021dec.onnx")
    )
    vgg: WeightsFile = field(default_factory=lambda: WeightsFile("timm/vgg16.tv_in1k", "model.safetensors"))
    lpips: WeightsFile = field(default_factory=lambda: WeightsFile("valhalla/vgg_lpips", "vgg_lpips.pth"))

    @classmethod
    def given(cls, files: Mapping[str, str | None]) -> "LikenessWeights":
        """From files of this machine by part; those that are None stay the hub's."""
        return cls(**{part: WeightsFile(file, Path(file).name) for part, file in files.items() if file})


@dataclass
class MeasureWeights(LikenessWeights):
    """And where the model lies that answers questions."""

    vqa: WeightsRef = field(default_factory=lambda: WeightsRef("Qwen/Qwen2-VL-2B-Instruct"))


@dataclass(kw_only=True)
class JudgeChoice(LanguageModel):
    """The language model that judges.

    Attributes:
        detail: How closely it looks at a picture, as the chat-completions API has it.
        side: Longer side of the pictures that it is sent, px; smaller ones stay.
        max_dollars: All that one output folder may cost, over every start; None for no limit.
    """

    detail: str = field(default="low", metadata=one_of("low", "high", "auto"))
    side: int = field(default=512, metadata=above(0))
    max_dollars: float | None = field(default=100.0, metadata=at_least(0))
