"""What a PNG says of how it was drawn, and drawing it again from that."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from PIL import Image, PngImagePlugin

from ipai.errors import ConfigError
from ipai.files import atomic_path, sha256_of
from ipai.pipeline.settings import DrawingConfig
from ipai.records import parsed
from ipai.schema import plain

_TEXT = "ipai"
_NOT_REPEATED = ("output", "repeat")
_LORA = "pytorch_lora_weights.safetensors"


def facts_of(config: DrawingConfig) -> dict[str, Any]:
    """The settings, the digest of every file that they name, and versions.

    Raises:
        IpaiError: A file is missing.
    """
    settings = {key: value for key, value in asdict(config).items() if key not in _NOT_REPEATED}
    return {
        "settings": settings,
        "sha256": {
            key: _digest(path, path.stat().st_size, path.stat().st_mtime_ns) for key, path in _files(settings).items()
        },
        "versions": {name: version(name) for name in ("ipai", "torch", "diffusers", "transformers", "pillow")},
    }


def write_png(picture: Image.Image, facts: Mapping[str, Any], output: Path) -> None:
    """Write a PNG with `facts` as its text `ipai`, whole or not at all.

    Raises:
        ConfigError: It cannot be written.
    """
    info = PngImagePlugin.PngInfo()
    info.add_itxt(_TEXT, json.dumps(facts, ensure_ascii=False))
    try:
        with atomic_path(output) as aside:
            picture.save(aside, "PNG", pnginfo=info)
    except OSError as error:
        raise ConfigError(
            f"cannot write output={output}: {error.strerror or error}; make room or choose another place"
        ) from error


@dataclass(frozen=True)
class PictureFacts:
    """What a PNG says of how it was drawn: settings, SHA-256 by key of the files they name, versions by library."""

    settings: dict[str, Any]
    sha256: dict[str, Any]
    versions: dict[str, str]


def read_facts(path: Path) -> PictureFacts:
    """What `write_png` wrote.

    Raises:
        ConfigError: The file is missing, or no picture of ours.
    """
    try:
        with Image.open(path) as picture:
            return parsed(picture.info[_TEXT], PictureFacts)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"repeat={path} is no PNG of scripts/generate.py with its settings inside ({error!r}); other programs drop "
            "them when they save a picture"
        ) from error


def repeated(raw: DictConfig, overrides: Iterable[str], path: Path) -> tuple[DictConfig, list[str]]:
    """The settings of a PNG under those of the command line.

    Args:
        raw: What Hydra composed.
        overrides: What was given on the command line, such as `seeds=[1]`: these keys stay as in `raw`.
        path: The PNG.

    Returns:
        The settings, and what may make the pixels differ: versions that are not those of the PNG.

    Raises:
        ConfigError: The PNG has no settings, or a file that they name is another one now.
    """
    facts = read_facts(path)
    given = {word.lstrip("+~").split("=")[0].split("@")[0] for word in overrides}
    whole = {key.split(".")[0] for key in given if "." not in key}
    merged = OmegaConf.to_container(raw)
    assert isinstance(merged, dict)
    merged |= {key: plain(value) for key, value in facts.settings.items() if key not in whole}
    result = OmegaConf.create(merged)
    for key in given - whole:
        OmegaConf.update(result, key, OmegaConf.select(raw, key))
    _refuse_other_files(facts, whole, path)
    now = {name: version(name) for name in facts.versions}
    differing = [f"{name} {then} -> {now[name]}" for name, then in facts.versions.items() if now[name] != then]
    return result, differing


def _refuse_other_files(facts: PictureFacts, replaced: Iterable[str], path: Path) -> None:
    files = _files(facts.settings)
    for key, digest in facts.sha256.items():
        if key.split("[")[0] in replaced:
            continue
        if not files[key].is_file():
            raise ConfigError(f"{path} was drawn with {key}={files[key]}, which is gone; give {key.split('[')[0]}=...")
        if sha256_of(files[key]) != digest:
            raise ConfigError(
                f"{path} was drawn with another {key} than {files[key]} is now (sha256 {digest[:12]}...); give the "
                f"original as {key}=..., or name it on the command line to draw with the new one"
            )


@lru_cache
def _digest(path: Path, _size: int, _changed: int) -> str:
    return sha256_of(path)  # once, while they stay: the page draws many pictures with one adapter


def _files(settings: Mapping[str, Any]) -> dict[str, Path]:
    """The file behind each key that names one."""
    from ipai.pipeline.sources import adapter_file, locate_adapter  # torch's seconds, which a refusal does without

    files = {"checkpoint": adapter_file(locate_adapter(settings["checkpoint"]), settings["weights"])}
    files |= {key: Path(settings[key]) for key in ("image", "controlnet_image") if settings[key]}
    files |= {f"more[{index}].image": Path(one["image"]) for index, one in enumerate(settings.get("more", []))}
    if settings["lora"]:
        lora = Path(settings["lora"]).expanduser()
        files["lora"] = lora / _LORA if lora.is_dir() else lora
    return files
