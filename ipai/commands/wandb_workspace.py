"""Save a view of a wandb project for this project's runs:  python scripts/wandb_workspace.py ENTITY [PROJECT]

Losses by task first, then scores, health and speed, all against samples seen. Needs `pip install '.[workspace]'` and
a key (`wandb login` or WANDB_API_KEY). --dry-run prints the sections instead.
"""

import argparse
import sys


def main() -> int:
    """Read the arguments and save the view, or say what it would hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entity", help="the wandb user or team")
    parser.add_argument("project", nargs="?", default="ipai", help="as logger.project of the runs (default: ipai)")
    parser.add_argument("--dry-run", action="store_true", help="print sections and panels, save nothing")
    arguments = parser.parse_args()

    from ipai.training.wandb_workspace import SECTIONS, workspace

    view = workspace(arguments.entity, arguments.project)
    if arguments.dry_run:
        for section, panels in SECTIONS.items():
            print(f"{section}: {', '.join(panels)}")
        return 0
    import wandb

    try:
        view.save()
    except (wandb.errors.Error, ValueError) as error:
        print(f"error: wandb did not save the view: {error}", file=sys.stderr)
        return 2
    return 0
