"""The embedding table: encoded once, kept on disk, equal bits by every way, and no trust in damaged files."""

import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from ipai.backbones.instruction_encoder import EncodedTexts
from ipai.errors import WeightsError
from ipai.instructions import EmbeddingTable
from ipai.instructions.stored_rows import read_rows, rows_path
from ipai.instructions.table import Mode

DIM, CONTEXT = 48, 7
TEXTS = ["Use the style.", "Copy it, please.", "the face", "Use the style.", "keep the layout of the picture"]


class CountingEncoder:
    """A small network over the text's bytes, whose sums round differently for another batch size; counts its calls."""

    def __init__(self, identity: str = "test encoder", scale: float = 1.0) -> None:
        self.identity = identity
        self.dim = DIM
        self.texts: list[str] = []
        generator = torch.Generator().manual_seed(0)
        self._embedding = torch.randn(256, DIM, generator=generator) * scale
        self._layer = nn.utils.skip_init(nn.Linear, DIM, DIM)
        nn.init.normal_(self._layer.weight, generator=generator)
        nn.init.zeros_(self._layer.bias)

    def encode(self, texts: Sequence[str]) -> EncodedTexts:
        self.texts += texts
        ids = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
        mask = torch.zeros(len(texts), CONTEXT, dtype=torch.bool)
        for row, text in enumerate(texts):
            content = list(f"^{text}".encode()[:CONTEXT])
            ids[row, : len(content)] = torch.tensor(content)
            mask[row, : len(content)] = True
        with torch.no_grad():
            tokens = self._layer(self._embedding[ids])
        cut = torch.tensor([len(f"^{text}".encode()) > CONTEXT for text in texts])
        return EncodedTexts(tokens, mask, tokens.mean(1), cut)


class Factory:
    """Makes encoders and remembers them."""

    def __init__(self, make: Callable[[], CountingEncoder] = CountingEncoder) -> None:
        self.make = make
        self.made: list[CountingEncoder] = []

    def __call__(self) -> CountingEncoder:
        self.made.append(self.make())
        return self.made[-1]


def build(
    folder: Path, factory: Factory, texts: Sequence[str] = TEXTS, *, mode: Mode = "tokens", max_rows: int = 8
) -> EmbeddingTable:
    return EmbeddingTable.build(texts, "test encoder", factory, mode=mode, folder=folder, max_rows=max_rows)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_texts_are_encoded_once_and_the_second_build_needs_no_encoder(tmp_path: Path) -> None:
    factory, unused = Factory(), Factory()
    first = build(tmp_path, factory)
    second = build(tmp_path, unused)
    assert len(factory.made) == 1
    assert set(factory.made[0].texts) == {"", *TEXTS}
    assert unused.made == []
    assert len(files(tmp_path)) == 1
    for ours, theirs in zip(first.embed(first.texts), second.embed(first.texts), strict=True):
        assert torch.equal(ours, theirs)


def test_rows_are_what_the_encoder_says_and_row_0_is_the_null_instruction(tmp_path: Path) -> None:
    table, encoder = build(tmp_path, Factory()), CountingEncoder()
    assert table.texts == ("", *dict.fromkeys(TEXTS))
    assert len(table) == 5
    for text in ["", *TEXTS]:
        tokens, mask = table.embed([text])
        expected = encoder.encode([text])
        assert tokens.dtype == torch.float32
        assert torch.equal(tokens, expected.tokens)
        assert torch.equal(mask, expected.mask)


def test_the_null_instruction_keeps_row_0_wherever_it_stands(tmp_path: Path) -> None:
    assert build(tmp_path, Factory(), ["a", "", "b"]).texts == ("", "a", "b")
    assert build(tmp_path, Factory(), []).texts == ("",)


