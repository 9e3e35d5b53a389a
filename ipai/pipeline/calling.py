"""Which pipeline is calling the denoiser, and what its rows are.

A denoiser is shared: `from_pipe` and `components` put it into further pipelines, each with a guidance scale of its
own. So the hooks ask the pipeline whose `__call__` is running, not the one that the adapter was attached to.
"""

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from ipai.errors import ConfigError
from ipai.pipeline.passes import Pass


@dataclass(frozen=True)
class Call:
    """A pipeline's call that is running.

    Attributes:
        pipeline: Its class's name.
        passes: What each equal part of the denoiser's batch is, in order.
        guidance_rescale: Of the pipeline (arXiv 2305.08891, section 3.4); 0 where it has none.
        prompt: The prompts' texts, one for each picture or for several; None if only their encoding was given.
        negative: The negative prompts' texts, one or one for each prompt; None if only their encoding was given.
    """

    pipeline: str
    passes: tuple[Pass, ...]
    guidance_rescale: float
    prompt: tuple[str, ...] | None
    negative: tuple[str, ...] | None

    @property
    def guided(self) -> bool:
        """Whether both halves of classifier-free guidance are in the batch."""
        return "null" in self.passes and "full" in self.passes


def denoiser_of(pipeline: Any) -> Any:
    """The network of a diffusers pipeline that takes the adapter; None if it has none."""
    return getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)


def current_call(denoiser: Any, given: Mapping[str, Any]) -> Call:
    """The call of a diffusers pipeline that is running this denoiser now.

    Args:
        denoiser: That is about to run.
        given: The arguments that it was called with.

    Raises:
        ConfigError: No pipeline is, or one whose batch is not known.
    """
    frame = sys._getframe(1)
    while frame is not None:
        pipeline = frame.f_locals.get("self")
        if frame.f_code.co_name == "__call__" and isinstance(pipeline, DiffusionPipeline):
            return _call_of(pipeline, frame.f_locals, given)
        frame = frame.f_back  # type: ignore[assignment]
    raise ConfigError(
        f"the {type(denoiser).__name__} was called outside of a pipeline's call, so nothing says which rows are "
        "guided; draw with a diffusers pipeline, or use ipai.adapter.inject and hand its tokens over yourself"
    )


def refuse_unknown(pipeline: Any) -> None:
    """Raise a ConfigError if a pipeline's class does not say what the rows of its batch are."""
    if not hasattr(type(pipeline), "do_classifier_free_guidance") and not _calls_twice(pipeline):
        raise ConfigError(
            f"{type(pipeline).__name__} does not say whether its guidance is on (it has no "
            "do_classifier_free_guidance), so the adapter cannot know its rows; docs/pipelines.md and "
            "docs/backbones.md list those that work"
        )


def _calls_twice(pipeline: Any) -> bool:
    """Whether its guidance is a second call of the denoiser, under the negative prompt, as FLUX's is."""
    return "true_cfg_scale" in inspect.signature(type(pipeline).__call__).parameters


def _call_of(pipeline: Any, arguments: dict[str, Any], given: Mapping[str, Any]) -> Call:
    refuse_unknown(pipeline)
    rescale = arguments.get("guidance_rescale", getattr(pipeline, "guidance_rescale", None))
    prompt, negative = _prompt(arguments), _negative(arguments)
    return Call(type(pipeline).__name__, _passes(pipeline, arguments, given), float(rescale or 0.0), prompt, negative)


def _passes(pipeline: Any, arguments: dict[str, Any], given: Mapping[str, Any]) -> tuple[Pass, ...]:
    if _calls_twice(pipeline):
        return ("null",) if given["encoder_hidden_states"] is arguments.get("negative_prompt_embeds") else ("full",)
    if given.get("skip_layers") is not None:  # SD3's skip-layer guidance: a further call, under the prompt alone
        return ("full",)
    if "view_batch_size" in arguments:
        _refuse_several_views(type(pipeline).__name__, arguments)
    # Where the call has a variable of that name, it decides: the panorama's property is always False.
    guided = bool(arguments.get("do_classifier_free_guidance", pipeline.do_classifier_free_guidance))
    # InstructPix2Pix has a scale for the picture that it edits, and a pass with that picture and no prompt.
    if guided and hasattr(pipeline, "image_guidance_scale"):
        return "full", "null", "null"
    perturbed: tuple[Pass, ...] = ("full",) if getattr(pipeline, "do_perturbed_attention_guidance", False) else ()
    return ("null", "full", *perturbed) if guided else ("full", *perturbed)


def _refuse_several_views(name: str, arguments: dict[str, Any]) -> None:
    views, pictures = arguments["view_batch_size"], arguments["num_images_per_prompt"] * arguments.get("batch_size", 1)
    if max(views, pictures) > 1:
        raise ConfigError(
            f"{name} mixes the rows of several views or pictures, here {views} and {pictures}; give view_batch_size=1 "
            "and draw one picture at a time"
        )


def _prompt(arguments: dict[str, Any]) -> tuple[str, ...] | None:
    text: str | Sequence[str] | None = arguments.get("prompt")
    return text if text is None else (text,) if isinstance(text, str) else tuple(text)


def _negative(arguments: dict[str, Any]) -> tuple[str, ...] | None:
    text: str | Sequence[str] | None = arguments.get("negative_prompt")
    if text is None:
        return None if arguments.get("negative_prompt_embeds") is not None and _given(arguments) else ("",)
    return (text,) if isinstance(text, str) else tuple(text)


def _given(arguments: dict[str, Any]) -> bool:
    """Whether the prompt came encoded: then so did the negative prompt."""
    return arguments.get("prompt") is None
