"""Image attentions in ComfyUI's UNet: where they go, and what is put there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from ipai.adapter.adapter import InstructAdapter
from ipai.errors import WeightsError
from ipai.pipeline.passes import Pass


class Site(NamedTuple):
    """A text attention of the UNet: its part, the block's number there, the transformer's number in it, its size."""

    part: str
    block: int
    transformer: int
    size: int


def sites_of(unet: Any) -> list[Site]:
    """The text attentions in the order of IP-Adapter's files: down, up, middle."""
    blocks = [("input", number, block) for number, block in enumerate(unet.input_blocks)]
    blocks += [("output", number, block) for number, block in enumerate(unet.output_blocks)]
    blocks += [("middle", 0, unet.middle_block)]
    return [
        Site(part, number, index, transformer.attn2.to_q.out_features)
        for part, number, block in blocks
        for layer in block
        for index, transformer in enumerate(getattr(layer, "transformer_blocks", ()))
    ]


def refuse_other_model(sites: Sequence[Site], adapter: InstructAdapter) -> None:
    """Raise a WeightsError if the adapter was made for another UNet."""
    sizes = tuple(site.size for site in sites)
    if sizes != adapter.spec.attention_sizes:
        raise WeightsError(
            f"the adapter was made for a UNet with {len(adapter.spec.attention_sizes)} text attentions, and this model "
            f"has {len(sizes)}, or of other sizes; use an adapter of this base model"
        )


@dataclass(eq=False)
class Applied:
    """Condition tokens in a model, for a part of the sampling.

    Attributes:
        adapter: Whose keys and values are used.
        tokens: Of each pass, fp32 [1, num_queries, width].
        weights: Of the parts of the UNet: input, middle, output.
        sigmas: It acts while the noise is at most the first and above the second.
        now: Which pass is being computed, if they are computed one after the other; None: those of the batch.
    """

    adapter: InstructAdapter
    tokens: Mapping[Pass, Tensor]
    weights: Mapping[str, float]
    sigmas: tuple[float, float]
    now: Pass | None = None
    _made: dict[tuple[Any, ...], tuple[Tensor, ...]] = field(default_factory=dict)

    def keys_values(self, number: int, passed: Pass, like: Tensor) -> tuple[Tensor, ...]:
        """Of one attention under one pass, [1, num_queries, size] each, computed once."""
        key = number, passed, like.device, like.dtype
        if key not in self._made:
            layer: Any = list(self.adapter.ip_adapter.values())[number]
            made = [nn.functional.linear(self.tokens[passed], one.weight) for one in (layer.to_k_ip, layer.to_v_ip)]
            self._made[key] = tuple(one.to(like.device, like.dtype) for one in made)
        return self._made[key]


class ImageAttention:
    """What ComfyUI calls in place of a text attention: the text's, and beside it that of each picture.

    Args:
        number: Of the attention, in the order of the files.
        part: Of the UNet it is in.
        attend: ComfyUI's attention: queries, keys, values [B, T, D], the number of heads.
        applied: What acts there.
    """

    def __init__(self, number: int, part: str, attend: Any, applied: Sequence[Applied]) -> None:
        self.number, self.part, self.attend = number, part, attend
        self.applied = list(applied)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, extra: Mapping[str, Any]) -> Tensor:
        """Queries [B, T, D], keys and values of the text; the sum of all attentions, [B, T, D]."""
        heads, sigma = extra["n_heads"], float(extra["sigmas"][0])
        result: Tensor = self.attend(queries, keys, values, heads)
        rows = len(queries) // len(extra["cond_or_uncond"])
        for one in self.applied:
            weight = one.weights[self.part]
            if not weight or not one.sigmas[1] < sigma <= one.sigmas[0]:
                continue
            for index, kind in enumerate(extra["cond_or_uncond"]):
                passed = one.now or ("full" if kind == 0 else "null")
                own = slice(index * rows, (index + 1) * rows)
                pair = (made.expand(rows, -1, -1) for made in one.keys_values(self.number, passed, queries))
                result[own] += weight * self.attend(queries[own], *pair, heads)
        return result
