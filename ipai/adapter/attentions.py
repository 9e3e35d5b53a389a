"""The kinds of image attention that hosts take: which matrices one has, what they are called and how they are numbered.

`AdapterSpec.attention` names one of `ATTENTIONS`. What is computed with the matrices is the host's business.
"""

from typing import ClassVar

import torch
from torch import nn


class ImageAttention(nn.Module):
    """What an adapter has for one image attention.

    Attributes:
        first, stride: Files call the first of an adapter by this number, and count on in these steps.
    """

    first: ClassVar[int] = 0
    stride: ClassVar[int] = 1

    def __init__(self, token_dim: int, hidden_size: int) -> None:  # noqa: ARG002 (all kinds are made alike)
        """Make the matrices from condition tokens of `token_dim` to an attention of `hidden_size` channels."""
        super().__init__()

    @classmethod
    def number(cls, index: int) -> str:
        """What files call the attention of this index."""
        return str(cls.first + cls.stride * index)

    def make_last(self) -> None:
        """Be the last one of an adapter."""


class ImageKeysValues(ImageAttention):
    """Keys and values of a decoupled cross-attention (IP-Adapter, 2308.06721, section 3.2.2)."""

    first, stride = 1, 2  # the even numbers are the UNet's self-attentions, which have none

    def __init__(self, token_dim: int, hidden_size: int) -> None:
        """Make two maps without bias."""
        super().__init__(token_dim, hidden_size)
        self.to_k_ip = nn.Linear(token_dim, hidden_size, bias=False)
        self.to_v_ip = nn.Linear(token_dim, hidden_size, bias=False)


class BiasedKeysValues(ImageAttention):
    """As `ImageKeysValues` with biases, as diffusers' image attention in FLUX has it."""

    def __init__(self, token_dim: int, hidden_size: int) -> None:
        """Make two maps with bias."""
        super().__init__(token_dim, hidden_size)
        self.to_k_ip = nn.Linear(token_dim, hidden_size)
        self.to_v_ip = nn.Linear(token_dim, hidden_size)


class NormedKeysValues(ImageAttention):
    """As `ImageKeysValues`, with keys that are normed in each head, as queries and keys of recent transformers are.

    Logits are bounded then whatever the keys grow to; without it training on a transformer is reported to diverge.
    """

    def __init__(self, token_dim: int, hidden_size: int) -> None:
        """Make two maps without bias, and what normed keys are multiplied with, a number a channel."""
        super().__init__(token_dim, hidden_size)
        self.to_k_ip = nn.Linear(token_dim, hidden_size, bias=False)
        self.to_v_ip = nn.Linear(token_dim, hidden_size, bias=False)
        self.norm_k_ip = nn.Parameter(torch.ones(hidden_size))


class JointAttention(ImageAttention):
    """The image attention of the authors' adapter for SD3, in every second of its blocks; the names are theirs."""

    stride = 2

    def __init__(self, token_dim: int, hidden_size: int) -> None:
        """Make seven maps without bias between `hidden_size` channels; tokens come embedded by the base."""
        super().__init__(token_dim, hidden_size)
        self.to_k_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.to_v_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.add_k_proj_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.add_v_proj_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.proj_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.proj_encoder_hidden_states_ip = nn.Linear(hidden_size, hidden_size, bias=False)
        self.proj_encoder_passthrough_ip = nn.Linear(hidden_size, hidden_size, bias=False)

    def make_last(self) -> None:
        """Nothing reads what the last one passes on: files hold its map, and training leaves it alone."""
        self.proj_encoder_passthrough_ip.requires_grad_(False)


ATTENTIONS: dict[str, type[ImageAttention]] = {
    "decoupled": ImageKeysValues,
    "biased": BiasedKeysValues,
    "normed": NormedKeysValues,
    "joint": JointAttention,
}
"""By the names that `AdapterSpec.attention` has."""
