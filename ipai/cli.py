"""The shell around every command: Hydra composes its settings, and what goes wrong is one line that says what to do.

| exit code | |
|---|---|
| 0 | done |
| 2 | the settings, or what they name, cannot work; the message says what to do |
| 75 | the object store was lost; the same command, later, continues |
| 130 | interrupted |
"""

import errno
import functools
import logging
import os
import sys
from collections.abc import Callable

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.command_line import explained, readable
from ipai.errors import IpaiError, StoreError
from ipai.extras import missing_extra
from ipai.files import CONF
from ipai.help_text import help_text

SPINS = "1000"  # of libgomp; it has 300,000

MISUSE, TRY_LATER, INTERRUPTED = 2, 75, 130  # 75: EX_TEMPFAIL, so a scheduler may repeat it

_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
}


def started_as(name: str) -> list[str]:
    """What Python has to run to start this command once more.

    Args:
        name: Of the command, as `ipai <name>`.
    """
    return [sys.argv[0]] if sys.argv[0].endswith(".py") else ["-m", "ipai", name]


def wait_briefly() -> None:
    """Let OpenMP's threads spin for 1,000 turns only where one waits for another; before torch is imported.

    By themselves they spin for 300,000, and on a core that another process wants, all wait for one that does not run
    (benchmarks/two-cpu-cores.md has the numbers). What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


Work = Callable[[DictConfig], int | None]


def command(
    config: str,
    *,
    interrupted: str = "interrupted",
    progress: bool = False,
) -> Callable[[Work], Callable[[], None]]:
    """Make a command of a function that takes what Hydra composed and returns an exit code, None being 0.

    Args:
        config: The file below `conf` that holds its settings, without `.yaml`.
        interrupted: What Ctrl-C is answered with.
        progress: Show what the library tells of its progress, not only its warnings.
    """
    folder, _, name = config.rpartition("/")

    def decorate(work: Work) -> Callable[[], None]:
        @hydra.main(version_base="1.3", config_path=str(CONF / folder), config_name=name)
        @functools.wraps(work)
        def composed(raw: DictConfig) -> None:
            logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
            logging.getLogger("ipai").setLevel(logging.INFO if progress else logging.NOTSET)
            code = guarded(lambda: work(raw), interrupted)
            if code:
                sys.exit(code)

        @functools.wraps(work)
        def main() -> None:
            os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of ending with 1
            wait_briefly()
            try:
                if {"-h", "--help"} & set(sys.argv[1:]):
                    print(help_text(CONF / folder, name, sys.argv[1:]), flush=True)
                    return
                sys.argv[1:] = readable(sys.argv[1:], CONF / folder)
                composed()
            except (HydraException, OmegaConfBaseException) as error:
                print(f"error: {explained(error, CONF / folder, name)}", file=sys.stderr)
                sys.exit(MISUSE)
            except BrokenPipeError:  # what read our output, such as `head`, has seen enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except ValueError as error:  # Hydra has no error of its own for a group that is given a number
                if "Config group override" not in str(error):
                    raise
                print(f"error: {error}; groups are chosen by name, see --help", file=sys.stderr)
                sys.exit(MISUSE)

        return main

    return decorate


def guarded(work: Callable[[], int | None], interrupted: str = "interrupted") -> int:
    """The exit code of some work, its errors shown as messages without a traceback."""
    try:
        return work() or 0
    except ImportError as error:
        told = missing_extra(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return MISUSE
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        return TRY_LATER if isinstance(error, StoreError) else MISUSE
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = error.filename or "the folder of the output"
        print(
            f"error: {where} cannot be used ({error.strerror}); make room or choose another folder, then run the same "
            "command",
            file=sys.stderr,
        )
        return MISUSE
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
