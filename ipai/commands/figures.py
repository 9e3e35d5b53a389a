"""Draw one of the paper's figures:  python scripts/figures.py figure=4 run=runs/joint-toy

`--help` lists the settings.
"""

from omegaconf import DictConfig

from ipai.cli import command


@command("figures")
def main(raw: DictConfig) -> None:
    """Draw and say where the files are."""
    from ipai.evaluation.figures.config import FigureConfig
    from ipai.evaluation.figures.drawing import draw_figure
    from ipai.schema import typed

    for path in draw_figure(typed(raw, FigureConfig)):
        print(path)
