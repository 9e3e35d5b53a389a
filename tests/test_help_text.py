"""`--help` shows every setting of a command with the comment that stands beside it."""

from pathlib import Path

import pytest
import yaml

from ipai.files import CONF
from ipai.help_text import help_text

COMMANDS = [
    (CONF / path.relative_to(CONF).parent, path.stem)
    for path in sorted([*CONF.glob("*.yaml"), CONF / "build" / "build_datasets.yaml"])
]


@pytest.mark.parametrize(("conf", "name"), COMMANDS, ids=[name for _, name in COMMANDS])
def test_every_key_is_there_with_its_comment(conf: Path, name: str) -> None:
    text = help_text(conf, name, [])
    content = yaml.safe_load((conf / f"{name}.yaml").read_text())
    for key in content.keys() - {"defaults", "hydra"}:
        assert f"\n{key}:" in text
    lines = (conf / f"{name}.yaml").read_text().split("\nhydra:")[0].splitlines()
    commented = [line for line in lines if ": " in line and "  # " in line and not line.startswith("  - ")]
    assert all(line in text for line in commented)
    assert content["hydra"]["help"]["header"] in text
    assert "$CONFIG" not in text
    assert "$APP" not in text


def test_the_chosen_files_are_shown() -> None:
    toy, paper = help_text(CONF, "train", ["recipe=toy"]), help_text(CONF, "train", [])
    assert "# base=toy\nbase:\n  family: sd15" in toy  # the recipe chooses it
    assert "# base=sd15\n" in paper
    assert "# base=micro\n" in help_text(CONF, "train", ["recipe=toy", "base=micro"])
    assert "steps: 2250" in toy
    assert 'wandb: "off"' in help_text(CONF, "train", ["logger=none"])
    assert "project: ipai" in help_text(CONF, "train", ["logger=none"])  # from the file that it builds on


def test_a_package_of_another_name_is_shown_under_it() -> None:
    assert "# recipe=toy\nall:\n" in help_text(CONF / "build", "build_datasets", ["recipe=toy"])
