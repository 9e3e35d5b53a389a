"""Which optional part of the installation brings a library: `pip install '.[train,data,eval,app]'`."""

from ipai.errors import ConfigError

BRINGS = {
    "train": ("wandb", "tensorboard"),
    "trackio": ("trackio",),
    "data": ("openai", "pycocotools", "webdataset", "datasets"),
    "eval": ("matplotlib", "scipy", "sklearn", "cv2", "pyarrow"),
    "app": ("gradio",),
    "ray": ("ray",),
    "s3": ("s3fs",),
    "slurm": ("submitit",),
    "workspace": ("wandb_workspaces",),
}

_STANDS_FOR = {"tensorboardX": "tensorboard"}  # accelerate asks for the one where the other is missing


def to_install(extra: str) -> str:
    """The command that brings an extra, or several with commas between; the project is on no index of packages."""
    return f"pip install '.[{extra}]' in ipai's checkout"


def missing_extra(error: ImportError) -> ConfigError | None:
    """What to say where an optional library is missing; None if it is none of them."""
    library = (error.name or "").partition(".")[0]
    library = _STANDS_FOR.get(library, library)
    for extra, libraries in BRINGS.items():
        if library in libraries:
            return ConfigError(f"this needs {library}, which is not installed: {to_install(extra)}")
    return None
