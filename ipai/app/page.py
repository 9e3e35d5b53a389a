"""The page's layout: fields at the left, pictures at the right."""

from typing import Any

import gradio as gr
from PIL import Image

from ipai.app.session import Fields, Session
from ipai.errors import IpaiError
from ipai.instructions.pools import load_pool
from ipai.pipeline.settings import GUIDANCES
from ipai.tasks import TASKS, get_task


def build(session: Session) -> gr.Blocks:
    """The page of a session, not served yet."""
    with gr.Blocks(title="ipai", analytics_enabled=False) as page:
        gr.Markdown(f"# ipai\nTell the adapter what to take from a picture. Base: **{session.base.name}**.")
        with gr.Row():
            with gr.Column():
                what, task = _what(session)
                how = _how(session)
                fields = what + how + _extras()
                task.change(lambda name: (get_task(name).scale, get_task(name).guidance), task, how[:2], queue=False)
            with gr.Column():
                with gr.Row():
                    draw = gr.Button("Draw", variant="primary", elem_id="draw")
                    five = gr.Button("Five instructions", elem_id="five")
                result = gr.Image(
                    label="Pictures",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="result",
                )
        draw.click(_told(session.draw), fields, result, concurrency_id="pipeline")
        five.click(_told(session.five), fields, result, concurrency_id="pipeline")
    return page


def _what(session: Session) -> tuple[list[Any], Any]:
    """Condition image, instruction with examples, and prompt: the first six of `Fields`; and the choice of a task."""
    image = gr.Image(label="Condition image", type="pil", image_mode=None, elem_id="image", height=240)
    task = gr.Radio(list(TASKS), label="Examples of instructions for", value="style")
    instruction = gr.Dropdown(
        _examples("style", session),
        value="use the style",
        label="Instruction: write your own or choose one",
        allow_custom_value=True,
        elem_id="instruction",
    )
    task.change(lambda name: gr.Dropdown(choices=_examples(name, session)), task, instruction, queue=False)
    with gr.Row():
        name = gr.Textbox(label="Object's name, for {object}")
        seeds = gr.Textbox("0, 1, 2", label="Seeds")
    prompt = gr.Textbox(label="Prompt", elem_id="prompt")
    negative = gr.Textbox(label="Negative prompt")
    return [image, instruction, name, prompt, negative, seeds], task


def _how(session: Session) -> list[Any]:
    """Scales and steps: the next four."""
    with gr.Row():
        scale = gr.Slider(0, 1.5, get_task("style").scale, step=0.05, label="Adapter scale")
        steps = gr.Slider(1, 100, session.config.steps, step=1, label="Steps")
    with gr.Row():
        guidance = gr.Radio(list(GUIDANCES), value="ordinary", label="Guidance")
        guidance_scale = gr.Slider(1, 15, 5, step=0.5, label="Scale of ordinary guidance")
    return [scale, guidance, guidance_scale, steps]


def _extras() -> list[Any]:
    """ControlNet and LoRA: the last five."""
    with gr.Accordion("ControlNet and LoRA", open=False):
        controlnet = gr.Textbox(label="ControlNet: a folder, a hub id, or toy; empty for none")
        lines = gr.Image(label="Its line drawing", type="pil", image_mode=None, height=160)
        control_scale = gr.Slider(0, 2, 1, step=0.05, label="ControlNet scale")
        lora = gr.Textbox(label="LoRA: a .safetensors file; empty for none")
        lora_scale = gr.Slider(0, 2, 1, step=0.05, label="LoRA scale")
    return [controlnet, lines, control_scale, lora, lora_scale]


def _told(action: Any) -> Any:
    """A button's action whose errors appear on the page."""

    def run(*values: Any, progress: Any = gr.Progress()) -> Image.Image:  # noqa: B008 (gradio finds it there)
        try:
            picture: Image.Image = action(Fields(*values), lambda share: progress(share, desc="drawing"))
        except IpaiError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return picture

    return run


def _examples(task: str, session: Session) -> list[str]:
    return list(load_pool(task, "val")[: session.config.examples])
