"""Write a folder for the Hugging Face hub:  python scripts/export.py checkpoint=runs/joint-paper output=my-adapter

`--help` lists the settings.
"""


from omegaconf import DictConfig

from ipai.cli import command


@command("export")
def main(raw: DictConfig) -> None:
    """Export and say where it lies."""
    from ipai.config import typed
    from ipai.pipeline.exporting import ExportConfig, export

    print(export(typed(raw, ExportConfig)))


if __name__ == "__main__":
    main()
