"""Prepare a data set for the hub:  python scripts/publish.py data/shards --name me/styles --tasks style

Without --output it only says what would be published and whether the licences allow it. With it, a folder in the hub's
layout is written, for `hf upload-large-folder` to send.
"""

import argparse
from pathlib import Path


def main() -> int:
    """Survey, refuse, and write where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that holds <task>/train-*.tar, for example data/shards")
    parser.add_argument("--name", required=True, help="the data set's id on the hub: owner/name")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="these only (default: all that are there)")
    parser.add_argument(
        "--accept", nargs="+", default=[], metavar="LICENCE", help="names of licences that you know to permit it"
    )
    parser.add_argument("--version", default="1.0.0", help="major.minor.patch, above the last one (default: 1.0.0)")
    parser.add_argument("--changes", default="first release", help="what is new in it")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the folder to upload there")
    arguments = parser.parse_args()

    from data_builders.publishing import refuse_forbidden, summary, survey, write_release
    from ipai.data.inspection import tasks_in

    root = arguments.root.expanduser()
    found = survey(root, arguments.tasks or tasks_in(root), arguments.accept)
    print("\n".join(summary(found)))
    if arguments.output is None:
        refuse_forbidden(found)
        print("nothing forbids publishing it; nothing was written: give --output FOLDER")
        return 0
    folder = write_release(root, found, arguments.name, arguments.version, arguments.changes, arguments.output)
    print(f"written: {folder}\nsend it: hf upload-large-folder {arguments.name} {folder} --repo-type dataset --private")
    return 0
