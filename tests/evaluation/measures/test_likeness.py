"""Measures with weights of their own, on miniatures in the layouts of the real ones."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from torchvision.models import vgg16
from torchvision.transforms import v2
from transformers import Dinov2Model, ViTConfig, ViTModel

from ipai.backbones.config import WeightsFile
from ipai.clip.model import TOY, ClipModel
from ipai.errors import WeightsError
from ipai.evaluation.measures.agreement import agreement
from ipai.evaluation.measures.encoders import CsdEncoder, DinoEncoder
from ipai.evaluation.measures.faces import FaceEncoder
from ipai.evaluation.measures.likeness import Likeness, described, likenesses
from ipai.evaluation.measures.measures import of_likeness
from ipai.evaluation.measures.page import page
from ipai.evaluation.measures.perceptual import PerceptualLikeness
from ipai.evaluation.measures.settings import LIKENESSES, LikenessWeights
from ipai.evaluation.reporting.table import table
from ipai.evaluation.scoring.statistics import SCORES
from ipai.evaluation.scoring.taken_and_leaked import LEAKED, TAKEN
from ipai.tasks import TASKS
from tests.helpers.likeness_miniatures import clip_vision, write_csd, write_dino, write_faces, write_lpips

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def csd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csd(tmp_path_factory.mktemp("csd"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_lpips(tmp_path_factory.mktemp("lpips"))


@pytest.fixture(scope="module")
def weights(csd: Path, dino: Path, faces: tuple[Path, Path], lpips: tuple[Path, Path]) -> LikenessWeights:
    return LikenessWeights(*map(ref, (csd, dino, *faces, *lpips)))


def ref(path: Path) -> WeightsFile:
    return WeightsFile(str(path.parent), path.name)


def picture(seed: int, side: int = 160) -> Image.Image:
    """Noise, with a square that the miniature detector takes for a face's middle."""
    pixels = np.random.default_rng(seed).integers(0, 200, (side, side, 3), np.uint8)
    middle = slice(side * 4 // 10, side * 6 // 10)
    pixels[middle, middle] = 255
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_csd_is_clips_class_token_through_the_style_head(csd: Path) -> None:
    encoder, model = CsdEncoder(ref(csd), CPU), clip_vision()
    pixels = torch.stack([encoder.prepared(picture(seed)) for seed in range(3)])
    assert pixels.shape == (3, 3, 32, 32)
    with torch.no_grad():
        pooled = model(pixel_values=pixels).pooler_output
    wanted = functional.normalize(pooled @ load_file(csd)["last_layer_style"], dim=1)
    torch.testing.assert_close(encoder.embed(pixels), wanted, atol=1e-5, rtol=1e-4)


def test_dino_reads_the_class_token_or_how_alike_patches_are(dino: Path) -> None:
    subject, structure = (DinoEncoder(ref(dino), reading, CPU) for reading in ("subject", "structure"))
    model = Dinov2Model.from_pretrained(dino.parent).eval()
    pixels = subject.prepared(picture(0))[None]
    assert pixels.shape == (1, 3, 224, 224)
    with torch.no_grad():
        tokens = model(pixel_values=pixels).last_hidden_state
        small = model(pixel_values=structure.prepared(picture(0))[None]).last_hidden_state
    torch.testing.assert_close(subject.embed(pixels), functional.normalize(tokens[:, 0], dim=1))
    found = structure.embed(structure.prepared(picture(0))[None])[0].view(64, 64)
    alike = torch.nn.functional.cosine_similarity(small[0, 1:, None], small[0, None, 1:], dim=-1)
    torch.testing.assert_close(found, alike / alike.norm(), atol=1e-5, rtol=1e-4)


def test_a_face_is_compared_as_opencv_itself_compares_it(faces: tuple[Path, Path]) -> None:
    found = likenesses(
        ["face_id"], LikenessWeights(face_detector=ref(faces[0]), face_recogniser=ref(faces[1])), CPU, 2, None
    )
    shown = [picture(seed, 320) for seed in range(2)]
    detector = cv2.FaceDetectorYN.create(str(faces[0]), "", (640, 640), 0.7, 0.3)
    recogniser, features = cv2.FaceRecognizerSF.create(str(faces[1]), ""), []
    for each in shown:
        canvas = np.zeros((640, 640, 3), np.uint8)
        canvas[:320, :320] = np.asarray(each)[:, :, ::-1]
        faces_of_both_sizes = detector.detect(canvas)[1]
        assert round(faces_of_both_sizes[0][2]) == 64, "the surest is not the largest"
        detected = next(face for face in faces_of_both_sizes if round(face[2]) == 128)
        features.append(recogniser.feature(recogniser.alignCrop(canvas, detected)))
    wanted = recogniser.match(*features, cv2.FaceRecognizerSF_FR_COSINE)
    assert found["face_id"]([png(shown[0])], [png(shown[1])]) == pytest.approx([wanted], abs=1e-5)


def test_lpips_is_what_its_paper_says(lpips: tuple[Path, Path]) -> None:
    """Equation 1: unit features of each place, their squared differences weighted by channel, averaged over places."""
    with torch.device("meta"):
        network = vgg16().features.eval()
    network.load_state_dict({name[9:]: value for name, value in load_file(lpips[0]).items()}, assign=True)
    heads = torch.load(lpips[1], weights_only=True)
    pixels = torch.stack([v2.functional.pil_to_tensor(picture(seed, 256)) for seed in range(2)]) / 255
    # The authors' scaling of -1..1.
    features = (2 * pixels - 1 - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor(
        [0.458, 0.448, 0.450]
    )[:, None, None]
    wanted, stage = 0.0, 0
    with torch.no_grad():
        for number, layer in enumerate(network):
            features = layer(features)
            if number + 1 < len(network) and isinstance(network[number + 1], torch.nn.MaxPool2d):
                left, right = functional.normalize(features, dim=1)
                weight = heads[f"lin{stage}.model.1.weight"][0]
                wanted, stage = wanted + float((weight * (left - right) ** 2).sum(0).mean()), stage + 1
    assert stage == 5
    found = likenesses(["lpips"], LikenessWeights(vgg=ref(lpips[0]), lpips=ref(lpips[1])), CPU, 2, None)["lpips"]
    assert found([png(picture(0, 256))], [png(picture(1, 256))]) == pytest.approx([1 - wanted], rel=1e-3)


def test_a_picture_without_a_face_has_no_identity(faces: tuple[Path, Path], tmp_path: Path) -> None:
    weights = LikenessWeights(face_detector=ref(faces[0]), face_recogniser=ref(faces[1]))
    face, none = png(picture(0)), png(Image.new("RGB", (90, 120)))
    for _ in range(2):  # computed, and read back
        measure = likenesses(["face_id"], weights, CPU, 2, tmp_path)["face_id"]
        assert measure([none], [none]) == [None]
        assert measure([face, none, face], [face, face, none]) == [pytest.approx(1.0), None, None]


def test_a_picture_is_most_like_itself_and_rows_are_kept(
    weights: LikenessWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [png(picture(seed)) for seed in range(3)]
    found = likenesses(LIKENESSES, weights, CPU, 2, tmp_path)
    assert found["lpips"](contents[:1], contents[:1]) == [1.0]
    for name, likeness in found.items():
        if name == "lpips":  # has no rows, and takes a second a pair
            continue
        assert likeness(contents, contents) == pytest.approx([1.0] * 3), name
        apart = likeness(contents[:2], contents[1:])
        assert all(value is not None and value < 0.99999 for value in apart), name
        assert isinstance(likeness, Likeness)
        again = Likeness(likeness.encoder, 2, tmp_path)
        monkeypatch.setattr(again.encoder, "embed", None)  # nothing is computed twice
        assert again(contents[:2], contents[1:]) == apart, name
        assert likenesses([name], weights, CPU, 2, None)[name](contents[1:2], contents[2:3]) == apart[1:], name
    told = described(found, weights)
    assert told["csd"]["licence"] == "as its owner says"
    assert not any(one.id in str(told) for one in vars(weights).values()), "a folder of this machine"
    assert described(found, LikenessWeights())["dino_i"]["licence"] == "Apache-2.0"
    theirs = described(found, LikenessWeights())["face_id"]
    assert theirs["licence"] == "MIT and Apache-2.0"
    assert theirs["weights"].startswith("opencv/face_detection_yunet")
    assert "middle 112 px" in told["dino_structure"]["preprocessing"]


def test_weights_that_are_none_are_named(
    csd: Path, dino: Path, faces: tuple[Path, Path], lpips: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="is no VGG-16"):
        PerceptualLikeness(ref(csd), ref(lpips[1]), CPU)
    with pytest.raises(WeightsError, match="does not hold the weights of LPIPS"):
        PerceptualLikeness(ref(lpips[0]), ref(csd), CPU)
    with pytest.raises(WeightsError, match="is no face detector that OpenCV can read"):
        FaceEncoder(ref(dino), ref(faces[1]))
    with pytest.raises(WeightsError, match="are no YuNet and SFace"):
        FaceEncoder(ref(faces[1]), ref(faces[0]))
    with pytest.raises(WeightsError, match=r"cannot find .*nowhere"):
        likenesses(["csd"], LikenessWeights(csd=WeightsFile("./nowhere", "model.safetensors")), CPU, 2, None)
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(WeightsError, match="is no safetensors file"):
        CsdEncoder(ref(tmp_path / "text.safetensors"), CPU)
    with pytest.raises(WeightsError, match=r"is no CSD.*backbone\.conv1"):
        CsdEncoder(ref(dino), CPU)
    lacking = {name: value for name, value in load_file(csd).items() if "ln_post" not in name}
    save_file(lacking, tmp_path / "lacking.safetensors")
    with pytest.raises(WeightsError, match="ln_post"):
        CsdEncoder(ref(tmp_path / "lacking.safetensors"), CPU)
    with pytest.raises(WeightsError, match=r"config\.json"):
        DinoEncoder(ref(csd), "subject", CPU)
    with pytest.raises(WeightsError, match=r"transformers reads model\.safetensors"):
        DinoEncoder(WeightsFile(str(dino.parent), "other.safetensors"), "subject", CPU)
    ViTModel(
        ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    ).save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match="no DINO that reads pictures of 112 px"):
        DinoEncoder(WeightsFile(str(tmp_path / "vit"), "model.safetensors"), "structure", CPU)


def test_they_can_be_held_against_what_was_taken(weights: LikenessWeights) -> None:
    found = likenesses(["csd", "dino_i", "face_id"], weights, CPU, 8, None)  # VGG takes half a minute for this
    measures = {name: of_likeness(name, likeness) for name, likeness in found.items()}
    lines = agreement([("style", "scenes")], measures, ClipModel(TOY, None), 20, 0, lambda _: None)
    text = page(lines, measures, 20, "toy", "a command")
    assert all(f"| style, scenes | {measure.called} |" in text.replace("**", "") for measure in measures.values())
    assert "ipai evaluate measures=[csd]`" not in text
    assert "ipai evaluate measures=[csd]`" in page(lines[:0], {}, 20, "toy", "a command")


def test_every_task_and_score_has_its_role() -> None:
    assert set(TAKEN) == set(LEAKED) == set(TASKS)
    for task in TASKS:
        assert set(TAKEN[task]) | set(LEAKED[task]) <= set(SCORES)
        assert not set(TAKEN[task]) & set(LEAKED[task])
    assert set(LIKENESSES) <= set(SCORES)


def test_the_table_says_what_was_taken_and_what_leaked() -> None:
    means = {
        "csd": {"mean": 0.5, "standard_error": 0.01, "n": 9},
        "edge_f1": {"mean": 0.25, "standard_error": None, "n": 9},
    }
    scores: dict[str, Any] = {
        "run": "r", "weights": "ema", "step": 1, "random_weights": False, "base": "sd15", "oracles": None,
        "models": {"clip": "c"}, "tasks": {"style": means},
        "settings": {"limit": 9, "seed": 0, "instructions": "val", "scheduler": "ddim"},
        "measures": {"csd": {"weights": "yuxi/CSD", "licence": "CC-BY-4.0"}},
    }  # fmt: skip
    assert "| style | CSD 0.500 ± 0.010 | edge F1 0.250 |" in table(scores)
    assert "CSD: yuxi/CSD (CC-BY-4.0)." in table(scores)
    del scores["measures"]
    assert "Taken and leaked" not in table(scores)
    assert "diversity" not in table(scores), "a column that nothing has"
