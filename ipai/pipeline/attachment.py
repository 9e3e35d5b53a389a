"""Attaching an adapter to a diffusers pipeline: hooks on its denoiser, so that any works and none is copied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ipai.adapter.hosts.inject import host_of, inject
from ipai.errors import ConfigError
from ipai.pipeline.calling import Call, current_call, denoiser_of
from ipai.pipeline.encoding import Condition, Encoding
from ipai.pipeline.guidance import FourPass
from ipai.pipeline.passes import FOUR, Pass, four_fold


class Attachment:
    """Adapters in a pipeline, as `attach` returns them. Call `condition` before the pipeline.

    Args:
        pipeline: A diffusers pipeline.
        encodings: Encoders and adapter, for each adapter.
        scale: Of the adapters.
    """

    def __init__(self, pipeline: Any, encodings: Sequence[Encoding], scale: float) -> None:
        self.pipeline = pipeline
        self.encodings = tuple(encodings)
        self._denoiser = denoiser_of(pipeline)
        for encoding in self.encodings:
            host_of(self._denoiser).refuse_other_sizes(self._denoiser, encoding.adapter.spec)
        self._injection = inject(self._denoiser, self.encodings[0].adapter)
        self._conditions: list[_Taken] = []
        self._guidance: FourPass | None = None
        self._cache: dict[tuple[Pass, ...], tuple[Tensor, Call, list[Any]]] = {}  # what was prepared for a batch
        self._four_pass: FourPass | None = None  # of the call that is running
        self._rescale = 0.0
        self._handles = [
            self._denoiser.register_forward_pre_hook(self._before, with_kwargs=True),
            self._denoiser.register_forward_hook(self._after),
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
        self._require_attached()
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
        self._require_attached()
        if len({(item.adapter, item.weight) for item in conditions}) != 1:
            raise ConfigError("the conditions of a batch must be at least one and have the same adapter and weight")
        self._choose([self._take(conditions, guidance)], guidance)

    def _choose(self, taken: "list[_Taken]", guidance: FourPass | None) -> None:
        self._conditions, self._guidance, self._cache = taken, guidance, {}
        adapters = [item.encoding.adapter for item in taken]
        self._injection.use(adapters, [item.weight for item in taken])

    def set_scale(self, scale: float | Mapping[str, float]) -> None:
        """Weight the adapter: everywhere, or by the start of block names such as `up_blocks.1` (the others get 0).

        Raises:
            ConfigError: A scale is not finite, or no attention's name starts so.
        """
        self._require_attached()
        self._injection.set_scale(scale)

    def detach(self) -> None:
        """Leave the pipeline as it was: the same weights, processor objects and config.

        Raises:
            ConfigError: It was detached before.
        """
        self._require_attached()
        self._injection.eject()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _require_attached(self) -> None:
        if not self._handles:
            raise ConfigError(
                "this adapter was detached from its pipeline; attach it again and use what attach() returns"
            )

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

    def _before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if not self._conditions:
            raise ConfigError("the attached adapter has no condition image; call condition(...) first, or detach()")
        self._injection.refuse_replaced()
        self._injection.with_tokens(kwargs, [])  # refuses others' tokens before ours are made
        call = current_call(self._denoiser, kwargs)
        if self._guidance is not None and call.passes == ("null",):
            raise ConfigError(
                f"{call.pipeline} calls its denoiser anew for the negative prompt, and four-pass guidance needs both "
                "halves in one batch; give guidance=None"
            )
        if self._guidance is not None and kwargs.get("skip_layers") is not None:
            raise ConfigError(
                "skip_guidance_layers compares with the prediction under the prompt, which four-pass guidance has "
                "mixed with others; leave one of the two out"
            )
        self._four_pass = self._guidance if call.guided else None
        if self._four_pass is not None and call.passes != ("null", "full"):
            raise ConfigError(
                f"{call.pipeline} adds a pass of its own to guidance; four-pass guidance has no place for it"
            )
        self._rescale = call.guidance_rescale
        prompt, rows = self._injection.prompt_of(kwargs), self._injection.rows_of(args, kwargs)
        held = self._cache.get(call.passes)
        if held is None or held[0] is not prompt or held[1] != call:
            tokens = self._all_tokens(prompt[:: prompt.shape[0] // rows], call)
            held = self._cache[call.passes] = prompt, call, self._injection.prepared(tokens)
        if self._four_pass is not None:
            sizes = {rows, prompt.shape[0]}
            args, kwargs = four_fold(args, sizes), four_fold(kwargs, sizes)
        return args, self._injection.with_tokens(kwargs, held[2])

    def _after(self, _: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        if self._four_pass is None:
            return output
        combined = self._four_pass.combine(output[0], self._rescale)
        # Both halves alike: whatever scale the pipeline then applies to their difference, this prediction stays.
        both = torch.cat([combined, combined])
        return (both,) if isinstance(output, tuple) else type(output)(sample=both)

    def _all_tokens(self, prompt: Tensor, call: Call) -> list[Tensor]:
        """For each condition [B, num_queries, width], in the order of the denoiser's batch."""
        parts = [self._tokens(item, prompt, call) for item in self._conditions]
        return [part.to(prompt.device, self._denoiser.dtype) for part in parts]

    def _tokens(self, taken: "_Taken", prompt: Tensor, call: Call) -> Tensor:
        wanted, image = prompt.shape[0] // len(call.passes), taken.image
        if len(image) not in (1, wanted):
            raise ConfigError(
                f"{len(image)} conditions were chosen for a batch of {wanted} pictures; give one for each"
            )
        encoding = taken.encoding
        prompts = encoding.prompts(prompt, call)
        guidance, null = self._four_pass, encoding.null_image
        made: dict[Pass, Tensor] = {}
        if "full" in call.passes:
            made["full"] = encoding.tokens(image, taken.instructions, prompts["full"])
        if "null" in call.passes:
            made["null"] = encoding.tokens(null, [""], prompts["null"])
        if (
            guidance is not None
        ):  # the prompt branch of "everything" gets the prompt: only the denoiser's text is negative
            negatives = guidance.negatives(encoding.base.nothing_asked(call.negative))
            each = [text for text in negatives for _ in range(wanted // len(negatives))] if negatives[1:] else negatives
            made["image"] = encoding.tokens(image, each, prompts["null"])
            made["every"] = encoding.tokens(image, [guidance.everything], prompts["full"])
        return torch.cat([made[name] for name in (call.passes if guidance is None else FOUR)])


@dataclass(frozen=True)
class _Taken:
    """What an adapter sees: its pictures [1 or B, tokens, image_dim], and what to take from each."""

    encoding: Encoding
    image: Tensor
    instructions: tuple[str, ...]
    weight: float
