"""`ipai <command>` finds every command, and says what is near where there is none."""

import importlib
import sys
from pathlib import Path

import pytest

from ipai import __version__
from ipai.__main__ import COMMANDS, main, usage

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    module, _ = COMMANDS[name]
    assert callable(importlib.import_module(module).main)
    assert f"  {name} " in usage()


def test_every_script_of_the_package_is_a_shell_over_a_command() -> None:
    modules = {module for module, _ in COMMANDS.values()}
    shells = [
        path for path in [*(ROOT / "scripts").glob("*.py"), ROOT / "train.py"] if "import main" in path.read_text()
    ]
    assert {
        line.split()[1] for path in shells for line in path.read_text().splitlines() if " import main" in line
    } == modules
    assert all(len(path.read_text().splitlines()) < 10 for path in shells)


def test_a_command_gets_the_other_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ipai", "runs", str(ROOT / "nowhere")])
    assert main() == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [(["trian"], "did you mean train?"), (["xyz"], "ipai --help")])
def test_an_unknown_command_is_one_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ipai", *words])
    assert main() == 2
    assert said in capsys.readouterr().err


def test_without_a_word_it_lists_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ipai"])
    assert main() == 0
    assert "train an adapter" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["ipai", "--version"])
    assert main() == 0
    assert __version__ in capsys.readouterr().out
