"""The adapter: what it is (spec), what it computes, how it goes into a denoiser and out again, and its files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipai.adapter.adapter import InstructAdapter, initialise, is_new_branch
    from ipai.adapter.attentions import ImageKeysValues
    from ipai.adapter.foreign import FileKind, identify
    from ipai.adapter.formats import (
        export_ip_adapter,
        export_released,
        load_adapter,
        load_ip_adapter_plus,
        load_state_strict,
        read_metadata,
        read_state,
        save_adapter,
    )
    from ipai.adapter.hosts.inject import host_of, inject
    from ipai.adapter.hosts.injection import Injection
    from ipai.adapter.resampler import Resampler
    from ipai.adapter.spec import SD15_ATTENTION_SIZES, AdapterSpec

_HOMES = {
    "adapter": ("InstructAdapter", "initialise", "is_new_branch"),
    "attentions": ("ImageKeysValues",),
    "foreign": ("FileKind", "identify"),
    "formats": (
        *("export_ip_adapter", "export_released", "load_adapter", "load_ip_adapter_plus", "load_state_strict"),
        *("read_metadata", "read_state", "save_adapter"),
    ),
    "hosts.inject": ("host_of", "inject"),
    "hosts.injection": ("Injection",),
    "resampler": ("Resampler",),
    "spec": ("SD15_ATTENTION_SIZES", "AdapterSpec"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "SD15_ATTENTION_SIZES",
    "AdapterSpec",
    "FileKind",
    "ImageKeysValues",
    "Injection",
    "InstructAdapter",
    "Resampler",
    "export_ip_adapter",
    "export_released",
    "host_of",
    "identify",
    "initialise",
    "inject",
    "is_new_branch",
    "load_adapter",
    "load_ip_adapter_plus",
    "load_state_strict",
    "read_metadata",
    "read_state",
    "save_adapter",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only now: torch and diffusers take seconds, and settings need neither."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
