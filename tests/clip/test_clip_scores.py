"""Each score against numbers worked out in another way: by hand, and by transformers' CLIP on the same weights."""

import io
import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from ipai.backbones.shipped import shipped_stack
from ipai.clip.model import ClipModel
from ipai.clip.scores import clip_i, clip_s, clip_score, diversity
from ipai.errors import WeightsError
from ipai.toyworld.factors import draw_scenes
from ipai.toyworld.render import render

FOLDER = shipped_stack() / "instruction_encoder"
PARTS = {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2",
         "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}  # fmt: skip
TEXTS = ["a red star", "on white snow a purple box", "one green box on a sandy beach", "a blue tree at night"]


def pictures(seed: int) -> list[Image.Image]:
    return [Image.fromarray(pixels) for pixels in render(draw_scenes(seed, 0, len(TEXTS)), 64)]


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def ours() -> ClipModel:
    return ClipModel("toy", None, batch_size=3)


@pytest.fixture(scope="module")
def theirs() -> CLIPModel:
    """The shipped weights in transformers' CLIP, renamed here from open_clip's names."""
    state = {name: value.float() for name, value in load_file(FOLDER / "open_clip_model.safetensors").items()}
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 4}
    text = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "vocab_size": 2136,
        "projection_dim": 128,
        "eos_token_id": 2135,
    }
    vision = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4,
              "image_size": 64, "patch_size": 8, "projection_dim": 128}  # fmt: skip
    act = {"hidden_act": "gelu"}
    model = CLIPModel(CLIPConfig(text_config=text | sizes | act, vision_config=vision | act, projection_dim=128))
    renamed = {"logit_scale": state["logit_scale"]}
    renamed |= {
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
    }
    embeddings = {
        "vision_model.embeddings.class_embedding": "visual.class_embedding",
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
    }
    renamed |= {new: state[old] for new, old in embeddings.items()}
    for new, old in {"vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post",
                     "text_model.final_layer_norm": "ln_final"}.items():  # fmt: skip
        renamed |= {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias")}
    for tower, prefix, layers in (("vision_model", "visual.", 4), ("text_model", "", 3)):
        for layer in range(layers):
            old, new = f"{prefix}transformer.resblocks.{layer}", f"{tower}.encoder.layers.{layer}"
            for part in ("weight", "bias"):
                joined = state[f"{old}.attn.in_proj_{part}"].chunk(3)
                renamed |= {f"{new}.self_attn.{n}_proj.{part}": v for n, v in zip("qkv", joined, strict=True)}
                for theirs, its in PARTS.items():
                    renamed[f"{new}.{theirs}.{part}"] = state[f"{old}.{its}.{part}"]
    left = model.load_state_dict(renamed, strict=False)
    assert not left.unexpected_keys
    assert all("position_ids" in name for name in left.missing_keys)
    return model.eval()


def independent(theirs: CLIPModel, images: list[Image.Image]) -> np.ndarray:
    processor = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=64)
    with torch.no_grad():
        output = theirs.vision_model(**processor(images, return_tensors="pt"))
        return theirs.visual_projection(output.pooler_output).double().numpy()


def independent_texts(theirs: CLIPModel) -> np.ndarray:
    tokenizer = open_clip.SimpleTokenizer(bpe_path=str(FOLDER / "bpe_simple_vocab.txt.gz"))
    with torch.no_grad():
        output = theirs.text_model(input_ids=tokenizer(TEXTS, context_length=77))
        return theirs.text_projection(output.pooler_output).double().numpy()


def cosines(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float(x @ y / math.sqrt(x @ x) / math.sqrt(y @ y)) for x, y in zip(a, b, strict=True)]


def test_all_four_scores_agree_with_transformers_clip(ours: ClipModel, theirs: CLIPModel) -> None:
    generated, conditions = pictures(1), pictures(2)
    image, other, text = independent(theirs, generated), independent(theirs, conditions), independent_texts(theirs)
    caption = text[::-1]
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text, other, caption)]
    expected = {
        "i": cosines(image, other),
        "p": [2.5 * max(value, 0.0) for value in cosines(image, text)],
        "t": [2.5 * max(value, 0.0) for value in cosines(image, caption)],
        "s": cosines(unit[0] - unit[1], unit[2] - unit[3]),
    }
    ours_image, ours_other = ours.pictures([png(p) for p in generated]), ours.pictures([png(p) for p in conditions])
    ours_text, ours_caption = ours.texts(TEXTS), ours.texts(TEXTS[::-1])
    found = {
        "i": clip_i(ours_image, ours_other),
        "p": clip_score(ours_image, ours_text),
        "t": clip_score(ours_image, ours_caption),
        "s": clip_s(ours_image, ours_text, ours_other, ours_caption),
    }
    for name, values in expected.items():
        assert found[name].tolist() == pytest.approx(values, abs=1e-6), name
    assert len({round(value, 3) for values in expected.values() for value in values}) > 8  # they say something


def test_scores_of_known_vectors() -> None:
    x, y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert clip_i(x, x + y).item() == pytest.approx(1 / math.sqrt(5))
    assert clip_score(x, -x).item() == 0  # clamped
    assert clip_score(x, 3 * x).item() == pytest.approx(2.5)
    assert clip_s(x, y, x, y).item() == pytest.approx(1)
    assert clip_s(x, y, y, x).item() == pytest.approx(-1)
    assert diversity(torch.cat([x, x, x])).item() == pytest.approx(0)
    assert diversity(torch.cat([x, y])).item() == pytest.approx(1)


def test_an_embedding_does_not_depend_on_its_company_or_on_the_cache(ours: ClipModel, tmp_path: Path) -> None:
    contents = [png(picture) for picture in pictures(3)]
    together = ours.pictures(contents)
    assert torch.equal(torch.cat([ours.pictures([content]) for content in contents]), together)
    kept = ClipModel("toy", None, batch_size=3, cache=tmp_path)
    assert torch.equal(kept.pictures(contents[:2]), together[:2])
    kept._preprocess = None  # whatever is in the file is not computed again
    assert torch.equal(kept.pictures(contents[:2] + contents[:1]), together[[0, 1, 0]])


@pytest.mark.parametrize(
    ("name", "pretrained", "says"),
    [
        ("ViT-Q-99", "openai", "neither a folder"),
        ("ViT-L-14", "nobody", "clip.pretrained=nobody"),
        ("tests", None, "holds no"),
    ],
)
def test_a_model_that_cannot_be_had_is_told(name: str, pretrained: str | None, says: str) -> None:
    with pytest.raises(WeightsError, match=says):
        ClipModel(name, pretrained)
