"""What a trained stack shows of itself: a page with pictures, curves and scores, and the card that ships with it."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image

from ipai.files import write_text
from ipai.pages import chart_url, data_url, render_page
from ipai.toyworld.sheets import sheet
from tools.toy_stack.quality import generate, identity_kept, load_pipeline
from tools.toy_stack.rendered_set import Pictures
from tools.toy_stack.train import StackConfig, StackTraining
from tools.toy_stack.vae import reconstruct

_SHOWN = 12
_PARTS = (
    "vae",
    "clip",
    "clip_text",
    "decoder",
    "unet",
    "transformer",
    "ip_adapter",
    "ip_adapter_detail",
    "transformer_ip_adapter",
    "transformer_ip_adapter_detail",
    "controlnet",
    "oracles",
)


def summary(scores: Mapping[str, Any]) -> str:
    """The numbers that decide whether the stack is any good, in one line."""
    text, decoded = scores["text_to_image"], scores["vae"]
    return (
        f"text-to-image object {text['scenes_object']:.1%}, colour {text['scenes_colour']:.1%}, background "
        f"{text['scenes_background']:.1%}; VAE keeps class {decoded['scenes_object']:.1%}, style "
        f"{decoded['scenes_style']:.1%}, identity {identity_kept(decoded):.1%}; CLIP retrieval "
        f"{scores['clip']['retrieval_among_100']:.1%}"
    )


def card(config: StackConfig, scores: Mapping[str, Any]) -> str:
    """The model card in Markdown."""
    return render_page(
        "card.md.jinja",
        package="tools.toy_stack",
        config=config,
        scores=scores,
        summary=summary(scores),
        parts=_PARTS,
        made=_made(),
    )


def write_report(stack: StackTraining, folder: Path, scores: Mapping[str, Any]) -> Path:
    """Write `report/index.html` below the working folder; one file that stands alone."""
    page = Path(stack.config.work) / "report" / "index.html"
    pictures = {
        "Held-out pictures and their reconstructions": data_url(_reconstructions(stack)),
        "Pictures for held-out captions": data_url(_samples(folder, stack.held_out)),
    }
    curves = {name: _curve(name, history) for name, history in stack.histories.items() if history}
    html = render_page(
        "report.html.jinja",
        package="tools.toy_stack",
        summary=summary(scores),
        scores=scores,
        pictures=pictures,
        curves=curves,
        made=_made(),
    )
    write_text(page, html)
    return page


def _reconstructions(stack: StackTraining) -> Image.Image:
    rows = []
    for kind in ("scenes", "portraits"):
        pixels = stack.held_out.part(kind)[:_SHOWN]
        decoded = reconstruct(stack.finished_vae, pixels.float() / 127.5 - 1)
        rows += [pixels, ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)]
    return sheet(rows)


def _samples(folder: Path, held_out: Pictures) -> Image.Image:
    pipeline = load_pipeline(folder)
    starts = (0, len(held_out.scenes))
    captions = [held_out.plain(rows, rows) for rows in (torch.arange(start, start + _SHOWN) for start in starts)]
    return sheet([generate(pipeline, texts) for texts in captions])


def _curve(name: str, history: list[dict[str, float]]) -> str:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    steps = [point["step"] for point in history]
    for key in history[0]:
        if key != "step":
            axes.plot(steps, [point[key] for point in history], label=key)
    axes.set(title=name, xlabel="step", yscale="log")
    axes.legend()
    return chart_url(figure)


def _made() -> str:
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "diffusers", "transformers", "open_clip_torch")
    )
    return f"{platform.machine()}, Python {platform.python_version()}, {libraries}"
