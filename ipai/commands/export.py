"""Write a folder for the Hugging Face hub:  python scripts/export.py checkpoint=runs/joint-paper output=my-adapter

`--help` lists the settings.
"""

from omegaconf import DictConfig

from ipai.cli import command


@command("export")
def main(raw: DictConfig) -> None:
    """Export and say where it lies."""
    from ipai.pipeline.exporting import ExportConfig, export
    from ipai.schema import typed

    print(export(typed(raw, ExportConfig)))
