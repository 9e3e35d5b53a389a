"""A step for diffusers' modular pipelines of Stable Diffusion XL: a picture and an instruction in, tokens out.

It stands where their own IP-Adapter step does; no pipeline is copied.
"""

from typing import Any

import torch
from diffusers.modular_pipelines import InputParam, ModularPipelineBlocks, OutputParam
from diffusers.modular_pipelines.modular_pipeline import PipelineState
from torch import Tensor

from ipai.adapter.hosts.inject import inject
from ipai.errors import ConfigError
from ipai.pipeline.attaching import AdapterSource, encoding_of
from ipai.pipeline.encoding import Condition


class InstructStep(ModularPipelineBlocks):
    """Takes from `condition_image` what `instruction` says; `condition_object` fills a slot.

    The pipeline's guider then leads away from the tokens of no picture, as ordinary guidance does.

    Args:
        unet: The pipeline's; the adapter is put in, and `eject` takes it out again.
        adapter: What `ipai.pipeline.attach` takes.
        base: Likewise.
        scale: Likewise.

    Raises:
        ConfigError: The adapter reads the prompt, whose text this step does not see.
        IpaiError: The adapter or the encoders cannot be used, or the UNet holds an adapter already.
    """

    model_name = "stable-diffusion-xl"

    def __init__(self, unet: Any, adapter: AdapterSource, *, base: Any = None, scale: float = 0.7) -> None:
        super().__init__()
        self._encoding = encoding_of(adapter, base, "ema", unet)
        if self._encoding.conditioning.reads_prompt:
            raise ConfigError("a modular step does not see the prompt's text, which this adapter reads; use attach()")
        self._injection = inject(unet, self._encoding.adapter, scale)

    @property
    def description(self) -> str:
        """For the pipeline's own help."""
        return "Makes condition tokens of a picture and an instruction (IPAdapter-Instruct)."

    @property
    def inputs(self) -> list[InputParam]:
        """What the pipeline's call gets besides the rest."""
        return [
            InputParam("condition_image", required=True, description="path, PIL image or tensor [3, H, W]"),
            InputParam("instruction", required=True, description='what to take from it: "use the style"'),
            InputParam("condition_object", default=None, description="fills {object} in the instruction"),
        ]

    @property
    def intermediate_outputs(self) -> list[OutputParam]:
        """What the denoising step reads."""
        names = ("ip_adapter_embeds", "negative_ip_adapter_embeds")
        return [OutputParam(name, type_hint=list[Tensor], description="condition tokens") for name in names]

    @torch.no_grad()
    def __call__(self, components: Any, state: PipelineState) -> tuple[Any, PipelineState]:
        """Make the tokens, [1, 1, num_queries, width] each."""
        given = self.get_block_state(state)  # type: ignore[attr-defined]
        condition = Condition(given.condition_image, given.instruction, given.condition_object)
        picture, told = self._encoding.image(condition.image), self._encoding.instruction_of(condition)
        unread = self._encoding.prompt("")
        for name, image, text in (
            ("ip_adapter_embeds", picture, told),
            ("negative_ip_adapter_embeds", self._encoding.null_image, ""),
        ):
            tokens = self._encoding.tokens(image, [text], unread)[:, None]
            setattr(given, name, [tokens.to(components.unet.dtype)])
        self.set_block_state(state, given)  # type: ignore[attr-defined]
        return components, state

    def eject(self) -> None:
        """Leave the UNet as it was."""
        self._injection.eject()
