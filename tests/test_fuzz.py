"""Files with a few bytes changed: whatever comes of it, no exception is of another kind than ours."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ipai.adapter import InstructAdapter, load_adapter, save_adapter
from ipai.cluster.overview import survey
from ipai.data.images import decode_image
from ipai.data.shards import ShardSet
from ipai.errors import IpaiError
from ipai.evaluation.evaluated_run import read_run
from ipai.pipeline.record import read_facts
from ipai.runs import checkpoint
from tests.helpers.specs import paper_spec

FUZZ = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Where, as a share of the part that is changed, and what is put there in place of how many bytes.
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.binary(max_size=8) | st.sampled_from([b"9" * 20, b"-1", b"null", b"[]", b"\xff"]),
              st.integers(0, 8)),
    min_size=1, max_size=4,
)  # fmt: skip
Changes = list[tuple[float, bytes, int]]


def changed(data: bytes, changes: Changes, first: int | None = None) -> bytes:
    """The bytes with the changes, which fall into the first ones."""
    for place, new, length in changes:
        at = int(place * min(len(data), first or len(data)))
        data = data[:at] + new + data[at + length :]
    return data


def adapter_bytes(folder: Path) -> bytes:
    path = folder / "whole.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        spec = paper_spec((8,), image_dim=8, token_dim=8, width=16, depth=1, heads=2, head_dim=8, instruction_dim=8)
        save_adapter(InstructAdapter(spec), path, {"step": "1"})
    return path.read_bytes()


def shard_bytes() -> bytes:
    stream, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "JPEG")
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in {"a.json": b'{"task": "copy"}', "a.target.jpg": picture.getvalue()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def png_bytes() -> bytes:
    info, stream = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("ipai", json.dumps({"settings": {"a": 1}, "sha256": {}, "versions": {"torch": "2"}}))
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def only_ours(read: Callable[[], Any]) -> None:
    try:
        read()
    except IpaiError:
        return


@FUZZ
@given(changes=CHANGES)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_adapters(suffix: str, changes: Changes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(changed(adapter_bytes(tmp_path), changes, first=3000))
    only_ours(lambda: load_adapter(path))


@FUZZ
@given(changes=CHANGES)
def test_shards(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir(exist_ok=True)
    (tmp_path / "copy" / "train-000000.tar").write_bytes(changed(shard_bytes(), changes))
    only_ours(lambda: ShardSet.open(tmp_path, "copy", "train"))


@FUZZ
@given(changes=CHANGES)
def test_samples_of_shards(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir(exist_ok=True)
    (tmp_path / "copy" / "train-000000.tar").write_bytes(shard_bytes())
    shards = ShardSet.open(tmp_path, "copy", "train")
    with (tmp_path / "copy" / "train-000000.tar").open("r+b") as file:  # the index is of before
        file.write(changed(shard_bytes(), changes)[: len(shard_bytes())])
    only_ours(lambda: decode_image(shards.read(0).target, 10_000))


@FUZZ
@given(changes=CHANGES)
def test_settings_in_pictures(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(changed(png_bytes(), changes))
    only_ours(lambda: read_facts(tmp_path / "a.png"))


@FUZZ
@given(changes=CHANGES)
def test_pictures(changes: Changes) -> None:
    for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        stream = io.BytesIO()
        Image.effect_noise((16, 16), 50).convert("RGB").save(stream, form)
        data = changed(stream.getvalue(), changes)
        only_ours(lambda data=data: decode_image(data, 10_000))  # type: ignore[misc]


@FUZZ
@given(changes=CHANGES)
def test_states_of_checkpoints(changes: Changes, tmp_path: Path) -> None:
    folder = tmp_path / "step-00000003"
    if not folder.exists():
        checkpoint.save(tmp_path, checkpoint.Progress(3, 12), {"a.bin": lambda path: path.touch()}, 1)
        (tmp_path / "state.json").write_bytes((folder / checkpoint.STATE).read_bytes())
    (folder / checkpoint.STATE).write_bytes(changed((tmp_path / "state.json").read_bytes(), changes))
    only_ours(lambda: checkpoint.origin_of(folder))
    checkpoint.newest(tmp_path)


CONFIG = (
    b"names: {experiment: joint, recipe: toy}\nrun: a\ntrain: {steps: 2, batch_size: 4}\n"
    b"base: {name: x, unet: {id: y}}\n"
)


@FUZZ
@given(changes=CHANGES)
def test_configurations_of_runs(changes: Changes, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(changed(CONFIG, changes))
    only_ours(lambda: read_run(tmp_path))
    survey(tmp_path)
