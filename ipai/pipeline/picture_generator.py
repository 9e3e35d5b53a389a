"""A loaded pipeline with its adapter, ControlNet and LoRA: what the command line and the page draw with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ipai.backbones.backbone import Backbone
from ipai.backbones.config import BUILTIN_TOY, BaseConfig, WeightsRef
from ipai.backbones.families import family_of, load_base
from ipai.backbones.hub import locate_refs
from ipai.backbones.loading import load_part, resolve_device, warn_of_slow
from ipai.data.bucket_sizes import Size
from ipai.data.images import MAX_PIXELS, as_seen, cut_to, decode_image
from ipai.errors import ConfigError, DataError, IpaiError, WeightsError
from ipai.image_io import to_image
from ipai.pipeline.attaching import AdapterSource, attach


@dataclass(frozen=True)
class PictureRequest:
    """One picture.

    Attributes:
        prompt: What it shows.
        negative: What guidance leads away from.
        seed: Of the starting noise.
        steps: Of the scheduler.
        guidance_scale: Of ordinary guidance; above 1 for the four-pass form, which does not read it.
        control: Line drawing for the ControlNet, if there is one.
        control_scale: Of the ControlNet.
        size: Height and width, px; None is the base's square.
    """

    prompt: str
    negative: str
    seed: int
    steps: int
    guidance_scale: float
    control: Image.Image | None = None
    control_scale: float = 1.0
    size: Size | None = None


class PictureGenerator:
    """Stable Diffusion with an adapter, and if wanted a ControlNet and a LoRA.

    Args:
        base: Where the frozen parts lie.
        adapter: What `attach` takes.
        device: Where it runs; `auto` is a GPU if there is one.
        controlnet: A folder or hub id, or `toy` for the one that comes with the project.
        lora: A `.safetensors` file or a folder with `pytorch_lora_weights.safetensors`.
        lora_scale: Of the LoRA.

    Raises:
        IpaiError: Weights are missing or do not fit.
    """

    def __init__(
        self,
        base: BaseConfig,
        adapter: AdapterSource,
        device: str = "auto",
        controlnet: str | None = None,
        lora: str | None = None,
        lora_scale: float = 1.0,
    ) -> None:
        self.base = base
        place = resolve_device(device)
        warn_of_slow(base.dtype, place)
        self._backbone = load_base(base, place, only=family_of(base).drawing)
        lines = {} if controlnet is None else {"controlnet": _controlnet(controlnet, self._backbone)}
        self.pipeline = self._backbone.pipeline(**lines)
        if lora is not None:
            _add_lora(self.pipeline, lora)
            self.weigh_lora(lora_scale)
        self.attached = attach(self.pipeline, adapter, base=base)

    def refuse_size(self, size: Size) -> None:
        """Raise a ConfigError if the base cannot draw pictures of this height and width."""
        multiple = self._backbone.side_multiple
        if any(side % multiple for side in size):
            raise ConfigError(
                f"height={size[0]} and width={size[1]} must be multiples of {multiple} px for the base {self.base.name}"
            )

    def schedule(self, name: str) -> None:
        """Choose a sampler; see `Backbone.sampler`."""
        self.pipeline.scheduler = self._backbone.sampler(name)

    def weigh_lora(self, scale: float) -> None:
        """Weight the LoRA, of which there must be one: 1 as trained, 0 off."""
        self.pipeline.set_adapters("lora", float(scale))

    def generate(self, request: PictureRequest, on_step: Callable[[int], object] | None = None) -> Image.Image:
        """Draw one picture under the conditions of `attached`.

        Args:
            request: What to draw.
            on_step: Called after each step with its number, from 0; what it raises ends the drawing.
        """
        lines: dict[str, Any] = {}
        if request.control is not None:
            lines = {"image": request.control, "controlnet_conditioning_scale": float(request.control_scale)}
        picture: Image.Image = self.pipeline(
            request.prompt,
            negative_prompt=request.negative,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=None if on_step is None else _calling(on_step),
            **self._settings(request),
            **lines,
        ).images[0]
        return picture

    def generate_each(self, requests: Sequence[PictureRequest]) -> list[Image.Image]:
        """Draw a batch, each under its own of the conditions given to `attached.condition_each`.

        Args:
            requests: With the same steps and guidance scale, and without a ControlNet.

        Raises:
            DataError: A picture is NaN or infinite.
        """
        pixels = self.pipeline(
            [request.prompt for request in requests],
            negative_prompt=[request.negative for request in requests],
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
            output_type="pt",
            **self._settings(requests[0]),
        ).images
        for request, picture in zip(requests, pixels, strict=True):
            if not picture.isfinite().all():
                raise DataError(
                    f"the picture of seed {request.seed} and the prompt {request.prompt!r} is NaN or infinite; look "
                    "for NaN in the adapter's weights, or draw with base.dtype=fp32"
                )
        return [to_image(picture) for picture in (pixels.float() * 255).round().byte()]

    def _settings(self, request: PictureRequest) -> dict[str, Any]:
        height, width = request.size or (self.base.resolution, self.base.resolution)
        arguments = self._backbone.call_arguments(request.guidance_scale)
        return {"num_inference_steps": request.steps, **arguments, "height": height, "width": width}


def control_picture(source: Path | Image.Image, size: Size) -> Image.Image:
    """The middle of a line drawing, made to the height and width `size` (px).

    Raises:
        DataError: It cannot be read.
    """
    try:
        if isinstance(source, Path):
            picture = decode_image(source.read_bytes(), MAX_PIXELS)
        else:
            picture = as_seen(source, MAX_PIXELS)
    except OSError as error:
        raise DataError(f"the ControlNet's picture {source} cannot be read: {error}") from error
    return to_image(cut_to(picture, size))


def _calling(on_step: Callable[[int], object]) -> Callable[..., dict[str, Any]]:
    def after(_pipeline: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on_step(step)
        return tensors

    return after


def _controlnet(name: str, base: Backbone) -> Any:
    ref = WeightsRef(BUILTIN_TOY, subfolder="controlnet") if name == "toy" else WeightsRef(name)
    with _told("controlnet", name):
        folder = locate_refs({"controlnet": ref}, f"controlnet={name}", "controlnet")["controlnet"]
        network = load_part("controlnet", folder, base.denoiser.dtype, base.device)
    base.refuse_controlnet(network, name)
    return network


def _add_lora(pipeline: Any, lora: str) -> None:
    path = Path(lora).expanduser()
    if not path.exists():
        raise WeightsError(f"there is no LoRA at lora={lora}; give a .safetensors file or the folder that holds one")
    with _told("lora", lora):
        where = (path.parent, path.name) if path.is_file() else (path, None)
        pipeline.load_lora_weights(
            where[0], weight_name=where[1], adapter_name="lora", local_files_only=True, use_safetensors=True
        )
        if not pipeline.get_active_adapters():
            raise ValueError("it holds no LoRA")


@contextmanager
def _told(key: str, value: str) -> Iterator[None]:
    """Turn what the libraries raise over foreign weights into one message with the key."""
    try:
        yield
    except IpaiError:
        raise
    except Exception as error:  # torch, diffusers, peft and safetensors each have errors of their own for such files
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{key}={value} cannot be loaded into this base: {first}") from error
