"""What an evaluation leaves in wandb, read back from the offline run's own file."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ipai.evaluation.reporting.logging_to_wandb import has_wandb_run, log_evaluation
from ipai.evaluation.sampling.eval_samples import EvalSample
from ipai.training.loggers import wandb_id
from tests.helpers.composing import compose

pytest.importorskip("wandb")

MEAN = {"mean": 0.25, "standard_error": 0.1, "n": 3}
SCORES: dict[str, Any] = {
    "samples_seen": 640,
    "tasks": {"style": {"clip_s": MEAN, "clip_p": MEAN}},
    "oracles": {"tables": {"scenes": {"style": {"place": {"asked": False, "taken": MEAN}}}}},
}


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows that were logged, once wandb's own process has written the last record of the run."""
    from wandb.proto import wandb_internal_pb2

    deadline = time.monotonic() + 60
    while True:
        found = []
        for data in records(next(folder.glob("wandb/offline-run-*/*.wandb")).read_bytes()):
            found.append(wandb_internal_pb2.Record())
            found[-1].ParseFromString(data)
        if any(record.WhichOneof("record_type") == "exit" for record in found):
            break
        assert time.monotonic() < deadline, "wandb did not finish its file"
        time.sleep(0.2)
    logged = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row} for row in logged]


def records(content: bytes) -> Iterator[bytes]:
    """The records of an offline run's file: LevelDB's log after a header of 7 bytes, in blocks of 32 KiB."""
    block, place, parts = 32768, 7, []
    while place + 7 <= len(content):
        if block - place % block < 7:  # the rest of a block that is too short for a record's header
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if kind == 0:
            return
        if place + 7 + length > len(content):
            return  # still being written
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last of several
            yield b"".join(parts)
            parts = []


@pytest.mark.parametrize(("name", "prefix"), [("evaluation", "evaluation"), ("start", "evaluation-start")])
def test_numbers_and_pictures_are_grouped_by_what_they_are_of(tmp_path: Path, name: str, prefix: str) -> None:
    config = compose("experiment=single_style", "recipe=smoke", "logger=offline", "data.root=nowhere")
    assert not has_wandb_run(tmp_path, config)
    wandb_id(tmp_path)
    assert has_wandb_run(tmp_path, config)
    question = EvalSample("style", "k0", 0, 0, "a red star", None, "use the style", 1)
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    log_evaluation(tmp_path, config, tmp_path / name, SCORES, [(question, pictures)])
    rows = history(tmp_path)
    found = {key: value for row in rows for key, value in row.items()}
    assert found[f"{prefix}/style/clip_s"] == 0.25
    assert found[f"{prefix}-oracles/scenes/style/place"] == 0.25
    table = {key.rpartition("/")[2]: value for key, value in found.items() if key.startswith(f"{prefix}/pictures/")}
    assert (table["_type"], table["nrows"], table["ncols"]) == ("table-file", 1, 6)
    assert {row["samples_seen"] for row in rows} == {640}
