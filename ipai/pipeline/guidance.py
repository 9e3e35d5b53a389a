"""The released four-pass guidance (paper section 6): its scales, and what they make of the four predictions.

Settings check these scales too, so nothing here takes seconds to import.
"""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ipai.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FourPass:
    """Scales of the four-pass guidance; equal ones are ordinary guidance between `null` and `full`.

    Where the pipeline's guidance is off (its `guidance_scale` is 1 or less) there is one pass, `full`, whatever the
    scales, as in the released code.

    | pass | picture | instruction | the adapter's prompt, if it reads one | denoiser's prompt | pooled prompt, if any |
    |---|---|---|---|---|---|
    | full | the condition | the condition's | prompt | prompt | prompt |
    | every | the condition | `everything` | prompt | negative prompt | prompt |
    | image | the condition | `negative` | negative prompt; SDXL: none | negative prompt | prompt |
    | null | zeros | none | negative prompt; SDXL: none | negative prompt | negative prompt |

    Attributes:
        s_instruct: What the instruction and the prompt add to "everything".
        s_text: What "everything" adds to the image with the negative instruction.
        s_image: What the image adds to nothing.
        everything: The instruction of the second pass; the released code's is this bare word.
        negative: The instruction of the third pass. None is what the released code for the base has: the negative
            prompt's text, for SDXL an empty one. A call that gives only `negative_prompt_embeds` has no such text, so
            give it here.
    """

    s_instruct: float = 4.0
    s_text: float = 5.0
    s_image: float = 1.0
    everything: str = "everything"
    negative: str | None = None

    def __post_init__(self) -> None:
        """Refuse scales that are no finite numbers, with a ConfigError."""
        scales = {field.name: getattr(self, field.name) for field in fields(self) if field.name.startswith("s_")}
        wrong = [f"{name}={value}" for name, value in scales.items() if not math.isfinite(value)]
        if wrong:
            raise ConfigError(f"guidance scales must be finite numbers, not {', '.join(wrong)}")

    def combine(self, noise: "Tensor", guidance_rescale: float = 0.0) -> "Tensor":
        """One prediction [N, ...] from those of null, image, every and full, in this order in `noise` [4 N, ...].

        Args:
            noise: The four predictions.
            guidance_rescale: How far the result takes the standard deviation of `full` (2305.08891, section 3.4).
        """
        null, image, every, full = noise.chunk(4)
        text = self.s_text * (every - image)
        combined = null + self.s_instruct * (full - every) + text + self.s_image * (image - null)
        if not guidance_rescale:
            return combined
        from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

        return rescale_noise_cfg(combined, full, guidance_rescale)

    def negatives(self, of_base: tuple[str, ...] | None) -> tuple[str, ...]:
        """The instructions of the third pass: one, or one for each prompt of the call.

        Args:
            of_base: Those of `Backbone.nothing_asked`.

        Raises:
            ConfigError: There is no text at all.
        """
        if self.negative is not None:
            return (self.negative,)
        if of_base is None:
            raise ConfigError(
                "the third pass of four-pass guidance is instructed with the negative prompt's text, and the pipeline "
                'was given encoded prompts; give the text as FourPass(negative="...")'
            )
        return of_base
