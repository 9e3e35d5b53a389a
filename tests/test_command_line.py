"""People write words; Hydra reads a grammar; errors speak of words again."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st

from ipai.command_line import content_of, defaults_of, explained, known_keys, readable
from tests.helpers.composing import CONF
from tests.integration.conftest import run

TEXTS = [
    "use the style, please",
    "use the {object}",
    "ein grüner Stern",
    "一只猫, 在草地上",
    "🐈 on a 🛋️",
    "photo (1).png",
    "a dog's ball",
    "it's the dog's, isn't it",
    'she said "no"',
    "a=b, c: d",
    "100 % cotton; [sic]",
    "back\\slash",
    "ends in a backslash\\",
    "quote after it\\'",
    "~/pictures/a, b/ü.png",
    "trailing space ",
    " leading",
    "tab\there",
    "#hashtag",
    "<b>bold</b> & more",
    "a|b",
    "שלום, עולם",
    "@user",
    "!bang",
    "*star*",
    "?",
    "-3",
    "(",
    "]",
    "{",
]


def told(text: str) -> object:
    """What `prompt` becomes."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return compose("generate", overrides=readable([f"prompt={text}"], CONF)).prompt


@pytest.mark.parametrize("text", TEXTS)
def test_free_text_arrives_as_it_was_written(text: str) -> None:
    assert str(told(text)) == text.strip() or str(told(text)) == text


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$[]{}\\'\""), min_size=1, max_size=40)
)
def test_any_words_are_read(text: str) -> None:
    assert len(readable([f"prompt={text}"], CONF)) == 1
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        compose("generate", overrides=readable([f"prompt={text}"], CONF))


@pytest.mark.parametrize(
    "word",
    [
        "experiment=joint", "seeds=[0,1]", "instruction=[use the style,use the face]", "+new=1", "~objective.late",
        "--help", "-m", "data.root=/a/b", "prompt='already, quoted'", 'prompt="already, quoted"',
        "train.betas=[0.9,0.99]", "prompt=null", "data.weights={style: 3}", "experiment=joint,single_style",
    ],
)  # fmt: skip
def test_what_hydra_reads_is_left_alone(word: str) -> None:
    assert readable([word], CONF) == [word]


def test_a_sweep_is_left_alone() -> None:
    words = ["-m", "train.seed=0,1,2", "experiment=joint,single_style"]
    assert readable(words, CONF) == words


def test_what_was_made_readable_stays() -> None:
    once = readable([f"prompt={text}" for text in TEXTS], CONF)
    assert readable(once, CONF) == once


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("generate", ["seed=3"], "there is no key seed; did you mean seeds?"),
        ("train", ["experiment=joint", "train.step=100"], "there is no key train.step; did you mean train.steps?"),
        ("train", ["experimnt=joint"], "there is no key experimnt; did you mean experiment?"),
        ("train", ["experiment=jont"], "did you mean joint?"),
        (
            "train",
            ["experiment=joint", "base=sd16"],
            "base=sd16 is none of flux, micro, micro_flux, micro_prx, micro_sd3, micro_sdxl, prx, sd15, sd3, sdxl, "
            "toy, toy_prx; did you mean sd15?",
        ),
        ("train", ["experiment=joint,single_style"], "names several; add -m"),
        (
            "train",
            ["data.sources={mine: {task: style}}"],
            "data.sources takes what is added to it: '+data.sources.NAME=...'",
        ),
        ("generate", ["four_pass={tekst: 5}"], "four_pass has no such key; it has four_pass.image"),
        ("generate", ["xyzzy=1"], "there is no key xyzzy; see --help"),
        ("evaluate", ["wieghts=raw"], "did you mean weights?"),
        ("build/build_datasets", ["task=objct"], "did you mean object?"),
        ("build/build_datasets", ["task=object", "source.rot=x"], "did you mean source.root?"),
        (
            "build/build_datasets",
            ["task=object", "captioner=openai", "captioner.detial=low"],
            "did you mean captioner.detail",
        ),
    ],
)
def test_what_does_not_exist_is_told_with_what_is_near(name: str, words: list[str], message: str) -> None:
    folder, file = (CONF / name).parent, (CONF / name).name
    with pytest.raises(HydraException) as caught, initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        compose(file, overrides=readable(words, folder))
    said = explained(caught.value, folder, file)
    assert message in said
    assert "\n" not in said


def test_keys_of_every_group_are_known() -> None:
    assert {"train.steps", "base.unet.id", "data.drop.text", "launch.minutes"} <= known_keys(CONF, "train")


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_value_has_the_name_of_a_group_for_which_hydra_would_take_it(file: Path) -> None:
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()} - {group for group, _ in defaults_of(file)}
    assert not [key for key, value in content_of(file).items() if key in groups and not isinstance(value, dict)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.py", "experiment=joint", "data=5"], "groups are chosen by name"),
        (["scripts/generate.py", "seed=3"], "did you mean seeds?"),
    ],
)
def test_commands_say_it_from_any_folder(words: list[str], message: str, tmp_path: Path) -> None:
    script, *rest = words
    done = subprocess.run(
        [sys.executable, str(CONF.parent / script), *rest],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_values_are_refused_with_their_bounds() -> None:
    done = run("scripts/generate.py", "checkpoint=x", "image=y.png", "instruction=use it, please", "steps=0")
    assert done.returncode == 2, done.stdout
    assert "steps=0 must lie" in done.stdout
    assert "Traceback" not in done.stdout
