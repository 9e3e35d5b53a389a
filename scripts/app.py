"""A page to play with an adapter:  python scripts/app.py checkpoint=runs/joint-toy

`--help` lists the settings.
"""

import logging
import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ipai.errors import ConfigError, IpaiError

_MISUSE = 2


@hydra.main(version_base="1.3", config_path="../conf", config_name="app")
def main(raw: DictConfig) -> None:
    """Compose, check, serve."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        run(raw)
    except IpaiError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)


def run(raw: DictConfig) -> None:
    """Load the adapter, serve the page until it is interrupted."""
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ConfigError('the page needs gradio: pip install "ipai[gradio]"') from error

    from ipai.app.config import AppConfig, check
    from ipai.app.page import build
    from ipai.app.session import Session, require
    from ipai.config import typed

    config: AppConfig = typed(raw, AppConfig)
    check(config)
    require(config.checkpoint)
    page = build(Session(config))
    try:
        page.launch(server_name=config.host, server_port=config.port)
    except OSError as error:
        raise ConfigError(f"port={config.port} cannot be used ({error}); give another one") from error


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what went wrong instead of printing it and ending with 1
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_MISUSE)
