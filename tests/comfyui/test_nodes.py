"""The nodes against what ComfyUI promises a node: its model, its attention hook and its sampler's hook, in miniature.

They were also held to a real ComfyUI, see docs/comfyui.md.
"""

import copy
import importlib
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ipai.adapter.adapter import InstructAdapter
from ipai.errors import ConfigError, InstructionError, WeightsError
from ipai.pipeline.encoding import Encoding
from ipai.pipeline.guidance import FourPass
from tests.helpers.building import ROOT
from tests.helpers.small_pipeline import CONFIG, adapter_for, make_pipeline

HEADS = 2


class TransformerBlock(nn.Module):
    """A block with a text attention, as ComfyUI calls it: by its replacement where there is one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attn2 = nn.Module()
        self.attn2.to_q = nn.Linear(size, size, bias=False)


def block_of(*sizes: int) -> nn.ModuleList:
    return nn.ModuleList([nn.Identity(), *(spatial(size) for size in sizes)])


def spatial(size: int) -> nn.Module:
    made = nn.Module()
    made.transformer_blocks = nn.ModuleList([TransformerBlock(size)])
    return made


class Model:
    """ComfyUI's model with patches: a copy for each change."""

    def __init__(self, unet: Any) -> None:
        self.unet, self.model_options = unet, {"transformer_options": {}}

    def clone(self) -> Self:
        made = copy.copy(self)
        made.model_options = {**self.model_options, "transformer_options": copy.copy(self.options)}
        patches = self.options.get("patches_replace", {})
        made.options["patches_replace"] = {name: dict(of) for name, of in patches.items()}
        return made

    @property
    def options(self) -> dict[str, Any]:
        return self.model_options["transformer_options"]

    def get_model_object(self, name: str) -> Any:
        sampling = SimpleNamespace(percent_to_sigma=lambda share: 14.0 * (1 - share))
        return {"diffusion_model": self.unet, "model_sampling": sampling}[name]

    def set_model_attn2_replace(self, patch: Any, part: str, number: int, transformer: int) -> None:
        self.options.setdefault("patches_replace", {}).setdefault("attn2", {})[part, number, transformer] = patch

    def attention(self, place: tuple[str, int, int]) -> Any:
        return self.options["patches_replace"]["attn2"][place]


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    split = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (queries, keys, values))
    return scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


@pytest.fixture(scope="module")
def nodes() -> Any:
    """The nodes, imported where ComfyUI's own modules are stand-ins."""
    modules = {name: ModuleType(name) for name in ("comfy", "comfy.ldm", "comfy.ldm.modules")}
    modules["comfy.ldm.modules.attention"] = attention = ModuleType("comfy.ldm.modules.attention")
    modules["comfy.samplers"] = samplers = ModuleType("comfy.samplers")
    attention.optimized_attention = attend  # type: ignore[attr-defined]
    samplers.calc_cond_batch = None  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        yield importlib.import_module("comfyui.nodes")


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    return Encoding(adapter_for(make_pipeline()).requires_grad_(False), CONFIG, torch.device("cpu"))


@pytest.fixture
def model(encoding: Encoding) -> Model:
    """A UNet with the adapter's attentions: two on the way down, the last one in the middle, the others up."""
    *others, middle = encoding.adapter.spec.attention_sizes
    unet = nn.Module()
    unet.input_blocks = nn.ModuleList([nn.ModuleList([nn.Identity()]), *(block_of(size) for size in others[:2])])
    unet.output_blocks = nn.ModuleList([block_of(size) for size in others[2:]])
    unet.middle_block = block_of(middle)
    return Model(unet)


def picture() -> Tensor:
    return torch.rand(1, 40, 50, 3, generator=torch.Generator().manual_seed(0))


def applied(nodes: Any, model: Model, conditions: Any, **changes: Any) -> Model:
    given = {"scale": 0.7, "start_percent": 0.0, "end_percent": 1.0}
    given |= dict.fromkeys(("input_blocks", "middle_blocks", "output_blocks"), 1.0)
    return nodes.ApplyToModel().run(model, conditions, **given | changes)[0]


