"""Teachers with random weights: a picture depends on its own request only; misfits are refused with the mend."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from data_builders.engine.config import parse
from data_builders.engine.records import Drop
from data_builders.registry import schema_of
from data_builders.teachers.config import Teacher
from data_builders.teachers.loaded import device_of_worker, generator_of
from data_builders.teachers.request import Request
from data_builders.teachers.target_generator import TargetGenerator
from ipai.errors import ConfigError, DataError, IpaiError, WeightsError
from tests.helpers.building import ROOT
from tests.helpers.coco_source import textured
from tests.helpers.teacher_miniatures import edge_overrides, sdxl_overrides, style_overrides

pytestmark = pytest.mark.slow

KINDS = {
    "edges": ("structure", edge_overrides),
    "style": ("style", style_overrides),
    "sdxl": ("style", sdxl_overrides),
}


def teacher_of(folder: Path, kind: str, *overrides: str) -> Any:
    """The checked settings of a miniature teacher."""
    task, words = KINDS[kind]
    paths = ("source.root=unused", "output=unused") + (("source.prompts=unused",) if task == "style" else ())
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf" / "build")):
        raw = compose("build_datasets", overrides=[f"task={task}", *paths, *words(folder), *overrides])
    return parse(raw, schema_of(task)).teacher


def requests() -> list[Request]:
    words = ("a red barn", "two dogs", "a bridge over a river")
    return [Request(word, 11 + n, textured(64, 64, n), "a picture") for n, word in enumerate(words)]


def pictures(teacher: Teacher, wanted: list[Request]) -> list[np.ndarray]:
    return [np.asarray(picture) for picture in generator_of(teacher).generate(wanted)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_the_same_alone_and_among_any_others(teachers: Path, kind: str) -> None:
    """Bit for bit, because batches are filled up to one size."""
    teacher = teacher_of(teachers, kind)
    first, second, third = requests()
    together = pictures(teacher, [first, second, third])
    (alone,) = pictures(teacher, [second])
    backwards = pictures(teacher, [third, second, first])
    assert together[1].shape == (64, 64, 3)
    assert np.array_equal(together[1], alone)
    assert all(np.array_equal(a, b) for a, b in zip(together, reversed(backwards), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_draws_finite_pictures_that_keep_to_themselves(teachers: Path, kind: str) -> None:
    teacher = teacher_of(teachers, kind, "teacher.dtype=bf16")
    together = pictures(teacher, requests())
    assert np.array_equal(together[2], pictures(teacher, requests()[2:])[0])
    assert generator_of(teacher).provenance["settings"]["dtype"] == "bfloat16"


def test_another_batch_size_changes_rounding_only(teachers: Path) -> None:
    pair, four = (pictures(teacher_of(teachers, "edges", f"teacher.batch_size={n}"), requests()[:2]) for n in (2, 4))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(pair, four, strict=True)) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["prompt", "seed", "picture"])
def test_every_part_of_a_request_counts(teachers: Path, kind: str, change: str) -> None:
    teacher = teacher_of(teachers, kind)
    request = requests()[0]
    other = replace(request, **{change: {"prompt": "a cat", "seed": 5, "picture": textured(64, 64, 9)}[change]})
    one, two = pictures(teacher, [request, other])
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("kind", ["style", "sdxl"])
def test_the_caption_counts_only_where_it_is_subtracted(teachers: Path, kind: str) -> None:
    request = requests()[0]
    for weight, differs in ((0.0, False), (0.5, True)):
        teacher = teacher_of(teachers, kind, f"teacher.subtract_content={weight}")
        one, two = pictures(teacher, [request, replace(request, content="a dog on a beach")])
        assert np.array_equal(one, two) is not differs


@pytest.mark.parametrize("sampler", ["ddim", "dpm++", "unipc", "euler"])
def test_every_sampler_repeats_itself(teachers: Path, sampler: str) -> None:
    teacher = teacher_of(teachers, "edges", f"teacher.sampler={sampler}")
    one, two = (pictures(teacher, requests()[:1])[0] for _ in range(2))
    assert np.array_equal(one, two)


def test_a_teacher_is_loaded_once(teachers: Path) -> None:
    teacher = teacher_of(teachers, "edges")
    assert generator_of(teacher) is generator_of(teacher_of(teachers, "edges"))


def test_the_provenance_names_models_settings_and_versions(teachers: Path) -> None:
    told = generator_of(teacher_of(teachers, "style")).provenance
    assert told["teacher"] == "instantstyle_sd15"
    assert told["models"]["unet"] == {"id": "builtin:micro", "revision": None, "subfolder": "unet"}
    assert told["models"]["adapter"]["id"].endswith("sd15.safetensors")
    assert "content_encoder" not in told["models"]
    assert told["settings"] == {
        "batch_size": 3,
        "dtype": "float32",
        "guidance": 5.0,
        "negative_prompt": "text, watermark, lowres, low quality, worst quality, deformed, glitch, low contrast, "
        "noisy, saturation, blurry",
        "resolution": 64,
        "sampler": "ddim",
        "scales": {"up": {"block_1": [1.0, 1.0, 1.0]}},
        "steps": 2,
        "subtract_content": 0.0,
    }
    assert set(told["versions"]) == {"diffusers", "torch", "transformers"}


@pytest.mark.parametrize(
    ("kind", "overrides", "error", "message"),
    [
        (
            "style",
            ["~teacher.scales.up.block_1", "+teacher.scales.up.block_0=[0.0,1.0,0.0]"],
            ConfigError,
            "every scale of this base to zero",
        ),
        ("style", ["teacher.scales.up.block_1=[1.0,1.0]"], ConfigError, "not what diffusers takes"),
        ("style", ["teacher.adapter.id={sdxl}"], WeightsError, "ip-adapter_sd15"),
        ("style", ["teacher.adapter.id=nowhere/at/all"], WeightsError, "nowhere/at/all"),
        ("edges", ["teacher.controlnet.id=/nowhere"], WeightsError, "teacher.<part>.id"),
    ],
)
def test_teachers_that_cannot_work_are_refused(
    teachers: Path, kind: str, overrides: list[str], error: type[IpaiError], message: str
) -> None:
    words = [word.replace("{sdxl}", f"{teachers}/sdxl/adapter.safetensors") for word in overrides]
    with pytest.raises(error, match=message):
        generator_of(teacher_of(teachers, kind, *words))


@pytest.mark.parametrize(
    ("kind", "override", "message"),
    [
        ("edges", "teacher.steps=0", "teacher.steps=0 must lie between 1 and 1000"),
        ("edges", "teacher.guidance=1", "teacher.guidance=1.0 must be above 1"),
        ("edges", "teacher.resolution=100", "multiple of 8"),
        ("edges", "teacher.sampler=magic", "teacher.sampler=magic is none of"),
        ("edges", "teacher.dtype=fp16", "teacher.dtype=fp16 is none of"),
        ("edges", "teacher.control_scale=0", "teacher.control_scale=0.0 must be above 0"),
        ("style", "teacher.scales.up.block_1=[0.0,0.0,0.0]", "switches the style image off"),
        ("style", "teacher.subtract_content=-1", "must not be negative"),
        ("sdxl", "teacher.tokenizer_2=null", "belong together"),
    ],
)
def test_settings_that_cannot_work_are_refused(teachers: Path, kind: str, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        teacher_of(teachers, kind, override)


def generator_with(teachers: Path, draw: Callable[[Any], np.ndarray]) -> TargetGenerator:
    """A generator whose engine returns what a test wants."""

    class Engine:
        def __init__(self) -> None:
            self.provenance: dict[str, Any] = {}

        def __call__(self, wanted: Any) -> np.ndarray:
            return draw(wanted)

    return TargetGenerator(teacher_of(teachers, "edges"), Engine())


def test_pictures_that_show_nothing_are_dropped_by_reason(teachers: Path) -> None:
    good = np.random.default_rng(0).random((64, 64, 3))
    broken = np.where(good > 0.999, np.nan, good)
    generator = generator_with(teachers, lambda _: np.stack([broken, np.zeros_like(good), good]))
    first, second, third = generator.generate(requests())
    assert [getattr(item, "reason", None) for item in (first, second)] == ["not_finite", "blank"]
    assert isinstance(first, Drop)
    assert isinstance(third, Image.Image)
    assert generator.generate([]) == []


def test_a_batch_that_is_too_large_for_the_memory_says_so(teachers: Path) -> None:
    def full(_: Any) -> np.ndarray:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DataError, match=r"teacher\.batch_size=3"):
        generator_with(teachers, full).generate(requests())


@pytest.mark.parametrize(
    ("name", "gpus", "device"),
    [
        ("MainProcess", 0, "cpu"),
        ("SpawnProcess-2", 0, "cpu"),
        ("MainProcess", 2, "cuda:0"),
        ("SpawnProcess-1", 2, "cuda:0"),
        ("SpawnProcess-2", 2, "cuda:1"),
        ("SpawnProcess-3", 2, "cuda:0"),
    ],
)
def test_workers_take_the_gpus_in_turn(name: str, gpus: int, device: str) -> None:
    assert device_of_worker(name, gpus) == device
