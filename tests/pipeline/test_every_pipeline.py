"""docs/pipelines.md says what each pipeline class of the installed diffusers does with an adapter; here each is run."""

import inspect
import re
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from ipai.backbones.hub import locate
from ipai.errors import ConfigError
from ipai.pipeline import Condition, FourPass, attach
from tests.helpers.every_pipeline import CALLED_WITH, called, made, sd15_classes
from tests.helpers.small_pipeline import CONFIG, PICTURE, adapter_for, make_pipeline

pytestmark = pytest.mark.slow

TABLE = Path(__file__).parents[2] / "docs" / "pipelines.md"
ROW = re.compile(r"^\| `(\w+)` \| (works|refused) \| (works|refused) \|", re.MULTILINE)
DOCUMENTED = {name: (ordinary, four_pass) for name, ordinary, four_pass in ROW.findall(TABLE.read_text())}
WORKING = sorted(name for name, (ordinary, _) in DOCUMENTED.items() if ordinary == "works")
NO_GUIDANCE = 1.0
UNGUIDED = [f"StableDiffusion{kind}Pipeline" for kind in ("", "PAG", "InstructPix2Pix", "Panorama")]
ENCODER = CLIPVisionModelWithProjection.from_pretrained(locate(CONFIG, ["image_encoder"])["image_encoder"]).eval()
PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})


def pipe_of(name: str) -> Any:
    return made(name, make_pipeline().components)


def test_the_table_names_every_class() -> None:
    assert sorted(DOCUMENTED) == sd15_classes()
    assert sorted(CALLED_WITH) == WORKING


# Of the videos, which take longest, one in each run of CI.
VIDEOS = {name for name in WORKING if name.startswith(("AnimateDiff", "PIA")) and name != "AnimateDiffPipeline"}
EACH = [pytest.param(name, marks=[pytest.mark.long] if name in VIDEOS else []) for name in WORKING]


