"""Faces and styles with captioner=openai: which pictures are asked about, and where their captions go."""

import hashlib
from pathlib import Path

import pytest

from tests.helpers.building import command, digests, run_command, samples_in
from tests.helpers.celeba_source import write_celeba_source
from tests.helpers.model_server import Asked, Does, says, serving
from tests.helpers.style_source import write_style_source
from tests.helpers.teacher_miniatures import style_overrides

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def caption_for(asked: Asked) -> str:
    return f"a person beside thing {hashlib.sha256(asked.about.encode()).hexdigest()[:8]}"


def describes(asked: Asked) -> Does:
    return says({"caption": caption_for(asked)})


def test_both_pictures_of_a_face_pair_are_described_each_picture_once(tmp_path: Path) -> None:
    source = write_celeba_source(tmp_path / "celeba", persons=2, pictures=3)
    with serving(describes) as server:
        asking = ("captioner=openai", f"captioner.base_url={server.url}", f"captioner.cache={tmp_path}/answers.sqlite")
        order = command(source, tmp_path / "out", "task=face", "source.split=all", *asking, "zoom.fraction=0")
        dry = run_command([*order, "dry_run=true"], tmp_path)
        assert "captions to ask gpt-4o for: 6 of 24" in dry.stdout, dry.stdout + dry.stderr
        done = run_command(order, tmp_path)
        assert done.returncode == 0, done.stderr
        assert "face captions: 6 asked (none refused)" in done.stdout
        assert set(server.counts.values()) == {1}
        captions = {caption_for(Asked(about, 0, {})) for about in server.counts}
    samples = samples_in(tmp_path / "out" / "face")
    assert len(samples) == 12
    for sample in samples.values():
        record = sample["json"]
        assert {record["prompt"], record["cond_prompt"]} <= captions
        assert record["prompt"] != record["cond_prompt"]
        assert {record["generation"][name]["model"] for name in ("caption", "cond_caption")} == {"gpt-4o-2024-08-06"}


@pytest.mark.long
def test_a_style_image_is_described_once_for_all_its_pairs(tmp_path: Path, teachers: Path) -> None:
    source = write_style_source(tmp_path / "styles", images=3)
    (source / "captions.jsonl").unlink()
    with serving(describes) as server:
        asking = ("captioner=openai", f"captioner.base_url={server.url}", f"captioner.cache={tmp_path}/answers.sqlite")
        own = ("task=style", f"source.prompts={source / 'prompts.txt'}", "source.pairs_per_image=2")
        order = command(source, tmp_path / "out", *own, *asking, *style_overrides(teachers))
        done = run_command(order, tmp_path)
        assert done.returncode == 0, done.stderr
        assert server.counts.total() == 3
        captions = {caption_for(Asked(about, 0, {})) for about in server.counts}
        again = run_command([*order, f"output={tmp_path}/again"], tmp_path)
        assert again.returncode == 0, again.stderr
        assert server.counts.total() == 3
    samples = samples_in(tmp_path / "out" / "style")
    assert {sample["json"]["cond_prompt"] for sample in samples.values()} == captions
    assert len(samples) == 6
    for sample in samples.values():
        assert sample["json"]["generation"]["cond_caption"]["asked_for"] == "gpt-4o"
    assert digests(tmp_path / "out" / "style") == digests(tmp_path / "again" / "style")
