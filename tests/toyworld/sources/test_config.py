"""Settings that cannot work are refused with the key."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from ipai.errors import ConfigError
from ipai.toyworld.sources.config import SourcesConfig, parse

GOOD = {"output": "out", "samples": 10, "seed": 0, "size": 16}


def test_good_settings_pass() -> None:
    assert parse(OmegaConf.create(GOOD)) == SourcesConfig("out", 10, 0, 16)
    assert parse(OmegaConf.create(GOOD | {"samples": 40_000, "size": 1024})).samples == 40_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 9}, "samples=9 must lie between 10"),
        ({"samples": 40_001}, "samples=40001"),
        ({"samples": -1}, "samples=-1"),
        ({"samples": "many"}, "samples"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**31}, "seed=2147483648"),
        ({"size": 15}, "size=15"),
        ({"size": 10**9}, "size=1000000000"),
        ({"output": " "}, "output= is empty"),
        ({"output": "???"}, "output=..."),
        ({"sampels": 3}, "did you mean samples"),
    ],
)
def test_impossible_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(OmegaConf.create(GOOD | change))
    assert message in str(refusal.value)
