"""What goes wrong in a command is a message and an exit code."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipai.cli import INTERRUPTED, MISUSE, SPINS, TRY_LATER, command, guarded, wait_briefly
from ipai.errors import ConfigError, StoreError


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConfigError("give another key"), MISUSE, "error: give another key"),
        (StoreError("the store was lost"), TRY_LATER, "error: the store was lost"),
        (KeyboardInterrupt(), INTERRUPTED, "it continues"),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a.bin"), MISUSE, "runs/a.bin cannot be used (No space"),
        (OSError(errno.EROFS, "Read-only file system", "runs"), MISUSE, "choose another folder"),
        (PermissionError(errno.EACCES, "Permission denied", "data"), MISUSE, "data cannot be used (Permission denied)"),
    ],
)
def test_errors_are_told(error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(error), "it continues") == code
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_a_fault_of_the_program_is_not_dressed_up() -> None:
    for error in (ValueError("a bug"), OSError(errno.EIO, "I/O error")):
        with pytest.raises(type(error)):
            guarded(raising(error))


def test_the_work_s_own_code_is_passed_on() -> None:
    assert guarded(lambda: 7) == 7
    assert guarded(lambda: None) == 0


@pytest.mark.parametrize(
    ("said", "kept"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_wait_briefly_unless_the_user_says_how(
    said: dict[str, str], kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(said))
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == kept


def test_every_command_lets_them_wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(sys, "argv", ["generate", "--help"])
    command("generate")(lambda _: None)()
    assert os.environ["GOMP_SPINCOUNT"] == SPINS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate run=/no/run limit=0", "limit=0 must be above 0"),
        ("evaluate run=/no/run", "run=/no/run is no run folder"),
        ("evaluate checkpoint=/no/file.bin", "there is no adapter at /no/file.bin"),
        ("export checkpoint=/no/run output=out", "checkpoint=/no/run is no run folder"),
        ("generate checkpoint=builtin:toy image=a.png instruction=x steps=0", "steps=0 must lie between"),
        ("generate checkpoint=/no/run image=a.png instruction=x", "there is no adapter at /no/run"),
        ("generate repeat=/no/picture.png", "repeat=/no/picture.png is no PNG"),
        ("app steps=0", "steps=0 must lie between"),
        ("app checkpoint=/no/run", "there is no adapter at /no/run"),
        ("app checkpoint=tests/typo", "there is no adapter at tests/typo"),  # a folder of that name is here
        ("figures figure=4", "needs run="),
        ("figures figure=4 run=/no/run", "run=/no/run is no run folder"),
        ("figures figure=6 runs=[/no/run]", "runs=/no/run is no run folder"),
        ("train experiment=joint data.root=x train.steps=0", "must be above 0"),
    ],
)
def test_settings_are_refused_without_the_seconds_that_libraries_take_to_import(words: str, message: str) -> None:
    absent = ("torch", "diffusers", "transformers", "gradio", "open_clip")
    code = f"import sys\nsys.modules |= dict.fromkeys({absent!r})\nfrom ipai.__main__ import main\nsys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == MISUSE
    assert message in done.stderr
