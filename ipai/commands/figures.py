"""Draw one of the paper's figures:  python scripts/figures.py figure=4 run=runs/joint-toy

`--help` lists the settings.
"""

from omegaconf import DictConfig

from ipai.cli import command


@command("figures")
def main(raw: DictConfig) -> None:
    """Draw and say where the files are."""
    from ipai.evaluation.figures.config import FigureConfig, check
    from ipai.schema import typed

    config = typed(raw, FigureConfig)
    check(config)  # before diffusers' seconds
    from ipai.evaluation.figures.drawing import draw_figure

    for path in draw_figure(config):
        print(path)
