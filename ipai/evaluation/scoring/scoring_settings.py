"""Which scores are added to finished shards, and by which models. Imports nothing slow."""

import keyword
from collections.abc import Iterator
from dataclasses import dataclass, field

from ipai.backbones.config import WeightsFile
from ipai.evaluation.measures.settings import LIKENESSES, LikenessWeights
from ipai.schema import above, one_of

CLIP_SCORES = ("clip_i", "clip_t", "clip_s", "clip_slot")
"""Of the CLIP that scores: target and condition; target and prompt; beyond the texts; target and its object's name."""

SHARPNESS = "sharpness"
SHARD_SCORES = (*CLIP_SCORES, SHARPNESS, *LIKENESSES)
"""What a score may be called; the names of classifiers come besides."""
_OF_BUILDERS = ("area", "fill", "side", "visible", "repeats", "in_val")


@dataclass(kw_only=True)
class Classifier:
    """An image classifier whose probability of one label becomes a score of the target: watermark, NSFW, aesthetics.

    Attributes:
        id: A hub id or a local folder, in transformers' layout with `model.safetensors`.
        label: One of those in its `config.json`.
        revision: On the hub; None is `main`.
    """

    id: str
    label: str
    revision: str | None = None


@dataclass
class ShardScoring:
    """What `ipai score` adds, and a build after its last shard.

    Attributes:
        names: Of `SHARD_SCORES`.
        clip: open_clip's name of the CLIP that scores, a folder, or `toy`.
        pretrained: open_clip's tag of its weights.
        weights: Of the scores that need their own.
        classifiers: Name of a further score -> what computes it.
        batch_size: Pictures at once.
    """

    names: list[str] = field(default_factory=list, metadata=one_of(*SHARD_SCORES))
    clip: str = "ViT-L-14"
    pretrained: str | None = "openai"
    weights: LikenessWeights = field(default_factory=LikenessWeights)
    classifiers: dict[str, Classifier] = field(default_factory=dict)
    batch_size: int = field(default=32, metadata=above(0))

    def __bool__(self) -> bool:
        """Something is asked for."""
        return bool(self.names or self.classifiers)

    def problems(self, key: str) -> Iterator[str]:
        """What cannot work, one message each; `key` is where the settings stand."""
        for name in self.classifiers:
            if name in (*SHARD_SCORES, *_OF_BUILDERS) or not name.isidentifier() or keyword.iskeyword(name):
                yield f"{key}.classifiers.{name} must be a word of its own, such as nsfw: it becomes scores.{name}"


def weights_file(classifier: Classifier) -> WeightsFile:
    """Where its weights lie."""
    return WeightsFile(classifier.id, "model.safetensors", classifier.revision)
