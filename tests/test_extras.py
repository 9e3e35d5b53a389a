"""The core draws without what belongs to an extra, and a missing extra is named."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from PIL import Image

from ipai.adapter import InstructAdapter, save_adapter
from ipai.backbones.families import read_dims
from ipai.backbones.micro import micro_config
from ipai.conditioning import spec_of
from ipai.config import AdapterConfig
from ipai.extras import BRINGS, missing_extra

ABSENT = (
    "wandb", "webdataset", "openai", "pycocotools", "pyarrow", "scipy", "sklearn", "matplotlib", "cv2", "gradio", "ray",
    "submitit", "s3fs", "wandb_workspaces",
)  # fmt: skip


def run(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment without the extras."""
    code = f"import sys\nsys.modules |= dict.fromkeys({ABSENT!r})\nfrom ipai.__main__ import main\nsys.exit(main())"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_picture_is_drawn_without_any_extra(tmp_path: Path) -> None:
    base = micro_config()
    torch.manual_seed(0)
    save_adapter(InstructAdapter(spec_of(AdapterConfig(), base, read_dims(base))), tmp_path / "a.safetensors", {})
    Image.new("RGB", (60, 60), "navy").save(tmp_path / "c.png")
    done = run(
        tmp_path, "generate", "checkpoint=a.safetensors", "base=micro", "image=c.png", "instruction=use the style",
        "prompt=a cat", "steps=2", "output=o.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "o.png").is_file()


@pytest.mark.parametrize(("words", "extra"), [(["app", "checkpoint=builtin:toy"], "app"), (["toy-sources"], "eval")])
def test_a_missing_extra_is_one_line_with_the_mend(tmp_path: Path, words: list[str], extra: str) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 2
    assert f"pip install '.[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_other_missing_modules_are_no_extras() -> None:
    assert missing_extra(ImportError("no", name="ipai_nowhere")) is None
    assert missing_extra(ImportError("no")) is None


def test_tensorboard_is_named_by_its_own_name() -> None:
    """Accelerate asks for tensorboardX where tensorboard is missing; the extra brings the latter."""
    refusal = missing_extra(ImportError("no", name="tensorboardX.writer"))
    assert refusal is not None
    assert str(refusal).startswith("this needs tensorboard, which is not installed: pip install '.[train]'")


def test_every_extra_is_known_with_libraries_that_it_brings() -> None:
    found = [Requirement(line) for line in metadata.requires("ipai") or ()]
    assert set(BRINGS) == set(metadata.metadata("ipai").get_all("Provides-Extra") or ()) - {"all", "dev"}
    of_library = metadata.packages_distributions()
    for extra, libraries in BRINGS.items():
        brought = {one.name for one in found if one.marker is not None and one.marker.evaluate({"extra": extra})}
        for library in libraries:
            assert brought & {*of_library.get(library, ()), library}, (extra, library)
