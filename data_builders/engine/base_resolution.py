"""How large a base model's pictures are: `${resolution_of:sdxl}` in `conf/build`.

Imported where the command begins, because Hydra may resolve the settings before anything else is read.
"""

from omegaconf import OmegaConf

from ipai.errors import ConfigError
from ipai.files import CONF


def resolution_of(base: str) -> int:
    """The side of the pictures, px, that a base of the project's `conf/base` is trained on.

    Raises:
        ConfigError: There is no such base, or its file does not say.
    """
    known = sorted(path.stem for path in (CONF / "base").glob("*.yaml"))
    if base not in known:
        raise ConfigError(f"base={base} is none of conf/base: {', '.join(known)}; leave it out and give image_size=...")
    side = OmegaConf.select(OmegaConf.load(CONF / "base" / f"{base}.yaml"), "resolution")
    if not isinstance(side, int):
        raise ConfigError(f"conf/base/{base}.yaml has no resolution; leave base= out and give image_size=...")
    return side


OmegaConf.register_new_resolver("resolution_of", resolution_of, replace=True)
