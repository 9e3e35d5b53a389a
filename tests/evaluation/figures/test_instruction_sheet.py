"""One condition a row, one instruction a column."""

import numpy as np
import pytest

from ipai.backbones.families import load_base, read_dims
from ipai.evaluation.figures import instruction_sheet as figure
from ipai.evaluation.figures.instruction_sheet import instruction_sheet
from ipai.pipeline.picture_generator import PictureGenerator
from ipai.training.assemble import build_adapter
from tests.helpers.composing import compose


def test_each_row_shows_the_condition_and_what_each_task_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "_STEPS", 2)
    config = compose("experiment=joint", "recipe=toy", "data.root=shards")
    adapter = build_adapter(config, read_dims(config.base), load_base(config.base, "cpu"))
    generator = PictureGenerator(config.base, adapter, "cpu")
    sheet = instruction_sheet(generator, dict(config.instructions.fixed), scenes=[0], portraits=[1])
    pixels = np.asarray(sheet)
    side, gap, words = figure._SIDE, figure._GAP, figure._WORDS
    assert sheet.size == ((side + gap) * 6 + gap, words + 2 * (side + gap + words))
    cells = {
        (row, column): pixels[top : top + side, left : left + side]
        for row, top in enumerate((words, 2 * words + side + gap))
        for column, left in enumerate(range(gap, 6 * (side + gap), side + gap))
    }
    # A scene has no face, a portrait no object, and its composition is not asked for.
    assert [place for place, cell in cells.items() if (cell == 255).all()] == [(0, 5), (1, 3), (1, 4)]
    condition = cells[0, 0]
    assert (condition[::3, ::3].repeat(3, 0).repeat(3, 1) == condition).all(), "64 px, enlarged threefold"
