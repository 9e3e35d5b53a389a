"""Questions about pictures, put to a miniature of LLaVA in transformers' layout."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from ipai.backbones.config import WeightsRef
from ipai.errors import WeightsError
from ipai.evaluation.measures import questions
from ipai.evaluation.measures.questions import YesProbability
from tests.evaluation.measures.test_likeness import picture, png
from tests.helpers.answering_miniature import write_llava

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("llava"))


def test_it_is_the_models_own_probability_of_yes(llava: Path) -> None:
    measure = YesProbability(WeightsRef(str(llava)), CPU, None)
    found = measure([png(picture(0))] * 2, ["a cat", "a dog"])
    processor, model = AutoProcessor.from_pretrained(llava), AutoModelForImageTextToText.from_pretrained(llava)
    for text, value in zip(("a cat", "a dog"), found, strict=True):
        prompt = f'USER : <image> Does this figure show "{text}"? Please answer yes or no. ASSISTANT :'
        inputs = processor(images=picture(0), text=prompt, return_tensors="pt")
        with torch.no_grad():
            chances = model(**inputs).logits[0, -1].softmax(0)
        tokens = processor.tokenizer.convert_tokens_to_ids(["Yes", "yes"])
        assert value == pytest.approx(float(chances[tokens].sum()), abs=1e-6)
    assert found[0] != found[1]


def test_answers_are_kept_and_what_has_no_text_is_not_asked(llava: Path, tmp_path: Path) -> None:
    contents = [png(picture(seed)) for seed in range(2)]
    first = YesProbability(WeightsRef(str(llava)), CPU, tmp_path)(contents, ["a cat", None])
    again = YesProbability(WeightsRef(str(llava)), CPU, tmp_path)
    again._answer = None  # type: ignore[method-assign,assignment]  # nothing is asked twice
    assert again(contents, ["a cat", None]) == [pytest.approx(first[0]), None]


def test_a_model_of_the_hub_answers_as_its_folder_does(llava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision))
        assert "*.safetensors" in allow_patterns
        return str(llava.parent)

    monkeypatch.setattr(questions, "snapshot_download", snapshot)
    of_hub = YesProbability(WeightsRef("some/model", "abc", llava.name), CPU, None)
    of_folder = YesProbability(WeightsRef(str(llava)), CPU, None)
    assert asked == [("some/model", "abc")]
    assert of_hub.identity == of_folder.identity
    assert of_hub([png(picture(0))], ["a cat"]) == of_folder([png(picture(0))], ["a cat"])


def test_what_cannot_answer_is_named(llava: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"cannot load .*empty.*measure_weights\.vqa\.id"):
        YesProbability(WeightsRef(str(tmp_path / "empty")), CPU, None)
    untemplated = write_llava(tmp_path / "untemplated")
    (untemplated / "chat_template.jinja").unlink()
    with pytest.raises(WeightsError, match="chat_template"):
        YesProbability(WeightsRef(str(untemplated)), CPU, None)
    speechless = write_llava(tmp_path / "speechless", yes=())
    with pytest.raises(WeightsError, match="has no token that says yes"):
        YesProbability(WeightsRef(str(speechless)), CPU, None)
    assert YesProbability(WeightsRef(str(llava)), CPU, None)([png(Image.new("L", (9, 7)))], ["a dog"])[0] is not None