@pytest.mark.parametrize(
    ("name", "guidance_scale"),
    [pytest.param(*each.values, 5.0, marks=each.marks) for each in EACH] + [(name, NO_GUIDANCE) for name in UNGUIDED],
)
def test_it_draws_what_diffusers_own_ip_adapter_draws(name: str, guidance_scale: float) -> None:
    """Which rows get the picture and which the zeros is diffusers' own choice, made for each class by its authors."""
    pipe = pipe_of(name)
    adapter = adapter_for(pipe, instruction="none")
    attached = attach(pipe, adapter, base=CONFIG, scale=0.7)
    attached.condition(Condition(PICTURE))
    ours = called(pipe, guidance_scale=guidance_scale)
    encoding = attached.encodings[0]
    tokens = [encoding.null_image, encoding.image(PICTURE)][-1 if guidance_scale == NO_GUIDANCE else 0 :]
    attached.detach()
    without = called(pipe, guidance_scale=guidance_scale)
    state = {"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}
    pipe.unet._load_ip_adapter_weights([state])
    for processor in pipe.unet.attn_processors.values():
        processor.scale = [0.7]
    if "ip_adapter_image" in inspect.signature(pipe.__call__).parameters and "Panorama" not in name:
        pipe.register_modules(image_encoder=ENCODER, feature_extractor=PROCESSOR)
        theirs = called(pipe, guidance_scale=guidance_scale, ip_adapter_image=PICTURE)
    else:  # diffusers has no IP-Adapter there, or (the panorama's) one that gives the negative rows the picture too
        added = {"added_cond_kwargs": {"image_embeds": [torch.cat(tokens)[:, None]]}}
        pipe.unet.register_forward_pre_hook(lambda _, args, kwargs: (args, kwargs | added), with_kwargs=True)
        theirs = called(pipe, guidance_scale=guidance_scale)
    assert ours.isfinite().all()
    assert (ours - without).abs().max() > 1e-3
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize("name", EACH)
def test_four_pass_guidance_with_equal_scales_is_ordinary_guidance_or_refused(name: str) -> None:
    pipe = pipe_of(name)
    attached = attach(pipe, adapter_for(pipe), base=CONFIG)
    condition = Condition(PICTURE, "use the style")
    attached.condition(condition, guidance=FourPass(5.0, 5.0, 5.0))
    if DOCUMENTED[name][1] == "refused":
        with pytest.raises(ConfigError, match=f"{name} adds a pass of its own"):
            called(pipe)
        return
    four_pass = called(pipe)
    attached.condition(condition)
    assert (called(pipe) - four_pass).abs().max() < 1e-3


@pytest.mark.parametrize("name", sorted(set(DOCUMENTED) - set(WORKING)))
def test_what_does_not_say_how_its_batch_is_made_is_refused_by_name(name: str) -> None:
    kind = getattr(diffusers, name)
    pipe = kind.__new__(kind)
    pipe.unet = make_pipeline().unet
    with pytest.raises(ConfigError, match=f"^{name} does not say whether its guidance is on"):
        attach(pipe, adapter_for(pipe), base=CONFIG)


def test_a_pipeline_asks_the_one_that_is_called_not_the_one_that_was_attached() -> None:
    """`from_pipe` shares the UNet, so the scale of the first pipeline's last call says nothing of the second's."""
    pipe = make_pipeline()
    attached = attach(pipe, adapter_for(pipe), base=CONFIG)
    attached.condition(Condition(PICTURE, "use the style"))
    other = diffusers.StableDiffusionImg2ImgPipeline.from_pipe(pipe)
    other.set_progress_bar_config(disable=True)
    first = called(other, guidance_scale=7.5)  # before any call of the attached pipeline
    called(pipe, guidance_scale=NO_GUIDANCE)
    assert torch.equal(called(other, guidance_scale=7.5), first)
    attached.detach()
    again = attach(other, adapter_for(pipe), base=CONFIG)
    again.condition(Condition(PICTURE, "use the style"))
    assert torch.equal(called(other, guidance_scale=7.5), first)


def test_a_class_that_cannot_be_told_is_refused_when_it_is_called_too() -> None:
    pipe = make_pipeline()
    attach(pipe, adapter_for(pipe), base=CONFIG).condition(Condition(PICTURE, "use the style"))
    parts = {name: pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")}
    other = diffusers.StableDiffusionSAGPipeline(**parts, safety_checker=None, feature_extractor=None)
    with pytest.raises(ConfigError, match="StableDiffusionSAGPipeline does not say"):
        called(other)


def test_a_loop_without_a_pipeline_is_told_what_to_use() -> None:
    pipe = make_pipeline()
    attach(pipe, adapter_for(pipe), base=CONFIG).condition(Condition(PICTURE, "use the style"))
    with pytest.raises(ConfigError, match=r"ipai\.adapter\.inject"):
        pipe.unet(torch.zeros(1, 4, 8, 8), 1, encoder_hidden_states=torch.zeros(1, 77, 32))


@pytest.mark.parametrize("options", [{"view_batch_size": 2}, {"num_images_per_prompt": 2}])
def test_views_that_share_a_batch_are_refused(options: dict[str, int]) -> None:
    pipe = pipe_of("StableDiffusionPanoramaPipeline")
    attach(pipe, adapter_for(pipe), base=CONFIG).condition(Condition(PICTURE, "use the style"))
    with pytest.raises(ConfigError, match="view_batch_size=1"):
        called(pipe, width=256, **options)


def test_replaced_processors_are_refused_because_the_adapter_would_have_no_say() -> None:
    pipe = make_pipeline()
    attach(pipe, adapter_for(pipe), base=CONFIG).condition(Condition(PICTURE, "use the style"))
    pipe.unet.set_default_attn_processor()
    with pytest.raises(ConfigError, match="were replaced after the adapter was attached"):
        called(pipe)