def test_pooled_rows_are_one_token_long(tmp_path: Path) -> None:
    table = build(tmp_path, Factory(), mode="pooled")
    tokens, mask = table.embed(["the face", "never seen"])
    assert tokens.shape == (2, 1, DIM)
    assert mask.tolist() == [[True], [True]]
    assert torch.equal(tokens[1], CountingEncoder().encode(["never seen"]).pooled)
    build(tmp_path, Factory())
    assert len(files(tmp_path)) == 2


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.sampled_from([*TEXTS, "", *"abcdefgh"]), min_size=1, max_size=9), max_size=6),
    st.integers(0, 3),
)
def test_a_row_has_the_same_bits_by_every_way(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], max_rows: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "shared"
    table = build(folder, Factory(), max_rows=max_rows)
    known = build(folder, Factory(), [*TEXTS, *"abcdefgh"])
    for batch in batches:
        expected = known.embed(batch)
        for ours, theirs in zip(table.embed(batch), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_rows_used_last_are_kept_and_known_ones_never_encoded(tmp_path: Path) -> None:
    build(tmp_path, Factory())
    factory = Factory()
    table = build(tmp_path, factory, max_rows=2)
    table.embed([*TEXTS, ""])
    assert factory.made == []
    for batch in (["a", "b", "a"], ["a"], ["c"], ["a"], ["b"]):  # c pushes b out, since a was used after b
        table.embed(batch)
    assert factory.made[0].texts == ["a", "b", "c", "b"]


def test_a_changed_answer_does_not_change_the_table(tmp_path: Path) -> None:
    table = build(tmp_path, Factory())
    before = table.embed(["", "new"])[0].clone()
    table.embed(["", "new"])[0].zero_()
    assert torch.equal(table.embed(["", "new"])[0], before)


def test_another_encoder_or_list_of_texts_has_its_own_file(tmp_path: Path) -> None:
    build(tmp_path, Factory())
    build(tmp_path, Factory(), TEXTS[:2])
    EmbeddingTable.build(TEXTS, "other", Factory(lambda: CountingEncoder("other")), folder=tmp_path)
    assert len(files(tmp_path)) == 3


def test_files_lie_in_the_folder_of_derived_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPAI_CACHE", str(tmp_path))
    EmbeddingTable.build(TEXTS, "test encoder", Factory())
    assert [path.parent for path in files(tmp_path)] == [tmp_path / "instructions"]


def stored(tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    count = len(tokens)
    mask = torch.ones(count, CONTEXT, dtype=torch.bool)
    return {"tokens": tokens, "mask": mask, "cut": torch.zeros(count, dtype=torch.bool)}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign_content(path: Path) -> None:
    save_file(stored(torch.zeros(5, CONTEXT, DIM)), path)


def too_few_rows(path: Path) -> None:
    rows = stored(torch.zeros(4, CONTEXT, DIM))
    save_file(rows, path, metadata={"key": path.stem})


def half_precision(path: Path) -> None:
    rows = stored(torch.zeros(5, CONTEXT, DIM).half())
    save_file(rows, path, metadata={"key": path.stem})


def no_mask(path: Path) -> None:
    rows = stored(torch.zeros(5, CONTEXT, DIM))
    del rows["mask"]
    save_file(rows, path, metadata={"key": path.stem})


@pytest.mark.parametrize("damage", [truncate, empty, foreign_content, too_few_rows, half_precision, no_mask])
def test_a_damaged_file_is_made_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    expected = build(tmp_path, Factory()).embed(TEXTS)[0]
    (path,) = files(tmp_path)
    content = path.read_bytes()
    damage(path)
    factory = Factory()
    with caplog.at_level(logging.WARNING):
        table = build(tmp_path, factory)
    assert str(path) in caplog.text
    assert "encoding them again" in caplog.text
    assert len(factory.made) == 1
    assert torch.equal(table.embed(TEXTS)[0], expected)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "instructions").write_text("a file where the folder would be")
    with caplog.at_level(logging.WARNING):
        table = build(tmp_path, Factory())
    assert "cannot keep the encoded instructions" in caplog.text
    assert len(table) == 5


WRITE_FOREVER = """
import sys
from pathlib import Path
import torch
from ipai.instructions.stored_rows import Rows, write_rows
rows = Rows(torch.ones(2000, 77, 32), torch.ones(2000, 77, dtype=torch.bool), torch.zeros(2000, dtype=torch.bool))
while True:
    write_rows(Path(sys.argv[1]), rows)
    print("written", flush=True)
"""


def test_a_kill_leaves_a_whole_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = rows_path(tmp_path, "test encoder", "tokens", ["texts"])
    with subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        writer.kill()
    with caplog.at_level(logging.WARNING):
        rows = read_rows(path, 2000)
    assert caplog.text == ""
    assert rows is not None
    assert torch.equal(rows.tokens, torch.ones(2000, 77, 32))


def test_a_failing_encoder_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not finite for ''"):
        build(tmp_path, Factory(lambda: CountingEncoder(scale=float("nan"))))
    assert files(tmp_path) == []


def test_an_encoder_of_another_identity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="expected the instruction encoder test encoder, got other"):
        build(tmp_path, Factory(lambda: CountingEncoder("other")))


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    EmbeddingTable.build(
        TEXTS, "test encoder", Factory(), folder=tmp_path, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(done, 5) for done in range(1, 6)]


def test_what_the_encoder_does_not_hear_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for start in ("encoded", "read from the file"):
        caplog.clear()
        table = build(tmp_path, Factory(), ["style", "the composition", "the style"])
        assert table.cut == {"the composition", "the style"}
        assert caplog.text.count("2 instructions are longer than the instruction encoder reads") == 1, start
    table.embed(["face", "use everything", "the style", "use everything"])
    assert table.cut == {"the composition", "the style", "use everything"}
    assert caplog.text.count("longer than") == 1


def test_a_long_instruction_is_said_when_it_is_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = build(tmp_path, Factory(), ["style"])
    assert not caplog.text
    table.embed(["use everything"])
    assert "an instruction is longer than" in caplog.text
    assert "'use everything'" in caplog.text
