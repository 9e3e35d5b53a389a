"""The adapter: what it is (spec), what it computes, how it goes into a denoiser and out again, and its files."""

from ipai.adapter.adapter import ImageKeysValues, InstructAdapter, initialise, is_new_branch
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
