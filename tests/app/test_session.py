"""What the page's buttons do, without a browser."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel

from ipai.adapter.formats import save_adapter
from ipai.app.config import AppConfig, check
from ipai.app.session import Fields, Session, require
from ipai.errors import ConfigError, DataError, IpaiError, WeightsError
from ipai.pipeline import FourPass
from tests.helpers.pipeline_extras import give_controlnet_a_say, write_lora
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, make_pipeline

FIELDS = Fields(PICTURE, "use the style", "", "a cat", "", "0 1", 1.0, "ordinary", 5, 1, None, None, 1.0, None, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("session")
    pipe = make_pipeline()
    save_adapter(adapter_for(pipe), made / "adapter.safetensors", {})
    give_controlnet_a_say(ControlNetModel.from_unet(pipe.unet)).save_pretrained(made / "controlnet")
    write_lora(pipe.unet, made / "lora")
    return made


@pytest.fixture(scope="module")
def session(folder: Path) -> Session:
    five = ["use the style", "use the {object}", "use the face"]
    adapter = str(folder / "adapter.safetensors")
    return Session(AppConfig(adapter, "ema", 1, "ddim", five, 3, "cpu", "127.0.0.1", 7860, 50, 20, CONFIG))


def drawn(session: Session, **changes: Any) -> np.ndarray:
    return np.asarray(session.draw(replace(FIELDS, **changes), lambda _: None)).astype(int)


def test_controlnet_and_lora_come_and_go(session: Session, folder: Path) -> None:
    plain = drawn(session)
    lines = {"controlnet": f"{folder}/controlnet", "controlnet_image": PICTURE}
    for extras in (lines, {"lora": f"{folder}/lora"}, {"lora": f"{folder}/lora", "lora_scale": 0.5}):
        assert np.abs(drawn(session, **extras) - plain).max() > 0
    assert np.array_equal(drawn(session, lora=f"{folder}/lora", lora_scale=0.0), plain)
    assert np.array_equal(drawn(session, lora=" "), plain)


def test_a_row_whose_object_has_no_name_is_left_out(session: Session) -> None:
    shares: list[float] = []
    two = session.five(FIELDS, shares.append)
    three = session.five(replace(FIELDS, object="cat"), lambda _: None)
    assert three.height - two.height == 16 + 64 + 4
    assert shares == [0.25, 0.5, 0.75, 1.0]


def test_the_negative_prompt_is_the_third_passs_instruction(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    attached, chosen = session._generator.attached, []
    condition = attached.condition
    monkeypatch.setattr(attached, "condition", lambda *given, guidance: chosen.append(guidance) or condition(*given))
    drawn(session, guidance="four_pass", negative="dull")
    assert chosen == [FourPass(negative="dull")]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": None}, DataError, "no condition image"),
        ({"instruction": ""}, IpaiError, "empty"),
        ({"instruction": "use the {object}"}, IpaiError, "name of an object"),
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
    ],
)
def test_mistakes_are_told_and_the_next_picture_comes(
    session: Session, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        drawn(session, **changes)
    assert drawn(session).shape == (16 + 16 + 64, 2 * 64 + 4, 3)


def test_settings_that_cannot_work(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"scheduler=x(.|\n)*port=0"):
        check(replace(session.config, scheduler="x", port=0))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="make demo"):
        require("runs/joint-toy")
