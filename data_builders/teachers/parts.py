"""The parts of a teacher: finding their files, loading them, and saying in a record which they were."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from data_builders.teachers.config import StyleTeacher, Teacher
from ipai.backbones.config import WeightsRef
from ipai.backbones.hub import locate_refs, resolve_file
from ipai.backbones.loading import load_part

_SAMPLERS: dict[str, Callable[..., Any]] = {
    "ddim": DDIMScheduler.from_pretrained,
    "dpm++": DPMSolverMultistepScheduler.from_pretrained,
    "unipc": UniPCMultistepScheduler.from_pretrained,
    "euler": EulerDiscreteScheduler.from_pretrained,
}
_CONTENT = ("content_encoder", "content_tokenizer")
# For pipelines that would otherwise ask for the filter of Stable Diffusion 1.5.
WITHOUT_CHECKER: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def find_parts(teacher: Teacher) -> dict[str, Path]:
    """The local folder of each part, and the file `adapter` of a style teacher; downloads what is not there yet.

    Raises:
        WeightsError: Names everything that cannot be had, why, and which key to point elsewhere.
    """
    found = locate_refs(_refs(teacher), f"the teacher {teacher.name}", "teacher")
    return found | {"adapter": resolve_file(teacher.adapter)} if isinstance(teacher, StyleTeacher) else found


def load_parts(teacher: Teacher, found: Mapping[str, Path], dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What diffusers' pipelines are made of, frozen, in `dtype` and on `device`, by part.

    Raises:
        WeightsError: A part cannot be loaded, or does not fill its model.
    """
    return {part: _load(part, found[part], teacher.sampler, dtype, device) for part in _refs(teacher)}


def provenance(teacher: Teacher, found: Mapping[str, Path], dtype: torch.dtype) -> dict[str, Any]:
    """What a record says of the teacher: models with their revisions, settings, versions of the libraries."""
    models: dict[str, Any] = {part: asdict(ref) for part, ref in _refs(teacher).items()}
    if isinstance(teacher, StyleTeacher):
        models["adapter"] = asdict(teacher.adapter)
    for part, model in models.items():
        model["revision"] = _commit(found[part]) or model["revision"]
    settings = {key: value for key, value in asdict(teacher).items() if key not in ("name", *_CONTENT, *models)}
    return {
        "teacher": teacher.name,
        "models": models,
        "settings": {key: value for key, value in settings.items() if value is not None}
        | {"dtype": str(dtype).removeprefix("torch.")},
        "versions": {name: version(name) for name in ("diffusers", "torch", "transformers")},
    }


def _refs(teacher: Teacher) -> dict[str, WeightsRef]:
    """Every part that this teacher uses."""
    values = {item.name: getattr(teacher, item.name) for item in fields(teacher)}
    unused = () if isinstance(teacher, StyleTeacher) and teacher.subtract_content else _CONTENT
    return {name: ref for name, ref in values.items() if isinstance(ref, WeightsRef) and name not in unused}


def _load(part: str, folder: Path, sampler: str, dtype: torch.dtype, device: torch.device) -> Any:
    if part == "scheduler":
        return _SAMPLERS[sampler](folder, local_files_only=True)
    return load_part(part, folder, dtype, device)


def _commit(path: Path) -> str | None:
    """The commit that the hub's cache holds at `path`, or None for a folder of the user's own."""
    names = path.parts
    return names[names.index("snapshots") + 1] if "snapshots" in names[:-1] else None
