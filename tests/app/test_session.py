"""What the page's buttons do, without a browser."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel
from hydra import compose, initialize_config_dir
from PIL import Image

from ipai.adapter.formats import save_adapter
from ipai.app.config import AppConfig, check, login_of
from ipai.app.fields import Fields
from ipai.app.session import Session
from ipai.errors import ConfigError, DataError, IpaiError, WeightsError
from ipai.pipeline import FourPass
from ipai.pipeline.drawing import draw
from ipai.pipeline.picture_generator import PictureRequest
from ipai.pipeline.record import read_facts, repeated
from ipai.pipeline.settings import DrawingConfig
from ipai.runs.checkpoint import Progress, save
from ipai.schema import typed
from tests.helpers.building import ROOT
from tests.helpers.pipeline_extras import give_controlnet_a_say, write_lora
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, make_pipeline

FIELDS = Fields(
    PICTURE, "use the style", "", "a cat", "", "0 1", 1.0, "ordinary", 5, 1, None, None, 0.5, None, None, 1.0, None, 1.0
)
FIVE = {
    "copy": "use everything", "style": "use the style", "object": "use the {object}", "structure": "use the lines",
    "face": "use the face",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("session")
    pipe = make_pipeline()
    save_adapter(adapter_for(pipe), made / "adapter.safetensors", {})
    give_controlnet_a_say(ControlNetModel.from_unet(pipe.unet)).save_pretrained(made / "controlnet")
    write_lora(pipe.unet, made / "lora")
    return made


def app_config(folder: Path, **changes: Any) -> AppConfig:
    config = AppConfig(
        str(folder / "adapter.safetensors"), "ema", 1, "ddim", FIVE, 3, 64, "cpu", "127.0.0.1", 7860, False, 50, 20,
        base=CONFIG,
    )  # fmt: skip
    return replace(config, **changes)


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    return Session(app_config(folder))


def drawn(session: Session, **changes: Any) -> np.ndarray:
    pictures = [Image.open(one.path) for one in session.draw(replace(FIELDS, **changes))]
    return np.stack([np.asarray(picture) for picture in pictures]).astype(int)


def test_controlnet_lora_and_a_second_image_come_and_go(session: Session, folder: Path) -> None:
    plain = drawn(session)
    lines = {"controlnet": f"{folder}/controlnet", "controlnet_image": PICTURE}
    second = {"second_image": PICTURE.rotate(180), "second_instruction": "use the face"}
    for extras in (lines, {"lora": f"{folder}/lora"}, {"lora": f"{folder}/lora", "lora_scale": 0.5}, second):
        assert np.abs(drawn(session, **extras) - plain).max() > 0
    assert np.array_equal(drawn(session, lora=f"{folder}/lora", lora_scale=0.0), plain)
    assert np.array_equal(drawn(session, lora=" "), plain)


def test_five_instructions_are_five_labelled_rows(session: Session) -> None:
    asked = replace(FIELDS, object="cat")
    labels = [one.label for one in session.five(asked)]
    assert labels[:3] == ["use everything · seed 0", "use everything · seed 1", "use the style · seed 0"]
    assert len(labels) == 10
    assert "use the cat · seed 1" in labels


def test_each_picture_comes_when_it_is_done_and_counts(session: Session) -> None:
    pictures = session.draw(FIELDS)
    first = next(pictures)
    assert (first.number, first.total) == (1, 2)
    assert first.path.is_file()
    assert [one.number for one in pictures] == [2]


def test_a_picture_is_drawn_again_from_its_png(folder: Path, tmp_path: Path) -> None:
    """`ipai generate repeat=` gives the same pixels, a second image included."""
    session = Session(app_config(folder, keep=str(tmp_path / "kept")))
    asked = replace(FIELDS, seeds="5", second_image=PICTURE.rotate(90), second_instruction="use the style")
    one = next(session.draw(asked))
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "conf")):
        raw = compose("generate", overrides=[f"repeat={one.path}", f"output={tmp_path}/again.png"])
    raw, differing = repeated(raw, [f"output={tmp_path}/again.png"], one.path)
    assert not differing
    again = draw(typed(raw, DrawingConfig), lambda: None)
    assert np.array_equal(np.asarray(Image.open(one.path)), np.asarray(Image.open(again)))
    (tmp_path / "kept" / "picture-final.png").touch()  # a file of somebody else's is no trouble
    assert next(Session(app_config(folder, keep=str(tmp_path / "kept"))).draw(FIELDS)).path.name > one.path.name


def test_the_adapter_that_drew_is_recorded_though_the_run_goes_on(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run" / "checkpoints"
    writers = {"adapter.safetensors": lambda path: path.write_bytes((folder / "adapter.safetensors").read_bytes())}
    save(run, Progress(1, 8), writers, keep=9)
    session = Session(app_config(folder, checkpoint=str(run.parent)))
    first = next(session.draw(FIELDS)).path
    save(run, Progress(2, 16), {"adapter.safetensors": lambda path: path.write_bytes(b"another")}, keep=9)
    second = next(session.draw(FIELDS)).path
    assert read_facts(first).sha256["checkpoint"] == read_facts(second).sha256["checkpoint"]


def test_what_the_browser_gets_lies_in_a_folder_of_its_own(folder: Path, tmp_path: Path) -> None:
    session = Session(app_config(folder, keep=str(tmp_path / "kept")))
    drawn = next(session.draw(FIELDS))
    copies = {session.copy_of(drawn.path), session.copy_of(drawn.path)}
    assert len({copy.parent for copy in copies}) == 2
    assert all(session.shown in copy.parents and tmp_path not in copy.parents for copy in copies)


def test_a_stopped_drawing_ends_and_the_next_visitor_goes_on(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    generate = session._generator.generate

    def watched(request: PictureRequest, on_step: Callable[[int], object]) -> Image.Image:
        def counting(step: int) -> None:
            steps.append(step)
            if len(steps) == 3:
                session.stop("somebody")
            on_step(step)

        return generate(request, counting)

    monkeypatch.setattr(session._generator, "generate", watched)
    assert list(session.draw(replace(FIELDS, steps=50), "somebody")) == []
    assert len(steps) == 3
    assert len(list(session.draw(replace(FIELDS, steps=2), "another"))) == 2
    assert len(list(session.draw(replace(FIELDS, steps=2), "somebody"))) == 2  # and who stopped may begin anew


def test_a_new_press_of_a_button_does_not_revive_what_was_stopped(session: Session) -> None:
    old = session.draw(FIELDS, "somebody")
    next(old)
    session.stop("somebody")
    new = session.draw(FIELDS, "somebody")
    assert list(old) == []
    assert len(list(new)) == 2


def test_a_drawing_that_nobody_waits_for_holds_nothing_up(session: Session) -> None:
    """A cancelled request leaves its generator where it stood, between two pictures."""
    left = session.draw(FIELDS, "left")
    next(left)
    assert len(list(session.draw(FIELDS, "another"))) == 2


def test_the_negative_prompt_is_the_third_passs_instruction(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(session, seeds="1")
    attached, chosen = session._generator.attached, []
    condition = attached.condition
    monkeypatch.setattr(attached, "condition", lambda *given, guidance: chosen.append(guidance) or condition(*given))
    drawn(session, guidance="four_pass", negative="dull")
    assert chosen == 2 * [FourPass(negative="dull")]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": None}, DataError, "no condition image"),
        ({"instruction": ""}, IpaiError, "empty"),
        ({"instruction": "use the {object}"}, ConfigError, "object's name"),
        ({"seeds": "one"}, ConfigError, "whole numbers"),
        ({"seeds": "-1"}, ConfigError, "from 0 to"),
        ({"seeds": "99999999999999999999"}, ConfigError, "from 0 to"),
        ({"seeds": "1" * 5000}, ConfigError, "whole numbers"),
        ({"prompt": "a" * 1_000_000}, ConfigError, "prompt has 1,000,000 letters"),
        ({"instruction": "a" * 20_000}, ConfigError, "instruction has 20,000 letters"),
        ({"steps": 10**9}, ConfigError, "steps=1000000000 must lie between 1 and 1000"),
        ({"steps": 0}, ConfigError, "steps=0 must lie"),
        ({"scale": float("nan")}, ConfigError, "must be a finite number"),
        ({"guidance": "six_pass"}, ConfigError, "is none of ordinary"),
        ({"seeds": " ".join("1" * 100)}, ConfigError, "too many"),
        ({"controlnet": "toy"}, DataError, "no line drawing"),
        ({"lora": "absent"}, WeightsError, "lora=absent"),
        ({"second_image": PICTURE, "second_instruction": "a" * 20_000}, ConfigError, "second_instruction has 20,000"),
        ({"lora": "a" * 20_000}, ConfigError, "lora has 20,000 letters"),
    ],
)
def test_mistakes_are_told_and_the_next_picture_comes(
    session: Session, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        drawn(session, **changes)
    assert drawn(session).shape == (2, 64, 64, 3)


def test_settings_that_cannot_work(session: Session) -> None:
    with pytest.raises(ConfigError, match=r"scheduler=x(.|\n)*port=0"):
        check(replace(session.config, scheduler="x", port=0))
    with pytest.raises(ConfigError, match=r"five.hair is no task(.|\n)*five.face is missing"):
        check(replace(session.config, five={"hair": "use the hair", **FIVE, "face": ""}))


def test_the_login_comes_from_the_environment(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert login_of(session.config) is None
    asked = replace(session.config, login="PAGE_LOGIN")
    for wrong in (None, "", "name", "name:"):
        monkeypatch.delenv("PAGE_LOGIN", raising=False)
        if wrong is not None:
            monkeypatch.setenv("PAGE_LOGIN", wrong)
        with pytest.raises(ConfigError, match="login=PAGE_LOGIN must be an environment variable"):
            check(asked)
    monkeypatch.setenv("PAGE_LOGIN", "ada:love:lace")
    assert login_of(asked) == ("ada", "love:lace")
