"""Attaching an adapter to a diffusers pipeline: hooks on its UNet, so that any pipeline works and none is copied."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.embeddings import MultiIPAdapterImageProjection
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ipai.adapter.injection import inject, refuse_other_sizes
from ipai.adapter.spec import cross_attention_names
from ipai.errors import ConfigError
from ipai.pipeline.calling import Call, Pass, current_call
from ipai.pipeline.encoding import Condition, Encoding
from ipai.pipeline.guidance import FOUR, FourPass, four_fold


class Attachment:
    """Adapters in a pipeline, as `attach` returns them. Call `condition` before the pipeline.

    Args:
        pipeline: A diffusers SD1.5 pipeline.
        encodings: Encoders and adapter, for each adapter.
        scale: Of the adapters.
    """

    def __init__(self, pipeline: Any, encodings: Sequence[Encoding], scale: float) -> None:
        self.pipeline = pipeline
        self.encodings = tuple(encodings)
        self._unet: UNet2DConditionModel = pipeline.unet
        for encoding in self.encodings:
            refuse_other_sizes(self._unet, encoding.adapter.spec)
        self._injection = inject(self._unet, self.encodings[0].adapter)
        self._conditions: list[_Taken] = []
        self._guidance: FourPass | None = None
        self._cache: tuple[Tensor, Call, list[Tensor]] | None = None
        self._four_pass: FourPass | None = None  # of the call that is running
        self._rescale = 0.0
        processors = self._unet.attn_processors
        self._installed: list[tuple[Any, Any]] = [
            (self._unet.get_submodule(name.removesuffix(".processor")), processors[name])
            for name in cross_attention_names(self._unet)
        ]
        self._handles = [
            self._unet.register_forward_pre_hook(self._before, with_kwargs=True),
            self._unet.register_forward_hook(self._after),
        ]
        self.set_scale(scale)

    def condition(self, *conditions: Condition, guidance: FourPass | None = None) -> None:
        """Choose what the next calls take; each image is encoded here, once. Several conditions add up by weight.

        Args:
            conditions: At least one.
            guidance: None is the pipeline's ordinary guidance; the four-pass form takes the place of the pipeline's
                own scale. Where that is 1 or less, guidance is off and there is one pass.

        Raises:
            IpaiError: No condition was given, or an image or an instruction cannot be used.
        """
        if not conditions:
            raise ConfigError("give at least one condition: condition(Condition(image, instruction))")
        self._choose([self._take([item], guidance) for item in conditions], guidance)

    def condition_each(self, conditions: Sequence[Condition], guidance: FourPass | None = None) -> None:
        """Choose what the next calls take, which draw a batch of prompts: condition i is for picture i only.

        Args:
            conditions: One for each prompt, all of one adapter and of one weight.
            guidance: See `condition`.

        Raises:
            IpaiError: They differ in adapter or weight, or an image or an instruction cannot be used.
        """
        if len({(item.adapter, item.weight) for item in conditions}) != 1:
            raise ConfigError("the conditions of a batch must be at least one and have the same adapter and weight")
        self._choose([self._take(conditions, guidance)], guidance)

    def _choose(self, taken: "list[_Taken]", guidance: FourPass | None) -> None:
        self._conditions, self._guidance, self._cache = taken, guidance, None
        layers = [list(item.encoding.adapter.ip_adapter.values()) for item in taken]
        for number, name in enumerate(cross_attention_names(self._unet)):
            processor: Any = self._unet.attn_processors[name]
            weighed: list[Any] = [layer[number] for layer in layers]
            processor.to_k_ip = nn.ModuleList([layer.to_k_ip for layer in weighed])
            processor.to_v_ip = nn.ModuleList([layer.to_v_ip for layer in weighed])
        self._unet.encoder_hid_proj = MultiIPAdapterImageProjection([nn.Identity() for _ in taken])
        self._apply_scales()

    def set_scale(self, scale: float | Mapping[str, float]) -> None:
        """Weight the adapter: everywhere, or by the start of block names such as `up_blocks.1` (the others get 0).

        Raises:
            ConfigError: A scale is not finite, or no attention's name starts so.
        """
        names = cross_attention_names(self._unet)
        by_block = dict(scale) if isinstance(scale, Mapping) else {"": float(scale)}
        for block, value in by_block.items():
            if not math.isfinite(value):
                raise ConfigError(f"the scale of {block or 'the adapter'} must be a finite number, not {value}")
            if not any(_inside(name, block) for name in names):
                known = ", ".join(dict.fromkeys(name.split(".attentions")[0] for name in names))
                raise ConfigError(f"there is no image attention in {block!r}; there are some in {known}")
        chosen = {name: [b for b in by_block if _inside(name, b)] for name in names}
        self._scales = {name: by_block[max(blocks, key=len)] if blocks else 0.0 for name, blocks in chosen.items()}
        self._apply_scales()

    def detach(self) -> None:
        """Leave the pipeline as it was: the same weights, processor objects and config.

        Raises:
            ConfigError: It was detached before.
        """
        self._injection.eject()
        for handle in self._handles:
            handle.remove()

    def _take(self, conditions: Sequence[Condition], guidance: FourPass | None) -> "_Taken":
        first = conditions[0]
        if not 0 <= first.adapter < len(self.encodings):
            raise ConfigError(
                f"a condition asks for adapter={first.adapter}, and {len(self.encodings)} were attached, from 0 on"
            )
        encoding = self.encodings[first.adapter]
        instructions = tuple(encoding.instruction_of(condition) for condition in conditions)
        if guidance is not None and not encoding.conditioning.hears_words:
            raise ConfigError("four-pass guidance needs an adapter that reads instructions; use guidance=None")
        images = torch.cat([encoding.image(condition.image) for condition in conditions])
        return _Taken(encoding, images, instructions, first.weight)

    def _apply_scales(self) -> None:
        weights = [item.weight for item in self._conditions] or [1.0]
        for name, scale in self._scales.items():
            processor: Any = self._unet.attn_processors[name]
            processor.scale = [scale * weight for weight in weights]

    def _before(self, _unet: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if not self._conditions:
            raise ConfigError("the attached adapter has no condition image; call condition(...) first, or detach()")
        self._refuse_other_processors()
        added = kwargs.get("added_cond_kwargs") or {}
        if "image_embeds" in added:
            raise ConfigError("leave out ip_adapter_image and ip_adapter_image_embeds: the attachment gives its own")
        call = current_call(self._unet)
        self._four_pass = self._guidance if call.guided else None
        if self._four_pass is not None and call.passes != ("null", "full"):
            raise ConfigError(
                f"{call.pipeline} adds a pass of its own to guidance; four-pass guidance has no place for it"
            )
        self._rescale = call.guidance_rescale
        prompt = kwargs["encoder_hidden_states"]
        batch = (args[0] if args else kwargs["sample"]).shape[0]
        if self._cache is None or self._cache[0] is not prompt or self._cache[1] != call:
            # AnimateDiff repeats the prompt for each frame, and its UNet does the same to the condition tokens.
            self._cache = prompt, call, self._all_tokens(prompt[:: prompt.shape[0] // batch], call)
        if self._four_pass is not None:
            sizes = {batch, prompt.shape[0]}
            args, kwargs = four_fold(args, sizes), {name: four_fold(value, sizes) for name, value in kwargs.items()}
        return args, kwargs | {"added_cond_kwargs": {**added, "image_embeds": self._cache[2]}}

    def _after(self, _unet: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if self._four_pass is None:
            return output
        combined = self._four_pass.combine(output[0], self._rescale)
        # Both halves alike: whatever scale the pipeline then applies to their difference, this prediction stays.
        both = torch.cat([combined, combined])
        return (both,) if isinstance(output, tuple) else type(output)(sample=both)

    def _refuse_other_processors(self) -> None:
        if any(attention.processor is not ours for attention, ours in self._installed):
            raise ConfigError(
                "the UNet's attention processors were replaced after the adapter was attached, so it would have no "
                "say; set them first and attach then, or detach()"
            )

    def _all_tokens(self, prompt: Tensor, call: Call) -> list[Tensor]:
        """For each condition [B, 1, num_queries, width], in the order of the UNet's batch."""
        parts = [self._tokens(item, prompt, call) for item in self._conditions]
        return [part[:, None].to(prompt.device, self._unet.dtype) for part in parts]

    def _tokens(self, taken: "_Taken", prompt: Tensor, call: Call) -> Tensor:
        wanted, image = prompt.shape[0] // len(call.passes), taken.image
        if len(image) not in (1, wanted):
            raise ConfigError(
                f"{len(image)} conditions were chosen for a batch of {wanted} pictures; give one for each"
            )
        prompts = dict(zip(call.passes, prompt.chunk(len(call.passes)), strict=True))
        guidance, null = self._four_pass, taken.encoding.null_image
        made: dict[Pass, Tensor] = {"full": taken.encoding.tokens(image, taken.instructions, prompts["full"])}
        if call.guided:
            made["null"] = taken.encoding.tokens(null, [""], prompts["null"])
        if guidance is not None:  # the prompt branch of "everything" gets the prompt: only the UNet's text is negative
            negatives = guidance.negatives(call.negative)
            each = [text for text in negatives for _ in range(wanted // len(negatives))] if negatives[1:] else negatives
            made["image"] = taken.encoding.tokens(image, each, prompts["null"])
            made["every"] = taken.encoding.tokens(image, [guidance.everything], prompts["full"])
        return torch.cat([made[name] for name in (call.passes if guidance is None else FOUR)])


@dataclass(frozen=True)
class _Taken:
    """What an adapter sees: its pictures [1 or B, tokens, image_dim], and what to take from each."""

    encoding: Encoding
    image: Tensor
    instructions: tuple[str, ...]
    weight: float


def _inside(name: str, block: str) -> bool:
    return not block or name == block or name.startswith(f"{block}.")
