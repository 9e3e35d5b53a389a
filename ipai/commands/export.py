"""Write a folder for the Hugging Face hub:  python scripts/export.py checkpoint=runs/joint-paper output=my-adapter

`--help` lists the settings.
"""

from omegaconf import DictConfig

from ipai.cli import command


@command("export")
def main(raw: DictConfig) -> None:
    """Export and say where it lies."""
    from ipai.pipeline.export_settings import ExportConfig, check
    from ipai.schema import typed

    config = typed(raw, ExportConfig)
    check(config)  # before torch's seconds
    from ipai.pipeline.exporting import export

    print(export(config))
