"""What `evaluate.measures` may name, and where the weights of those lie. Imports nothing slow."""

from dataclasses import dataclass, field

from ipai.backbones.config import WeightsFile
from ipai.llm.config import LanguageModel
from ipai.schema import above, at_least, one_of

LIKENESSES = ("csd", "dino_i", "dino_structure")
"""Measures that need weights, see `ipai.evaluation.measures.likeness`."""

JUDGE = "judge"
JUDGED = {f"judge_{respect}": respect for respect in ("style", "composition", "object", "face")}
"""What the measure `judge` gives, by the respect that its columns are about; see `ipai.evaluation.measures.judge`."""

LICENCES = {"csd": "CC-BY-4.0", "dino": "Apache-2.0"}
"""Of the weights that are the default."""


@dataclass
class LikenessWeights:
    """Where the encoders lie."""

    csd: WeightsFile = field(default_factory=lambda: WeightsFile("yuxi-liu-wired/CSD", "model.safetensors"))
    dino: WeightsFile = field(default_factory=lambda: WeightsFile("facebook/dinov2-base", "model.safetensors"))


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
