"""Which adapters `adapter.variant` chooses from, and what each is told besides the picture."""

from dataclasses import dataclass

from ipai.adapter.spec import Instruction


@dataclass(frozen=True)
class Variant:
    """What an adapter is told.

    Attributes:
        instruction: See `AdapterSpec`; None leaves it to `adapter.instruction`.
        reads_prompt: It has a prompt branch too, and both texts come from Stable Diffusion's own encoder; otherwise
            instructions are encoded by the image encoder's text tower.
    """

    instruction: Instruction | None = None
    reads_prompt: bool = False


VARIANTS = {
    "instruct": Variant(),
    "instruct_released": Variant("tokens", reads_prompt=True),
    "ip_adapter_plus": Variant("none"),
}
"""By the name that the configuration gives them."""
