"""What a toy run's training did, as pictures:  python scripts/show_toy_run.py runs/joint-toy

The first conditions under the instructions of all tasks; and one scene and one portrait with several noises, before the
first step and at the end. Both go to the run's report folder, where the page of scripts/evaluate.py shows them.
"""

import argparse
from pathlib import Path


def main() -> int:
    """Read the arguments, draw, say where the picture lies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder with base=toy, such as runs/joint-toy")
    parser.add_argument("--scene", type=_number, default=0, help="number of the scene (default: 0)")
    parser.add_argument("--portrait", type=_number, default=0, help="number of the portrait (default: 0)")
    parser.add_argument("--seeds", type=_positive, default=3, help="noises, columns on each side (default: 3)")
    parser.add_argument("--output", type=Path, help="a .png file (default: <run>/report/before-and-after.png)")
    arguments = parser.parse_args()

    from ipai.evaluation.figures.before_and_after import before_and_after
    from ipai.evaluation.figures.instruction_sheet import sheet_of_run
    from ipai.evaluation.figures.plates import save_png
    from ipai.evaluation.layout import BEFORE_AND_AFTER, SHEET
    from ipai.files import atomic_path

    output = arguments.output or arguments.run / BEFORE_AND_AFTER
    figure = before_and_after(arguments.run, arguments.scene, arguments.portrait, arguments.seeds)
    save_png(figure, output)
    sheet = sheet_of_run(arguments.run, scenes=3, portraits=2)
    with atomic_path(output.with_name(Path(SHEET).name)) as aside:
        sheet.save(aside, "PNG")
    print(f"pictures: {output.with_name(Path(SHEET).name)}, {output}")
    return 0


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number
