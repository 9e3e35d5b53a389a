"""The adapter: what it is (spec), what it computes, how it goes into a UNet and out again, and its files."""

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
from ipai.adapter.injection import Injection, inject
from ipai.adapter.resampler import Resampler
from ipai.adapter.spec import SD15_ATTENTION_SIZES, AdapterSpec, attention_sizes_of, cross_attention_names

__all__ = [
    "SD15_ATTENTION_SIZES",
    "AdapterSpec",
    "FileKind",
    "ImageKeysValues",
    "Injection",
    "InstructAdapter",
    "Resampler",
    "attention_sizes_of",
    "cross_attention_names",
    "export_ip_adapter",
    "export_released",
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
