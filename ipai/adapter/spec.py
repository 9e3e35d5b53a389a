"""What decides an adapter's shapes and behaviour, as one frozen value that every file carries (paper section 3)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from ipai.adapter.hosts.names import TOKEN_DIM
from ipai.errors import ConfigError, WeightsError

Instruction = Literal["none", "tokens", "pooled", "task_embedding"]
Attention = Literal["decoupled", "biased", "normed", "joint"]

SD15_ATTENTION_SIZES = (320, 320, 640, 640) + (1280,) * 5 + (640, 640, 640, 320, 320, 320, 1280)
"""Hidden sizes of SD1.5's 16 cross-attentions in the order of the file format: down blocks, up blocks, middle block."""

_IN_FILES = {"token_dim": TOKEN_DIM}
"""What files call a field that has another name here."""

_LATER = {"attention"}
"""Fields that files of the first bases do not have; they are written where they differ from the default."""

_DEEPEST, _WIDEST = 1024, 65_536  # layers, and channels: a damaged file must not ask for all memory

_SIZES = (
    *("image_dim", "token_dim", "width", "depth", "heads", "head_dim", "num_queries", "ff_mult"),
    *("instruction_dim", "branch_ff_mult", "num_tasks"),
)


@dataclass(frozen=True)
class AdapterSpec:
    """Shape and behaviour of an adapter; the defaults are the paper's adapter for SD1.5 with the ViT-H text tokens.

    Attributes:
        image_dim: Width of the image encoder's hidden states (ViT-H/14: 1280).
        token_dim: Width of the condition tokens, equal to that of the denoiser's text tokens (SD1.5: 768).
        attention_sizes: Hidden size of each image attention, in the order of the file format.
        width: Width of the resampler.
        depth: Iterations of the resampler.
        heads: Attention heads of the resampler.
        head_dim: Width of one head.
        num_queries: Learned queries, which is the number of condition tokens.
        ff_mult: Hidden width of the image branch's feed-forwards, in multiples of `width`.
        instruction: What the instruction branch attends to: the text's `tokens`, its one `pooled` vector, or a learned
            `task_embedding` (the paper's alternative); `none` has no such branch and is IP-Adapter Plus.
        instruction_dim: Width of the instruction encoder's output, or of the task embedding.
        branch_ff_mult: Hidden width of the instruction and prompt branches' feed-forwards. The paper does not state it;
            the released code uses 2.
        prompt_dim: Width of the prompt's tokens for the released variant, which also attends to the prompt, or None.
        num_tasks: Rows of the learned embedding; read only by `task_embedding`.
        mask_padding: Keep the instruction's (and the prompt's) padding tokens out of the attention. Off by default: the
            paper does not speak of it and the released code does not mask. It encodes the padded 77 tokens without an
            attention mask and its resampler has no mask input, so its weights were made to see the padding.
        attention: The kind of image attention that the denoiser takes, of `ipai.adapter.attentions`.
    """

    image_dim: int = 1280
    token_dim: int = 768
    attention_sizes: tuple[int, ...] = SD15_ATTENTION_SIZES
    width: int = 768
    depth: int = 4
    heads: int = 12
    head_dim: int = 64
    num_queries: int = 16
    ff_mult: int = 4
    instruction: Instruction = "tokens"
    instruction_dim: int = 1024
    branch_ff_mult: int = 2
    prompt_dim: int | None = None
    num_tasks: int = 5
    mask_padding: bool = False
    attention: Attention = "decoupled"

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive integers and combinations that mean nothing, with a ConfigError."""
        sizes = {name: getattr(self, name) for name in _SIZES}
        sizes |= {f"attention_sizes[{i}]": size for i, size in enumerate(self.attention_sizes)}
        if self.prompt_dim is not None:
            sizes["prompt_dim"] = self.prompt_dim
        wrong = [f"{name}={size!r}" for name, size in sizes.items() if type(size) is not int or size < 1]
        if wrong:
            raise ConfigError(f"adapter sizes must be positive integers, not {', '.join(wrong)}")
        huge = [f"{name}={size}" for name, size in sizes.items() if size > (_DEEPEST if name == "depth" else _WIDEST)]
        if huge or len(self.attention_sizes) > _DEEPEST:
            raise ConfigError(f"no adapter is that large: {', '.join(huge) or len(self.attention_sizes)}")
        if not isinstance(self.attention_sizes, tuple) or not self.attention_sizes:
            raise ConfigError("attention_sizes must be a tuple: the hidden size of each image attention")
        if self.instruction not in get_args(Instruction):
            raise ConfigError(f"instruction={self.instruction!r} must be one of {', '.join(get_args(Instruction))}")
        if self.attention not in get_args(Attention):
            raise ConfigError(f"attention={self.attention!r} must be one of {', '.join(get_args(Attention))}")
        if type(self.mask_padding) is not bool:
            raise ConfigError(f"mask_padding={self.mask_padding!r} must be true or false")
        if self.mask_padding and self.instruction != "tokens":
            raise ConfigError(f"mask_padding needs instruction='tokens'; {self.instruction!r} has no padding to mask")
        if self.prompt_dim is not None and self.instruction != "tokens":
            raise ConfigError("prompt_dim belongs to the released variant, which needs instruction='tokens'")

    def to_metadata(self) -> dict[str, str]:
        """Every field as JSON text, for the header of a file."""
        defaults = {field.name: field.default for field in fields(self) if field.name in _LATER}
        told = {name: value for name, value in asdict(self).items() if defaults.get(name, ...) != value}
        return {_IN_FILES.get(name, name): json.dumps(value) for name, value in told.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """The inverse of `to_metadata`.

        Raises:
            WeightsError: A field is missing, unknown, not JSON, or has an impossible value.
        """
        names = {_IN_FILES.get(field.name, field.name): field.name for field in fields(cls)}
        missing, unknown = sorted(set(names) - set(metadata) - _LATER), sorted(set(metadata) - set(names))
        if missing or unknown:
            raise WeightsError(f"the adapter's description lacks the fields {missing} and has unknown fields {unknown}")
        try:
            values: dict[str, Any] = {names[name]: json.loads(text) for name, text in metadata.items()}
            return cls(**values | {"attention_sizes": tuple(values["attention_sizes"])})
        except (TypeError, ValueError, ConfigError) as error:
            raise WeightsError(f"the adapter's description cannot be read: {error}") from error
