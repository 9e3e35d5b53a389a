"""The page's layout: fields at the left, pictures at the right; on a phone one below the other."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ipai.app.fields import Fields, kept, seeds_of
from ipai.app.session import Drawn, Session
from ipai.backbones.config import guidance_of
from ipai.errors import IpaiError
from ipai.instructions.pools import load_pool
from ipai.pipeline.record import read_facts
from ipai.pipeline.settings import GUIDANCES
from ipai.tasks import TASKS, get_task
from ipai.toyworld.example_pictures import example_pictures

_FIRST = "style"  # the task that is chosen when the page opens
Pictures = list[tuple[str, str]]  # path and label of each
Buttons = Callable[[Fields, str], Iterator[Drawn]]


def build(session: Session) -> gr.Blocks:
    """The page of a session, not served yet."""
    with gr.Blocks(title="ipai", analytics_enabled=False) as page:
        gr.Markdown(f"# ipai\nTell the adapter what to take from a picture. Base: **{session.base.name}**.")
        with gr.Row():
            with gr.Column():
                fields = _fields(session)
            with gr.Column():
                _pictures(session, fields)

        def left(request: gr.Request) -> None:
            session.stop(_visitor(request))

        page.unload(left)
    return page


def _fields(session: Session) -> list[Any]:
    """All of `Fields`, in its order."""
    image = gr.Image(label="Condition image", type="pil", image_mode=None, elem_id="image", height=240)
    pictures = [kept(picture, session.shown) for picture in example_pictures().values()]
    gr.Examples([[path] for path in pictures], image, label="Or one of these", elem_id="examples")
    task = gr.Radio(list(TASKS), label="What to take", value=_FIRST, elem_id="task")
    words = _wordings(_FIRST, session)
    with gr.Row():
        label = "Instruction: choose a wording or write your own"
        instruction = gr.Dropdown(words, value=words[0], label=label, allow_custom_value=True, elem_id="instruction")
        name = gr.Textbox(label="Object's name, for {object}", elem_id="name")
    prompt = gr.Textbox(label="Prompt", elem_id="prompt")
    negative = gr.Textbox(label="Negative prompt")
    with gr.Row():
        seeds = gr.Textbox("0, 1, 2", label="Seeds, a picture each", elem_id="seeds", scale=3)
        dice = gr.Button("Random seeds", elem_id="dice", scale=1)
    scale, guidance, *rest = _how(session)
    dice.click(_other_seeds, seeds, seeds, queue=False)

    def chosen(task: str) -> tuple[Any, float, str]:
        words = _wordings(task, session)
        return gr.Dropdown(choices=words, value=words[0]), get_task(task).scale, guidance_of(task, session.base.family)

    task.input(chosen, task, [instruction, scale, guidance], queue=False)
    return [image, instruction, name, prompt, negative, seeds, scale, guidance, *rest, *_second(), *_extras()]


def _how(session: Session) -> list[Any]:
    """Scales and steps: the next four."""
    with gr.Accordion("Strength, guidance, steps", open=False, elem_id="how"):
        with gr.Row():
            scale = gr.Slider(0, 1.5, get_task(_FIRST).scale, step=0.05, label="Adapter scale", elem_id="scale")
            steps = gr.Slider(1, 100, session.config.steps, step=1, label="Steps", elem_id="steps")
        with gr.Row():
            guidance = gr.Radio(
                list(GUIDANCES), value=guidance_of(_FIRST, session.base.family), label="Guidance", elem_id="guidance"
            )
            guidance_scale = gr.Slider(1, 15, session.base.guidance_scale, step=0.5, label="Scale of ordinary guidance")
    return [scale, guidance, guidance_scale, steps]


def _second() -> list[Any]:
    """Another condition: the next three."""
    with gr.Accordion("A second image, mixed in", open=False):
        image = gr.Image(label="Second image", type="pil", image_mode=None, height=160, elem_id="second")
        instruction = gr.Textbox("use the style", label="What to take from it")
        weight = gr.Slider(0, 1.5, 0.5, step=0.05, label="Its weight")
    return [image, instruction, weight]


def _extras() -> list[Any]:
    """ControlNet and LoRA: the last five."""
    with gr.Accordion("ControlNet and LoRA", open=False):
        controlnet = gr.Textbox(label="ControlNet: a folder, a hub id, or toy; empty for none")
        lines = gr.Image(label="Its line drawing", type="pil", image_mode=None, height=160)
        control_scale = gr.Slider(0, 2, 1, step=0.05, label="ControlNet scale")
        lora = gr.Textbox(label="LoRA: a .safetensors file; empty for none")
        lora_scale = gr.Slider(0, 2, 1, step=0.05, label="LoRA scale")
    return [controlnet, lines, control_scale, lora, lora_scale]


def _pictures(session: Session, fields: list[Any]) -> None:
    with gr.Row():
        draw = gr.Button("Draw", variant="primary", elem_id="draw", min_width=90)
        five = gr.Button("Five instructions", elem_id="five", min_width=90)
        stop = gr.Button("Stop", variant="stop", elem_id="stop", min_width=90)
    state = gr.Markdown("", elem_id="state")
    gallery = gr.Gallery(
        label="Pictures", columns=3, object_fit="contain", interactive=False, elem_id="result",
        buttons=["download", "fullscreen"], height="auto",
    )  # fmt: skip
    shown = gr.State([])
    with gr.Accordion("Settings of the picture that is clicked", open=False, elem_id="settings"):
        settings = gr.Code(language="json", interactive=False, show_label=False)
    outputs = [gallery, shown, state]
    drawing: list[Any] = [
        button.click(_told(session, action), fields, outputs, concurrency_id="pipeline", show_progress="hidden")
        for button, action in ((draw, session.draw), (five, session.five))
    ]

    def stopped(request: gr.Request) -> str:
        session.stop(_visitor(request))
        return "stopped"

    stop.click(stopped, None, state, queue=False, cancels=drawing)
    gallery.select(_settings_of, shown, settings, queue=False)


def _told(session: Session, action: Buttons) -> Any:
    """A button's action: pictures appear as they are done, errors appear on the page."""

    def run(request: gr.Request, *values: Any) -> Iterator[tuple[Pictures, Pictures, str]]:
        pictures: Pictures = []
        drawing = action(Fields(*values), _visitor(request))
        yield pictures, pictures, "waiting for the first picture"
        try:
            for drawn in drawing:
                pictures = [*pictures, (str(session.copy_of(drawn.path)), drawn.label)]
                yield pictures, pictures, f"picture {drawn.number} of {drawn.total}"
        except IpaiError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return run


def _settings_of(shown: Pictures, event: gr.SelectData) -> str:
    path = Path(shown[event.index][0])
    again = {
        "draw it again with": f"ipai generate repeat={path.name}",
        "settings": _without_folders(read_facts(path).settings),
    }
    return json.dumps(again, indent=2, ensure_ascii=False)


def _without_folders(value: Any) -> Any:
    """Settings without the places of this machine."""
    if isinstance(value, dict):
        return {name: _without_folders(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def _other_seeds(text: str) -> str:
    try:
        count = len(seeds_of(text))
    except IpaiError:
        count = 1
    return ", ".join(str(random.randrange(2**31)) for _ in range(count))


def _visitor(request: gr.Request) -> str:
    return request.session_hash or ""


def _wordings(task: str, session: Session) -> list[str]:
    """The plainest wording first, then held-out ones, short ones before long ones."""
    held_out = sorted(load_pool(task, "val")[: session.config.examples], key=len)
    return [session.config.five[task], *held_out]