def called(model: Model, place: tuple[str, int, int], sigma: float = 7.0, kinds: tuple[int, ...] = (0, 1)) -> Any:
    """The attention at a place on random queries: what it gives, and what goes in."""
    size = model.attention(place).applied[0].adapter.spec.attention_sizes[0]
    generator = torch.Generator().manual_seed(1)
    rows = 2 * len(kinds)
    given = tuple(torch.randn(rows, length, size, generator=generator) for length in (9, 7, 7))
    extra = {"n_heads": HEADS, "sigmas": torch.tensor([sigma]), "cond_or_uncond": list(kinds)}
    return model.attention(place)(*given, extra), given


def test_each_attention_adds_the_pictures_to_the_text(nodes: Any, model: Model, encoding: Encoding) -> None:
    """By the paper's rule, text + scale x picture, the prompt's rows under the picture, the others under none."""
    (conditions,) = nodes.TakeFromPicture().run(encoding, picture(), "use the {object}", "cat", 0.5)
    changed = applied(nodes, model, conditions)
    result, (queries, keys, values) = called(changed, ("input", 1, 0))
    tokens = nodes.tokens_of(conditions[0], "", "", None)
    layer = encoding.adapter.ip_adapter["1"]
    for rows, name in ((slice(0, 2), "full"), (slice(2, 4), "null")):
        beside = [one(tokens[name]).expand(2, -1, -1) for one in (layer.to_k_ip, layer.to_v_ip)]
        wanted = attend(queries[rows], keys[rows], values[rows], HEADS) + 0.35 * attend(queries[rows], *beside, HEADS)
        assert torch.allclose(result[rows], wanted, atol=1e-6)
    assert not model.options.get("patches_replace")  # the model that came in is as it was


def test_order_parts_and_share_of_the_sampling(nodes: Any, model: Model, encoding: Encoding) -> None:
    (conditions,) = nodes.TakeFromPicture().run(encoding, picture(), "use the style", "", 1.0)
    changed = applied(nodes, model, conditions, end_percent=0.4, input_blocks=0.0)
    sizes = encoding.adapter.spec.attention_sizes
    assert changed.attention(("middle", 0, 0)).number == len(sizes) - 1
    assert changed.attention(("output", 0, 0)).number == 2
    place = ("output", len(sizes) - 4, 0)
    early, given = called(changed, place, sigma=10.0)
    plain = attend(*given, HEADS)
    assert not torch.allclose(early, plain)
    assert torch.equal(called(changed, place, sigma=8.0)[0], plain)  # the last 60 % are without
    assert torch.equal(called(changed, ("input", 1, 0), sigma=10.0)[0], plain)


def test_two_nodes_are_two_pictures(nodes: Any, model: Model, encoding: Encoding) -> None:
    take = nodes.TakeFromPicture()
    (first,) = take.run(encoding, picture(), "use the style", "", 0.8)
    (both,) = take.run(encoding, picture().flip(1), "use the face", "", 0.4, first)
    at_once = called(applied(nodes, model, both), ("input", 1, 0))[0]
    in_turn = called(applied(nodes, applied(nodes, model, first), both[1:]), ("input", 1, 0))[0]
    assert torch.equal(at_once, in_turn)
    assert not torch.allclose(at_once, called(applied(nodes, model, first), ("input", 1, 0))[0])


