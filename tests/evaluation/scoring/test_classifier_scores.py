"""Scores by an image classifier, on a miniature in transformers' layout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from ipai.data.images import MAX_PIXELS, decode_image
from ipai.data.shards import ShardSet
from ipai.errors import WeightsError
from ipai.evaluation.scoring.classifier_scores import LabelProbability
from ipai.evaluation.scoring.scoring_settings import Classifier, ShardScoring
from tests.helpers.shard_writer import write_shards

CPU = torch.device("cpu")


def written(folder: Path, **settings: Any) -> Path:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        **({"id2label": {0: "normal", 1: "NSFW"}, "label2id": {"normal": 0, "NSFW": 1}} | settings),
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return written(tmp_path / "model")


def test_the_score_is_the_probability_of_the_label(model: Path, tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 5, shards=1)
    held = ShardSet.open(tmp_path, "copy", "train")
    samples = [held.read(index) for index in range(5)]
    found = LabelProbability(Classifier(id=str(model), label="nsfw"), CPU, batch_size=2)(samples)
    classifier, prepare = (
        ViTForImageClassification.from_pretrained(model).eval(),
        ViTImageProcessor.from_pretrained(model),
    )
    pictures = [decode_image(sample.target, MAX_PIXELS) for sample in samples]
    with torch.no_grad():
        logits = classifier(**prepare(images=pictures, return_tensors="pt")).logits
    torch.testing.assert_close(torch.tensor([found[one.key] for one in samples]), logits.softmax(1)[:, 1])
    several = written(tmp_path / "several", problem_type="multi_label_classification")
    found = LabelProbability(Classifier(id=str(several), label="nsfw"), CPU, batch_size=2)(samples)
    torch.testing.assert_close(torch.tensor([found[one.key] for one in samples]), logits.sigmoid()[:, 1])


def test_a_label_or_a_model_that_is_none_is_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no label watermark; it has normal, nsfw"):
        LabelProbability(Classifier(id=str(model), label="watermark"), CPU, 2)
    single = written(tmp_path / "single", id2label={0: "aesthetic"}, label2id={"aesthetic": 0})
    with pytest.raises(WeightsError, match="has one output, which is no probability"):
        LabelProbability(Classifier(id=str(single), label="aesthetic"), CPU, 2)
    (model / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json"):
        LabelProbability(Classifier(id=str(model), label="nsfw"), CPU, 2)


def test_a_name_that_another_score_has_is_refused() -> None:
    classifier = Classifier(id="somebody/model", label="good")
    assert not list(ShardScoring(classifiers={"good": classifier}).problems("scores"))
    for name in ("clip_i", "not a word", "in", "visible"):
        assert name in next(ShardScoring(classifiers={name: classifier}).problems("scores"))
