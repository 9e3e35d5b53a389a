"""The probability of a label by an image classifier: watermark, NSFW, aesthetics, whatever is at hand."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

from ipai.backbones.hub import resolve_file
from ipai.backbones.loading import freeze
from ipai.backbones.quiet import quiet_bars
from ipai.data.images import MAX_PIXELS, decode_image
from ipai.data.shards import RawSample
from ipai.errors import WeightsError
from ipai.evaluation.scoring.scoring_settings import Classifier, weights_file
from ipai.files import fingerprint

_BESIDE = ("config.json", "preprocessor_config.json")


class LabelProbability:
    """Of the targets of samples.

    Args:
        classifier: The model and one of its labels.
        device: Where it runs.
        batch_size: Pictures at once.

    Raises:
        WeightsError: It cannot be had, is no image classifier, or has no such label; the message lists those it has.
    """

    def __init__(self, classifier: Classifier, device: torch.device, batch_size: int) -> None:
        ref = weights_file(classifier)
        path = resolve_file(ref)
        for name in _BESIDE:
            resolve_file(replace(ref, filename=name))
        try:
            with quiet_bars():
                options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
                self._prepare: Any = AutoImageProcessor.from_pretrained(path.parent, **options)
                model: Any = AutoModelForImageClassification.from_pretrained(
                    path.parent, use_safetensors=True, **options
                )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            raise WeightsError(f"{path.parent} holds no image classifier of transformers': {error}") from error
        labels = {str(label).lower(): int(index) for index, label in model.config.id2label.items()}
        if len(labels) == 1:
            raise WeightsError(
                f"{classifier.id} has one output, which is no probability; a classifier has a label more"
            )
        if classifier.label.lower() not in labels:
            raise WeightsError(f"{classifier.id} has no label {classifier.label}; it has {', '.join(labels)}")
        several = model.config.problem_type == "multi_label_classification"
        self._chances = torch.sigmoid if several else partial(torch.softmax, dim=1)
        freeze(model)
        self._model, self._device, self._batch_size = model.to(device), device, batch_size
        self._index = labels[classifier.label.lower()]
        self.identity = f"{classifier.label}-{fingerprint(path)[:16]}"

    @torch.no_grad()
    def __call__(self, samples: Sequence[RawSample]) -> dict[str, float]:
        """Key of a sample -> 0..1."""
        found: dict[str, float] = {}
        for start in range(0, len(samples), self._batch_size):
            chunk = samples[start : start + self._batch_size]
            pictures = [decode_image(sample.target, MAX_PIXELS) for sample in chunk]
            pixels = self._prepare(images=pictures, return_tensors="pt")["pixel_values"]
            logits = self._model(pixel_values=pixels.to(self._device)).logits.float()
            values = self._chances(logits)[:, self._index].tolist()
            found |= dict(zip((sample.key for sample in chunk), values, strict=True))
        return found