def test_four_pass_guidance_is_the_formula(
    nodes: Any, model: Model, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    (conditions,) = nodes.TakeFromPicture().run(encoding, picture(), "use the style", "", 1.0)
    seen: list[tuple[str, str, Any]] = []
    predicted: dict[str, Tensor] = {}

    def compute(_model: Any, conds: list[Any], x: Tensor, _sigma: Any, _options: Any) -> list[Tensor]:
        attention = changed.attention(("input", 1, 0))
        name = attention.applied[0].now
        seen.append((name, conds[0][0]["text"], conds[0][0]["model_conds"]["y"]))
        predicted[name] = torch.full_like(x, float(len(seen)))
        return [predicted[name], x]

    monkeypatch.setattr(sys.modules["comfy.samplers"], "calc_cond_batch", compute)
    changed = applied(
        nodes, model, conditions, guidance="four_pass", s_instruct=3.0, s_text=2.0, s_image=1.5, negative="dull"
    )
    prompt, negative = ([{"text": text, "model_conds": {"y": text}}] for text in ("prompt", "negative"))
    call = {"input": torch.zeros(1, 4, 2, 2), "sigma": None, "model": None, "model_options": {}}
    sampler = changed.model_options["sampler_calc_cond_batch_function"]
    combined = sampler({**call, "conds": [prompt, negative]})
    assert seen == [
        ("null", "negative", "negative"), ("image", "negative", "prompt"), ("every", "negative", "prompt"),
        ("full", "prompt", "prompt"),
    ]  # fmt: skip
    wanted = FourPass(3.0, 2.0, 1.5).combine(torch.cat([predicted[n] for n in ("null", "image", "every", "full")]))
    assert torch.equal(combined[0], wanted)
    assert torch.equal(combined[1], wanted)
    seen.clear()
    sampler({**call, "conds": [prompt, None]})  # without guidance there is one pass
    assert [name for name, *_ in seen] == ["full"]
    assert changed.attention(("input", 1, 0)).applied[0].now is None
    tokens = nodes.tokens_of(conditions[0], "", "dull", FourPass())
    assert tokens.keys() == {"full", "null", "image", "every"}
    assert not torch.equal(tokens["image"], tokens["every"])


def test_what_cannot_work_is_told(nodes: Any, model: Model, encoding: Encoding) -> None:
    (conditions,) = nodes.TakeFromPicture().run(encoding, picture(), "use the style", "", 1.0)
    model.unet.output_blocks = model.unet.output_blocks[:-1]
    with pytest.raises(WeightsError, match="use an adapter of this base model"):
        applied(nodes, model, conditions)
    with pytest.raises(InstructionError, match="empty"):
        nodes.tokens_of(nodes.TakeFromPicture().run(encoding, picture(), " ", "", 1.0)[0][0], "", "", None)


def test_the_interface_that_comfyui_reads(nodes: Any) -> None:
    assert nodes.NODE_CLASS_MAPPINGS.keys() == nodes.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for kind in nodes.NODE_CLASS_MAPPINGS.values():
        inputs = kind.INPUT_TYPES()
        names = {name for group in inputs.values() for name in group}
        code = getattr(kind, kind.FUNCTION).__code__
        assert names == set(code.co_varnames[1 : code.co_argcount])
        assert isinstance(kind.RETURN_TYPES, tuple)
    bases = nodes.LoadAdapter.INPUT_TYPES()["required"]["base"][0]
    assert {"sd15", "sdxl", "toy"} <= set(bases)


def test_the_workflow_fits_the_nodes(nodes: Any) -> None:
    steps = json.loads((ROOT / "comfyui" / "workflow.json").read_text())
    for step in steps.values():
        links = [value for value in step["inputs"].values() if isinstance(value, list)]
        assert all(link[0] in steps for link in links)
        if kind := nodes.NODE_CLASS_MAPPINGS.get(step["class_type"]):
            inputs = kind.INPUT_TYPES()
            assert inputs["required"].keys() <= step["inputs"].keys() <= {name for of in inputs.values() for name in of}


def test_an_adapter_comes_with_its_encoders(nodes: Any, encoding: Encoding, tmp_path: Any, monkeypatch: Any) -> None:
    from ipai.adapter.formats import save_adapter

    save_adapter(InstructAdapter(encoding.adapter.spec), tmp_path / "adapter.safetensors", {})
    management = ModuleType("comfy.model_management")
    management.get_torch_device = lambda: torch.device("cpu")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setattr(nodes, "_bases", lambda: ["micro"])
    (loaded,) = nodes.LoadAdapter().run(str(tmp_path / "adapter.safetensors"), "micro", "ema")
    assert loaded.adapter.spec == encoding.adapter.spec
    with pytest.raises(ConfigError, match="choose a base"):
        nodes.LoadAdapter().run(str(tmp_path / "adapter.safetensors"), "the adapter's own", "ema")
