"""Using an adapter: `attach(pipeline, adapter)` to a diffusers pipeline, then call that as always."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipai.pipeline.attaching import attach
    from ipai.pipeline.attachment import Attachment
    from ipai.pipeline.encoding import Condition
    from ipai.pipeline.guidance import FourPass

__all__ = ["Attachment", "Condition", "FourPass", "attach"]

_HOMES = {"Attachment": "attachment", "Condition": "encoding", "FourPass": "guidance", "attach": "attaching"}


def __getattr__(name: str) -> object:
    """Import what is asked for only then: settings, which live here too, can be refused without diffusers' seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
