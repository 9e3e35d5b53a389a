"""A page to play with an adapter:  python scripts/app.py   (the toy world's; checkpoint=runs/joint-paper for another)

`--help` lists the settings.
"""

from omegaconf import DictConfig

from ipai.cli import command
from ipai.errors import ConfigError


@command("app")
def main(raw: DictConfig) -> None:
    """Load the adapter, serve the page until it is interrupted."""
    from ipai.app.config import AppConfig, check, login_of
    from ipai.schema import typed

    config: AppConfig = typed(raw, AppConfig)
    check(config)  # before gradio's and diffusers' seconds
    from ipai.app.page import build
    from ipai.app.session import Session

    page = build(Session(config))
    try:
        page.queue(max_size=config.waiting)
        page.launch(
            server_name=config.host, server_port=config.port, share=config.share, auth=login_of(config),
            max_file_size=f"{config.upload_mb}mb",
        )  # fmt: skip
    except OSError as error:
        raise ConfigError(f"port={config.port} cannot be used ({error}); give another one") from error
