"""`ipai <command> ...`: every command of the project, from anywhere; `python -m ipai` is the same."""

import difflib
import importlib
import os
import sys
from importlib.metadata import version

_MISUSE = 2
COMMANDS: dict[str, tuple[str, str]] = {
    "build": ("data_builders.command", "build the data sets"),
    "inspect": ("ipai.commands.inspect_shards", "look at a data set"),
    "score": ("ipai.commands.score_shards", "add scores to a data set, to filter by"),
    "repeats": ("ipai.commands.find_repeats", "find samples that show what another shows"),
    "publish": ("data_builders.publish_command", "a folder of a data set for the hub"),
    "cache": ("ipai.commands.cache_latents", "compute latents and image tokens once"),
    "train": ("ipai.commands.train", "train an adapter"),
    "runs": ("ipai.commands.runs", "list all runs, with progress and scores"),
    "evaluate": ("ipai.commands.evaluate", "score an adapter"),
    "compare": ("ipai.commands.compare", "runs side by side"),
    "measures": ("ipai.commands.measures", "which measure tells what was taken"),
    "figures": ("ipai.commands.figures", "the paper's figures"),
    "generate": ("ipai.commands.generate", "draw pictures"),
    "app": ("ipai.commands.app", "a page to play with an adapter"),
    "export": ("ipai.commands.export", "a folder for the hub"),
    "doctor": ("ipai.commands.doctor", "what this machine has, and what is missing"),
    "toy-sources": ("ipai.commands.make_toy_sources", "write the toy world's sources"),
    "show": ("ipai.commands.show_toy_run", "what a toy run's training did, as pictures"),
    "wandb-view": ("ipai.commands.wandb_workspace", "save a view of a wandb project"),
}
"""By name: the module whose `main` it is, and what it does."""


def main() -> int:
    """Run the command that the first word names."""
    try:
        return _run(sys.argv[1:])
    except BrokenPipeError:  # what read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name, *rest = words
    if name == "--version":
        print(version("ipai"))
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`ipai --help` lists them"
        print(f"error: there is no command {name}; {hint}", file=sys.stderr)
        return _MISUSE
    sys.argv = [f"ipai {name}", *rest]
    from ipai.cli import guarded  # it needs Hydra, which `ipai --help` does not

    return guarded(lambda: importlib.import_module(COMMANDS[name][0]).main())


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:12} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["ipai <command> [settings]", "", *lines, "", "ipai <command> --help lists a command's settings."])


if __name__ == "__main__":
    sys.exit(main())
